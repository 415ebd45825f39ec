//! The other end of a container's terminal, for a `run` in the foreground: bytes both ways until the program has ended.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use sys::event::{EventFlags, Poller};
use sys::process::{self as processes, ExitStatus};
use sys::pty::{self, RawMode};
use sys::signal::SignalFd;

use crate::create::Process;

const OUTPUT: u64 = 0;
const INPUT: u64 = 1;
const SIGNALS: u64 = 2;
const END: u64 = 3;

/// Stays with a process until it has ended: its terminal is shown on the caller's own, its signals are handed on.
pub fn stay(process: &Process) -> sys::Result<ExitStatus> {
    let signals = SignalFd::blocking(&FORWARDED)?;
    let poller = Poller::new()?;
    poller.add(&signals, SIGNALS, EventFlags::IN)?;
    poller.add(&process.pidfd, END, EventFlags::IN)?;
    let stdin = std::io::stdin();
    let raw = match &process.terminal {
        Some(terminal) => Some(connect(&poller, terminal, stdin.as_fd())?),
        None => None,
    };
    loop {
        for ready in poller.wait(None)? {
            match (ready.token, &process.terminal) {
                (OUTPUT, Some(terminal)) => relay_output(&poller, terminal)?,
                (INPUT, Some(terminal)) => relay_input(&poller, stdin.as_fd(), terminal)?,
                (SIGNALS, terminal) => hand_on(&signals, process, terminal.as_ref())?,
                (END, terminal) => {
                    let status = processes::wait(&process.pidfd)?;
                    drain(terminal.as_ref());
                    drop(raw);
                    return Ok(status);
                }
                _ => {}
            }
        }
    }
}

const SIGWINCH: i32 = 28;

/// What a user or a supervisor sends to the runtime and means for the program: HUP INT QUIT USR1 USR2 TERM CONT WINCH.
const FORWARDED: [i32; 8] = [1, 2, 3, 10, 12, 15, 18, SIGWINCH];

fn connect(poller: &Poller, terminal: &OwnedFd, stdin: BorrowedFd<'_>) -> sys::Result<Option<RawMode>> {
    poller.add(terminal, OUTPUT, EventFlags::IN)?;
    // A regular file cannot be waited for, and is as good as a terminal that nobody types at.
    let _ = poller.add(stdin, INPUT, EventFlags::IN);
    copy_size(terminal);
    if pty::is_terminal(stdin) { RawMode::enter(stdin).map(Some) } else { Ok(None) }
}

fn copy_size(terminal: &OwnedFd) {
    if let Ok(size) = pty::size(std::io::stdout()) {
        // A terminal that has gone needs no size.
        let _ = pty::set_size(terminal, size.ws_row, size.ws_col);
    }
}

fn relay_output(poller: &Poller, terminal: &OwnedFd) -> sys::Result<()> {
    match copy(terminal.as_fd(), std::io::stdout().as_fd()) {
        Ok(1..) => Ok(()),
        // The other end is closed: EIO is how a terminal says so. The end of the process is heard of elsewhere.
        _ => poller.remove(terminal.as_fd()),
    }
}

fn relay_input(poller: &Poller, stdin: BorrowedFd<'_>, terminal: &OwnedFd) -> sys::Result<()> {
    match copy(stdin, terminal.as_fd()) {
        Ok(1..) => Ok(()),
        _ => poller.remove(stdin),
    }
}

fn hand_on(signals: &SignalFd, process: &Process, terminal: Option<&OwnedFd>) -> sys::Result<()> {
    while let Some(received) = signals.next()? {
        match (received.signal, terminal) {
            (SIGWINCH, Some(terminal)) => copy_size(terminal),
            // A process that has ended meanwhile needs no signal.
            (signal, _) => drop(processes::pidfd_send_signal(&process.pidfd, signal)),
        }
    }
    Ok(())
}

/// What the program wrote just before its end is still in the terminal.
fn drain(terminal: Option<&OwnedFd>) {
    let Some(terminal) = terminal else { return };
    let _ = sys::file::set_nonblocking(terminal, true);
    while let Ok(1..) = copy(terminal.as_fd(), std::io::stdout().as_fd()) {}
}

/// Hands on what can be read at once; 0 at the end.
fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> sys::Result<usize> {
    let mut buffer = [0; 16 * 1024];
    let length = sys::file::read(from, &mut buffer)?;
    sys::file::write_all(to, &buffer[..length])?;
    Ok(length)
}
