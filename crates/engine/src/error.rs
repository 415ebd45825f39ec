//! Why a verb of the engine failed, in the user's words, with the exit code that scripts expect.

use crate::spec::SpecError;
use crate::{ContainerId, ContainerName, DeviceError, HealthError, MountError, NetworkError, ResourcesError};

/// Why the engine could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No container has this name or id.
    #[error("no such container: {0}")]
    NoSuchContainer(String),
    /// Several ids begin so.
    #[error("{prefix} is the beginning of {count} container ids: give more digits")]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// How many containers it fits.
        count: usize,
    },
    /// Another container has the name.
    #[error("the name {name} is in use by container {holder}: remove or rename that container, or use another name")]
    NameInUse {
        /// The name.
        name: ContainerName,
        /// The short id of the container that has it.
        holder: String,
    },
    /// A container's record was cut short or overwritten; the container cannot be used, only removed.
    #[error("the record of container {name} is damaged: {path}")]
    Damaged {
        /// The container's id.
        id: ContainerId,
        /// Its name, or its short id where no name leads to it.
        name: String,
        /// The file.
        path: String,
        /// What is wrong with it.
        source: Cause,
    },
    /// The verb needs a running container.
    #[error("container {0} is not running")]
    NotRunning(String),
    /// The verb needs a container that does not run.
    #[error("container {0} is running: stop it first, or force the removal")]
    Running(String),
    /// The container runs already.
    #[error("container {0} is running already")]
    AlreadyRunning(String),
    /// The other end of an attached command is gone without a word.
    #[error("the monitor of container {0} was killed, and the container with it: what it still wrote is lost")]
    MonitorLost(String),
    /// The container was started by an older version of this program.
    #[error("the monitor of container {0} is of an older version and cannot do this: restart the container")]
    OldMonitor(String),
    /// Two options that exclude each other.
    #[error("conflicting options: {0}")]
    Conflict(&'static str),
    /// A limit that cannot be kept.
    #[error(transparent)]
    Resources(#[from] ResourcesError),
    /// A mount that cannot be made.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// A bind mount without anything to mount.
    #[error("the volume source {0} does not exist: create it first (mkdir -p {0}), or use a named volume")]
    MissingSource(String),
    /// A device that the container cannot have.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A request that no container can be made of.
    #[error(transparent)]
    Spec(SpecError),
    /// Something about networks.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A health check that cannot be carried out.
    #[error(transparent)]
    Health(#[from] HealthError),
    /// A container that must run first does not, or not well enough.
    #[error("the required container {name} {why}")]
    Requirement {
        /// The required container.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The image could not be found.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// The output was not kept.
    #[error("container {0} keeps no log: it was created with --log-driver none")]
    NoLog(String),
    /// The output is to go to a journal that is not there.
    #[error("there is no journal to write to: {0} is not there")]
    NoJournal(&'static str),
    /// The output is in the journal, and the program that reads it is not there.
    #[error("cannot read the journal: there is no journalctl")]
    NoJournalctl,
    /// A terminal was asked for where there is none to attach.
    #[error("the input device is not a TTY")]
    NotATerminal,
    /// The command in the container could not be started; 126 and 127 say why.
    #[error("cannot start container {name}")]
    Start {
        /// The container.
        name: String,
        /// 127 when there is no such command, 126 when it cannot be executed, 125 when it was us.
        code: u8,
        /// The cause.
        source: Cause,
    },
    /// The command that was to join the container could not be started; 126 and 127 say why.
    #[error("cannot run the command in container {name}")]
    Exec {
        /// The container.
        name: String,
        /// 127 when there is no such command, 126 when it cannot be executed, 125 when it was us.
        code: u8,
        /// The cause.
        source: Cause,
    },
    /// What is mounted there is no image of ours, if anything is.
    #[error("no image is mounted at {}", .0.display())]
    NoImageMounted(std::path::PathBuf),
    /// A step failed for a reason that only its cause knows.
    #[error("cannot {doing}")]
    Doing {
        /// What could not be done.
        doing: String,
        /// The cause.
        source: Cause,
    },
}

/// The cause of an error, whichever crate it came from.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

impl Error {
    /// Returns the exit code of `run`, `start` and `exec` that fail with this error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Start { code, .. } | Self::Exec { code, .. } => *code,
            _ => 125,
        }
    }

    /// Returns what the user can do next, where there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Start { code: 127, .. } => Some(
                "the command is looked up in the image; its PATH may lack it, or the image may be another one".into(),
            ),
            Self::Damaged { name, .. } => Some(format!(
                "its changes lie beside the record; when they are saved or not wanted, remove it by rm --force {name}"
            )),
            Self::NoJournal(_) => Some("start systemd-journald, or leave --log-driver journald away".into()),
            Self::NoJournalctl => Some("it comes with systemd: apt install systemd".into()),
            Self::NotATerminal => Some("leave -t away when standard input is not a terminal".into()),
            _ => None,
        }
    }
}

/// Says what could not be done, above the error.
pub(crate) trait Doing<T> {
    /// Names what was being done; the closure runs only on failure.
    fn doing<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T, Error>;
}

impl<T, E: Into<Cause>> Doing<T> for Result<T, E> {
    fn doing<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T, Error> {
        self.map_err(|error| Error::Doing { doing: what().into(), source: error.into() })
    }
}

/// An error that came from another process of ours, as the lines of its chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    line: String,
    cause: Option<Box<Self>>,
}

impl Chain {
    /// Writes an error and its causes down, one a line.
    pub fn write(error: &(dyn std::error::Error + 'static)) -> String {
        let causes = std::iter::successors(Some(error), |error| error.source());
        causes.map(|cause| cause.to_string().replace('\n', " ")).collect::<Vec<_>>().join("\n")
    }

    /// Reads what [`Chain::write`] wrote.
    pub fn read(text: &str) -> Self {
        let (line, rest) = text.split_once('\n').map_or((text, None), |(line, rest)| (line, Some(rest)));
        Self { line: line.to_owned(), cause: rest.map(|rest| Box::new(Self::read(rest))) }
    }
}

impl std::fmt::Display for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.line)
    }
}

impl std::error::Error for Chain {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_of_errors_crosses_to_another_process() {
        let error = Error::Start { name: "web".into(), code: 127, source: Chain::read("no such file").into() };
        let chain = Chain::read(&Chain::write(&error));
        assert_eq!(chain.to_string(), "cannot start container web");
        assert_eq!(std::error::Error::source(&chain).unwrap().to_string(), "no such file");
    }
}
