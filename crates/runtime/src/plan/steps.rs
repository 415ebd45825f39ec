//! What the container's first process does inside its new namespaces, before it becomes the program.

use std::path::PathBuf;

use sys::mount::Propagation;
use sys::namespace::NamespaceKind;
use trace::{Explain, Step, quote};

use super::mounts::{MountStep, NodeStep, RootStep};
use super::namespaces::TimeOffset;

/// One step of the container's first process.
#[derive(Debug, Clone)]
pub enum InitStep {
    /// Joins a namespace by its path.
    Join(NamespaceKind, PathBuf),
    /// Enters its v1 cgroups, by itself: the kernel makes that cheaper than being moved.
    JoinCgroups(Vec<PathBuf>),
    /// Makes its cgroup the root of what it sees of the cgroup tree.
    NewCgroupNamespace,
    /// Makes a time namespace and sets its clocks, which count from the exec on.
    NewTimeNamespace(Vec<TimeOffset>),
    /// Becomes user 0 of its new user namespace.
    BecomeRoot,
    /// Switches the loopback interface of its new network namespace on, which the kernel leaves off.
    LoopbackUp,
    /// Starts a session of its own.
    NewSession,
    /// Starts a session keyring of its own.
    NewKeyring,
    /// Sets the host name.
    HostName(String),
    /// Sets the NIS domain name.
    DomainName(String),
    /// Cuts (or sets) the propagation between the host's mounts and ours.
    Isolate(Propagation),
    /// Mounts the root.
    Root(RootStep),
    /// Mounts something below the root.
    Mount(MountStep),
    /// Makes a device node.
    Node(NodeStep),
    /// Makes a symbolic link in /dev.
    Link {
        /// The link.
        path: &'static str,
        /// Where it points.
        target: &'static str,
    },
    /// Runs the createContainer hooks.
    CreateContainerHooks,
    /// Makes the root read-only, after every mount point has been made.
    SealRoot,
    /// Makes the new root the root, and lets the old one go.
    Pivot,
    /// Sets the propagation of the container's root.
    RootPropagation(Propagation),
    /// Makes the working directory if the image lacks it.
    EnsureCwd(PathBuf),
    /// Opens a terminal in the container's devpts and shows it as /dev/console.
    Terminal,
    /// Sets a kernel parameter of one of the container's namespaces.
    Sysctl {
        /// The name, with dots.
        key: String,
        /// The value.
        value: String,
    },
    /// Makes a path read-only, with all that is mounted below it.
    ReadOnly(PathBuf),
    /// Hides a path: a file behind /dev/null, a directory behind an empty one.
    Mask(PathBuf),
}

