//! The plan of a container: pure functions from a spec, and what is known of the host, to typed steps.
//!
//! [`container`] is the way in. A [`ContainerPlan`] holds what one clone3 makes ([`NamespacePlan`]), what the first
//! process then does inside ([`InitStep`], in order) and how it becomes the program ([`ProcessPlan`]). `create` carries it
//! out; `explain` prints [`ContainerPlan::steps`]; a test looks at it.

pub mod capabilities;
pub mod mounts;
pub mod namespaces;
pub mod options;
pub mod process;
pub mod seccomp;
pub mod service;
pub mod steps;
#[cfg(test)]
mod tests;

use std::path::{Component, Path, PathBuf};

use cgroup::{CgroupPath, CgroupPlan, Hierarchies};
use oci::runtime::{Linux, Spec};
use sys::mount::Propagation;
use sys::namespace::NamespaceKind;
use trace::{Step, quote};

pub use mounts::{Lower, MountPlanError, MountSource, MountStep, NodeStep, Overlay, RootSource, RootStep};
pub use namespaces::{IdMapping, NamespaceError, NamespacePlan, TimeOffset};
pub use options::MountOptions;
pub use process::{CapabilityPlan, ProcessPlan, ProcessPlanError, ProcessStep, SeccompPlan, TerminalSize, UserPlan};
pub use service::{ServiceError, ServiceStep};
pub use steps::InitStep;

/// Everything that is done to make a container, decided.
#[derive(Debug)]
pub struct ContainerPlan {
    /// The container's ID.
    pub id: String,
    /// Its namespaces.
    pub namespaces: NamespacePlan,
    /// Its cgroup and limits.
    pub cgroup: CgroupPlan,
    /// What the first process does inside, in order.
    pub init: Vec<InitStep>,
    /// How it becomes the program.
    pub process: ProcessPlan,
    /// What the spec or the host made us leave out, in words.
    pub warnings: Vec<String>,
}

/// What a plan is made from, beside the spec.
#[derive(Debug, Clone)]
pub struct Inputs<'i> {
    /// The container's ID.
    pub id: &'i str,
    /// The bundle's directory, against which relative paths of the spec are read.
    pub bundle: &'i Path,
    /// Where the root comes from; without it, the spec's `root.path`.
    pub root: Option<RootSource>,
    /// The container's cgroup.
    pub cgroup: &'i CgroupPath,
    /// What the host has of cgroups.
    pub hierarchies: &'i Hierarchies,
    /// Put our small init in front of the program ([`crate::reaper`]).
    pub init: bool,
}

