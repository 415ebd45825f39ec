//! Namespaces: their kinds, and how a process enters or leaves one (namespaces(7)).

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::errno::check;
use crate::{Calling, Result};

/// A kind of namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NamespaceKind {
    /// Users, groups and capabilities (user_namespaces(7)).
    User,
    /// The mount table (mount_namespaces(7)).
    Mount,
    /// Process IDs (pid_namespaces(7)).
    Pid,
    /// Network devices, addresses, ports and rules (network_namespaces(7)).
    Network,
    /// Host and domain name (uts_namespaces(7)).
    Uts,
    /// System V IPC and POSIX message queues (ipc_namespaces(7)).
    Ipc,
    /// The view of the cgroup tree (cgroup_namespaces(7)).
    Cgroup,
    /// The offsets of the monotonic and boot clocks (time_namespaces(7)), since Linux 5.6.
    Time,
}

impl NamespaceKind {
    /// All kinds, in the order in which they are entered: the user namespace first, since it gives the right to the others.
    pub const ALL: [Self; 8] =
        [Self::User, Self::Mount, Self::Pid, Self::Network, Self::Uts, Self::Ipc, Self::Cgroup, Self::Time];

    /// Returns the `CLONE_NEW*` flag.
    pub const fn flag(self) -> u32 {
        // The C constants are `int` with at most bit 30 set.
        #[expect(clippy::cast_sign_loss, reason = "the flags are bit patterns")]
        let flag = match self {
            Self::User => libc::CLONE_NEWUSER,
            Self::Mount => libc::CLONE_NEWNS,
            Self::Pid => libc::CLONE_NEWPID,
            Self::Network => libc::CLONE_NEWNET,
            Self::Uts => libc::CLONE_NEWUTS,
            Self::Ipc => libc::CLONE_NEWIPC,
            Self::Cgroup => libc::CLONE_NEWCGROUP,
            Self::Time => 0x80,
        } as u32;
        flag
    }

    /// Returns the name below `/proc/PID/ns`.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Mount => "mnt",
            Self::Pid => "pid",
            Self::Network => "net",
            Self::Uts => "uts",
            Self::Ipc => "ipc",
            Self::Cgroup => "cgroup",
            Self::Time => "time",
        }
    }

    /// Returns the long option of unshare(1) and nsenter(1).
    pub const fn tool_option(self) -> &'static str {
        match self {
            Self::User => "--user",
            Self::Mount => "--mount",
            Self::Pid => "--pid",
            Self::Network => "--net",
            Self::Uts => "--uts",
            Self::Ipc => "--ipc",
            Self::Cgroup => "--cgroup",
            Self::Time => "--time",
        }
    }
}

impl fmt::Display for NamespaceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mount => "mount",
            Self::Network => "network",
            other => other.file_name(),
        })
    }
}

/// Opens a namespace by its file, such as `/proc/1/ns/net` or `/run/netns/blue`.
pub fn open(path: &Path) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).call(|| format!("open({path:?}, O_RDONLY)"))
}

/// Opens a namespace of a process. For the calling process, say `pid` 0.
pub fn open_of(pid: u32, kind: NamespaceKind) -> Result<OwnedFd> {
    let process = if pid == 0 { "self".to_owned() } else { pid.to_string() };
    open(Path::new(&format!("/proc/{process}/ns/{}", kind.file_name())))
}

/// Returns the device and inode number by which a process's namespace can be told from others; `pid` 0 is our own.
pub fn identity(pid: u32, kind: NamespaceKind) -> Result<(u64, u64)> {
    let process = if pid == 0 { "self".to_owned() } else { pid.to_string() };
    let path = format!("/proc/{process}/ns/{}", kind.file_name());
    let stat = rustix::fs::stat(&path).call(|| format!("stat({path:?})"))?;
    Ok((stat.st_dev, stat.st_ino))
}

/// Moves the calling thread into the namespace behind `ns`.
///
/// A PID or time namespace takes hold for the children that are made from now on.
pub fn enter(ns: BorrowedFd<'_>, kind: NamespaceKind) -> Result<()> {
    set(ns, kind.flag())
}

/// Moves the calling thread into several namespaces of the process behind `pidfd` at once (since Linux 5.8).
pub fn enter_process(pidfd: impl AsFd, kinds: &[NamespaceKind]) -> Result<()> {
    set(pidfd.as_fd(), kinds.iter().fold(0, |flags, kind| flags | kind.flag()))
}

fn set(fd: BorrowedFd<'_>, flags: u32) -> Result<()> {
    // SAFETY: setns(2) takes two integers and no pointer; `fd` stays open for the whole call.
    let ret = unsafe { libc::syscall(libc::SYS_setns, fd.as_raw_fd(), flags) };
    check(ret, || format!("setns({}, {})", fd.as_raw_fd(), flag_names(flags))).map(drop)
}

/// Gives the calling process new namespaces of these kinds.
pub fn unshare(kinds: &[NamespaceKind]) -> Result<()> {
    let flags = kinds.iter().fold(0, |flags, kind| flags | kind.flag());
    // SAFETY: unshare(2) takes one integer. CLONE_FILES and the like, which could pull memory or descriptors from under
    // other threads, cannot be expressed by `NamespaceKind`.
    let ret = unsafe { libc::syscall(libc::SYS_unshare, flags) };
    check(ret, || format!("unshare({})", flag_names(flags))).map(drop)
}

/// Prints flags as strace does: `CLONE_NEWNS|CLONE_NEWPID`.
pub(crate) fn flag_names(flags: u32) -> String {
    let names: Vec<_> =
        NamespaceKind::ALL.iter().filter(|kind| flags & kind.flag() != 0).map(|kind| c_name(*kind)).collect();
    if names.is_empty() { "0".to_owned() } else { names.join("|") }
}

const fn c_name(kind: NamespaceKind) -> &'static str {
    match kind {
        NamespaceKind::User => "CLONE_NEWUSER",
        NamespaceKind::Mount => "CLONE_NEWNS",
        NamespaceKind::Pid => "CLONE_NEWPID",
        NamespaceKind::Network => "CLONE_NEWNET",
        NamespaceKind::Uts => "CLONE_NEWUTS",
        NamespaceKind::Ipc => "CLONE_NEWIPC",
        NamespaceKind::Cgroup => "CLONE_NEWCGROUP",
        NamespaceKind::Time => "CLONE_NEWTIME",
    }
}

/// Sets the host name of the calling process's UTS namespace.
pub fn set_host_name(name: &str) -> Result<()> {
    rustix::system::sethostname(name.as_bytes()).call(|| format!("sethostname({name:?})"))
}

/// Returns the host name of the calling process's UTS namespace.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Sets the NIS domain name of the calling process's UTS namespace.
pub fn set_domain_name(name: &str) -> Result<()> {
    rustix::system::setdomainname(name.as_bytes()).call(|| format!("setdomainname({name:?})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_print_as_strace_prints_them() {
        assert_eq!(flag_names(NamespaceKind::Mount.flag() | NamespaceKind::Pid.flag()), "CLONE_NEWNS|CLONE_NEWPID");
        assert_eq!(flag_names(0), "0");
    }
}
