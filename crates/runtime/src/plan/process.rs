//! The container's process: what it runs, as whom, and under which restrictions (runtime-spec, config.md, "Process").

use std::ffi::CString;
use std::fmt::Write as _;
use std::path::PathBuf;

use oci::runtime::{Capabilities, LinuxCapabilities, LinuxSeccomp, LinuxSeccompAction, PosixRlimitType, Process};
use sys::credentials::CapabilitySet;
use sys::process::ResourceLimit;
use sys::seccomp::Instruction;
use trace::{Explain, Step, quote};

use super::capabilities;
use super::seccomp;
use super::service::{ServiceError, ServiceStep, plan_service};

/// What a process runs, as whom, and under which restrictions.
#[derive(Debug, Clone)]
pub struct ProcessPlan {
    /// The program and its arguments; at least one.
    pub arguments: Vec<CString>,
    /// The environment, `NAME=value` each.
    pub environment: Vec<CString>,
    /// The working directory, as the container sees it.
    pub cwd: PathBuf,
    /// Whether the process gets a terminal of its own, and its size in rows and columns.
    pub terminal: Option<TerminalSize>,
    /// User and groups.
    pub user: UserPlan,
    /// The five capability sets.
    pub capabilities: CapabilityPlan,
    /// Whether no exec may gain privileges.
    pub no_new_privileges: bool,
    /// Resource limits by their number, with their names.
    pub limits: Vec<LimitPlan>,
    /// How the kernel serves the process.
    pub service: Vec<ServiceStep>,
    /// The execution domain, if it is not what the caller has.
    pub personality: Option<u32>,
    /// The system call filter.
    pub seccomp: Option<SeccompPlan>,
    /// The AppArmor profile to change to at the exec.
    pub apparmor: Option<String>,
    /// The SELinux label to take at the exec.
    pub selinux: Option<String>,
    /// Whether our small init runs the program.
    pub init: bool,
    /// Settings of the spec that we do not apply, in words.
    pub warnings: Vec<String>,
}

/// A terminal's size; zero is unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters a line.
    pub columns: u16,
}

/// The user that a process runs as.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserPlan {
    /// User ID inside the container.
    pub uid: u32,
    /// Group ID.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// File mode mask.
    pub umask: Option<u32>,
}

/// The five sets of capabilities(7).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CapabilityPlan {
    /// What any process of the container can ever have.
    pub bounding: CapabilitySet,
    /// What the kernel checks.
    pub effective: CapabilitySet,
    /// What may be made effective.
    pub permitted: CapabilitySet,
    /// What an exec may pass on by file capabilities.
    pub inheritable: CapabilitySet,
    /// What an exec passes on to ordinary programs.
    pub ambient: CapabilitySet,
}

/// A resource limit (getrlimit(2)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitPlan {
    /// Its number.
    pub resource: u32,
    /// Its name in prlimit(1), such as `nofile`.
    pub name: &'static str,
    /// Its values.
    pub limit: ResourceLimit,
}

/// A compiled system call filter and how it is loaded.
#[derive(Debug, Clone)]
pub struct SeccompPlan {
    /// The program.
    pub program: Vec<Instruction>,
    /// Flags of seccomp(2).
    pub flags: sys::seccomp::Flags,
    /// Where the listener of notifications goes, if there is one.
    pub listener: Option<PathBuf>,
    /// What is told to the listener beside the container's state.
    pub listener_metadata: Option<String>,
}

