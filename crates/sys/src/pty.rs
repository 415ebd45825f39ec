//! Pseudo-terminals: opening a pair in a container's devpts, window sizes, raw mode (pty(7), termios(3)).

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
pub use rustix::termios::{Termios, Winsize};

use crate::{Calling, Result};

/// The two ends of a pseudo-terminal.
#[derive(Debug)]
pub struct Pair {
    /// The end of whoever shows the terminal.
    pub master: OwnedFd,
    /// The end of the program.
    pub slave: OwnedFd,
}

/// Opens a pair from a multiplexer of the calling process's view, such as `/dev/pts/ptmx`.
pub fn open(multiplexer: &Path) -> Result<Pair> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master =
        rustix::fs::open(multiplexer, flags, Mode::empty()).call(|| format!("open({multiplexer:?}, O_RDWR)"))?;
    rustix::pty::unlockpt(&master).call(|| "ioctl(TIOCSPTLCK, 0)")?;
    // TIOCGPTPEER opens the other end without a path, so no mount over /dev/pts can put another one in its place.
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).call(|| "ioctl(TIOCGPTPEER)")?;
    Ok(Pair { master, slave })
}

/// Makes a terminal the controlling one of the calling process's session.
pub fn take_control(terminal: impl AsFd) -> Result<()> {
    rustix::process::ioctl_tiocsctty(terminal.as_fd()).call(|| "ioctl(TIOCSCTTY)")
}

/// Opens a terminal once more, so that writes to it need not wait and nobody else's are changed.
pub fn reopen_nonblocking(terminal: impl AsFd) -> Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", terminal.as_fd().as_raw_fd());
    let flags = OFlags::WRONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(&path, flags, Mode::empty()).call(|| format!("open({path:?}, O_WRONLY|O_NONBLOCK)"))
}

/// Tells whether a descriptor is a terminal.
pub fn is_terminal(fd: impl AsFd) -> bool {
    rustix::termios::isatty(fd)
}

/// Tells whether the calling process belongs to the terminal's foreground: a job in the background is stopped when it
/// reads from the terminal or changes it.
pub fn is_in_foreground(terminal: impl AsFd) -> bool {
    rustix::termios::tcgetpgrp(terminal).is_ok_and(|group| group == rustix::process::getpgrp())
}

/// Returns rows and columns.
pub fn size(terminal: impl AsFd) -> Result<Winsize> {
    rustix::termios::tcgetwinsize(terminal.as_fd()).call(|| "ioctl(TIOCGWINSZ)")
}

/// Sets rows and columns; the foreground process group hears of it by SIGWINCH.
pub fn set_size(terminal: impl AsFd, rows: u16, columns: u16) -> Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(terminal.as_fd(), size).call(|| format!("ioctl(TIOCSWINSZ, {rows}x{columns})"))
}

/// A terminal in raw mode, put back as it was when dropped.
#[derive(Debug)]
pub struct RawMode {
    terminal: OwnedFd,
    before: Termios,
}

impl RawMode {
    /// Hands every byte on as it is typed, without echo, line editing or signals.
    pub fn enter(terminal: impl AsFd) -> Result<Self> {
        let call = || format!("tcgetattr({})", terminal.as_fd().as_raw_fd());
        let before = rustix::termios::tcgetattr(terminal.as_fd()).call(call)?;
        let mut raw = before.clone();
        raw.make_raw();
        let own = terminal.as_fd().try_clone_to_owned().call(|| "fcntl(F_DUPFD_CLOEXEC)")?;
        rustix::termios::tcsetattr(&own, rustix::termios::OptionalActions::Now, &raw).call(|| "tcsetattr(raw)")?;
        Ok(Self { terminal: own, before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that has gone away needs no mode.
        let _ = rustix::termios::tcsetattr(&self.terminal, rustix::termios::OptionalActions::Now, &self.before);
    }
}
