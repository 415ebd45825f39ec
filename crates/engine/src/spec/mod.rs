//! From a request and an image to the OCI spec of a container: pure decisions, with Docker's documented defaults.
//!
//! What has to be known of the host arrives as [`Host`], what has to be known of the image's users as [`Accounts`], and
//! where things lie as [`Place`]; nothing here looks at a file or a clock. Start reading at [`generate`].

mod accounts;
mod host;
mod limits;
mod mounts;
mod privileges;
mod process;
pub mod seccomp;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use oci::image::{Config, ImageConfiguration};
use oci::runtime::{
    Capability, Linux, LinuxBuilder, LinuxDevice, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType,
    RootBuilder, Spec, SpecBuilder,
};

pub use accounts::{AccountError, Accounts, Identity};
pub(crate) use host::{capabilities_of, device_nodes, host_devices, kernel_version};
pub(crate) use mounts::{mount_places, volume_data};
pub(crate) use privileges::plan_capabilities;
pub(crate) use process::{merge_environment, plan_args, plan_capability_sets, plan_user};

use crate::devices::Granted;
use crate::{CreateRequest, NetworkMode};

/// What has to be known of the host.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// The capabilities that we can give.
    pub capabilities: HashSet<Capability>,
    /// Its devices, for a privileged container.
    pub devices: Vec<LinuxDevice>,
    /// What the devices come to that were asked for one by one.
    pub granted: Granted,
    /// Its kernel's version, for seccomp profiles that depend on it.
    pub kernel: (u32, u32),
}

/// Where things lie.
#[derive(Debug, Clone, Default)]
pub struct Place<'a> {
    /// The root, as the spec names it.
    pub root: PathBuf,
    /// The directory of all volumes.
    pub volumes: PathBuf,
    /// Files of ours that are mounted into the container: target, source.
    pub files: &'a [(&'static str, PathBuf)],
    /// The network namespace to join, for `container:X`.
    pub network: Option<PathBuf>,
    /// The cgroup.
    pub cgroup: String,
}

/// A container to plan.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// What was asked for.
    pub request: &'a CreateRequest,
    /// What the image says.
    pub image: &'a ImageConfiguration,
    /// The image's users and groups.
    pub accounts: &'a Accounts,
    /// The host name inside.
    pub hostname: &'a str,
    /// The text of the file that says which system calls are allowed, where one does.
    pub profile: Option<&'a [u8]>,
    /// Rows and columns of the caller's terminal.
    pub console: Option<(u16, u16)>,
    /// Where things lie.
    pub place: Place<'a>,
}

impl Wanted<'_> {
    fn config(&self) -> Option<&Config> {
        self.image.config().as_ref()
    }
}

