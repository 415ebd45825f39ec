//! Waiting for many descriptors in one place: epoll and timers (epoll(7), timerfd_create(2)).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

pub use rustix::event::epoll::EventFlags;
use rustix::event::epoll::{self, CreateFlags, EventData};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

use crate::{Calling, Errno, Error, Result};

/// A set of descriptors to wait for, each with a number of the caller's choice.
#[derive(Debug)]
pub struct Poller(OwnedFd);

/// What became ready.
#[derive(Debug, Clone, Copy)]
pub struct Ready {
    /// The number under which the descriptor was added.
    pub token: u64,
    /// What it is ready for.
    pub flags: EventFlags,
}

impl Poller {
    /// Makes an empty set.
    pub fn new() -> Result<Self> {
        epoll::create(CreateFlags::CLOEXEC).map(Self).call(|| "epoll_create1(EPOLL_CLOEXEC)")
    }

    /// Adds a descriptor; it leaves the set when it is closed.
    pub fn add(&self, fd: impl AsFd, token: u64, flags: EventFlags) -> Result<()> {
        epoll::add(&self.0, fd.as_fd(), EventData::new_u64(token), flags)
            .call(|| format!("epoll_ctl(EPOLL_CTL_ADD, {})", fd.as_fd().as_raw_fd()))
    }

    /// Changes what a descriptor is waited for.
    pub fn change(&self, fd: impl AsFd, token: u64, flags: EventFlags) -> Result<()> {
        epoll::modify(&self.0, fd.as_fd(), EventData::new_u64(token), flags)
            .call(|| format!("epoll_ctl(EPOLL_CTL_MOD, {})", fd.as_fd().as_raw_fd()))
    }

    /// Takes a descriptor out of the set.
    pub fn remove(&self, fd: BorrowedFd<'_>) -> Result<()> {
        epoll::delete(&self.0, fd).call(|| format!("epoll_ctl(EPOLL_CTL_DEL, {})", fd.as_raw_fd()))
    }

    /// Waits until something is ready (or the time is over) and returns it, up to sixteen at once.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Vec<Ready>> {
        let mut events = [const { std::mem::MaybeUninit::<epoll::Event>::uninit() }; 16];
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match epoll::wait(&self.0, &mut events, timeout.as_ref()) {
            Ok((ready, _)) => {
                Ok(ready.iter().map(|event| Ready { token: event.data.u64(), flags: event.flags }).collect())
            }
            Err(Errno::INTR) => Ok(Vec::new()),
            Err(errno) => Err(Error::new("epoll_wait()", errno)),
        }
    }

    /// Does the same after letting go of the program's text: of what led here, next to nothing is needed while we wait.
    pub fn wait_lightly(&self, timeout: Option<Duration>) -> Result<Vec<Ready>> {
        // A process that stays large waits all the same.
        let _ = crate::memory::release_text();
        self.wait(timeout)
    }
}

/// Tells whether a write to a descriptor would not wait: it takes something now, or fails at once.
pub fn is_writable(fd: impl AsFd) -> Result<bool> {
    use rustix::event::{PollFd, PollFlags};
    let mut fds = [PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, Some(&now))).map(|ready| ready > 0).call(|| "poll()")
}

/// A descriptor that becomes readable when its time has come.
#[derive(Debug)]
pub struct Timer(OwnedFd);

impl Timer {
    /// Makes a timer that is not set.
    pub fn new() -> Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags).map(Self).call(|| "timerfd_create()")
    }

    /// Sets it to ring once, after `delay`; `None` stops it.
    pub fn set(&self, delay: Option<Duration>) -> Result<()> {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = delay.map_or(zero, |delay| Timespec::try_from(delay.max(Duration::from_nanos(1))).unwrap_or(zero));
        let setting = Itimerspec { it_interval: zero, it_value: value };
        rustix::time::timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &setting)
            .map(drop)
            .call(|| "timerfd_settime()")
    }

    /// Takes note that it rang.
    pub fn clear(&self) {
        let mut count = [0; 8];
        // Nothing to read means that it has not rung, which is what the caller wants to hear.
        let _ = rustix::io::read(&self.0, &mut count);
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
