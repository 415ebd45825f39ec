//! The worker: a child that can reach nothing but the directory to be filled, the tars and the pipe in which it tells.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use sys::credentials::{self, CapabilitySet, CapabilitySets};
use sys::mount::{self, Attributes, MountAttrFlags, Propagation};
use sys::namespace::NamespaceKind::{Ipc, Mount, Network, Pid};
use sys::process::{self, ExitStatus, Fork};
use sys::seccomp::{self, Instruction};
use sys::{Calling, Errno};

use super::UnpackError;
use super::apply::{Room, apply};
use super::error::{Call, Failure};
use super::plan::Plan;

/// The signal that ends a worker whose parent has ended.
const KILL: i32 = 9;

/// What a worker is given, all of it made before it begins: it allocates nothing.
struct Job<'a> {
    plan: &'a Plan<'a>,
    tars: &'a [File],
    /// The directory to be filled, as a mount of its own.
    root: OwnedFd,
    /// Where it tells of a failure.
    report: OwnedFd,
    /// The numbers of the descriptors that stay open, in order.
    kept: Vec<RawFd>,
    filter: Vec<Instruction>,
    room: Room,
}

/// Has a worker carry out a plan in a directory, and waits for it.
pub(super) fn employ(plan: &Plan<'_>, tars: &[File], directory: BorrowedFd<'_>) -> Result<(), UnpackError> {
    let around = |doing| move |source| UnpackError::Around { doing, source };
    let (told, report) = pipe_with(PipeFlags::CLOEXEC).call(|| "pipe2(O_CLOEXEC)").map_err(around("make a pipe"))?;
    let root = lone_mount(directory).map_err(around("make a root for the process that unpacks"))?;
    let mut kept: Vec<_> = tars.iter().map(AsRawFd::as_raw_fd).chain([root.as_raw_fd(), report.as_raw_fd()]).collect();
    kept.sort_unstable();
    let filter = seccomp::only_files().unwrap_or_default();
    let job = Job { plan, tars, root, report, kept, filter, room: Room::for_plan(plan) };
    match process::clone_into(&[Mount, Network, Pid, Ipc], None).map_err(around("start a process that unpacks"))? {
        Fork::Child => work(job),
        Fork::Parent(child) => {
            drop(job);
            // An interrupted reader asks again, and one that is cut short is told so by the status.
            let mut said = Vec::new();
            let _ = File::from(told).read_to_end(&mut said);
            let status = process::wait(&child.pidfd).map_err(around("wait for the process that unpacks"))?;
            conclude(plan, &said, status)
        }
    }
}

fn conclude(plan: &Plan<'_>, said: &[u8], status: ExitStatus) -> Result<(), UnpackError> {
    match said.try_into().ok().and_then(Failure::decode) {
        Some(failure) => Err(failure.into_error(|step| plan.path(step))),
        None if status == ExitStatus::Exited(0) => Ok(()),
        None => Err(UnpackError::Killed(status.code())),
    }
}

/// A copy of the mount in which the directory is the root. What the worker makes there it can neither execute nor open as a
/// device.
fn lone_mount(directory: BorrowedFd<'_>) -> sys::Result<OwnedFd> {
    let root = mount::clone_tree(directory, false)?;
    let set = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    mount::set_attributes(&root, &Attributes { set, ..Attributes::default() }, false)?;
    Ok(root)
}

fn work(mut job: Job<'_>) -> ! {
    let confined = confine(&job).map_err(|error| Failure { step: 0, call: Call::Confine, errno: error.errno() });
    let done = confined.and_then(|()| {
        let top = open_root().map_err(|errno| Failure { step: 0, call: Call::OpenDirectory, errno })?;
        apply(job.plan, job.tars, top, &mut job.room)
    });
    match done {
        Ok(()) => process::exit(0),
        Err(failure) => {
            let _ = rustix::io::write(&job.report, &failure.encode());
            process::exit(1)
        }
    }
}

/// Gives up all that the steps do not need, until nothing is left to be turned against the host.
fn confine(job: &Job<'_>) -> sys::Result<()> {
    process::die_with_parent(KILL)?;
    process::close_all_but(&job.kept)?;
    if is_orphan(&job.report) {
        process::exit(1);
    }
    // What would be written to standard error goes nowhere, and not into the file that happens to have its number.
    (0..3).try_for_each(|standard| {
        if job.kept.contains(&standard) { Ok(()) } else { process::duplicate_to(&job.root, standard) }
    })?;
    let host = Path::new("/");
    mount::set_propagation(host, Propagation::Private, true)?;
    mount::attach(&job.root, sys::path::open_host(host)?)?;
    mount::pivot_into(&job.root)?;
    process::set_umask(0);
    credentials::set_no_new_privileges()?;
    let allowed = job.plan.capabilities.intersection(credentials::capabilities()?.permitted);
    let none = CapabilitySet::default();
    credentials::set_capabilities(CapabilitySets { effective: allowed, permitted: allowed, inheritable: none })?;
    if job.filter.is_empty() { Ok(()) } else { seccomp::load(&job.filter, seccomp::Flags::default()).map(drop) }
}

/// Whether the parent ended before its end would have been ours: then nobody reads the pipe.
fn is_orphan(report: &OwnedFd) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(report.as_fd(), PollFlags::empty())];
    matches!(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1))
}

fn open_root() -> Result<OwnedFd, Errno> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    openat(CWD, c"/", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}
