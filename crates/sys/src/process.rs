//! Processes: clone3 with a pidfd, signals and exit statuses through it, execve, and our own binary made unwritable.
//!
//! A process that clones has one thread (a rule of the house, see ARCHITECTURE.md): the child is a copy of the caller in
//! which only the cloning thread goes on, so a lock held by another thread would stay locked for ever.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal, WaitId, WaitIdOptions};

pub use crate::sealed::{ensure_sealed, execve_self, is_sealed, keep_self, sealed_binary};

use crate::errno::check;
use crate::namespace::{NamespaceKind, flag_names};
use crate::{Calling, Errno, Error, Result};

/// A child process, held by its pidfd, so that a reused process ID can never be mistaken for it.
#[derive(Debug)]
pub struct Child {
    /// The process ID as the caller's PID namespace sees it.
    pub pid: u32,
    /// The descriptor that stands for the process.
    pub pidfd: OwnedFd,
}

/// Which side of a clone the caller finds itself on.
#[derive(Debug)]
pub enum Fork {
    /// The caller goes on as before and holds the child.
    Parent(Child),
    /// The caller is the new process.
    Child,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It left by itself, with this code.
    Exited(i32),
    /// A signal ended it.
    Signaled(i32),
}

impl ExitStatus {
    /// Returns the code as a shell shows it: 128 and the signal's number for a killed process.
    pub fn code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled(signal) => 128 + signal,
        }
    }
}

/// Clones the calling process into new namespaces and, where given, straight into a v2 cgroup (clone3, Linux 5.7).
///
/// The child has a copy of everything, so it may go on in ordinary Rust; it must end in [`execve`] or [`exit`].
pub fn clone_into(namespaces: &[NamespaceKind], cgroup: Option<BorrowedFd<'_>>) -> Result<Fork> {
    clone_with(namespaces, cgroup, 0, libc::SIGCHLD)
}

/// Like [`clone_into`], but makes the new process a child of the caller's own parent, who alone can wait for it.
pub fn clone_sibling_into(namespaces: &[NamespaceKind], cgroup: Option<BorrowedFd<'_>>) -> Result<Fork> {
    // With CLONE_PARENT the exit signal is the caller's own, and clone3 insists on none being named.
    clone_with(namespaces, cgroup, CLONE_PARENT, 0)
}

fn clone_with(kinds: &[NamespaceKind], cgroup: Option<BorrowedFd<'_>>, extra: u64, exit_signal: i32) -> Result<Fork> {
    let kinds = kinds.iter().fold(0, |flags, kind| flags | kind.flag());
    let mut pidfd: RawFd = -1;
    let mut flags = u64::from(kinds) | CLONE_PIDFD | extra;
    if cgroup.is_some() {
        flags |= CLONE_INTO_CGROUP;
    }
    let args = CloneArgs {
        flags,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: u64::from(exit_signal.unsigned_abs()),
        cgroup: cgroup.map_or(0, |fd| u64::from(fd.as_raw_fd().unsigned_abs())),
        ..CloneArgs::default()
    };
    // SAFETY: `args` is a whole clone_args of the size passed. Without CLONE_VM the child runs on a copy of this stack, so
    // no stack is given; the kernel writes one int to `pidfd`, which lives through the call.
    let ret = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) };
    let pid = match check(ret, || format!("clone3({}|CLONE_PIDFD)", flag_names(kinds))) {
        // Filters of containers (Docker's, and ours) answer so, since they cannot look at clone3's arguments.
        Err(error) if error.errno() == Errno::NOSYS && flags == CLONE_PIDFD => {
            let flags = CLONE_PIDFD | u64::from(exit_signal.unsigned_abs());
            let (none, pidfd) = (std::ptr::null_mut::<u8>(), &raw mut pidfd);
            // SAFETY: as above, the child runs on a copy of this stack; for clone(2) the third argument is where the pidfd
            // goes, and without the flags that use them the others are not looked at.
            let ret = unsafe { libc::syscall(libc::SYS_clone, flags, none, pidfd, none, none) };
            check(ret, || "clone(CLONE_PIDFD)")?
        }
        answer => answer?,
    };
    if pid == 0 {
        return Ok(Fork::Child);
    }
    // SAFETY: the call succeeded in the parent, so the kernel has stored a new descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Fork::Parent(Child { pid: u32::try_from(pid).unwrap_or(0), pidfd }))
}

