//! Where each file of a container lies. Pure: it joins paths and looks at none of them.

use std::path::{Path, PathBuf};

use crate::{ContainerId, ContainerName};

/// The directories of one engine; what lies in them is drawn above [`Container`](crate::Container).
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
    state: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: PathBuf, state: PathBuf) -> Self {
        Self { root, state }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    /// The records of all containers.
    pub(crate) fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    pub(crate) fn container(&self, id: &ContainerId) -> PathBuf {
        self.containers().join(id.as_str())
    }

    /// Where a container's directory goes to be removed; the name is no id, so nobody takes it for a container.
    pub(crate) fn removed_container(&self, id: &ContainerId) -> PathBuf {
        self.containers().join(format!(".{id}.{}", std::process::id()))
    }

    pub(crate) fn record(&self, id: &ContainerId) -> PathBuf {
        self.container(id).join("container.json")
    }

    pub(crate) fn exit(&self, id: &ContainerId) -> PathBuf {
        self.container(id).join("exit.json")
    }

    /// The end of a run that could not be written to its place: the disk was full.
    pub(crate) fn unsaved_exit(&self, id: &ContainerId) -> PathBuf {
        self.run(id).join("exit.json")
    }

    pub(crate) fn upper(&self, id: &ContainerId) -> PathBuf {
        self.container(id).join("upper")
    }

    pub(crate) fn work(&self, id: &ContainerId) -> PathBuf {
        self.container(id).join("work")
    }

    pub(crate) fn log(&self, id: &ContainerId) -> PathBuf {
        self.container(id).join(format!("{id}-json.log"))
    }

    /// The directory of a log in the compact form.
    pub(crate) fn local_log(&self, id: &ContainerId) -> PathBuf {
        self.container(id).join("local-logs")
    }

    /// The names of all containers: links to their records.
    pub(crate) fn names(&self) -> PathBuf {
        self.root.join("container-names")
    }

    pub(crate) fn name(&self, name: &ContainerName) -> PathBuf {
        self.names().join(name.as_str())
    }

    /// The records of all networks.
    pub(crate) fn networks(&self) -> PathBuf {
        self.root.join("networks")
    }

    pub(crate) fn network(&self, name: &str) -> PathBuf {
        self.networks().join(name)
    }

    /// What goes on in all networks.
    pub(crate) fn network_states(&self) -> PathBuf {
        self.state.join("networks")
    }

    pub(crate) fn network_state(&self, id: &ContainerId) -> PathBuf {
        self.network_states().join(id.as_str())
    }

    /// What a container asks of networks, where that was changed since it was created.
    pub(crate) fn network_wishes(&self, id: &ContainerId) -> PathBuf {
        self.container(id).join("network.json")
    }

    /// What a run has of networks.
    pub(crate) fn run_network(&self, id: &ContainerId) -> PathBuf {
        self.run(id).join(NETWORK)
    }

    /// What a run's resolver may tell.
    pub(crate) fn run_names(&self, id: &ContainerId) -> PathBuf {
        self.run(id).join(NAMES)
    }

    /// Somebody else has joined the run's network, which so outlives it.
    pub(crate) fn shared_network(&self, id: &ContainerId) -> PathBuf {
        self.run(id).join(SHARED)
    }

    pub(crate) fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// What runs.
    pub(crate) fn runs(&self) -> PathBuf {
        self.state.join("containers")
    }

    /// Its time tells when all runs were last looked at.
    pub(crate) fn swept(&self) -> PathBuf {
        self.state.join("swept")
    }

    pub(crate) fn run(&self, id: &ContainerId) -> PathBuf {
        self.runs().join(id.as_str())
    }

    /// Where a run's directory goes to be removed; the name is no id, so nobody takes it for a run.
    pub(crate) fn closed_run(&self, id: &ContainerId) -> PathBuf {
        self.runs().join(format!(".{id}.{}", std::process::id()))
    }

    pub(crate) fn lock(&self, id: &ContainerId) -> PathBuf {
        self.run(id).join("lock")
    }

    pub(crate) fn run_state(&self, id: &ContainerId) -> PathBuf {
        self.run(id).join("state.json")
    }

    pub(crate) fn config(&self, id: &ContainerId) -> PathBuf {
        self.run(id).join("config.json")
    }

    /// Somebody has asked for the end of the run: it is not to be started again.
    pub(crate) fn stopping(&self, id: &ContainerId) -> PathBuf {
        self.run(id).join(STOPPING)
    }

    /// What is on record of the run's health.
    pub(crate) fn health(&self, id: &ContainerId) -> PathBuf {
        self.run(id).join(HEALTH)
    }

    /// A link into the running container's root.
    pub(crate) fn rootfs(&self, id: &ContainerId) -> PathBuf {
        self.run(id).join("rootfs")
    }

    /// The cgroup of a container. It follows from the id alone, so that it can be found and removed whatever was lost.
    pub(crate) fn cgroup(id: &ContainerId) -> String {
        format!("conductor/{id}")
    }
}

/// The name of the mark that a run's end was asked for.
pub(crate) const STOPPING: &str = "stopping";

/// The names of what a run has of networks, of what its resolver may tell, and of the mark that others share its network.
pub(crate) const NETWORK: &str = "network.json";
pub(crate) const NAMES: &str = "names.json";
pub(crate) const SHARED: &str = "shared";

/// The name of the record of a run's health.
pub(crate) const HEALTH: &str = "health.json";

/// The socket's name in a run's directory.
pub(crate) const SOCKET: &str = "monitor.sock";
