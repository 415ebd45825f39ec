//! Carries the steps out: one system call after the other, in the worker.
//!
//! Nothing here allocates, as the worker may be the copy of a process in which another thread held the allocator's lock; so
//! a failure is two numbers. Names are below 256 bytes, for which `rustix` needs no memory either.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, Dev, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use sys::Errno;

use super::ASIDE;
use super::error::{Call, Failure};
use super::plan::{Attributes, Plan, Step, What};
use crate::archive::{DeviceNumber, Time};
use crate::erofs::Data;

/// A call that failed.
type Fault = (Call, Errno);

/// Room for what the steps need.
#[derive(Debug)]
pub(super) struct Room {
    buffer: Vec<u8>,
    /// The directories above the current one, so that the way back can be checked.
    above: Vec<Identity>,
}

/// By what a directory is known: device and inode.
type Identity = (u64, u64);

impl Room {
    /// Makes room for the steps of a plan.
    pub(super) fn for_plan(plan: &Plan<'_>) -> Self {
        Self { buffer: vec![0; 256 << 10], above: Vec::with_capacity(plan.depth + 1) }
    }
}

/// Carries out all steps of a plan in the directory `top`.
pub(super) fn apply(plan: &Plan<'_>, tars: &[File], top: OwnedFd, room: &mut Room) -> Result<(), Failure> {
    let at = |step: usize| move |(call, errno)| Failure { step: u32::try_from(step).unwrap_or(u32::MAX), call, errno };
    // Where a store lies below a directory with a default access list, every file made would have that list; mostly there is none.
    let _ = fs::fremovexattr(&top, c"system.posix_acl_default");
    let aside = make_directory(top.as_fd(), ASIDE.as_bytes()).map_err(at(0))?;
    let mut worker = Worker { tars, current: top, aside, room };
    plan.steps.iter().enumerate().try_for_each(|(number, step)| worker.take(step).map_err(at(number)))
}

struct Worker<'a> {
    tars: &'a [File],
    current: OwnedFd,
    aside: OwnedFd,
    room: &'a mut Room,
}

impl Worker<'_> {
    fn take(&mut self, step: &Step<'_>) -> Result<(), Fault> {
        match step {
            Step::Enter(name) => self.enter(name),
            Step::Leave(attributes) => self.leave(attributes),
            Step::Make { name, aside, what, attributes } => {
                let parent = if *aside { self.aside.as_fd() } else { self.current.as_fd() };
                make(parent, name, what, attributes, self.tars, &mut self.room.buffer)
            }
            Step::Link { number, name } => fs::linkat(&self.aside, &**number, &self.current, *name, AtFlags::empty())
                .map_err(|errno| (Call::Link, errno)),
        }
    }

    fn enter(&mut self, name: &[u8]) -> Result<(), Fault> {
        let made = make_directory(self.current.as_fd(), name)?;
        self.room.above.push(identity(self.current.as_fd())?);
        self.current = made;
        Ok(())
    }

    /// What is above is opened first, as the description may forbid to pass.
    fn leave(&mut self, attributes: &Attributes<'_>) -> Result<(), Fault> {
        let above = open_directory(self.current.as_fd(), b"..").map_err(|(_, errno)| (Call::GoBack, errno))?;
        if Some(identity(above.as_fd())?) != self.room.above.pop() {
            return Err((Call::GoBack, Errno::STALE));
        }
        describe(self.current.as_fd(), attributes)?;
        self.current = above;
        Ok(())
    }
}

fn make(
    parent: BorrowedFd<'_>,
    name: &[u8],
    what: &What<'_>,
    attributes: &Attributes<'_>,
    tars: &[File],
    buffer: &mut [u8],
) -> Result<(), Fault> {
    let none = DeviceNumber { major: 0, minor: 0 };
    match what {
        What::File(data) => {
            let file = make_file(parent, name)?;
            fill(file.as_fd(), data, tars, buffer)?;
            describe(file.as_fd(), attributes)
        }
        What::Symlink(target) => {
            fs::symlinkat(target.as_c_str(), parent, name).map_err(|errno| (Call::MakeLink, errno))?;
            describe_name(parent, name, attributes, true)
        }
        What::CharDevice(number) => make_node(parent, name, FileType::CharacterDevice, *number, attributes),
        What::BlockDevice(number) => make_node(parent, name, FileType::BlockDevice, *number, attributes),
        What::Fifo => make_node(parent, name, FileType::Fifo, none, attributes),
    }
}

fn make_directory(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Fault> {
    fs::mkdirat(parent, name, Mode::RWXU).map_err(|errno| (Call::MakeDirectory, errno))?;
    open_directory(parent, name)
}

fn open_directory(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Fault> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(parent, name, flags, Mode::empty()).map_err(|errno| (Call::OpenDirectory, errno))
}

fn identity(directory: BorrowedFd<'_>) -> Result<Identity, Fault> {
    let stat = fs::fstat(directory).map_err(|errno| (Call::GoBack, errno))?;
    Ok((stat.st_dev, stat.st_ino))
}

fn make_file(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Fault> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR).map_err(|errno| (Call::MakeFile, errno))
}