const CLONE_PIDFD: u64 = 0x1000;
const CLONE_PARENT: u64 = 0x8000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `struct clone_args` of `linux/sched.h`, as far as `cgroup` (CLONE_ARGS_SIZE_VER2).
#[repr(C)]
#[derive(Debug, Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Opens the pidfd of a process (Linux 5.3).
pub fn pidfd_open(pid: u32) -> Result<OwnedFd> {
    let call = || format!("pidfd_open({pid})");
    rustix::process::pidfd_open(to_pid(pid).call(call)?, PidfdFlags::empty()).call(call)
}

/// Takes a copy of a descriptor out of another process (Linux 5.6; needs ptrace access to it).
pub fn pidfd_getfd(pidfd: impl AsFd, target: RawFd) -> Result<OwnedFd> {
    rustix::process::pidfd_getfd(pidfd.as_fd(), target, PidfdGetfdFlags::empty())
        .call(|| format!("pidfd_getfd({}, {target})", pidfd.as_fd().as_raw_fd()))
}

/// Sends a signal by number; 0 only asks whether the process is there.
pub fn pidfd_send_signal(pidfd: impl AsFd, signal: i32) -> Result<()> {
    let fd = pidfd.as_fd().as_raw_fd();
    // SAFETY: pidfd_send_signal(2) with a null siginfo and no flags takes integers only; `pidfd` is open.
    let ret = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, std::ptr::null::<u8>(), 0) };
    check(ret, || format!("pidfd_send_signal({fd}, {signal})")).map(drop)
}

/// Waits for a child to end and reaps it.
pub fn wait(pidfd: impl AsFd) -> Result<ExitStatus> {
    loop {
        if let Some(status) = wait_with(pidfd.as_fd(), WaitIdOptions::EXITED)? {
            return Ok(status);
        }
    }
}

/// Reaps a child if it has ended already.
pub fn try_wait(pidfd: impl AsFd) -> Result<Option<ExitStatus>> {
    wait_with(pidfd.as_fd(), WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
}

/// Tells how a child has ended, if it has, and leaves it to be reaped: its process ID stays its own until then.
pub fn peek(pidfd: impl AsFd) -> Result<Option<ExitStatus>> {
    wait_with(pidfd.as_fd(), WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT)
}

fn wait_with(pidfd: BorrowedFd<'_>, options: WaitIdOptions) -> Result<Option<ExitStatus>> {
    match rustix::process::waitid(WaitId::PidFd(pidfd), options) {
        Ok(status) => Ok(status.and_then(|status| {
            let exited = status.exit_status().map(ExitStatus::Exited);
            exited.or_else(|| status.terminating_signal().map(ExitStatus::Signaled))
        })),
        Err(Errno::INTR) => Ok(None),
        Err(errno) => Err(Error::new(format!("waitid(P_PIDFD, {})", pidfd.as_raw_fd()), errno)),
    }
}

/// Reaps any child of the calling process; `None` when none has ended (or none is left, with `ECHILD`).
pub fn reap_any() -> Result<Option<(u32, ExitStatus)>> {
    match rustix::process::wait(rustix::process::WaitOptions::NOHANG) {
        Ok(None) | Err(Errno::INTR) => Ok(None),
        Ok(Some((pid, status))) => {
            let exited = status.exit_status().map(ExitStatus::Exited);
            let status = exited.or_else(|| status.terminating_signal().map(ExitStatus::Signaled));
            Ok(status.map(|status| (pid.as_raw_nonzero().get().unsigned_abs(), status)))
        }
        Err(errno) => Err(Error::new("waitpid(-1, WNOHANG)", errno)),
    }
}

fn to_pid(pid: u32) -> std::result::Result<Pid, Errno> {
    i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)
}

/// Returns when a process started, in clock ticks since boot (proc_pid_stat(5), field 22); `None` when there is none, or
/// only its exit status is left to be read.
///
/// A process ID is used again; together with its start time it never is.
pub fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, which may hold any byte, parentheses included.
    let rest =
        stat.iter().rposition(|byte| *byte == b')').and_then(|end| std::str::from_utf8(&stat[end + 1..]).ok())?;
    let mut fields = rest.split_ascii_whitespace();
    match fields.next() {
        Some("Z" | "X") | None => None,
        Some(_) => fields.nth(18)?.parse().ok(),
    }
}

/// Tells whether the process that started at `start_time` under this ID still runs.
pub fn is_alive(pid: u32, started: u64) -> bool {
    pid != 0 && start_time(pid) == Some(started)
}

/// Returns the ID of the process behind a pidfd, as fdinfo tells it; fails when that has been reaped.
pub fn pid_of(pidfd: impl AsFd) -> Result<u32> {
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_fd().as_raw_fd());
    let text = std::fs::read_to_string(&path).call(|| format!("open({path:?})"))?;
    let pid = text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
    pid.ok_or_else(|| Error::new(format!("read({path:?})"), Errno::SRCH))
}

