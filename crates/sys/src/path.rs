//! Paths from outside, resolved below an open directory and nowhere else.
//!
//! An image, an archive or a bundle names paths that nobody has checked. [`Root`] resolves them with
//! `openat2(RESOLVE_IN_ROOT)` (Linux 5.6): absolute names, `..` and links all stay below the directory, whatever the tree
//! holds and whoever changes it meanwhile. What comes back is a descriptor, and from there on the name is not used again.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

pub use rustix::fs::FileType;

use crate::{Calling, Errno, Error, Result};

/// An open directory below which names are resolved as if it were `/`.
#[derive(Debug)]
pub struct Root(OwnedFd);

impl Root {
    /// Opens a directory of the calling process's own view. The path is the caller's, not from outside.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).map(Self).call(|| format!("open({path:?}, O_PATH|O_DIRECTORY)"))
    }

    /// Takes an open directory (or detached mount) as a root.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Opens what `path` names for nothing but to point at it (`O_PATH`), links followed below the root.
    pub fn resolve(&self, path: &Path) -> Result<OwnedFd> {
        self.open_with(path, OFlags::PATH, ResolveFlags::empty())
    }

    /// Like [`Root::resolve`], but refuses every link on the way with `ELOOP`.
    pub fn resolve_without_links(&self, path: &Path) -> Result<OwnedFd> {
        self.open_with(path, OFlags::PATH, ResolveFlags::NO_SYMLINKS)
    }

    /// Opens a file for reading.
    pub fn open_file(&self, path: &Path) -> Result<std::fs::File> {
        // O_NONBLOCK, so that a fifo in the tree cannot hold us up.
        self.open_with(path, OFlags::RDONLY | OFlags::NONBLOCK, ResolveFlags::empty()).map(Into::into)
    }

    /// Opens a file that is there for writing: on the root's own mount, and by no link.
    pub fn open_to_write(&self, path: &Path) -> Result<std::fs::File> {
        self.open_with(path, OFlags::WRONLY, ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV).map(Into::into)
    }

    fn open_with(&self, path: &Path, flags: OFlags, resolve: ResolveFlags) -> Result<OwnedFd> {
        let name = if path.as_os_str().is_empty() { Path::new("/") } else { path };
        let resolve = resolve | ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        retry(|| rustix::fs::openat2(&self.0, name, flags | OFlags::CLOEXEC, Mode::empty(), resolve))
            .call(|| format!("openat2({}, {path:?}, RESOLVE_IN_ROOT)", self.0.as_raw_fd()))
    }

    /// Opens the directory `path`, making what is missing of it with `mode`, links followed below the root.
    pub fn ensure_dir(&self, path: &Path, mode: u32) -> Result<OwnedFd> {
        match self.resolve(path) {
            Err(error) if error.errno() == Errno::NOENT => {}
            found => return found.and_then(|fd| directory(fd, path)),
        }
        let mut walked = PathBuf::from("/");
        let mut parent = self.resolve(&walked)?;
        for name in names(path) {
            walked.push(name);
            parent = match self.resolve(&walked) {
                Err(error) if error.errno() == Errno::NOENT => {
                    make_dir(parent.as_fd(), name, mode)?;
                    open_child(parent.as_fd(), name)?
                }
                found => found?,
            };
        }
        directory(parent, path)
    }

    /// Opens the file `path` for pointing at, making it empty if it is missing, with the directories above it.
    pub fn ensure_file(&self, path: &Path, mode: u32) -> Result<OwnedFd> {
        match self.resolve(path) {
            Err(error) if error.errno() == Errno::NOENT => {}
            found => return found,
        }
        let fault = || Error::new(format!("openat2({path:?}, O_CREAT)"), Errno::INVAL);
        let name = path.file_name().ok_or_else(fault)?;
        let parent = self.ensure_dir(path.parent().unwrap_or(Path::new("/")), 0o755)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(mode)) {
            Ok(_) | Err(Errno::EXIST) => open_child(parent.as_fd(), name),
            Err(errno) => Err(Error::new(format!("openat({path:?}, O_CREAT|O_EXCL)"), errno)),
        }
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The kernel answers EAGAIN when the tree was renamed under a `..` while it looked; asking again is its advice.
fn retry<T>(mut ask: impl FnMut() -> std::result::Result<T, Errno>) -> std::result::Result<T, Errno> {
    for _ in 0..64 {
        match ask() {
            Err(Errno::AGAIN | Errno::INTR) => {}
            answer => return answer,
        }
    }
    ask()
}

fn names(path: &Path) -> impl Iterator<Item = &OsStr> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        Component::ParentDir => Some(OsStr::new("..")),
        _ => None,
    })
}

