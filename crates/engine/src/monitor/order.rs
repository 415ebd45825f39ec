//! What a monitor is told when it begins: one JSON word on its command line, and descriptors open at the numbers it names.

use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;

use cgroup::hierarchy::Hierarchy;
use cgroup::{ControllerSet, Hierarchies};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use store::ChainId;

use super::health::HealthOrder;
use crate::logs::writer::LogTarget;
use crate::{ContainerId, ContainerName, RestartPolicy};

/// The order to watch one run of one container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) id: ContainerId,
    pub(crate) name: ContainerName,
    pub(crate) root: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) started_at: Timestamp,
    /// Whether the container is removed when it has ended, with these volumes.
    pub(crate) remove: bool,
    pub(crate) volumes: Vec<ContainerName>,
    /// Whether the container ends when the client that started it has gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) bound: bool,
    /// Whether standard input closes with the first client.
    pub(crate) stdin_once: bool,
    /// What the client wants that started the container, where it stays.
    pub(crate) wishes: Option<u8>,
    pub(crate) log: Option<LogTarget>,
    /// How its health is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) health: Option<HealthOrder>,
    /// Where the container is started again after its end: when, and what came before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) restart: Option<Restart>,
    /// The image's mount, for other containers of the image to share.
    pub(crate) chain: Option<ChainId>,
    pub(crate) trees: Vec<Tree>,
    pub(crate) fds: Descriptors<RawFd>,
}

/// The policy of a container, and the restarts that led to this run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Restart {
    pub(crate) policy: RestartPolicy,
    pub(crate) restarts: u32,
    /// How long the last restart was waited for, in milliseconds.
    pub(crate) waited: u64,
}

/// A mounted cgroup tree, so that the monitor need not look for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tree {
    mount: PathBuf,
    controllers: Vec<String>,
    v2: bool,
}

/// The descriptors of a monitor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Descriptors<Fd> {
    /// The command's process.
    pub(crate) process: Fd,
    /// The run's lock, to be held.
    pub(crate) lock: Fd,
    /// Where clients come in.
    pub(crate) listener: Fd,
    /// The client that started the container.
    pub(crate) client: Option<Fd>,
    /// The command's standard input.
    pub(crate) stdin: Option<Fd>,
    /// The command's outputs.
    pub(crate) stdout: Option<Fd>,
    pub(crate) stderr: Option<Fd>,
    /// The command's terminal, in place of the three above.
    pub(crate) terminal: Option<Fd>,
    /// The image's mount.
    pub(crate) view: Option<Fd>,
    /// The resolver's sockets, UDP and TCP.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub(crate) resolver: Option<(Fd, Fd)>,
    /// Sockets that take published ports, and the hold on the image's directory.
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    pub(crate) kept: Vec<Fd>,
}

fn none<T>() -> Option<T> {
    None
}

impl<Fd> Descriptors<Fd> {
    /// Turns each descriptor into another form of it.
    pub(crate) fn map<To, E>(self, mut change: impl FnMut(Fd) -> Result<To, E>) -> Result<Descriptors<To>, E> {
        Ok(Descriptors {
            process: change(self.process)?,
            lock: change(self.lock)?,
            listener: change(self.listener)?,
            client: self.client.map(&mut change).transpose()?,
            stdin: self.stdin.map(&mut change).transpose()?,
            stdout: self.stdout.map(&mut change).transpose()?,
            stderr: self.stderr.map(&mut change).transpose()?,
            terminal: self.terminal.map(&mut change).transpose()?,
            view: self.view.map(&mut change).transpose()?,
            resolver: match self.resolver {
                Some((datagrams, listener)) => Some((change(datagrams)?, change(listener)?)),
                None => None,
            },
            kept: self.kept.into_iter().map(&mut change).collect::<Result<_, _>>()?,
        })
    }
}

impl Descriptors<RawFd> {
    /// Takes hold of the descriptors.
    pub(crate) fn adopt(self) -> sys::Result<Descriptors<OwnedFd>> {
        self.map(|number| {
            let fd = sys::process::adopt_fd(number)?;
            sys::process::keep_over_exec(&fd, false)?;
            Ok(fd)
        })
    }
}

/// Writes the host's cgroup trees down.
pub(crate) fn trees(hierarchies: &Hierarchies) -> Vec<Tree> {
    let tree = |hierarchy: &Hierarchy, v2| Tree {
        mount: hierarchy.mount.clone(),
        controllers: hierarchy.controllers.iter().map(|controller| controller.name().to_owned()).collect(),
        v2,
    };
    let v1 = hierarchies.v1().iter().map(|hierarchy| tree(hierarchy, false));
    v1.chain(hierarchies.v2().map(|hierarchy| tree(hierarchy, true))).collect()
}

/// Reads them again.
pub(crate) fn hierarchies(trees: &[Tree]) -> Hierarchies {
    let hierarchy = |tree: &Tree| Hierarchy {
        mount: tree.mount.clone(),
        controllers: ControllerSet::parse(&tree.controllers.join(" "), ' '),
    };
    let v1 = trees.iter().filter(|tree| !tree.v2).map(hierarchy).collect();
    Hierarchies::new(v1, trees.iter().find(|tree| tree.v2).map(hierarchy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cgroup::Controller;

    #[test]
    fn cgroup_trees_read_back() {
        let memory = Hierarchy { mount: "/cg/memory".into(), controllers: [Controller::Memory].into_iter().collect() };
        let v2 = Hierarchy { mount: "/cg/unified".into(), controllers: ControllerSet::default() };
        let host = Hierarchies::new(vec![memory], Some(v2));
        assert_eq!(hierarchies(&trees(&host)), host);
    }
}
