//! Times programs as whole processes: from before the start to after the end.
//!
//! One request a line on stdin, its words parted by NUL; one answer a line on stdout: nanoseconds, peak resident KiB, exit
//! code. The programs get `/dev/null` for stdin and stdout and our own stderr.

use std::io::{self, BufRead, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::bare::{call, zeroed_args};

/// Answers requests until there are no more.
pub(crate) fn serve() -> io::Result<()> {
    let mut answers = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let mut words = line.split('\0');
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null());
        let (nanoseconds, peak, code) = time(&mut command)?;
        writeln!(answers, "{nanoseconds} {peak} {code}")?;
        answers.flush()?;
    }
    Ok(())
}

fn time(command: &mut Command) -> io::Result<(u128, i64, i32)> {
    let start = Instant::now();
    let child = command.spawn()?;
    let mut status: libc::c_int = 0;
    let mut usage: libc::rusage = zeroed_args();
    let (pid, status_at, usage_at) = (child.id() as usize, &raw mut status as usize, &raw mut usage as usize);
    call(libc::SYS_wait4, &[pid, status_at, 0, usage_at])?;
    let nanoseconds = start.elapsed().as_nanos();
    let code = if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) };
    Ok((nanoseconds, usage.ru_maxrss, code))
}