fn make_dir(parent: BorrowedFd<'_>, name: &OsStr, mode: u32) -> Result<()> {
    match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(mode)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(Error::new(format!("mkdirat({}, {name:?})", parent.as_raw_fd()), errno)),
    }
}

fn open_child(parent: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
        .call(|| format!("openat({}, {name:?}, O_PATH|O_NOFOLLOW)", parent.as_raw_fd()))
}

fn directory(fd: OwnedFd, path: &Path) -> Result<OwnedFd> {
    if file_type(&fd)? == FileType::Directory {
        return Ok(fd);
    }
    Err(Error::new(format!("openat2({path:?}, O_DIRECTORY)"), Errno::NOTDIR))
}

/// Returns what kind of file stands behind a descriptor.
pub fn file_type(fd: impl AsFd) -> Result<FileType> {
    let stat = rustix::fs::fstat(fd.as_fd()).call(|| format!("fstat({})", fd.as_fd().as_raw_fd()))?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}

/// Tells whether a directory stands behind a descriptor.
pub fn is_dir(fd: impl AsFd) -> bool {
    file_type(fd).is_ok_and(|kind| kind == FileType::Directory)
}

/// Tells whether the null device stands behind a descriptor.
pub fn is_null_device(fd: impl AsFd) -> bool {
    let stat = rustix::fs::fstat(fd.as_fd());
    stat.is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == rustix::fs::makedev(1, 3)
    })
}

/// Opens a path of the calling process's own view for pointing at it, links followed.
pub fn open_host(path: &Path) -> Result<OwnedFd> {
    rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .call(|| format!("open({path:?}, O_PATH)"))
}

/// Makes another descriptor for what `fd` points at.
pub fn duplicate(fd: impl AsFd) -> Result<OwnedFd> {
    fd.as_fd().try_clone_to_owned().call(|| format!("fcntl({}, F_DUPFD_CLOEXEC)", fd.as_fd().as_raw_fd()))
}

/// Returns the major and the minor number in the kernel's one number of a device.
pub fn device_numbers(device: u64) -> (u32, u32) {
    (rustix::fs::major(device), rustix::fs::minor(device))
}

/// Makes a device node, fifo or socket in the directory `parent`.
pub fn make_node(parent: impl AsFd, name: &OsStr, kind: FileType, mode: u32, device: (u32, u32)) -> Result<()> {
    let number = rustix::fs::makedev(device.0, device.1);
    rustix::fs::mknodat(parent.as_fd(), name, kind, Mode::from_raw_mode(mode), number)
        .call(|| format!("mknodat({name:?}, {kind:?}, {}:{})", device.0, device.1))
}

/// Returns what stands under a name in the directory `parent`, and which device it is; a link is not followed.
pub fn node_at(parent: impl AsFd, name: &OsStr) -> Result<(FileType, (u32, u32))> {
    let stat = rustix::fs::statat(parent.as_fd(), name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
    let stat = stat.call(|| format!("fstatat({name:?})"))?;
    Ok((FileType::from_raw_mode(stat.st_mode), device_numbers(stat.st_rdev)))
}

/// Sets owner and mode of a name in the directory `parent`, links not followed.
pub fn set_owner_and_mode(parent: impl AsFd, name: &OsStr, uid: u32, gid: u32, mode: u32) -> Result<()> {
    use rustix::fs::{AtFlags, Gid, Uid};
    let (owner, group) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    rustix::fs::chownat(parent.as_fd(), name, owner, group, AtFlags::SYMLINK_NOFOLLOW)
        .call(|| format!("fchownat({name:?}, {uid}, {gid})"))?;
    rustix::fs::chmodat(parent.as_fd(), name, Mode::from_raw_mode(mode), AtFlags::empty())
        .call(|| format!("fchmodat({name:?}, {mode:o})"))
}

/// Returns owner, group and permission bits of what stands behind a descriptor.
pub fn owner_and_mode(fd: impl AsFd) -> Result<(u32, u32, u32)> {
    let stat = rustix::fs::fstat(fd.as_fd()).call(|| format!("fstat({})", fd.as_fd().as_raw_fd()))?;
    Ok((stat.st_uid, stat.st_gid, stat.st_mode & 0o7777))
}

/// Makes a symbolic link in the directory `parent`; one that stands there already is left.
pub fn ensure_link(parent: impl AsFd, name: &OsStr, target: &OsStr) -> Result<()> {
    match rustix::fs::symlinkat(target, parent.as_fd(), name) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(Error::new(format!("symlinkat({target:?}, {name:?})"), errno)),
    }
}

