//! Which engine is under test: ours, or Debian's podman, to see that the harness can find something.

use std::path::Path;
use std::process::Command;

use crate::context::Failure;

/// An engine, and what the harness must know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Conductor,
    Podman,
}

impl Engine {
    /// Makes a call on directories of the harness's own.
    pub(crate) fn call(self, program: &Path, root: &Path, state: &Path) -> Command {
        match self {
            Self::Conductor => {
                let mut command = Command::new(program);
                command.arg("--root").arg(root).arg("--state").arg(state);
                command
            }
            Self::Podman => {
                let mut command = Command::new("podman");
                command.arg("--root").arg(root).arg("--runroot").arg(state);
                command.env("CONTAINERS_CONF", configuration(root));
                command
            }
        }
    }

    /// Returns the words that remove a container, whatever it does.
    pub(crate) fn removal(self) -> &'static [&'static str] {
        match self {
            Self::Conductor => &["rm", "-f", "-v"],
            Self::Podman => &["rm", "-f", "-v", "--time", "0"],
        }
    }

    /// Tells whether a command line is that of a process that watches over a container.
    pub(crate) fn is_monitor(self, words: &str) -> bool {
        words.contains(match self {
            Self::Conductor => " monitor",
            Self::Podman => "conmon ",
        })
    }

    /// Reads the ID of the container for which a process works.
    pub(crate) fn id_of(self, words: &str) -> Option<String> {
        let before = match self {
            Self::Conductor => "\"id\":\"",
            Self::Podman => " -c ",
        };
        let (_, rest) = words.split_once(before)?;
        rest.get(..64).map(str::to_owned)
    }

    /// Returns the directories below the root in which nothing must be left.
    pub(crate) fn directories(self) -> &'static [&'static str] {
        match self {
            Self::Conductor => &["containers", "container-names", "volumes", "tmp"],
            Self::Podman => &["overlay-containers", "overlay", "volumes"],
        }
    }

    /// Returns the name of the cgroup in which its containers are.
    pub(crate) fn cgroup(self) -> &'static str {
        match self {
            Self::Conductor => "conductor",
            Self::Podman => "libpod_parent",
        }
    }
}

fn configuration(root: &Path) -> std::path::PathBuf {
    root.with_file_name("containers.conf")
}

/// Writes what Debian's podman needs on hosts without systemd and with lowered limits.
pub(crate) fn configure_podman(root: &Path) -> Result<(), Failure> {
    let text = "[containers]\ndefault_ulimits = []\n[engine]\ncgroup_manager = \"cgroupfs\"\nruntime = \"runc\"\nevents_logger = \"file\"\n";
    std::fs::write(configuration(root), text).map_err(|error| Failure(format!("cannot configure podman: {error}")))
}
