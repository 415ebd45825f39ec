//! Signals: blocked and read from a descriptor by us, put back to the defaults for the programs we start.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use crate::errno::check;
use crate::{Calling, Errno, Error, Result};

/// A descriptor that becomes readable when one of its signals is pending (signalfd(2)).
#[derive(Debug)]
pub struct SignalFd(OwnedFd);

/// A signal that was taken from a [`SignalFd`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// The signal's number.
    pub signal: i32,
    /// The sender, 0 for the kernel.
    pub pid: u32,
    /// A terminal sent it (`si_code` is `SI_KERNEL`), so the whole foreground group has it already.
    pub from_kernel: bool,
}

impl SignalFd {
    /// Blocks these signals for the calling thread and returns the descriptor from which they are read.
    pub fn blocking(signals: &[i32]) -> Result<Self> {
        let set = set_of(signals);
        change_mask(libc::SIG_BLOCK, &set)?;
        // SAFETY: -1 asks for a new descriptor; `set` is an initialised sigset_t that the kernel reads.
        let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        check(fd.into(), || format!("signalfd({signals:?})"))?;
        // SAFETY: the call succeeded, so this is a new descriptor that nobody else owns.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Takes the next pending signal, if there is one.
    pub fn next(&self) -> Result<Option<Received>> {
        let mut bytes = [0; size_of::<libc::signalfd_siginfo>()];
        match rustix::io::read(&self.0, &mut bytes) {
            Ok(_) => {
                let word = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
                let code = word(8).cast_signed();
                Ok(Some(Received { signal: word(0).cast_signed(), pid: word(12), from_kernel: code == SI_KERNEL }))
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(errno) => Err(Error::new(format!("read(signalfd {})", self.0.as_raw_fd()), errno)),
        }
    }
}

const SI_KERNEL: i32 = 0x80;

impl AsFd for SignalFd {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Every signal that can be caught and that does not stand for a fault of the process itself.
pub const ALL_BUT_FAULTS: [i32; 22] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGABRT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGPIPE,
    libc::SIGALRM,
    libc::SIGTERM,
    libc::SIGSTKFLT,
    libc::SIGCHLD,
    libc::SIGCONT,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGURG,
    libc::SIGXCPU,
    libc::SIGXFSZ,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGWINCH,
    libc::SIGIO,
];

/// Puts every signal back to its default action and unblocks all, as a program expects to be started.
///
/// Rust ignores SIGPIPE, and an ignored signal stays ignored over an exec: without this a `yes | head` in a container
/// would not end.
pub fn reset() -> Result<()> {
    let default = KernelAction::default();
    let old = std::ptr::null_mut::<KernelAction>();
    for signal in 1..=64_i32 {
        // SAFETY: `default` is a whole action of the kernel's layout and installs no handler; SIGKILL and SIGSTOP are
        // refused. The C library would keep 32 and 33 to itself, which may come to us ignored like any other.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, &raw const default, old, size_of::<u64>()) };
    }
    change_mask(libc::SIG_SETMASK, &set_of(&[]))
}

/// `struct kernel_sigaction`, which is not the C library's; all zero it is SIG_DFL.
#[repr(C)]
#[derive(Debug, Default)]
struct KernelAction {
    handler: usize,
    flags: libc::c_ulong,
    restorer: usize,
    mask: u64,
}

/// Ignores a signal.
pub fn ignore(signal: i32) -> Result<()> {
    // SAFETY: SIG_IGN installs no handler of ours.
    let ret = unsafe { libc::signal(signal, libc::SIG_IGN) };
    if ret == libc::SIG_ERR {
        return Err(Error::from_io(format!("signal({signal}, SIG_IGN)"), &std::io::Error::last_os_error()));
    }
    Ok(())
}

/// Unblocks these signals for the calling thread.
pub fn unblock(signals: &[i32]) -> Result<()> {
    change_mask(libc::SIG_UNBLOCK, &set_of(signals))
}

fn set_of(signals: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset(3) initialises the whole set that the pointer leads to.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: initialised by the line above.
    let mut set = unsafe { set.assume_init() };
    for signal in signals {
        // SAFETY: `set` is initialised; a number out of range is refused with EINVAL and changes nothing.
        unsafe { libc::sigaddset(&raw mut set, *signal) };
    }
    set
}

fn change_mask(how: i32, set: &libc::sigset_t) -> Result<()> {
    // SAFETY: `set` is an initialised sigset_t; the old mask is not asked for.
    let ret = unsafe { libc::sigprocmask(how, set, std::ptr::null_mut()) };
    check(ret.into(), || format!("sigprocmask({how})")).map(drop)
}

/// Waits for a descriptor to become readable; `None` waits without end. Returns whether it did.
pub fn wait_readable(fd: impl AsFd, timeout: Option<std::time::Duration>) -> Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec};
    let deadline = timeout.map(|timeout| std::time::Instant::now() + timeout);
    let mut fds = [PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)];
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(std::time::Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match rustix::event::poll(&mut fds, left.as_ref()) {
            Err(Errno::INTR) => {}
            other => return other.map(|ready| ready > 0).call(|| "poll()"),
        }
    }
}