/// Sets owner and group of what stands behind a descriptor; `None` keeps what is.
pub fn set_owner(fd: impl AsFd, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
    use rustix::fs::{Gid, Uid};
    rustix::fs::fchown(fd.as_fd(), uid.map(Uid::from_raw), gid.map(Gid::from_raw))
        .call(|| format!("fchown({}, {uid:?}, {gid:?})", fd.as_fd().as_raw_fd()))
}

/// Makes a directory of the calling process's own view its working directory.
pub fn change_dir(path: &Path) -> Result<()> {
    rustix::process::chdir(path).call(|| format!("chdir({path:?})"))
}

/// Makes an open directory the working directory.
pub fn change_dir_to(dir: impl AsFd) -> Result<()> {
    rustix::process::fchdir(dir.as_fd()).call(|| format!("fchdir({})", dir.as_fd().as_raw_fd()))
}

/// Makes a fifo and opens it for the process that will wait at it.
///
/// It is open for writing too, so that a writer that comes and goes without a word is no end of file.
pub fn make_fifo(path: &Path) -> Result<OwnedFd> {
    let mode = Mode::RUSR | Mode::WUSR;
    rustix::fs::mknodat(CWD, path, FileType::Fifo, mode, 0).call(|| format!("mkfifo({path:?})"))?;
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).call(|| format!("open({path:?}, O_RDWR|O_NONBLOCK)"))
}

/// Tells whether somebody has a fifo open for reading.
pub fn has_reader(path: &Path) -> bool {
    open_for_reader(path).is_ok()
}

/// Writes a byte into a fifo that somebody reads, and returns the writing end; `ENXIO` when nobody does.
pub fn open_gate(path: &Path) -> Result<OwnedFd> {
    let fifo = open_for_reader(path)?;
    rustix::io::write(&fifo, &[0]).call(|| format!("write({path:?}, 1 byte)"))?;
    Ok(fifo)
}

fn open_for_reader(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).call(|| format!("open({path:?}, O_WRONLY|O_NONBLOCK)"))
}

/// Waits until nobody has a fifo open for reading any more, given its writing end.
pub fn wait_unread(fifo: impl AsFd) -> Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    // A writing end without a reader is in error, which is always told; nothing else is asked for.
    let mut fds = [PollFd::from_borrowed_fd(fifo.as_fd(), PollFlags::empty())];
    loop {
        match poll(&mut fds, None) {
            Err(Errno::INTR) => {}
            other => return other.map(drop).call(|| "poll(fifo)"),
        }
    }
}

/// Writes to standard error without the locks and buffers of a process that this one was cloned from.
pub fn write_stderr(bytes: &[u8]) -> Result<()> {
    rustix::io::write(rustix::stdio::stderr(), bytes).map(drop).call(|| "write(2)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn root() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        (dir, root)
    }

    #[test]
    fn links_that_point_outside_stay_below_the_root() {
        let (dir, root) = root();
        symlink("/etc", dir.path().join("out")).unwrap();
        symlink("../../../../etc", dir.path().join("up")).unwrap();
        for name in ["/out/passwd", "up/passwd", "../../etc/passwd"] {
            assert_eq!(root.resolve(Path::new(name)).unwrap_err().errno(), Errno::NOENT, "{name}");
        }
        root.ensure_file(Path::new("/etc/passwd"), 0o644).unwrap();
        assert!(dir.path().join("etc/passwd").is_file());
        assert!(root.resolve(Path::new("/out/passwd")).is_ok());
    }

    #[test]
    fn directories_are_made_through_links_below_the_root() {
        let (dir, root) = root();
        std::fs::create_dir(dir.path().join("real")).unwrap();
        symlink("/real", dir.path().join("link")).unwrap();
        root.ensure_dir(Path::new("/link/a/b"), 0o755).unwrap();
        assert!(dir.path().join("real/a/b").is_dir());
    }

    #[test]
    fn a_link_is_refused_where_none_may_stand() {
        let (dir, root) = root();
        symlink("/tmp", dir.path().join("proc")).unwrap();
        assert_eq!(root.resolve_without_links(Path::new("/proc")).unwrap_err().errno(), Errno::LOOP);
    }

    #[test]
    fn a_file_in_the_way_of_a_directory_is_an_error() {
        let (_dir, root) = root();
        root.ensure_file(Path::new("/a"), 0o644).unwrap();
        assert_eq!(root.ensure_dir(Path::new("/a"), 0o755).unwrap_err().errno(), Errno::NOTDIR);
        assert_eq!(root.ensure_dir(Path::new("/a/b"), 0o755).unwrap_err().errno(), Errno::NOTDIR);
    }
}
