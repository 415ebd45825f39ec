//! What a caller asks for when a container is created: the nouns behind the flags of `create` and `run`.
//!
//! A request is stored with its container, so that a later `start` makes the same container again. The parsers of single
//! flags live with their nouns: [`MountRequest`], [`Resources`],
//! [`Signal`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::network::{Attachment, ExposedPort, NameWishes, PortRequest};
use crate::{
    ContainerName, DeviceRequest, HealthRequest, LogOptions, MountRequest, Requirement, Resources, RestartPolicy,
    Signal,
};

/// A container as it was asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateRequest {
    /// The image, as the user named it.
    pub image: String,
    /// The container's name; one is made up where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<ContainerName>,
    /// The host name inside; the short id where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The words after the image: they take the place of the image's command.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Takes the place of the image's entrypoint, and drops its command; empty to clear it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// `NAME=VALUE`, or `NAME` alone to remove a variable of the image.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// `USER[:GROUP]`, names or numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Supplementary groups beside those of the image's `/etc/group`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub group_add: Vec<String>,
    /// Volumes, bind mounts and tmpfs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<MountRequest>,
    /// Devices beside those that each container has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceRequest>,
    /// Makes the root read-only.
    pub read_only: bool,
    /// Capabilities beside the default ones, as in `NET_ADMIN` or `ALL`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cap_add: Vec<String>,
    /// Capabilities to drop from the default ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cap_drop: Vec<String>,
    /// What `--security-opt` said.
    pub security: Security,
    /// Lifts the confinement: all capabilities, all devices, no seccomp, no masked paths.
    pub privileged: bool,
    /// Puts our small init before the command: it reaps and forwards signals.
    pub init: bool,
    /// Labels, for people and tools.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Kernel parameters of the container's own namespaces.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// Limits.
    pub resources: Resources,
    /// What the container sees of the network.
    pub network: NetworkMode,
    /// The networks that it is on; the default one where none is named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Attachment>,
    /// The ports that it publishes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortRequest>,
    /// Publishes all ports that are exposed, each on one of the host's that is free.
    pub publish_all: bool,
    /// Ports that are called useful, here or by the image.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exposed: Vec<ExposedPort>,
    /// What it knows by name.
    pub names: NameWishes,
    /// Gives the command a terminal.
    pub tty: bool,
    /// Keeps the command's standard input open for whoever attaches.
    pub open_stdin: bool,
    /// Closes standard input when the first client that sent to it leaves (a foreground `run -i`).
    pub stdin_once: bool,
    /// Removes the container when it has exited.
    pub remove_on_exit: bool,
    /// What `--health-*` said.
    pub health: HealthRequest,
    /// Containers that must run first, and healthy where that is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Requirement>,
    /// When the container is started again after it has ended.
    pub restart: RestartPolicy,
    /// The signal that asks the command to stop; the image's, or SIGTERM, where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<Signal>,
    /// Seconds between that signal and SIGKILL; ten where none are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<u32>,
    /// What becomes of the output.
    pub log: LogOptions,
    /// For a step of a build: the caller's directory that takes the changes, in `upper` and `work`, and outlives the container,
    /// which ends with its caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scratch: Option<PathBuf>,
    /// For a step of a build: variables that are written down nowhere, `NAME=VALUE` each.
    #[serde(skip)]
    pub secret_env: Vec<String>,
}

/// What a container sees of the network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum NetworkMode {
    /// A network namespace of its own, with nothing but the loopback interface.
    #[default]
    None,
    /// The host's network.
    Host,
    /// A network namespace of its own, with a place on networks.
    Networks,
    /// The network namespace of another container, by name or id.
    Container(String),
}

/// Why a word is not a network mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown network mode {0:?}: use none, host, networks or container:NAME")]
pub struct NetworkModeError(String);

impl NetworkMode {
    /// Tells whether the container has a network namespace of its own.
    pub fn is_own(&self) -> bool {
        matches!(self, Self::None | Self::Networks)
    }
}

impl FromStr for NetworkMode {
    type Err = NetworkModeError;

    fn from_str(word: &str) -> Result<Self, NetworkModeError> {
        match word.split_once(':') {
            None if word == "none" => Ok(Self::None),
            None if word == "host" => Ok(Self::Host),
            None if word == "networks" => Ok(Self::Networks),
            Some(("container", other)) if !other.is_empty() => Ok(Self::Container(other.to_owned())),
            _ => Err(NetworkModeError(word.to_owned())),
        }
    }
}

