//! Task 2b: the same root, and now number 1 and a name of its own.
//!
//! `task2b [PROGRAM [ARGUMENT...]]`

use std::process::ExitCode;

use labs::root::ContainerRoot;
use labs::{Result, end, finish};
use sys::namespace::{self, NamespaceKind};
use sys::process::{self, Fork};

fn main() -> ExitCode {
    finish(run())
}

fn run() -> Result<()> {
    let task = labs::Task::from_arguments()?;
    let root = task.root()?;
    match process::clone_into(&[NamespaceKind::Mount, NamespaceKind::Pid, NamespaceKind::Uts], None)? {
        Fork::Child => end(inside(&root, &task)),
        Fork::Parent(child) => labs::conclude(&child),
    }
}

fn inside(root: &ContainerRoot, task: &labs::Task) -> Result<()> {
    namespace::set_host_name("new_hostname")?;
    root.enter()?;
    task.execute()
}