/// Returns the calling process's ID.
pub fn id() -> u32 {
    std::process::id()
}

/// Asks the kernel to signal the calling process when its parent's thread ends (prctl(2), `PR_SET_PDEATHSIG`).
pub fn die_with_parent(signal: i32) -> Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes an integer.
    let ret = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) };
    check(ret.into(), || format!("prctl(PR_SET_PDEATHSIG, {signal})")).map(drop)
}

/// Makes orphaned descendants the calling process's children.
pub fn become_subreaper() -> Result<()> {
    rustix::process::set_child_subreaper(Pid::from_raw(1)).call(|| "prctl(PR_SET_CHILD_SUBREAPER, 1)")
}

/// Names the calling thread as ps(1) shows it; 15 bytes are kept.
pub fn set_name(name: &CStr) -> Result<()> {
    rustix::thread::set_name(name).call(|| format!("prctl(PR_SET_NAME, {name:?})"))
}

/// Forbids (or allows) others of the same user to trace the process and to read it through `/proc`.
pub fn set_dumpable(dumpable: bool) -> Result<()> {
    use rustix::process::DumpableBehavior::{Dumpable, NotDumpable};
    rustix::process::set_dumpable_behavior(if dumpable { Dumpable } else { NotDumpable })
        .call(|| format!("prctl(PR_SET_DUMPABLE, {})", u8::from(dumpable)))
}

/// Starts a session of the caller's own, without a controlling terminal.
pub fn new_session() -> Result<()> {
    rustix::process::setsid().map(drop).call(|| "setsid()")
}

/// Sets the file mode mask and returns the old one.
pub fn set_umask(mask: u32) -> u32 {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask)).as_raw_mode()
}

/// A resource limit; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceLimit {
    /// The limit in force.
    pub soft: Option<u64>,
    /// The ceiling up to which an unprivileged process may raise the limit.
    pub hard: Option<u64>,
}

/// Sets a limit of the calling process by its number (`RLIMIT_NOFILE`, ...).
pub fn set_resource_limit(resource: u32, limit: ResourceLimit) -> Result<()> {
    let raw = libc::rlimit64 {
        rlim_cur: limit.soft.unwrap_or(libc::RLIM64_INFINITY),
        rlim_max: limit.hard.unwrap_or(libc::RLIM64_INFINITY),
    };
    let old = std::ptr::null_mut::<libc::rlimit64>();
    // SAFETY: `raw` is a whole rlimit64 that the kernel reads; a null `old` asks for no answer.
    let ret = unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, &raw const raw, old) };
    check(ret, || format!("prlimit64(0, {resource}, {:?}, {:?})", limit.soft, limit.hard)).map(drop)
}

/// Returns a limit of the calling process by its number.
pub fn resource_limit(resource: u32) -> Result<ResourceLimit> {
    let mut raw = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    let new = std::ptr::null::<libc::rlimit64>();
    // SAFETY: `raw` is a whole rlimit64 that the kernel fills; a null `new` changes nothing.
    let ret = unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, new, &raw mut raw) };
    check(ret, || format!("prlimit64(0, {resource})"))?;
    let finite = |value| (value != libc::RLIM64_INFINITY).then_some(value);
    Ok(ResourceLimit { soft: finite(raw.rlim_cur), hard: finite(raw.rlim_max) })
}

/// Marks every descriptor from `first` on close-on-exec (close_range(2), Linux 5.11).
pub fn close_on_exec_from(first: RawFd) -> Result<()> {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    // SAFETY: with CLOSE_RANGE_CLOEXEC nothing is closed, so no owner loses its descriptor.
    let ret = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC) };
    check(ret, || format!("close_range({first}, ~0, CLOSE_RANGE_CLOEXEC)")).map(drop)
}

/// Closes every descriptor that `kept` does not name; the numbers are in order.
///
/// For a child that was cloned to do one thing and then to [`exit`], so that nothing else of its parent is within its reach.
/// Whatever owned the other descriptors there is never used or dropped again.
pub fn close_all_but(kept: &[RawFd]) -> Result<()> {
    let mut first: libc::c_uint = 0;
    for number in kept.iter().map(|number| number.unsigned_abs()) {
        if number > first {
            close_range(first, number - 1)?;
        }
        first = number + 1;
    }
    close_range(first, u32::MAX)
}