impl TryFrom<String> for NetworkMode {
    type Error = NetworkModeError;

    fn try_from(word: String) -> Result<Self, NetworkModeError> {
        word.parse()
    }
}

impl From<NetworkMode> for String {
    fn from(mode: NetworkMode) -> Self {
        match mode {
            NetworkMode::None => "none".into(),
            NetworkMode::Host => "host".into(),
            NetworkMode::Networks => "networks".into(),
            NetworkMode::Container(other) => format!("container:{other}"),
        }
    }
}

/// What `--security-opt` said, all options together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Security {
    /// Whether programs may gain privileges by set-user-id bits; they may not where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_new_privileges: Option<bool>,
    /// Which system calls are allowed.
    pub seccomp: Seccomp,
    /// Leaves the sensitive files of `/proc` and `/sys` visible and writable.
    pub unmask: bool,
}

/// Which system calls a container may make.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seccomp {
    /// Those of the list that is compiled in.
    #[default]
    Builtin,
    /// All of them.
    Unconfined,
    /// Those of a file, in the OCI runtime specification's form or in Docker's.
    Profile(PathBuf),
}

/// Why a security option cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown security option {0:?}: use no-new-privileges[=true|false], seccomp=unconfined, seccomp=FILE \
     or systempaths=unconfined"
)]
pub struct SecurityError(String);

impl Security {
    /// Returns the options in the words of `--security-opt`.
    pub(crate) fn words(&self) -> Vec<String> {
        let privileges = self.no_new_privileges.map(|forbidden| format!("no-new-privileges={forbidden}"));
        let seccomp = match &self.seccomp {
            Seccomp::Builtin => None,
            Seccomp::Unconfined => Some("seccomp=unconfined".to_owned()),
            Seccomp::Profile(path) => Some(format!("seccomp={}", path.display())),
        };
        let paths = self.unmask.then(|| "systempaths=unconfined".to_owned());
        privileges.into_iter().chain(seccomp).chain(paths).collect()
    }

    /// Adds what one `--security-opt` says.
    pub fn set(&mut self, option: &str) -> Result<(), SecurityError> {
        let unknown = || SecurityError(option.to_owned());
        let (key, value) = match option.split_once(['=', ':']) {
            Some((key, value)) => (key, Some(value)),
            None => (option, None),
        };
        match (key, value) {
            ("no-new-privileges", None | Some("true")) => self.no_new_privileges = Some(true),
            ("no-new-privileges", Some("false")) => self.no_new_privileges = Some(false),
            ("seccomp", Some("unconfined")) => self.seccomp = Seccomp::Unconfined,
            ("seccomp", Some("builtin")) => self.seccomp = Seccomp::Builtin,
            ("seccomp", Some(file)) if !file.is_empty() => self.seccomp = Seccomp::Profile(file.into()),
            ("systempaths", Some("unconfined")) => self.unmask = true,
            _ => return Err(unknown()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_none_the_host_s_or_another_container_s() {
        assert_eq!("none".parse(), Ok(NetworkMode::None));
        assert_eq!("host".parse(), Ok(NetworkMode::Host));
        assert_eq!("container:web".parse(), Ok(NetworkMode::Container("web".into())));
        for bad in ["", "container:", "bridge9", "hosts", "container"] {
            assert!(bad.parse::<NetworkMode>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn security_options_are_docker_s() {
        let mut security = Security::default();
        for option in ["no-new-privileges=false", "seccomp=unconfined", "systempaths=unconfined"] {
            security.set(option).unwrap();
        }
        assert_eq!(security, Security { no_new_privileges: Some(false), seccomp: Seccomp::Unconfined, unmask: true });
        security.set("seccomp=/etc/list.json").unwrap();
        assert_eq!(security.seccomp, Seccomp::Profile("/etc/list.json".into()));
        security.set("no-new-privileges").unwrap();
        assert_eq!(security.no_new_privileges, Some(true));
        assert!(security.set("selinux=on").is_err());
        assert!(security.set("no-new-privileges=maybe").is_err());
    }

    #[test]
    fn a_request_survives_its_file() {
        let request = CreateRequest { image: "debian".into(), tty: true, ..CreateRequest::default() };
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<CreateRequest>(&text).unwrap(), request);
    }
}