/// Why a process cannot be planned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessPlanError {
    /// Nothing to run.
    #[error("the process has no arguments, so there is nothing to run")]
    NoArguments,
    /// A NUL byte ends a string for the kernel.
    #[error("{what} {text:?} holds a NUL byte")]
    Nul {
        /// Which string.
        what: &'static str,
        /// Its text.
        text: String,
    },
    /// The working directory is relative.
    #[error("the working directory {0:?} is not an absolute path")]
    RelativeCwd(PathBuf),
    /// The filter cannot be compiled.
    #[error("cannot compile the system call filter")]
    Seccomp(#[source] seccomp::CompileError),
    /// A notifying filter without anybody to notify.
    #[error("the system call filter uses SCMP_ACT_NOTIFY but names no listenerPath")]
    NoListener,
    /// How the process is served.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// Plans the process of a spec, or one that joins a container.
pub fn plan_process(process: &Process, filter: Option<&LinuxSeccomp>) -> Result<ProcessPlan, ProcessPlanError> {
    let arguments = c_strings("argument", process.args().as_deref().unwrap_or_default())?;
    if arguments.first().is_none_or(|program| program.is_empty()) {
        return Err(ProcessPlanError::NoArguments);
    }
    if !process.cwd().is_absolute() {
        return Err(ProcessPlanError::RelativeCwd(process.cwd().clone()));
    }
    let user = process.user();
    Ok(ProcessPlan {
        arguments,
        environment: c_strings("environment variable", process.env().as_deref().unwrap_or_default())?,
        cwd: process.cwd().clone(),
        terminal: process.terminal().unwrap_or(false).then(|| terminal_size(process)),
        user: UserPlan {
            uid: user.uid(),
            gid: user.gid(),
            groups: user.additional_gids().clone().unwrap_or_default(),
            umask: user.umask(),
        },
        capabilities: process.capabilities().as_ref().map(plan_capabilities).unwrap_or_default(),
        no_new_privileges: process.no_new_privileges().unwrap_or(false),
        limits: process.rlimits().iter().flatten().map(plan_limit).collect(),
        service: plan_service(process)?,
        personality: None,
        seccomp: filter.map(plan_seccomp).transpose()?,
        apparmor: process.apparmor_profile().clone().filter(|profile| !profile.is_empty()),
        selinux: process.selinux_label().clone().filter(|label| !label.is_empty()),
        init: false,
        warnings: warnings(process),
    })
}

fn c_strings(what: &'static str, texts: &[String]) -> Result<Vec<CString>, ProcessPlanError> {
    let one =
        |text: &String| CString::new(text.as_bytes()).map_err(|_| ProcessPlanError::Nul { what, text: text.clone() });
    texts.iter().map(one).collect()
}

fn terminal_size(process: &Process) -> TerminalSize {
    let cells = |count: u64| u16::try_from(count).unwrap_or(u16::MAX);
    process.console_size().map_or(TerminalSize::default(), |size| TerminalSize {
        rows: cells(size.height()),
        columns: cells(size.width()),
    })
}

fn plan_capabilities(capabilities: &LinuxCapabilities) -> CapabilityPlan {
    let set = |names: &Option<Capabilities>| {
        let mut set = CapabilitySet::default();
        names.iter().flatten().for_each(|name| set.insert(capabilities::number(*name)));
        set
    };
    let bounding = set(capabilities.bounding());
    let permitted = set(capabilities.permitted());
    let inheritable = set(capabilities.inheritable());
    CapabilityPlan {
        bounding,
        permitted,
        inheritable,
        effective: set(capabilities.effective()),
        // The kernel refuses an ambient capability that is not permitted and inheritable; runc drops it, and so do we.
        ambient: set(capabilities.ambient()).intersection(permitted).intersection(inheritable),
    }
}

fn plan_limit(limit: &oci::runtime::PosixRlimit) -> LimitPlan {
    let (resource, name) = match limit.typ() {
        PosixRlimitType::RlimitCpu => (0, "cpu"),
        PosixRlimitType::RlimitFsize => (1, "fsize"),
        PosixRlimitType::RlimitData => (2, "data"),
        PosixRlimitType::RlimitStack => (3, "stack"),
        PosixRlimitType::RlimitCore => (4, "core"),
        PosixRlimitType::RlimitRss => (5, "rss"),
        PosixRlimitType::RlimitNproc => (6, "nproc"),
        PosixRlimitType::RlimitNofile => (7, "nofile"),
        PosixRlimitType::RlimitMemlock => (8, "memlock"),
        PosixRlimitType::RlimitAs => (9, "as"),
        PosixRlimitType::RlimitLocks => (10, "locks"),
        PosixRlimitType::RlimitSigpending => (11, "sigpending"),
        PosixRlimitType::RlimitMsgqueue => (12, "msgqueue"),
        PosixRlimitType::RlimitNice => (13, "nice"),
        PosixRlimitType::RlimitRtprio => (14, "rtprio"),
        PosixRlimitType::RlimitRttime => (15, "rttime"),
    };
    let finite = |value| (value != u64::MAX).then_some(value);
    LimitPlan { resource, name, limit: ResourceLimit { soft: finite(limit.soft()), hard: finite(limit.hard()) } }
}

fn plan_seccomp(filter: &LinuxSeccomp) -> Result<SeccompPlan, ProcessPlanError> {
    let flags = seccomp::flags(filter);
    // A filter that notifies nobody needs no agent, whatever path is named.
    let listener = filter.listener_path().clone().filter(|_| flags.contains(sys::seccomp::Flags::NEW_LISTENER));
    if flags.contains(sys::seccomp::Flags::NEW_LISTENER) {
        if listener.is_none() {
            return Err(ProcessPlanError::NoListener);
        }
        check_hand_over(filter)?;
    }
    Ok(SeccompPlan {
        program: seccomp::compile(filter).map_err(ProcessPlanError::Seccomp)?,
        flags,
        listener,
        listener_metadata: filter.listener_metadata().clone(),
    })
}

/// The listener is sent by sendmsg(2) under the filter, so that call cannot wait for the one that receives it.
fn check_hand_over(filter: &LinuxSeccomp) -> Result<(), ProcessPlanError> {
    let mut rules = filter.syscalls().iter().flatten();
    let notified = rules.any(|rule| {
        rule.action() == LinuxSeccompAction::ScmpActNotify && rule.names().iter().any(|name| name == "sendmsg")
    });
    let refusal = seccomp::CompileError::NotifyOnTheWay { place: "used for sendmsg" };
    if notified { Err(ProcessPlanError::Seccomp(refusal)) } else { Ok(()) }
}

fn warnings(process: &Process) -> Vec<String> {
    let affinity = process.exec_cpu_affinity().is_some();
    affinity.then(|| "process.execCPUAffinity is not applied by this version".to_owned()).into_iter().collect()
}

/// One thing that the process does to itself on its way to the program.
#[derive(Debug, Clone)]
pub enum ProcessStep {
    /// A resource limit.
    Limit(LimitPlan),
    /// The working directory.
    Cwd(PathBuf),
    /// What any process of the container can ever have.
    Bounding(CapabilitySet),
    /// Groups, user and file mode mask.
    User(UserPlan),
    /// The other capability sets.
    Capabilities(CapabilityPlan),
    /// No exec may gain privileges.
    NoNewPrivileges,
    /// The execution domain (personality(2)).
    Personality(u32),
    /// The system call filter.
    Seccomp(SeccompPlan),
    /// The label of a security module, by the file under `/proc/self/attr`.
    Label {
        /// `apparmor/exec` or `exec`.
        file: &'static str,
        /// What is written.
        text: String,
    },
}

impl ProcessPlan {
    /// Returns what the process does to itself, in order.
    ///
    /// The filter is loaded last, so that it need not allow the calls above. Without no_new_privs the load needs
    /// CAP_SYS_ADMIN; in that case it comes just before user and capabilities are given up.
    pub fn steps(&self) -> Vec<ProcessStep> {
        let mut steps: Vec<_> = self.limits.iter().cloned().map(ProcessStep::Limit).collect();
        steps.push(ProcessStep::Cwd(self.cwd.clone()));
        steps.extend(self.labels());
        steps.extend(self.personality.map(ProcessStep::Personality));
        steps.push(ProcessStep::Bounding(self.capabilities.bounding));
        let filter = self.seccomp.clone().map(ProcessStep::Seccomp);
        if !self.no_new_privileges {
            steps.extend(filter.clone());
        }
        steps.push(ProcessStep::User(self.user.clone()));
        steps.push(ProcessStep::Capabilities(self.capabilities));
        if self.no_new_privileges {
            steps.push(ProcessStep::NoNewPrivileges);
            steps.extend(filter);
        }
        steps
    }

    fn labels(&self) -> impl Iterator<Item = ProcessStep> {
        let apparmor = self.apparmor.as_ref();
        let apparmor =
            apparmor.map(|profile| ProcessStep::Label { file: "apparmor/exec", text: format!("exec {profile}") });
        let selinux = self.selinux.as_ref().map(|label| ProcessStep::Label { file: "exec", text: label.clone() });
        apparmor.into_iter().chain(selinux)
    }
}

impl Explain for ProcessStep {
    fn explain(&self) -> Step {
        match self {
            Self::Limit(limit) => Step::inside(
                format!("limit {}", limit.name),
                format!("prlimit --pid $$ --{}={}", limit.name, limit_words(limit.limit)),
            ),
            Self::Cwd(path) => {
                Step::inside(format!("go to {}", path.display()), format!("cd {}", quote(&path.to_string_lossy())))
            }
            Self::Bounding(set) => Step::inside(
                format!("keep in the bounding set: {}", capabilities::words(*set)),
                format!("setpriv_options+=(--bounding-set={})", capabilities::list(*set)),
            ),
            Self::User(user) => explain_user(user),
            Self::Capabilities(plan) => Step::inside(
                format!("keep as capabilities: {}", capabilities::words(plan.effective)),
                format!(
                    "setpriv_options+=(--inh-caps={} --ambient-caps={})",
                    capabilities::list(plan.inheritable),
                    capabilities::list(plan.ambient)
                ),
            ),
            Self::NoNewPrivileges => {
                Step::inside("forbid any exec to gain privileges", "setpriv_options+=(--no-new-privs)")
            }
            Self::Personality(domain) => Step::inside(
                format!("take the execution domain {domain:#x}"),
                format!("# setarch {}", if *domain == 8 { "linux32" } else { "linux64" }),
            ),
            Self::Seccomp(plan) => Step::inside(
                format!("load the system call filter ({} instructions; no shell tool can)", plan.program.len()),
                "",
            ),
            Self::Label { file, text } => Step::inside(
                format!("take the label {text:?} at the exec"),
                format!("printf %s {} > /proc/self/attr/{file}", quote(text)),
            ),
        }
    }
}

fn explain_user(user: &UserPlan) -> Step {
    let groups: Vec<_> = user.groups.iter().map(u32::to_string).collect();
    let groups = if groups.is_empty() { "--clear-groups".to_owned() } else { format!("--groups={}", groups.join(",")) };
    let mut shell = format!("setpriv_options+=(--reuid={} --regid={} {groups})", user.uid, user.gid);
    if let Some(umask) = user.umask {
        let _ = write!(shell, "\numask {umask:04o}");
    }
    Step::inside(format!("become user {} of group {}", user.uid, user.gid), shell)
}

fn limit_words(limit: ResourceLimit) -> String {
    let word = |value: Option<u64>| value.map_or_else(|| "unlimited".to_owned(), |value| value.to_string());
    format!("{}:{}", word(limit.soft), word(limit.hard))
}