/// Why no spec can be made of a request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// Neither request nor image names a command.
    #[error("no command: the image names none, so name one after the image")]
    NoCommand,
    /// A working directory that is not absolute.
    #[error("the working directory {0:?} is invalid: use an absolute path")]
    Directory(String),
    /// A user or group that the image does not have.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// A capability that does not exist or cannot be given.
    #[error(transparent)]
    Capability(#[from] privileges::CapabilityError),
    /// A seccomp profile that is none.
    #[error(transparent)]
    Profile(#[from] seccomp::ProfileError),
    /// A kernel parameter that is not the container's own.
    #[error("the kernel parameter {0} is not the container's own to set")]
    Sysctl(String),
    /// A device that is not there.
    #[error(transparent)]
    Device(#[from] cdi::CdiError),
    /// A part of the spec is missing: a mistake of ours.
    #[error("the spec is incomplete")]
    Incomplete(#[source] crate::Cause),
}

fn incomplete(error: impl Into<crate::Cause>) -> SpecError {
    SpecError::Incomplete(error.into())
}

/// Checks the words of a request that can be wrong by themselves.
pub(crate) fn check_words(request: &CreateRequest) -> Result<(), SpecError> {
    privileges::check_words(request)?;
    match &request.workdir {
        Some(directory) if !directory.starts_with('/') => Err(SpecError::Directory(directory.clone())),
        _ => Ok(()),
    }
}

/// Makes the OCI spec of a container.
pub fn generate(wanted: &Wanted<'_>, host: &Host) -> Result<Spec, SpecError> {
    let request = wanted.request;
    let of_image = wanted.config().and_then(|config| config.user().as_deref());
    let user = request.user.as_deref().or(of_image).unwrap_or("");
    let identity = wanted.accounts.identity(user, &request.group_add)?;
    let capabilities = plan_capabilities(request, host)?;
    let root = RootBuilder::default().path(wanted.place.root.clone()).readonly(request.read_only);
    let spec = SpecBuilder::default()
        .version("1.2.0")
        .root(root.build().map_err(incomplete)?)
        .process(process::plan_process(wanted, &identity, &capabilities)?)
        .hostname(wanted.hostname)
        .mounts(mounts::plan_mounts(request, &wanted.place))
        .linux(plan_linux(wanted, host, &capabilities)?);
    let mut spec = spec.build().map_err(incomplete)?;
    host.granted.edits.apply(&mut spec)?;
    Ok(spec)
}

fn plan_linux(wanted: &Wanted<'_>, host: &Host, capabilities: &HashSet<Capability>) -> Result<Linux, SpecError> {
    let request = wanted.request;
    let hidden = !request.privileged && !request.security.unmask;
    let paths = |list: &[&str]| list.iter().filter(|_| hidden).map(|path| (*path).to_owned()).collect::<Vec<_>>();
    let mut linux = LinuxBuilder::default()
        .namespaces(plan_namespaces(&request.network, wanted.place.network.as_deref())?)
        .resources(limits::plan_resources(&request.resources, request.privileged, &host.granted))
        .cgroups_path(wanted.place.cgroup.clone())
        .masked_paths(paths(MASKED))
        .readonly_paths(paths(READ_ONLY))
        .build()
        .map_err(incomplete)?;
    let sysctls = privileges::plan_sysctls(request)?;
    if !sysctls.is_empty() {
        linux.set_sysctl(Some(sysctls));
    }
    if request.privileged || !host.granted.nodes.is_empty() {
        let granted = host.granted.nodes.iter().map(|(device, _)| device);
        let known =
            |device: &&LinuxDevice| host.granted.nodes.iter().any(|(granted, _)| granted.path() == device.path());
        let others = host.devices.iter().filter(|device| !known(device));
        linux.set_devices(Some(others.chain(granted).cloned().collect()));
    }
    linux.set_seccomp(privileges::plan_seccomp(request, wanted.profile, capabilities, host.kernel)?);
    Ok(linux)
}

/// Decides which namespaces are new: all but the user's and the clock's, and but the network where it is shared.
fn plan_namespaces(network: &NetworkMode, other: Option<&Path>) -> Result<Vec<LinuxNamespace>, SpecError> {
    use LinuxNamespaceType::{Cgroup, Ipc, Mount, Network, Pid, Uts};
    let new = [Mount, Pid, Uts, Ipc, Cgroup].into_iter().map(|kind| LinuxNamespaceBuilder::default().typ(kind));
    let shared = match (network, other) {
        (NetworkMode::Host, _) => None,
        (_, Some(path)) => Some(LinuxNamespaceBuilder::default().typ(Network).path(path)),
        _ => Some(LinuxNamespaceBuilder::default().typ(Network)),
    };
    new.chain(shared).map(|namespace| namespace.build().map_err(incomplete)).collect()
}

/// What of the kernel's files a container does not see: each tells of, or leads to, the host.
pub(crate) const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// What of the kernel's files a container may read and not write.
pub(crate) const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Security;

    fn host() -> Host {
        let capabilities = HashSet::from([Capability::Chown, Capability::Kill, Capability::SysAdmin]);
        Host { capabilities, ..Host::default() }
    }

    fn spec(request: &CreateRequest) -> Result<Spec, SpecError> {
        let place = Place { root: "rootfs".into(), cgroup: "/conductor/abc".into(), ..Place::default() };
        let wanted = Wanted {
            request,
            image: &ImageConfiguration::default(),
            accounts: &Accounts::default(),
            hostname: "box",
            profile: None,
            console: Some((24, 80)),
            place,
        };
        generate(&wanted, &host())
    }

    fn asking() -> CreateRequest {
        CreateRequest { command: vec!["true".into()], ..CreateRequest::default() }
    }

    #[test]
    fn a_plain_container_has_docker_s_defaults() {
        let mut spec = spec(&asking()).unwrap();
        let mut linux = spec.linux().clone().unwrap();
        assert!(linux.seccomp().is_some());
        linux.set_seccomp(None);
        linux.set_resources(None);
        let mut process = spec.process().clone().unwrap();
        process.set_capabilities(None);
        spec.set_linux(Some(linux)).set_process(Some(process)).set_mounts(None);
        insta::assert_snapshot!(serde_json::to_string_pretty(&serde_json::to_value(&spec).unwrap()).unwrap());
    }

    #[test]
    fn without_a_command_there_is_no_container() {
        let error = spec(&CreateRequest::default()).unwrap_err();
        assert!(error.to_string().starts_with("no command"));
    }

    #[test]
    fn a_shared_network_is_joined_or_kept() {
        let kinds = |network: NetworkMode, other: Option<&Path>| {
            let namespaces = plan_namespaces(&network, other).unwrap();
            let network = namespaces.iter().find(|ns| ns.typ() == LinuxNamespaceType::Network).cloned();
            (namespaces.len(), network.map(|ns| ns.path().clone()))
        };
        assert_eq!(kinds(NetworkMode::None, None), (6, Some(None)));
        assert_eq!(kinds(NetworkMode::Host, None), (5, None));
        let other = Path::new("/proc/7/ns/net");
        assert_eq!(kinds(NetworkMode::Container("x".into()), Some(other)), (6, Some(Some(other.to_owned()))));
    }

    #[test]
    fn a_privileged_container_hides_nothing_and_filters_nothing() {
        let spec = spec(&CreateRequest { privileged: true, ..asking() }).unwrap();
        let (linux, process) = (spec.linux().as_ref().unwrap(), spec.process().as_ref().unwrap());
        assert_eq!(linux.masked_paths(), &Some(vec![]));
        assert!(linux.seccomp().is_none());
        assert_eq!(process.no_new_privileges(), Some(false));
        let capabilities = process.capabilities().as_ref().unwrap().effective().clone().unwrap();
        assert_eq!(capabilities, host().capabilities);
    }

    #[test]
    fn security_options_change_each_default_in_docker_s_way() {
        let mut security = Security::default();
        security.set("no-new-privileges=false").unwrap();
        security.set("seccomp=unconfined").unwrap();
        security.set("systempaths=unconfined").unwrap();
        let spec = spec(&CreateRequest { security, ..asking() }).unwrap();
        assert_eq!(spec.process().as_ref().unwrap().no_new_privileges(), Some(false));
        let linux = spec.linux().as_ref().unwrap();
        assert_eq!((linux.seccomp(), linux.readonly_paths()), (&None, &Some(vec![])));
    }

    #[test]
    fn the_terminal_has_the_size_of_the_caller_s() {
        let spec = spec(&CreateRequest { tty: true, ..asking() }).unwrap();
        let process = spec.process().clone().unwrap();
        let size = process.console_size().unwrap();
        assert_eq!((size.height(), size.width()), (24, 80));
        assert!(process.env().as_ref().unwrap().contains(&"TERM=xterm".to_owned()));
    }
}
