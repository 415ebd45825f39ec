//! Task 2a: a program with its libraries in a root of its own.
//!
//! `task2a [PROGRAM [ARGUMENT...]]`: without a program it runs `container_prog`. The root holds that program, ls(1), the
//! libraries of both, and nothing else; numbers and names are still the host's.

use std::process::ExitCode;

use labs::{Result, end, finish};
use sys::namespace::NamespaceKind;
use sys::process::{self, Fork};

fn main() -> ExitCode {
    finish(run())
}

fn run() -> Result<()> {
    let task = labs::Task::from_arguments()?;
    let root = task.root()?;
    match process::clone_into(&[NamespaceKind::Mount], None)? {
        Fork::Child => end(root.enter().and_then(|()| task.execute())),
        Fork::Parent(child) => labs::conclude(&child),
    }
}
