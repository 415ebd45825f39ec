//! The engine: one door to the life of all containers below one root.
//!
//! Each verb is a method here and a module of its own: `create`, `start`, `exec`, `attach`, `logs`, `wait`, `stop`,
//! `remove`, `list`, `inspect`.

use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use trace::Recorder;

use crate::{AttachOptions, Container, CreateRequest, DetachKeys, Error, Inspection, Signal, State, Summary};

/// The engine over one root (data) and one state directory (what runs).
#[derive(Debug)]
pub struct Engine {
    pub(crate) root: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) recorder: Recorder,
}

/// Whether the caller stays with a container that it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartMode {
    /// The verb returns when the command runs.
    Detached,
    /// The verb returns when the command has ended, or the caller has detached.
    Attached(AttachOptions),
}

/// How an attachment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachOutcome {
    /// The command ended with this status (128 and the signal's number for a killed one).
    Exited(u8),
    /// The caller left by the detach keys; the container runs on.
    Detached,
}

/// What [`Engine::run`] did.
#[derive(Debug)]
pub struct RunOutcome {
    /// The container; with `remove_on_exit` it may be gone already.
    pub container: Container,
    /// What the user should know, a line each.
    pub warnings: Vec<String>,
    /// How the attachment ended; `None` when the container was started detached.
    pub attached: Option<AttachOutcome>,
}

/// A command to run in a running container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecRequest {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// `NAME=VALUE`, beside the container's environment.
    pub env: Vec<String>,
    /// The working directory; the container's where none is given.
    pub workdir: Option<String>,
    /// `USER[:GROUP]`; the container's where none is given.
    pub user: Option<String>,
    /// Gives the command all capabilities and no seccomp filter.
    pub privileged: bool,
    /// Gives the command a terminal.
    pub tty: bool,
    /// Sends the caller's standard input.
    pub stdin: bool,
    /// Returns as soon as the command runs.
    pub detach: bool,
    /// The keys that leave the command running, on a terminal.
    pub detach_keys: DetachKeys,
}

/// Which part of a log is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogsRequest {
    /// Goes on as the container writes, until it ends.
    pub follow: bool,
    /// How many of the last lines; all where nothing is said.
    pub tail: Option<usize>,
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// Puts the time before each line.
    pub timestamps: bool,
}

/// How a container is asked to stop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StopOptions {
    /// The signal; the container's own where none is given.
    pub signal: Option<Signal>,
    /// Seconds until SIGKILL; the container's own where none are given.
    pub timeout: Option<u32>,
}

/// How far a removal goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemoveOptions {
    /// Kills the container if it runs.
    pub force: bool,
    /// Removes its anonymous volumes too.
    pub volumes: bool,
}

impl Engine {
    /// Opens the engine over its two directories, making them where they are missing.
    pub fn open(root: &Path, state: &Path, recorder: Recorder) -> Result<Self, Error> {
        Ok(Self { root: root.to_owned(), state: state.to_owned(), recorder })
    }

    /// Returns the directory of data.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the directory of what runs.
    pub fn state_dir(&self) -> &Path {
        &self.state
    }

    /// Returns the recorder that the verbs tell their steps to.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }
}

#[expect(missing_docs, unused_variables, reason = "the signatures come first; each verb moves to its module")]
#[doc(hidden)]
mod signatures {
    use super::*;
    fn later<T>() -> Result<T, Error> {
        Err(Error::Conflict("this verb is being written"))
    }

    impl Engine {
        /// Creates a container and returns it with warnings for the user.
        pub fn create(&self, request: CreateRequest) -> Result<(Container, Vec<String>), Error> {
            later()
        }
        /// Creates a container and starts it, in one go.
        pub fn run(&self, request: CreateRequest, mode: StartMode) -> Result<RunOutcome, Error> {
            later()
        }
        /// Starts a created or exited container.
        pub fn start(&self, container: &Container, mode: StartMode) -> Result<Option<AttachOutcome>, Error> {
            later()
        }
        /// Attaches to a running container.
        pub fn attach(&self, container: &Container, options: &AttachOptions) -> Result<AttachOutcome, Error> {
            later()
        }
        /// Runs a command in a running container; `Detached` also for `ExecRequest::detach`.
        pub fn exec(&self, container: &Container, request: &ExecRequest) -> Result<AttachOutcome, Error> {
            later()
        }
        pub fn logs(
            &self,
            container: &Container,
            request: &LogsRequest,
            out: &mut dyn Write,
            err: &mut dyn Write,
        ) -> Result<(), Error> {
            later()
        }
        /// Waits for the container to end.
        pub fn wait(&self, container: &Container) -> Result<u8, Error> {
            later()
        }
        /// Stops several containers at the same time; the answers come in their order.
        pub fn stop(&self, containers: &[Container], options: StopOptions) -> Vec<Result<(), Error>> {
            Vec::new()
        }
        pub fn kill(&self, container: &Container, signal: Signal) -> Result<(), Error> {
            later()
        }
        pub fn remove(&self, container: &Container, options: RemoveOptions) -> Result<(), Error> {
            later()
        }
        /// Finds a container by name, id, or the beginning of an id.
        pub fn find(&self, reference: &str) -> Result<Container, Error> {
            later()
        }
        /// Lists running containers, or `all`; the newest first.
        pub fn list(&self, all: bool) -> Result<Vec<Summary>, Error> {
            later()
        }
        pub fn state(&self, container: &Container) -> Result<State, Error> {
            later()
        }
        /// Docker's JSON.
        pub fn inspect(&self, container: &Container) -> Result<Inspection, Error> {
            later()
        }
        /// Removes all containers that do not run; returns their ids.
        pub fn prune(&self) -> Result<Vec<String>, Error> {
            later()
        }
        /// The link (or path) that leads into a running container's root: /proc/PID/root.
        pub fn rootfs_link(&self, container: &Container) -> Result<PathBuf, Error> {
            later()
        }
        /// Returns the containers (names) that were made from an image, for `rmi`.
        pub fn users_of_image(&self, image: &oci::Digest) -> Result<Vec<String>, Error> {
            later()
        }
        /// Tells the steps that `run` would apply, to the recorder, and applies none.
        pub fn explain(&self, request: CreateRequest) -> Result<(), Error> {
            later()
        }
        /// Returns the bash script that makes the same container.
        pub fn script(&self, request: CreateRequest) -> Result<String, Error> {
            later()
        }
    }
}
