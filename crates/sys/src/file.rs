//! Files of ours: replaced as a whole, locked, made durable.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags};

use crate::errno::check;
use crate::{Calling, Errno, Error, Result};

/// Whether a write must survive a power cut before it is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The page cache will do: on tmpfs, or where a loss costs nothing.
    Cached,
    /// The file and the directory that names it reach the disk first.
    Synced,
}

/// Tells whether something has this path, following links. Where that cannot be told it is an error, and no absence: what is
/// decided by it may be a removal.
pub fn exists(path: &Path) -> Result<bool> {
    path.try_exists()
        .or_else(|error| if error.kind() == std::io::ErrorKind::NotADirectory { Ok(false) } else { Err(error) })
        .call(|| format!("statx({path:?})"))
}

/// Writes a file as a whole: beside its place and then renamed, so that a reader sees the old bytes or the new ones.
pub fn replace(path: &Path, bytes: &[u8], durability: Durability) -> Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = Path::new(&beside);
    let done = write_beside(beside, bytes, durability)
        .and_then(|()| std::fs::rename(beside, path).call(|| format!("rename({beside:?}, {path:?})")));
    if done.is_err() {
        // The failure that matters is the first one.
        let _ = std::fs::remove_file(beside);
        return done;
    }
    if durability == Durability::Synced { sync_dir(path.parent().unwrap_or(Path::new("/"))) } else { Ok(()) }
}

fn write_beside(beside: &Path, bytes: &[u8], durability: Durability) -> Result<()> {
    let mut file = File::create(beside).call(|| format!("open({beside:?}, O_CREAT|O_TRUNC)"))?;
    file.write_all(bytes).call(|| format!("write({beside:?}, {} bytes)", bytes.len()))?;
    if durability == Durability::Synced {
        file.sync_all().call(|| format!("fsync({beside:?})"))?;
    }
    Ok(())
}

/// Makes a file without a name in a directory, which is nothing unless it gets one ([`give_name`]); `None` where the file system
/// has no such files (`O_TMPFILE`, open(2)).
pub fn create_unnamed(directory: &Path) -> Result<Option<File>> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::open(directory, flags, Mode::from_raw_mode(0o666)) {
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Ok(None),
        opened => opened.map(|fd| Some(fd.into())).call(|| format!("open({directory:?}, O_TMPFILE)")),
    }
}

/// Gives a file without a name one that nothing has (linkat(2)).
pub fn give_name(file: &File, path: &Path) -> Result<()> {
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::linkat(CWD, own, CWD, path, AtFlags::SYMLINK_FOLLOW).call(|| format!("linkat({path:?})"))
}

/// Writes a file that has no name until it is whole, so that nothing is left of one that does not get there, and replaces the one
/// that has its name. Where the file system knows no such files, it is made beside, and a kill leaves it there.
pub fn write_whole<E>(
    path: &Path,
    fault: impl Fn(Error) -> E,
    write: impl FnOnce(&mut File) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let replace = || std::fs::rename(&beside, path).call(|| format!("rename({path:?})")).map_err(&fault);
    let written = match create_unnamed(directory).map_err(&fault)? {
        Some(mut file) => write(&mut file).and_then(|()| match give_name(&file, path) {
            // A name is given over another's by way of a further one alone.
            Err(error) if error.errno() == Errno::EXIST => {
                give_name(&file, &beside).map_err(&fault).and_then(|()| replace())
            }
            named => named.map_err(&fault),
        }),
        None => {
            let mut file = File::create_new(&beside).call(|| format!("open({beside:?}, O_EXCL)")).map_err(&fault)?;
            write(&mut file).and_then(|()| replace())
        }
    };
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written
}

/// Makes the names in a directory survive a power cut.
pub fn sync_dir(dir: &Path) -> Result<()> {
    let dir_file = File::open(dir).call(|| format!("open({dir:?})"))?;
    dir_file.sync_all().call(|| format!("fsync({dir:?})"))
}

/// Waits for the lock on an open file (flock(2)); it is let go with the file's last descriptor.
pub fn lock(file: impl AsFd) -> Result<()> {
    loop {
        match rustix::fs::flock(file.as_fd(), FlockOperation::LockExclusive) {
            Err(Errno::INTR) => {}
            answer => return answer.call(|| format!("flock({}, LOCK_EX)", file.as_fd().as_raw_fd())),
        }
    }
}

/// Takes the lock on an open file if nobody holds it; tells whether it did.
pub fn try_lock(file: impl AsFd) -> Result<bool> {
    match rustix::fs::flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(false),
        Err(errno) => Err(Error::new(format!("flock({}, LOCK_EX|LOCK_NB)", file.as_fd().as_raw_fd()), errno)),
    }
}

/// Takes a lock on an open file that any number may share, unless somebody has it alone; tells whether it did.
pub fn try_share(file: impl AsFd) -> Result<bool> {
    match rustix::fs::flock(file.as_fd(), FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(false),
        Err(errno) => Err(Error::new(format!("flock({}, LOCK_SH|LOCK_NB)", file.as_fd().as_raw_fd()), errno)),
    }
}

/// Marks an open file as held if nobody holds it; tells whether it did (fcntl(2), `F_OFD_SETLK`).
///
/// The mark belongs to the open file, so children that inherit the descriptor hold it too, over an exec as well; it is
/// gone with the last of them. Unlike a lock of [`lock`], others can ask for it ([`is_held`]) without taking it for a moment.
pub fn try_hold(file: impl AsFd) -> Result<bool> {
    let mut lock = whole_file();
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: `lock` is a whole struct flock with l_pid 0, as open file description locks demand; the kernel reads it.
    let ret = unsafe { libc::fcntl(fd, libc::F_OFD_SETLK, &raw mut lock) };
    match check(ret.into(), || format!("fcntl({fd}, F_OFD_SETLK, F_WRLCK)")) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.errno(), Errno::AGAIN | Errno::ACCESS) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Tells whether another open file holds the mark of [`try_hold`] (fcntl(2), `F_OFD_GETLK`).
