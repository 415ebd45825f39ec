//! The engine: one door to the life of all containers below one root.
//!
//! Each verb is a method, in a module of its own: `create`, `start` (and `run`), `exec`, `attach` (and `wait`, `kill`,
//! `stop`), `logs`, `remove`, `list` (and `find`), `inspect`, `explain`. Each of them first settles what a crash left.

use std::path::Path;

use jiff::Timestamp;
use store::Store;
use store::snapshot::{self, Snapshotter, SnapshotterKind};
use trace::Recorder;

use crate::layout::Layout;
use crate::ledger::Owner;
use crate::{AttachOptions, Container, DetachKeys, Error, Settings, Signal, ledger, network};

/// The engine over one root (data) and one state directory (what runs).
#[derive(Debug)]
pub struct Engine {
    layout: Layout,
    store: Store,
    recorder: Recorder,
    /// Nothing in a monitor that starts its container again: what was chosen is on record.
    settings: Option<Settings>,
    snapshotter: SnapshotterKind,
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
    /// Opens the engine over its two directories. Nothing is made or read yet: directories that do not exist hold nothing.
    pub fn open(root: &Path, state: &Path, recorder: Recorder) -> Result<Self, Error> {
        // The kernel, monitors and links are told these paths, whatever the working directory is there.
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let layout = Layout::new(absolute(root), absolute(state));
        Ok(Self {
            store: Store::open(layout.root()),
            layout,
            recorder,
            settings: None,
            snapshotter: SnapshotterKind::default(),
        })
    }

    /// Returns the engine with what the host's administrator has chosen.
    #[must_use]
    pub fn with_settings(self, settings: Settings) -> Self {
        let store = self.store.with_largest_layer(settings.largest_layer.unwrap_or(store::LARGEST_LAYER));
        Self { store, snapshotter: settings.snapshotter, settings: Some(settings), ..self }
    }

    /// Returns the engine with a snapshotter of the caller's choice.
    #[must_use]
    pub(crate) fn with_snapshotter(self, snapshotter: SnapshotterKind) -> Self {
        Self { snapshotter, ..self }
    }

    pub(crate) fn snapshotter(&self) -> SnapshotterKind {
        self.snapshotter
    }

    /// Opens what makes views of images.
    pub fn snapshots(&self) -> Box<dyn Snapshotter> {
        snapshot::open(self.snapshotter, &self.store, self.layout.state())
    }

    pub(crate) fn settings(&self) -> Option<&Settings> {
        self.settings.as_ref()
    }

    /// Returns the directory of data.
    pub fn root(&self) -> &Path {
        self.layout.root()
    }

    /// Returns the directory of what runs.
    pub fn state_dir(&self) -> &Path {
        self.layout.state()
    }

    /// Returns the store of images.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Returns the recorder that the verbs tell their steps to.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Settles what died with its owner: every verb does it, and so does a command that has nothing else to do. Where all
    /// runs were looked at within the last second that is left out: a verb settles its own container in any case.
    pub fn sweep(&self) -> Result<(), Error> {
        if ledger::was_just_swept(&self.layout) {
            return Ok(());
        }
        ledger::sweep(&self.layout)?;
        self.look_at_firewall();
        Ok(())
    }

    /// Puts back what the firewall has lost; where that cannot be done, it stops no command.
    pub(crate) fn look_at_firewall(&self) {
        if let Err(error) = network::put_back(self) {
            let chain = crate::error::Chain::write(&error).replace('\n', ": ");
            tracing::warn!("the firewall cannot be looked at: {chain}");
        }
    }

    /// Settles the run of one container, if that has lost its owner.
    pub(crate) fn settle(&self, container: &Container) -> Result<(), Error> {
        if ledger::owner(&self.layout, &container.id)? == Owner::Dead {
            ledger::settle_or_warn(&self.layout, &container.id);
        }
        Ok(())
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }
}
