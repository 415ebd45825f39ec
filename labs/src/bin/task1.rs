//! Task 1: a process in new UTS and PID namespaces by clone, and a second one that joins them.
//!
//! Child 1 is cloned into new namespaces, is number 1 there, and takes a name. Child 2 is an ordinary process that opens
//! child 1 by pidfd_open and enters both its namespaces by setns. A process cannot change the PID namespace it is in
//! itself, since its number may not change while it lives; what setns changes is where its children are born. So child
//! 2 makes one, and that one sees what child 1 sees.

use std::io::{PipeReader, Read};
use std::process::ExitCode;

use labs::{Doing, Result, end, finish, say, wait};
use sys::namespace::{self, NamespaceKind};
use sys::process::{self, Fork};

const SHARED: [NamespaceKind; 2] = [NamespaceKind::Uts, NamespaceKind::Pid];
const NAME: &str = "child-1-hostname";

fn main() -> ExitCode {
    finish(run())
}

fn run() -> Result<()> {
    introduce("Parent")?;
    // Child 1 says that its name is set by closing its end of the first pipe, and stays until we close the second.
    let (named, naming) = std::io::pipe().doing(|| "make a pipe".into())?;
    let (stay, leave) = std::io::pipe().doing(|| "make a pipe".into())?;
    let first = match process::clone_into(&SHARED, None)? {
        Fork::Child => {
            drop((named, leave));
            end(namespace::set_host_name(NAME).map_err(Into::into).and_then(|()| {
                introduce("Child 1")?;
                drop(naming);
                until_closed(stay)
            }))
        }
        Fork::Parent(child) => child,
    };
    drop((naming, stay));
    until_closed(named)?;
    let second = match process::clone_into(&[], None)? {
        Fork::Child => end(join_and_introduce(first.pid)),
        Fork::Parent(child) => child,
    };
    wait(&second)?;
    drop(leave);
    wait(&first)?;
    introduce("Parent")
}

/// What child 2 does: it enters child 1's namespaces and looks at them through a child of its own.
fn join_and_introduce(pid: u32) -> Result<()> {
    let pidfd = process::pidfd_open(pid)?;
    namespace::enter_process(&pidfd, &SHARED)?;
    match process::clone_into(&[], None)? {
        Fork::Child => end(introduce("Child 2")),
        Fork::Parent(child) => wait(&child).map(drop),
    }
}

/// Prints the number, the name and the namespaces of the calling process as it sees them itself.
fn introduce(who: &str) -> Result<()> {
    let name = labs::host_name();
    let link = |kind: NamespaceKind| {
        // /proc is the host's, in which we have another number; "self" is right all the same.
        let path = format!("/proc/self/ns/{}", kind.file_name());
        std::fs::read_link(&path).map(|target| target.display().to_string()).doing(|| format!("read {path}"))
    };
    let (uts, pid) = (link(NamespaceKind::Uts)?, link(NamespaceKind::Pid)?);
    say(&format!("{who}: PID {}, hostname {}, {uts}, {pid}", process::id(), name))
}

/// Waits until nobody has the other end of a pipe.
fn until_closed(mut pipe: PipeReader) -> Result<()> {
    let mut nothing = Vec::new();
    pipe.read_to_end(&mut nothing).map(drop).doing(|| "read from a pipe".into())
}