fn fill(file: BorrowedFd<'_>, data: &Data, tars: &[File], buffer: &mut [u8]) -> Result<(), Fault> {
    let tar = |layer: u16| tars.get(usize::from(layer)).ok_or((Call::Read, Errno::BADF));
    match data {
        Data::Whole { size, layer, block } => copy(tar(*layer)?, u64::from(*block) * 512, file, 0, *size, buffer),
        Data::Sparse { layer, file: sparse } => {
            fs::ftruncate(file, sparse.size()).map_err(|errno| (Call::Truncate, errno))?;
            let tar = tar(*layer)?;
            sparse
                .extents()
                .iter()
                .try_for_each(|extent| copy(tar, extent.position, file, extent.offset, extent.length, buffer))
        }
    }
}

/// By way of memory: the data of a tar stands at multiples of 512, which no file system can share between files, and small
/// files, which most are, come sooner so than by `copy_file_range`.
fn copy(
    tar: &File,
    mut from: u64,
    file: BorrowedFd<'_>,
    mut to: u64,
    mut length: u64,
    buffer: &mut [u8],
) -> Result<(), Fault> {
    while length > 0 {
        let count = usize::try_from(length).unwrap_or(usize::MAX).min(buffer.len());
        let read = match rustix::io::pread(tar, &mut buffer[..count], from) {
            Err(Errno::INTR) => continue,
            // The tar has become shorter since it was looked through.
            Ok(0) => return Err((Call::Read, Errno::IO)),
            read => read.map_err(|errno| (Call::Read, errno))?,
        };
        let mut done = 0;
        while done < read {
            match rustix::io::pwrite(file, &buffer[done..read], to + done as u64) {
                Err(Errno::INTR) => {}
                written => done += written.map_err(|errno| (Call::Write, errno))?,
            }
        }
        from += read as u64;
        to += read as u64;
        length -= read as u64;
    }
    Ok(())
}

fn make_node(
    parent: BorrowedFd<'_>,
    name: &[u8],
    kind: FileType,
    number: DeviceNumber,
    attributes: &Attributes<'_>,
) -> Result<(), Fault> {
    let device: Dev = fs::makedev(number.major, number.minor);
    fs::mknodat(parent, name, kind, Mode::RUSR | Mode::WUSR, device).map_err(|errno| (Call::MakeNode, errno))?;
    describe_name(parent, name, attributes, false)
}

/// The owner comes first, as a change of owner takes set-uid bits and capabilities away, and the times last.
fn describe(file: BorrowedFd<'_>, attributes: &Attributes<'_>) -> Result<(), Fault> {
    let (uid, gid) = owner(attributes);
    fs::fchown(file, uid, gid).map_err(|errno| (Call::Owner, errno))?;
    fs::fchmod(file, Mode::from_raw_mode(attributes.mode)).map_err(|errno| (Call::Mode, errno))?;
    for (name, value) in &attributes.xattrs {
        fs::fsetxattr(file, &**name, value, XattrFlags::empty()).map_err(|errno| (Call::Attribute, errno))?;
    }
    fs::futimens(file, &times(attributes.mtime)).map_err(|errno| (Call::Times, errno))
}

/// Describes what cannot be opened, or must not be: a link, a device, a pipe. It has been made a moment ago, in a directory
/// that nobody else can reach.
fn describe_name(parent: BorrowedFd<'_>, name: &[u8], attributes: &Attributes<'_>, is_link: bool) -> Result<(), Fault> {
    let (uid, gid) = owner(attributes);
    fs::chownat(parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).map_err(|errno| (Call::Owner, errno))?;
    if !is_link {
        let mode = Mode::from_raw_mode(attributes.mode);
        fs::chmodat(parent, name, mode, AtFlags::empty()).map_err(|errno| (Call::Mode, errno))?;
    }
    if !attributes.xattrs.is_empty() {
        // Before Linux 6.13 no call takes a directory and a name, so the directory becomes the one names are looked up in.
        rustix::process::fchdir(parent).map_err(|errno| (Call::Enter, errno))?;
    }
    for (attribute, value) in &attributes.xattrs {
        fs::lsetxattr(name, &**attribute, value, XattrFlags::empty()).map_err(|errno| (Call::Attribute, errno))?;
    }
    fs::utimensat(parent, name, &times(attributes.mtime), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|errno| (Call::Times, errno))
}

fn owner(attributes: &Attributes<'_>) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(attributes.uid)), Some(Gid::from_raw(attributes.gid)))
}

fn times(time: Time) -> Timestamps {
    let time = Timespec { tv_sec: time.seconds, tv_nsec: time.nanos.into() };
    Timestamps { last_access: time, last_modification: time }
}
