//! The program that the labs put into a container: it tells where it is and computes for a while.
//!
//! `container_prog [ROUNDS]`

#![allow(clippy::print_stdout, reason = "it is a program that prints")]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use labs::{Doing, Result, end, finish, say, wait};
use sys::process::{self, Fork};

/// Enough for about a second.
const ROUNDS: u64 = 200_000_000;

fn main() -> ExitCode {
    finish(run())
}

fn run() -> Result<()> {
    say(&format!("Process PID: {}", process::id()))?;
    match process::clone_into(&[], None)? {
        Fork::Child => end(say(&format!("Child Process PID: {}", process::id()))),
        Fork::Parent(child) => wait(&child)?,
    };
    say("Files/Directories in root directory:")?;
    for entry in std::fs::read_dir("/").doing(|| "list /".into())? {
        let entry = entry.doing(|| "list /".into())?;
        say(&entry.file_name().to_string_lossy())?;
    }
    say(&format!("Hostname within container: {}", labs::host_name()))?;
    say("Computation Benchmark:")?;
    let rounds = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(ROUNDS);
    let start = Instant::now();
    let value = compute(rounds);
    say(&format!("Time Taken: {} ms", start.elapsed().as_millis()))?;
    say(&format!("Value (Ignore): {value}"))
}

fn compute(rounds: u64) -> u64 {
    (0..rounds).fold(1, |value: u64, round| black_box(value.wrapping_mul(31).wrapping_add(round)))
}