impl Explain for InitStep {
    fn explain(&self) -> Step {
        match self {
            Self::Root(step) => step.explain(),
            Self::Mount(step) => step.explain(),
            Self::Node(step) => step.explain(),
            Self::Join(kind, path) => Step::inside(
                format!("join the {kind} namespace {}", path.display()),
                // In a script, nsenter(1) has done this before the shell starts.
                format!("# nsenter {}={}", kind.tool_option(), quote(&path.to_string_lossy())),
            ),
            Self::JoinCgroups(paths) => {
                let lines: Vec<_> = paths
                    .iter()
                    .map(|path| format!("echo $$ > {}/cgroup.procs", quote(&path.to_string_lossy())))
                    .collect();
                Step::inside("enter the cgroups, one in each v1 hierarchy", lines.join("\n"))
            }
            Self::NewCgroupNamespace => Step::inside(
                "make the cgroup namespace, whose root is the cgroup that the process is in",
                "exec_in_cgroup_namespace=(unshare --cgroup)",
            ),
            Self::NewTimeNamespace(offsets) => explain_time(offsets),
            Self::BecomeRoot => {
                Step::inside("become user 0 of the new user namespace", "# setpriv --reuid 0 --regid 0")
            }
            Self::LoopbackUp => Step::inside("switch the loopback interface on", "ip link set lo up"),
            Self::NewSession => Step::inside("start a session of its own", "# setsid"),
            Self::NewKeyring => Step::inside("start a session keyring of its own", "# keyctl session"),
            Self::HostName(name) => Step::inside(
                format!("set the host name to {name}"),
                format!("echo {} > /proc/sys/kernel/hostname", quote(name)),
            ),
            Self::DomainName(name) => Step::inside(
                format!("set the domain name to {name}"),
                format!("echo {} > /proc/sys/kernel/domainname", quote(name)),
            ),
            Self::Isolate(propagation) => Step::inside(
                format!("make every mount {}, so that nothing mounted in here reaches the host", propagation.word()),
                format!("mount --make-r{} /", propagation.word()),
            ),
            Self::Link { path, target } => {
                Step::inside(format!("link {path} to {target}"), format!("ln -sfn {target} \"$root\"{path}"))
            }
            Self::CreateContainerHooks => Step::inside("run the createContainer hooks", ""),
            Self::SealRoot => Step::inside("make the root read-only", "mount -o remount,bind,ro /"),
            Self::Pivot => Step::inside(
                "make it the root, and let the host's file system go",
                "cd \"$root\"; pivot_root . .; umount -l .; cd /",
            ),
            Self::RootPropagation(propagation) => Step::inside(
                format!("make the root and all below it {}", propagation.word()),
                format!("mount --make-r{} /", propagation.word()),
            ),
            Self::EnsureCwd(path) => Step::inside(
                format!("make sure that {} is there", path.display()),
                format!("mkdir -p {}", quote(&path.to_string_lossy())),
            ),
            Self::Terminal => Step::inside("open a terminal and show it as /dev/console", "# script -qc ... /dev/null"),
            Self::Sysctl { key, value } => Step::inside(
                format!("set the kernel parameter {key}"),
                format!("echo {} > {}", quote(value), quote(&sysctl_path(key).to_string_lossy())),
            ),
            Self::ReadOnly(path) => {
                let path = path.to_string_lossy();
                let word = quote(&path);
                Step::inside(
                    format!("make {path} read-only"),
                    format!(
                        "[ ! -e {word} ] || {{ mount --rbind {word} {word}; mount -o remount,bind,ro=recursive {word}; }}"
                    ),
                )
            }
            Self::Mask(path) => {
                let path = path.to_string_lossy();
                let word = quote(&path);
                Step::inside(
                    format!("hide {path}"),
                    format!(
                        "if [ -d {word} ]; then mount -t tmpfs -o ro,nosuid,nodev tmpfs {word}\n\
                         elif [ -e {word} ]; then mount --bind /dev/null {word}; fi"
                    ),
                )
            }
        }
    }
}

fn explain_time(offsets: &[TimeOffset]) -> Step {
    let option = |offset: &TimeOffset| format!("--{} {}", offset.clock, offset.seconds);
    let options: Vec<_> = offsets.iter().map(option).collect();
    Step::inside("make the time namespace and set its clocks", format!("# unshare --time {}", options.join(" ")))
}

/// Returns the file of a kernel parameter. A dot separates; where a name holds one (an interface `eth0.1`), `/` does.
pub fn sysctl_path(key: &str) -> PathBuf {
    let slashes = key.find('/').is_some_and(|slash| key.find('.').is_none_or(|dot| slash < dot));
    let name = if slashes {
        key.to_owned()
    } else {
        key.chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect()
    };
    PathBuf::from("/proc/sys").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_found_by_dots_or_slashes() {
        assert_eq!(sysctl_path("net.ipv4.ip_forward"), PathBuf::from("/proc/sys/net/ipv4/ip_forward"));
        assert_eq!(
            sysctl_path("net.ipv4.conf.eth0/1.rp_filter"),
            PathBuf::from("/proc/sys/net/ipv4/conf/eth0.1/rp_filter")
        );
        assert_eq!(
            sysctl_path("net/ipv4/conf/eth0.1/rp_filter"),
            PathBuf::from("/proc/sys/net/ipv4/conf/eth0.1/rp_filter")
        );
    }
}
