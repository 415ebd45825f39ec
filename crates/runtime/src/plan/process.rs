//! The container's process: what it runs, as whom, and under which restrictions (runtime-spec, config.md, "Process").

use std::ffi::CString;
use std::fmt::Write as _;
use std::path::PathBuf;

use oci::runtime::{Capabilities, Capability, LinuxCapabilities, LinuxSeccomp, PosixRlimitType, Process};
use sys::credentials::CapabilitySet;
use sys::process::ResourceLimit;
use sys::seccomp::Instruction;
use trace::{Explain, Step, quote};

use super::seccomp;

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
    /// How readily the kernel picks the process when memory runs out.
    pub oom_score_adj: Option<i32>,
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
        oom_score_adj: process.oom_score_adj(),
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
        names.iter().flatten().for_each(|name| set.insert(capability_number(*name)));
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

/// Returns a capability's number in `linux/capability.h`.
pub fn capability_number(capability: Capability) -> u32 {
    match capability {
        Capability::Chown => 0,
        Capability::DacOverride => 1,
        Capability::DacReadSearch => 2,
        Capability::Fowner => 3,
        Capability::Fsetid => 4,
        Capability::Kill => 5,
        Capability::Setgid => 6,
        Capability::Setuid => 7,
        Capability::Setpcap => 8,
        Capability::LinuxImmutable => 9,
        Capability::NetBindService => 10,
        Capability::NetBroadcast => 11,
        Capability::NetAdmin => 12,
        Capability::NetRaw => 13,
        Capability::IpcLock => 14,
        Capability::IpcOwner => 15,
        Capability::SysModule => 16,
        Capability::SysRawio => 17,
        Capability::SysChroot => 18,
        Capability::SysPtrace => 19,
        Capability::SysPacct => 20,
        Capability::SysAdmin => 21,
        Capability::SysBoot => 22,
        Capability::SysNice => 23,
        Capability::SysResource => 24,
        Capability::SysTime => 25,
        Capability::SysTtyConfig => 26,
        Capability::Mknod => 27,
        Capability::Lease => 28,
        Capability::AuditWrite => 29,
        Capability::AuditControl => 30,
        Capability::Setfcap => 31,
        Capability::MacOverride => 32,
        Capability::MacAdmin => 33,
        Capability::Syslog => 34,
        Capability::WakeAlarm => 35,
        Capability::BlockSuspend => 36,
        Capability::AuditRead => 37,
        Capability::Perfmon => 38,
        Capability::Bpf => 39,
        Capability::CheckpointRestore => 40,
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
    Ok(SeccompPlan {
        program: seccomp::compile(filter).map_err(ProcessPlanError::Seccomp)?,
        flags: seccomp::flags(filter),
        listener: filter.listener_path().clone(),
        listener_metadata: filter.listener_metadata().clone(),
    })
}

fn warnings(process: &Process) -> Vec<String> {
    let named = [
        ("ioPriority", process.io_priority().is_some()),
        ("scheduler", process.scheduler().is_some()),
        ("execCPUAffinity", process.exec_cpu_affinity().is_some()),
    ];
    let set = named.into_iter().filter(|(_, set)| *set);
    set.map(|(name, _)| format!("process.{name} is not applied by this version")).collect()
}

/// One thing that the process does to itself on its way to the program.
#[derive(Debug, Clone)]
pub enum ProcessStep {
    /// A resource limit.
    Limit(LimitPlan),
    /// The OOM killer's score.
    OomScore(i32),
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
        steps.extend(self.oom_score_adj.map(ProcessStep::OomScore));
        steps.push(ProcessStep::Cwd(self.cwd.clone()));
        steps.extend(self.labels());
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
            Self::OomScore(score) => Step::inside(
                "tell the OOM killer how readily to pick this process",
                format!("echo {score} > /proc/self/oom_score_adj"),
            ),
            Self::Cwd(path) => {
                Step::inside(format!("go to {}", path.display()), format!("cd {}", quote(&path.to_string_lossy())))
            }
            Self::Bounding(set) => Step::inside(
                format!("keep in the bounding set: {}", capability_words(*set)),
                format!("setpriv_options+=(--bounding-set={})", capability_list(*set)),
            ),
            Self::User(user) => explain_user(user),
            Self::Capabilities(plan) => Step::inside(
                format!("keep as capabilities: {}", capability_words(plan.effective)),
                format!(
                    "setpriv_options+=(--inh-caps={} --ambient-caps={})",
                    capability_list(plan.inheritable),
                    capability_list(plan.ambient)
                ),
            ),
            Self::NoNewPrivileges => {
                Step::inside("forbid any exec to gain privileges", "setpriv_options+=(--no-new-privs)")
            }
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

fn capability_words(set: CapabilitySet) -> String {
    let names: Vec<_> = set.iter().map(capability_name).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(" ") }
}

/// Prints a set as setpriv(1) takes it: everything off, then each one on.
fn capability_list(set: CapabilitySet) -> String {
    set.iter().fold("-all".to_owned(), |mut list, number| {
        let _ = write!(list, ",+{}", capability_name(number));
        list
    })
}

fn capability_name(number: u32) -> String {
    let name = super::CAPABILITY_NAMES.get(number as usize);
    name.map_or_else(|| format!("cap_{number}"), |name| (*name).to_owned())
}