pub fn is_held(file: impl AsFd) -> Result<bool> {
    let mut lock = whole_file();
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: `lock` is a whole struct flock with l_pid 0; the kernel reads it and writes its answer there.
    let ret = unsafe { libc::fcntl(fd, libc::F_OFD_GETLK, &raw mut lock) };
    check(ret.into(), || format!("fcntl({fd}, F_OFD_GETLK, F_WRLCK)"))?;
    Ok(i32::from(lock.l_type) != libc::F_UNLCK)
}

/// An exclusive lock from the first byte to the last that there will ever be.
fn whole_file() -> libc::flock {
    #[expect(clippy::cast_possible_truncation, reason = "the constants of C's short fields")]
    let (kind, whence) = (libc::F_WRLCK as libc::c_short, libc::SEEK_SET as libc::c_short);
    libc::flock { l_type: kind, l_whence: whence, l_start: 0, l_len: 0, l_pid: 0 }
}

/// Reads once; `EAGAIN` where the descriptor does not wait and has nothing.
pub fn read(fd: impl AsFd, buffer: &mut [u8]) -> Result<usize> {
    rustix::io::retry_on_intr(|| rustix::io::read(fd.as_fd(), &mut *buffer))
        .call(|| format!("read({}, {} bytes)", fd.as_fd().as_raw_fd(), buffer.len()))
}

/// Writes once, as much as is taken; `EAGAIN` where the descriptor does not wait and takes nothing.
pub fn write(fd: impl AsFd, bytes: &[u8]) -> Result<usize> {
    rustix::io::retry_on_intr(|| rustix::io::write(fd.as_fd(), bytes))
        .call(|| format!("write({}, {} bytes)", fd.as_fd().as_raw_fd(), bytes.len()))
}

/// Says whether reads and writes of a descriptor wait.
pub fn set_nonblocking(fd: impl AsFd, nonblocking: bool) -> Result<()> {
    rustix::io::ioctl_fionbio(fd.as_fd(), nonblocking).call(|| format!("ioctl({}, FIONBIO)", fd.as_fd().as_raw_fd()))
}

/// Writes all bytes, waiting where the descriptor makes us wait.
pub fn write_all(fd: impl AsFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(fd.as_fd(), bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::new(format!("write({})", fd.as_fd().as_raw_fd()), errno)),
        }
    }
    Ok(())
}

/// Returns how many pages of a file are in the page cache (cachestat(2), Linux 6.5).
pub fn cached_pages(file: impl AsFd) -> Result<u64> {
    /// The call's number, which is the same on every architecture.
    const CACHESTAT: libc::c_long = 451;
    // A range of length 0 goes to the end of the file; the answer's first field is the number of cached pages.
    let (range, mut answer) = ([0_u64; 2], [0_u64; 5]);
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: the kernel reads a cachestat_range (two u64) and writes a cachestat (five u64), both alive through the call.
    let ret = unsafe { libc::syscall(CACHESTAT, fd, range.as_ptr(), answer.as_mut_ptr(), 0) };
    check(ret, || format!("cachestat({fd})")).map(|_| answer[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        replace(&path, b"one", Durability::Cached).unwrap();
        replace(&path, b"two", Durability::Synced).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_looked_at_is_not_absent() {
        let dir = tempfile::tempdir().unwrap();
        let (file, round) = (dir.path().join("file"), dir.path().join("round"));
        File::create(&file).unwrap();
        std::os::unix::fs::symlink("round", &round).unwrap();
        let told = |path: &Path| exists(path).map_err(|error| error.errno());
        assert_eq!(
            (told(&file), told(&dir.path().join("none")), told(&file.join("below"))),
            (Ok(true), Ok(false), Ok(false))
        );
        assert_eq!(
            (told(&round), told(&dir.path().join("n".repeat(300)))),
            (Err(Errno::LOOP), Err(Errno::NAMETOOLONG))
        );
    }

    #[test]
    fn a_lock_is_held_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let (first, second) = (File::create(&path).unwrap(), File::open(&path).unwrap());
        assert!(try_lock(&first).unwrap());
        assert!(!try_lock(&second).unwrap());
        drop(first);
        assert!(try_lock(&second).unwrap());
    }

    #[test]
    fn a_shared_lock_keeps_those_away_who_want_it_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let (first, second) = (File::create(&path).unwrap(), File::open(&path).unwrap());
        let third = File::open(&path).unwrap();
        assert!(try_share(&first).unwrap() && try_share(&second).unwrap());
        assert!(!try_lock(&third).unwrap());
        drop((first, second));
        assert!(try_lock(&third).unwrap());
        assert!(!try_share(File::open(&path).unwrap()).unwrap());
    }

    #[test]
    fn a_held_file_is_known_without_taking_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let (holder, other) = (File::create(&path).unwrap(), File::create(&path).unwrap());
        assert!(!is_held(&other).unwrap());
        assert!(try_hold(&holder).unwrap());
        assert!(is_held(&other).unwrap());
        assert!(!is_held(&holder).unwrap());
        assert!(!try_hold(&other).unwrap());
        drop(holder);
        assert!(!is_held(&other).unwrap());
    }
}