fn close_range(first: u32, last: u32) -> Result<()> {
    // SAFETY: the call takes integers. By the contract of `close_all_but` no owner of a descriptor in the range is used
    // again in this process, so none can come to mean another file.
    let ret = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    check(ret, || format!("close_range({first}, {last}, 0)")).map(drop)
}

/// Puts a copy of `fd` at `target`, which an exec leaves open.
pub fn duplicate_to(fd: impl AsFd, target: RawFd) -> Result<()> {
    let raw = fd.as_fd().as_raw_fd();
    if raw == target {
        return keep_over_exec(fd, true);
    }
    // SAFETY: dup2(2) takes two integers. What stood at `target` is closed: callers name the standard descriptors or
    // numbers that a protocol fixes (as LISTEN_FDS does), in a child that is about to exec and owns nothing there.
    let ret = unsafe { libc::dup2(raw, target) };
    check(ret.into(), || format!("dup2({raw}, {target})")).map(drop)
}

/// Says whether a descriptor stays open over an exec.
pub fn keep_over_exec(fd: impl AsFd, keep: bool) -> Result<()> {
    let flags = if keep { rustix::io::FdFlags::empty() } else { rustix::io::FdFlags::CLOEXEC };
    rustix::io::fcntl_setfd(fd.as_fd(), flags).call(|| format!("fcntl({}, F_SETFD)", fd.as_fd().as_raw_fd()))
}

/// Makes another descriptor for what `fd` points at, above the standard ones, closed by an exec.
pub fn duplicate_above_standard(fd: impl AsFd) -> Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(fd.as_fd(), 3)
        .call(|| format!("fcntl({}, F_DUPFD_CLOEXEC, 3)", fd.as_fd().as_raw_fd()))
}

