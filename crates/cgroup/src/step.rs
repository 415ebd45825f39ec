//! One change to a cgroup, and what it says of itself.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use trace::{Explain, Step, quote};

use crate::devices::DevicePolicy;
use crate::hierarchy::{Controller, ControllerSet};

/// One change that makes a cgroup or sets a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CgroupStep {
    /// Makes the cgroup in one hierarchy, and those above it where they are missing.
    MakeDirectory {
        /// The cgroup's directory.
        dir: PathBuf,
        /// How many of its last parts are ours to make; what is above is the mount.
        depth: usize,
        /// Whether the tree has v1's cpuset, where a cgroup is born without CPUs.
        cpuset: bool,
    },
    /// Makes v2 controllers available to the cgroup, by enabling them in every cgroup above it.
    EnableControllers {
        /// The cgroups above, from the root downward.
        parents: Vec<PathBuf>,
        /// Those that a limit stands on.
        required: ControllerSet,
        /// Those that are only measured by.
        wished: ControllerSet,
    },
    /// Writes one value.
    Set(Setting),
    /// Tells v1's devices controller the policy.
    ListDevices {
        /// The cgroup's directory in the devices hierarchy.
        dir: PathBuf,
        /// What is allowed.
        policy: DevicePolicy,
    },
    /// Attaches the policy as an eBPF program.
    FilterDevices {
        /// The cgroup's directory in the v2 tree.
        dir: PathBuf,
        /// What is allowed.
        policy: DevicePolicy,
    },
    /// Lets processes in: by clone3 into the v2 tree, and by themselves, writing to `tasks`, into the v1 trees.
    Join {
        /// The cgroup's directory in the v2 tree.
        v2: Option<PathBuf>,
        /// Its directories in the v1 trees.
        v1: Vec<PathBuf>,
    },
}

/// One value for one file of a cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// What the value does, in words: "limit memory to 64 MiB".
    pub what: String,
    /// The name of the value in the OCI specification: `memory.limit`.
    pub option: Cow<'static, str>,
    /// The file and the value; where there are several, the first file that exists takes its value.
    pub targets: Vec<(PathBuf, String)>,
    /// What it means that no such file exists.
    pub missing: Missing,
}

/// What it means that the kernel lacks the file of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The cgroup cannot be made.
    Refuse,
    /// It is made without, and a warning says so.
    Warn,
    /// Nothing: the setting adds to another.
    Ignore,
}

impl Explain for CgroupStep {
    fn explain(&self) -> Step {
        match self {
            Self::MakeDirectory { dir, depth, cpuset } => explain_make(dir, *depth, *cpuset),
            Self::EnableControllers { parents, required, wished } => explain_enable(parents, *required, *wished),
            Self::Set(setting) => setting.explain(),
            Self::ListDevices { dir, policy } => explain_list(dir, policy),
            Self::FilterDevices { dir, policy } => Step::host(
                format!(
                    "attach an eBPF program to {} (no tool of a base system does): {}",
                    dir.display(),
                    policy.describe()
                ),
                "",
            ),
            Self::Join { v2, v1 } => {
                let files = v2.iter().map(|dir| dir.join("cgroup.procs")).chain(v1.iter().map(|dir| dir.join("tasks")));
                Step::host("start the first process inside the cgroup", lines(files.map(|file| echo("$$", &file))))
            }
        }
    }
}

impl Explain for Setting {
    fn explain(&self) -> Step {
        let commands: Vec<_> = self.targets.iter().map(|(file, value)| echo(&quote(value), file)).collect();
        Step::host(self.what.clone(), commands.join(" 2>/dev/null || "))
    }
}

fn explain_make(dir: &Path, depth: usize, cpuset: bool) -> Step {
    let make = format!("mkdir -p {}", quote(&dir.to_string_lossy()));
    if !cpuset {
        return Step::host(format!("make the cgroup {}", dir.display()), make);
    }
    let mut ours: Vec<_> = dir.ancestors().take(depth).collect();
    ours.reverse();
    let copies = ours.iter().flat_map(|dir| {
        ["cpuset.cpus", "cpuset.mems"].map(|file| {
            let mine = dir.join(file);
            let mine = quote(&mine.to_string_lossy()).into_owned();
            let above = dir.parent().unwrap_or(dir).join(file);
            format!("[ -n \"$(cat {mine})\" ] || cat {} > {mine}", quote(&above.to_string_lossy()))
        })
    });
    let what = format!("make the cgroup {}, with the CPUs and memory nodes of the one above", dir.display());
    Step::host(what, lines(std::iter::once(make).chain(copies)))
}

fn explain_enable(parents: &[PathBuf], required: ControllerSet, wished: ControllerSet) -> Step {
    let all: ControllerSet = required.iter().chain(wished.iter()).collect();
    let names: Vec<_> = all.iter().map(Controller::name).collect();
    let value = enabling(all);
    let commands = parents.iter().map(|parent| echo(&quote(&value), &parent.join("cgroup.subtree_control")));
    Step::host(format!("enable the controllers {} for the cgroup", names.join(", ")), lines(commands))
}

fn explain_list(dir: &Path, policy: &DevicePolicy) -> Step {
    let default = echo("a", &dir.join(policy.v1_default_file()));
    let file = dir.join(policy.v1_exceptions_file());
    // The plan has already refused a policy without such a list.
    let exceptions = policy.v1_exceptions().unwrap_or_default();
    let commands = exceptions.iter().map(|rule| echo(&quote(&rule.to_string()), &file));
    Step::host(policy.describe(), lines(std::iter::once(default).chain(commands)))
}

/// Returns what enables `controllers` when written to a cgroup.subtree_control: `+cpu +memory`.
pub(crate) fn enabling(controllers: ControllerSet) -> String {
    let words: Vec<_> = controllers.iter().map(|controller| format!("+{controller}")).collect();
    words.join(" ")
}

fn echo(value: &str, file: &Path) -> String {
    format!("echo {value} > {}", quote(&file.to_string_lossy()))
}

fn lines(commands: impl Iterator<Item = String>) -> String {
    commands.collect::<Vec<_>>().join("\n")
}
