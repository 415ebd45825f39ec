//! How long it takes until a death is known: from the signal that kills a container's first process to the end of whoever
//! waits for it, and to a file that tells of it.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::bare::call;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often is looked. Each look is a call or two; a processor that is never idle would be a worse disturbance.
const BETWEEN_LOOKS: Duration = Duration::from_micros(20);

/// Runs `VICTIM FILE PROGRAM [WORD...]`: starts the program, kills the victim once the program waits, and prints the
/// nanoseconds from before the kill to the program's end and to the file. The victim is a process ID, or `child`: the first
/// child of the program, once that is called `wait`. The file may be `-`, for none.
pub(crate) fn serve(words: &[String]) -> io::Result<()> {
    let [victim, file, program, rest @ ..] = words else {
        return Err(io::Error::other("death VICTIM FILE PROGRAM [WORD...]"));
    };
    let mut waiting = Command::new(program).args(rest).stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    let victim = match victim.as_str() {
        "child" => wait_for(|| first_child(waiting.id()))?,
        pid => pid.parse().map_err(|_| io::Error::other(format!("{pid} is no process ID")))?,
    };
    settle(waiting.id())?;
    let file = (file != "-").then(|| Path::new(file));
    let (ended, told) = time(victim, file, &mut waiting)?;
    println!("{} {}", ended.as_nanos(), told.as_nanos());
    Ok(())
}

fn time(victim: usize, file: Option<&Path>, waiting: &mut Child) -> io::Result<(Duration, Duration)> {
    let (mut ended, mut told) = (None, None);
    let start = Instant::now();
    call(libc::SYS_kill, &[victim, libc::SIGKILL as usize])?;
    while start.elapsed() < PATIENCE {
        if told.is_none() && file.is_none_or(Path::exists) {
            told = Some(start.elapsed());
        }
        if ended.is_none()
            && let Some(status) = waiting.try_wait()?
        {
            ended = Some(start.elapsed());
            // A runtime that has run the victim itself ends as that did.
            if !matches!(status.code(), Some(0 | 137)) {
                return Err(io::Error::other(format!("who waited ended with {:?}", status.into_raw())));
            }
        }
        if let (Some(ended), Some(told)) = (ended, told) {
            return Ok((ended, told));
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
    let _ = waiting.kill();
    let _ = waiting.wait();
    Err(io::Error::other(format!("a death was not known after {PATIENCE:?}: ended {ended:?}, told {told:?}")))
}

/// Waits until the program sleeps at the same place in ten looks, one after the other.
fn settle(pid: u32) -> io::Result<()> {
    let mut quiet = (0, String::new());
    wait_for(|| {
        let switches = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let asleep = switches.lines().any(|line| line.starts_with("State:\tS"));
        let switches = switches.lines().find(|line| line.starts_with("voluntary"))?.to_owned();
        quiet = if asleep && quiet.1 == switches { (quiet.0 + 1, switches) } else { (0, switches) };
        (quiet.0 == 10).then_some(())
    })
}

fn first_child(pid: u32) -> Option<usize> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    let child = children.split_whitespace().next()?.parse().ok()?;
    let name = std::fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
    (name.trim() == "wait").then_some(child)
}

fn wait_for<T>(mut ask: impl FnMut() -> Option<T>) -> io::Result<T> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(io::Error::other("nobody came to wait"))
}