/// Takes ownership of a descriptor that was handed over by number, as an argument or by protocol.
///
/// Fails with `EBADF` when no such descriptor is open. Callers name each number once.
pub fn adopt_fd(number: RawFd) -> Result<OwnedFd> {
    // SAFETY: F_GETFD takes integers and changes nothing.
    let ret = unsafe { libc::fcntl(number, libc::F_GETFD) };
    check(ret.into(), || format!("fcntl({number}, F_GETFD)"))?;
    // SAFETY: the descriptor is open, and by the protocol of the two sides nothing else in this process owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Replaces the calling process by a program. It returns only on failure.
pub fn execve(program: &CStr, arguments: &[CString], environment: &[CString]) -> Error {
    let arguments_c = null_terminated(arguments);
    let environment_c = null_terminated(environment);
    // SAFETY: both arrays end in a null pointer, and their strings live in the slices until the call is over.
    unsafe { libc::execve(program.as_ptr(), arguments_c.as_ptr(), environment_c.as_ptr()) };
    Error::from_io(format!("execve({program:?})"), &std::io::Error::last_os_error())
}

fn null_terminated(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// Ends the calling process at once, without running destructors or exit handlers of the process it was cloned from.
pub fn exit(code: i32) -> ! {
    // SAFETY: _exit(2) does not return and touches no memory of ours.
    unsafe { libc::_exit(code) }
}

/// Returns the process ID of the caller as the procfs at `/proc` counts it: before the root is changed, the host's count.
pub fn id_in_proc() -> Result<u32> {
    let link = std::fs::read_link("/proc/self").call(|| "readlink(\"/proc/self\")")?;
    link.to_str().and_then(|text| text.parse().ok()).ok_or(Errno::INVAL).call(|| "readlink(\"/proc/self\")")
}

/// The calling process's own directory of procfs, kept open over a change of root.
///
/// A container may have another procfs at `/proc`, or something that only looks like one: what is written through this
/// descriptor reaches the process itself (CVE-2025-52881).
#[derive(Debug)]
pub struct OwnProc(OwnedFd);

impl OwnProc {
    /// Opens it in the calling process's view.
    pub fn open() -> Result<Self> {
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
        rustix::fs::open("/proc/self", flags, rustix::fs::Mode::empty())
            .map(Self)
            .call(|| "open(\"/proc/self\", O_PATH)")
    }

    /// Writes to a file in it, such as `attr/exec`.
    pub fn write(&self, file: &str, text: &str) -> Result<()> {
        let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CLOEXEC;
        let call = || format!("write(\"/proc/self/{file}\", {text:?})");
        let file = rustix::fs::openat(&self.0, file, flags, rustix::fs::Mode::empty()).call(call)?;
        rustix::io::write(&file, text.as_bytes()).map(drop).call(call)
    }
}

/// Replaces the calling process by the program behind a descriptor. It returns only on failure.
pub(crate) fn exec_fd(program: &OwnedFd, arguments: &[CString], environment: &[CString]) -> Error {
    let arguments_c = null_terminated(arguments);
    let environment_c = null_terminated(environment);
    // SAFETY: both arrays end in a null pointer and their strings live in the slices; the empty path with AT_EMPTY_PATH
    // means the descriptor itself, which is open.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            arguments_c.as_ptr(),
            environment_c.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    Error::from_io("execveat(self, AT_EMPTY_PATH)", &std::io::Error::last_os_error())
}

/// Makes the calling process lead a group of its own and, where there is a controlling terminal, its foreground.
pub fn lead_foreground_group() -> Result<()> {
    rustix::process::setpgid(None, None).call(|| "setpgid(0, 0)")?;
    let terminal =
        rustix::fs::open("/dev/tty", rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC, rustix::fs::Mode::empty())
            .call(|| "open(/dev/tty)")?;
    // A process outside the foreground that takes it would be stopped by SIGTTOU.
    crate::signal::ignore(libc::SIGTTOU)?;
    rustix::termios::tcsetpgrp(&terminal, rustix::process::getpgrp()).call(|| "ioctl(TIOCSPGRP)")
}

/// Returns the calling process's environment as an exec takes it.
pub fn environment() -> Vec<CString> {
    let variable = |(mut name, value): (std::ffi::OsString, std::ffi::OsString)| {
        name.push("=");
        name.push(value);
        CString::new(name.as_bytes()).ok()
    };
    std::env::vars_os().filter_map(variable).collect()
}

/// Returns the number of a signal by name (`TERM`, `SIGTERM`) or number; real-time signals as `RTMIN+n`.
pub fn signal_by_name(word: &str) -> Option<i32> {
    if let Ok(number) = word.parse() {
        return (1..=64).contains(&number).then_some(number);
    }
    let upper = word.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = SIGNALS.iter().find(|(known, _)| *known == name) {
        return Some(*number);
    }
    let offset = |prefix: &str| name.strip_prefix(prefix).and_then(|rest| rest.parse::<i32>().ok());
    let number = match name {
        "RTMIN" => 34,
        "RTMAX" => 64,
        _ => offset("RTMIN+").map(|n| 34 + n).or_else(|| offset("RTMAX-").map(|n| 64 - n))?,
    };
    (34..=64).contains(&number).then_some(number)
}

/// Returns the name of a signal with its prefix, `SIGTERM`.
pub fn signal_name(number: i32) -> String {
    match SIGNALS.iter().find(|(_, known)| *known == number) {
        Some((name, _)) => format!("SIG{name}"),
        None => format!("SIG{number}"),
    }
}

/// The signals of signal(7) by name.
const SIGNALS: &[(&str, i32)] = &[
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("POLL", libc::SIGIO),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];

/// Sends a signal by number to a process whose ID the caller knows to be its own (a child not yet reaped).
pub fn kill(pid: u32, signal: i32) -> Result<()> {
    let call = || format!("kill({pid}, {})", signal_name(signal));
    let pid = to_pid(pid).call(call)?;
    let signal = Signal::from_named_raw(signal).ok_or(Errno::INVAL).call(call)?;
    rustix::process::kill_process(pid, signal).call(call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_keeps_the_descriptors_that_are_named_and_no_other() {
        let files: Vec<_> = (0..4).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        let numbers: Vec<_> = files.iter().map(AsRawFd::as_raw_fd).collect();
        let Fork::Parent(child) = clone_into(&[], None).unwrap() else {
            let closed = close_all_but(&[numbers[1], numbers[2]]);
            let is_open = [0, 1, 2, 3].map(|at: usize| rustix::io::fcntl_getfd(&files[at]).is_ok());
            exit(i32::from(closed.is_err() || is_open != [false, true, true, false]))
        };
        assert_eq!(wait(&child.pidfd).unwrap(), ExitStatus::Exited(0));
    }

    #[test]
    fn signals_are_known_by_name_and_number() {
        assert_eq!(signal_by_name("SIGTERM"), Some(15));
        assert_eq!(signal_by_name("kill"), Some(9));
        assert_eq!(signal_by_name("9"), Some(9));
        assert_eq!(signal_by_name("RTMIN+3"), Some(37));
        assert_eq!(signal_by_name("SIGRTMAX-1"), Some(63));
        for word in ["", "0", "65", "SIGNOPE", "RTMIN+40", "-1"] {
            assert_eq!(signal_by_name(word), None, "{word:?}");
        }
        assert_eq!(signal_name(9), "SIGKILL");
    }
}
