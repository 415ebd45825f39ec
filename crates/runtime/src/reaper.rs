//! The small init of `--init`: process 1 that starts the program, reaps orphans, hands signals on, and ends as it ends.
//!
//! It is our own binary under the name [`NAME`], executed by descriptor from its sealed mount, so that the container
//! needs no file for it and its memory holds nothing of ours. A program that is process 1 itself would have to reap the
//! orphans of the whole container and would get no signal it has no handler for (pid_namespaces(7)).

use std::ffi::CString;
use std::process::ExitCode;

use sys::process::{self as processes, Child, ExitStatus, Fork};
use sys::signal::{self, ALL_BUT_FAULTS, SignalFd};

/// The name by which the binary knows that it is the init: `conductor-init PROGRAM ARGUMENT...`, where the first word
/// after the name is the path of the program and the rest its whole argv.
pub const NAME: &str = "conductor-init";

/// Runs the program in `arguments` (its path, then its argv) and stays until it has ended.
pub fn main(arguments: &[CString]) -> ExitCode {
    let status = match run(arguments) {
        Ok(status) => status.code(),
        Err(error) => {
            let _ = sys::path::write_stderr(format!("{NAME}: {error}\n").as_bytes());
            125
        }
    };
    ExitCode::from(u8::try_from(status).unwrap_or(u8::MAX))
}

fn run(arguments: &[CString]) -> sys::Result<ExitStatus> {
    let [program, argv @ ..] = arguments else {
        return Err(sys::Error::new("execve(nothing)", sys::Errno::INVAL));
    };
    // As ps(1) shows it: executed by descriptor, it bears the name of the host's file until then.
    processes::set_name(c"conductor-init")?;
    let signals = SignalFd::blocking(&ALL_BUT_FAULTS)?;
    match processes::clone_into(&[], None)? {
        Fork::Child => become_program(program, argv),
        Fork::Parent(child) => keep(&child, &signals),
    }
}

fn become_program(program: &CString, argv: &[CString]) -> ! {
    // A group of its own in the terminal's foreground, so that ctrl-C reaches the program and not us twice.
    let _ = processes::lead_foreground_group();
    let environment = processes::environment();
    let error = match signal::reset() {
        Ok(()) => processes::execve(program, argv, &environment),
        Err(error) => error,
    };
    let _ = sys::path::write_stderr(format!("{NAME}: {error}\n").as_bytes());
    processes::exit(if error.errno() == sys::Errno::NOENT { 127 } else { 126 })
}

/// Hands signals on and reaps until the program itself has ended.
fn keep(child: &Child, signals: &SignalFd) -> sys::Result<ExitStatus> {
    loop {
        signal::wait_readable(signals, None)?;
        while let Some(received) = signals.next()? {
            match received.signal {
                SIGCHLD => {}
                // The terminal's own job control is for whoever is in its foreground.
                SIGTSTP | SIGTTIN | SIGTTOU => {}
                other => drop(processes::pidfd_send_signal(&child.pidfd, other)),
            }
        }
        if let Some(status) = reap_all(child.pid)? {
            return Ok(status);
        }
    }
}

fn reap_all(program: u32) -> sys::Result<Option<ExitStatus>> {
    loop {
        match processes::reap_any() {
            Ok(Some((pid, status))) if pid == program => return Ok(Some(status)),
            Ok(Some(_)) => {}
            Ok(None) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

const SIGCHLD: i32 = 17;
const SIGTSTP: i32 = 20;
const SIGTTIN: i32 = 21;
const SIGTTOU: i32 = 22;