/// Why a spec cannot become a plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A part that every container needs.
    #[error("the spec has no {0}")]
    Missing(&'static str),
    /// A namespace.
    #[error("the spec's namespaces cannot be made")]
    Namespaces(#[from] NamespaceError),
    /// A mount.
    #[error("the spec's mounts cannot be made")]
    Mounts(#[from] MountPlanError),
    /// The process.
    #[error("the spec's process cannot be run")]
    Process(#[from] ProcessPlanError),
    /// The limits.
    #[error("the spec's limits cannot be set")]
    Cgroup(#[from] cgroup::PlanError),
    /// A word that is no propagation.
    #[error("unknown rootfsPropagation {0:?}: use private, shared, slave or unbindable")]
    Propagation(String),
    /// A kernel parameter that is not the container's own would change the host.
    #[error("sysctl {key} would change the host: it needs a {kind} namespace of the container's own")]
    SysctlOfHost {
        /// The parameter.
        key: String,
        /// The namespace it belongs to.
        kind: NamespaceKind,
    },
    /// A kernel parameter that belongs to no namespace.
    #[error("sysctl {0} is not a parameter of any namespace, so it would change the host")]
    SysctlUnknown(String),
}

/// Plans a container.
pub fn container(spec: &Spec, inputs: &Inputs<'_>) -> Result<ContainerPlan, PlanError> {
    let default_linux = Linux::default();
    let linux = spec.linux().as_ref().unwrap_or(&default_linux);
    let process = spec.process().as_ref().ok_or(PlanError::Missing("process"))?;
    let namespaces = namespaces::plan_namespaces(linux)?;
    if !namespaces.makes(NamespaceKind::Mount) {
        return Err(NamespaceError::Needed { what: "a root of its own", kind: NamespaceKind::Mount }.into());
    }
    let mut process = process::plan_process(process, linux.seccomp().as_ref())?;
    process.init = inputs.init;
    process.personality = linux.personality().as_ref().map(personality_domain);
    let cgroup = cgroup::plan(inputs.cgroup, linux.resources().as_ref(), inputs.hierarchies)?;
    let init = plan_init(spec, linux, inputs, &namespaces, &process)?;
    let mut warnings = process.warnings.clone();
    warnings.extend(linux_warnings(linux));
    warnings.extend(cgroup.warnings().iter().map(ToString::to_string));
    Ok(ContainerPlan { id: inputs.id.to_owned(), namespaces, cgroup, init, process, warnings })
}

fn plan_init(
    spec: &Spec,
    linux: &Linux,
    inputs: &Inputs<'_>,
    namespaces: &NamespacePlan,
    process: &ProcessPlan,
) -> Result<Vec<InitStep>, PlanError> {
    let mut steps = plan_identity(spec, inputs, namespaces);
    plan_file_system(&mut steps, spec, linux, inputs, namespaces)?;
    steps.push(InitStep::EnsureCwd(process.cwd.clone()));
    if process.terminal.is_some() {
        steps.push(InitStep::Terminal);
    }
    steps.extend(paths(linux.readonly_paths()).map(InitStep::ReadOnly));
    steps.extend(paths(linux.masked_paths()).map(InitStep::Mask));
    // Last of the file system's steps: until here, mount points and the working directory may have to be made.
    if spec.root().as_ref().and_then(oci::runtime::Root::readonly).unwrap_or(false) {
        steps.push(InitStep::SealRoot);
    }
    Ok(steps)
}

fn plan_identity(spec: &Spec, inputs: &Inputs<'_>, namespaces: &NamespacePlan) -> Vec<InitStep> {
    let mut steps = Vec::with_capacity(64);
    let early = |kind: NamespaceKind| matches!(kind, NamespaceKind::User | NamespaceKind::Pid);
    // Beside a user namespace, joining is done before the first process is cloned (`create`).
    if !namespaces.has_users() {
        let joined = namespaces.join.iter().filter(|(kind, _)| !early(*kind));
        steps.extend(joined.map(|(kind, path)| InitStep::Join(*kind, path.clone())));
    }
    let v1: Vec<_> = inputs.hierarchies.v1().iter().map(|hierarchy| inputs.cgroup.below(&hierarchy.mount)).collect();
    if !v1.is_empty() {
        steps.push(InitStep::JoinCgroups(v1));
    }
    if namespaces.makes(NamespaceKind::Cgroup) {
        steps.push(InitStep::NewCgroupNamespace);
    }
    if namespaces.makes(NamespaceKind::Time) {
        steps.push(InitStep::NewTimeNamespace(namespaces.time_offsets.clone()));
    }
    if namespaces.has_users() {
        steps.push(InitStep::BecomeRoot);
    }
    if namespaces.makes(NamespaceKind::Network) {
        steps.push(InitStep::LoopbackUp);
    }
    steps.push(InitStep::NewSession);
    steps.push(InitStep::NewKeyring);
    if namespaces.has(NamespaceKind::Uts) {
        steps.extend(spec.hostname().clone().filter(|name| !name.is_empty()).map(InitStep::HostName));
        steps.extend(spec.domainname().clone().filter(|name| !name.is_empty()).map(InitStep::DomainName));
    }
    steps
}

fn plan_file_system(
    steps: &mut Vec<InitStep>,
    spec: &Spec,
    linux: &Linux,
    inputs: &Inputs<'_>,
    namespaces: &NamespacePlan,
) -> Result<(), PlanError> {
    let propagation = linux.rootfs_propagation().as_deref().filter(|word| !word.is_empty());
    let parse = |word: &str| options::parse_propagation(word).ok_or_else(|| PlanError::Propagation(word.to_owned()));
    let propagation = propagation.map(parse).transpose()?;
    // A slave tree still hears of the host's new mounts, which `rslave` binds rely on; shared would leak ours out.
    steps.push(InitStep::Isolate(match propagation {
        Some(Propagation::Private) => Propagation::Private,
        _ => Propagation::Slave,
    }));
    let root = match &inputs.root {
        Some(root) => root.clone(),
        None => {
            let root = spec.root().as_ref().ok_or(PlanError::Missing("root"))?;
            RootSource::Directory(inputs.bundle.join(root.path()))
        }
    };
    steps.push(InitStep::Root(RootStep { source: root }));
    let cgroup = (inputs.cgroup, inputs.hierarchies);
    let mounts = mounts::plan_mounts(spec.mounts().as_deref().unwrap_or_default(), inputs.bundle, cgroup)?;
    // A /dev that comes from the host (bound with all its nodes) is left as it is.
    let own_dev = !mounts
        .iter()
        .any(|mount| mount.destination == Path::new("/dev") && matches!(mount.source, MountSource::Bind(..)));
    // Written through a procfs that the root cannot have replaced by something else (CVE-2025-52881): the container's own
    // while it is new, or the host's. A parameter belongs to the namespaces of whoever writes it.
    let after_proc = mounts.iter().position(MountStep::has_parameters).map_or(0, |index| index + 1);
    let mounts: Vec<_> = mounts.into_iter().map(InitStep::Mount).collect();
    steps.extend_from_slice(&mounts[..after_proc]);
    steps.extend(plan_sysctls(linux, namespaces)?);
    steps.extend_from_slice(&mounts[after_proc..]);
    if own_dev {
        let devices = linux.devices().as_deref().unwrap_or_default();
        steps.extend(mounts::plan_nodes(devices, namespaces.has_users()).into_iter().map(InitStep::Node));
        steps.extend(mounts::DEFAULT_LINKS.iter().map(|(path, target)| InitStep::Link { path, target }));
    }
    if has_hooks(spec) {
        steps.push(InitStep::CreateContainerHooks);
    }
    steps.push(InitStep::Pivot);
    steps.extend(propagation.filter(|wish| *wish != Propagation::Private).map(InitStep::RootPropagation));
    Ok(())
}

fn has_hooks(spec: &Spec) -> bool {
    let hooks = spec.hooks().as_ref().and_then(|hooks| hooks.create_container().as_ref());
    hooks.is_some_and(|hooks| !hooks.is_empty())
}

fn paths(list: &Option<Vec<String>>) -> impl Iterator<Item = PathBuf> {
    list.iter().flatten().map(PathBuf::from)
}

/// Kernel parameters belong to namespaces; one whose namespace is the host's would change the host.
fn plan_sysctls(linux: &Linux, namespaces: &NamespacePlan) -> Result<Vec<InitStep>, PlanError> {
    let mut parameters: Vec<_> = linux.sysctl().iter().flatten().collect();
    parameters.sort();
    let plan = |(key, value): (&String, &String)| {
        let kind = sysctl_namespace(key).ok_or_else(|| PlanError::SysctlUnknown(key.clone()))?;
        if !namespaces.has(kind) {
            return Err(PlanError::SysctlOfHost { key: key.clone(), kind });
        }
        Ok(InitStep::Sysctl { key: key.clone(), value: value.clone() })
    };
    parameters.into_iter().map(plan).collect()
}

fn sysctl_namespace(key: &str) -> Option<NamespaceKind> {
    // `net/../kernel/panic` is not one of the network's.
    if steps::sysctl_path(key).components().any(|part| part == Component::ParentDir) {
        return None;
    }
    let key = key.replace('/', ".");
    let ipc = ["kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax"];
    let ipc_too = ["kernel.shmmni", "kernel.shm_rmid_forced"];
    if key.starts_with("net.") {
        Some(NamespaceKind::Network)
    } else if key.starts_with("fs.mqueue.") || ipc.contains(&key.as_str()) || ipc_too.contains(&key.as_str()) {
        Some(NamespaceKind::Ipc)
    } else if key == "kernel.domainname" || key == "kernel.hostname" {
        Some(NamespaceKind::Uts)
    } else {
        None
    }
}

fn personality_domain(personality: &oci::runtime::LinuxPersonality) -> u32 {
    match personality.domain() {
        oci::runtime::LinuxPersonalityDomain::PerLinux => 0,
        oci::runtime::LinuxPersonalityDomain::PerLinux32 => 8,
    }
}

fn linux_warnings(linux: &Linux) -> Vec<String> {
    let named = [
        ("intelRdt", linux.intel_rdt().is_some()),
        ("memoryPolicy", linux.memory_policy().is_some()),
        ("netDevices", linux.net_devices().as_ref().is_some_and(|devices| !devices.is_empty())),
    ];
    let set = named.into_iter().filter(|(_, set)| *set);
    set.map(|(name, _)| format!("linux.{name} is not applied by this version")).collect()
}

impl ContainerPlan {
    /// Tells the whole plan, in the order in which it is applied.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<_> = self.cgroup.steps().iter().map(trace::Explain::explain).collect();
        steps.push(self.clone_step());
        steps.extend(self.process.service.iter().map(trace::Explain::explain));
        steps.extend(self.init.iter().map(trace::Explain::explain));
        steps.extend(self.process.steps().iter().map(trace::Explain::explain));
        steps.push(self.process.exec_step());
        steps
    }

    /// Tells the clone that makes the container's first process.
    pub fn clone_step(&self) -> Step {
        let kinds: Vec<_> = self.namespaces.at_clone().iter().map(ToString::to_string).collect();
        let options: Vec<_> = self.namespaces.at_clone().iter().map(|kind| kind.tool_option()).collect();
        let fork = if self.namespaces.makes(NamespaceKind::Pid) { " --fork" } else { "" };
        Step::host(
            format!("start the first process in new namespaces: {}", kinds.join(", ")),
            format!("unshare{fork} {} bash", options.join(" ")),
        )
    }
}

impl ProcessPlan {
    /// Tells the exec of the program.
    pub fn exec_step(&self) -> Step {
        let words: Vec<_> = self.arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let quoted: Vec<_> = words.iter().map(|word| quote(word).into_owned()).collect();
        let environment = self.environment.iter().map(|variable| variable.to_string_lossy().into_owned());
        let environment: Vec<_> = environment.map(|variable| quote(&variable).into_owned()).collect();
        let init = if self.init { "the small init, which starts " } else { "" };
        Step::inside(
            format!("become {init}the program {}", words.join(" ")),
            format!("exec env -i {} setpriv \"${{setpriv_options[@]}}\" {}", environment.join(" "), quoted.join(" ")),
        )
    }
}
