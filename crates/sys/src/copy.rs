//! Copying what a directory holds into another one, by descriptor: links stay links, nothing is followed.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};

use crate::{Calling, Errno, Error, Result};

/// Copies everything below the directory `from` into the directory `to`, with owners and modes.
///
/// The depth is bounded, so that no tree can exhaust descriptors or stack.
pub fn copy_tree(from: impl AsFd, to: impl AsFd) -> Result<()> {
    copy_level(from.as_fd(), to.as_fd(), 0)
}

const MAX_DEPTH: usize = 256;

fn copy_level(from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: usize) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(Error::new("openat(copy)", Errno::LOOP));
    }
    for name in names(from)? {
        let stat = rustix::fs::statat(from, &name, AtFlags::SYMLINK_NOFOLLOW).call(|| format!("fstatat({name:?})"))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            rustix::fs::mkdirat(to, &name, mode(&stat)).call(|| format!("mkdirat({name:?})"))?;
            let (from, to) = (open(from, &name, OFlags::DIRECTORY)?, open(to, &name, OFlags::DIRECTORY)?);
            copy_level(from.as_fd(), to.as_fd(), depth + 1)?;
        } else {
            copy_file(from, to, &name, &stat)?;
        }
        finish(to, &name, &stat)?;
    }
    Ok(())
}

fn names(dir: BorrowedFd<'_>) -> Result<Vec<OsString>> {
    let call = || format!("getdents64({})", dir.as_raw_fd());
    // An O_PATH descriptor cannot be read, so the directory is opened anew.
    let readable = open(dir, OsStr::new("."), OFlags::DIRECTORY)?;
    let mut names = Vec::new();
    for entry in Dir::read_from(&readable).call(call)? {
        let entry = entry.call(call)?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    Ok(names)
}

fn open(dir: BorrowedFd<'_>, name: &OsStr, flags: OFlags) -> Result<OwnedFd> {
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty()).call(|| format!("openat({name:?}, O_NOFOLLOW)"))
}

fn copy_file(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &OsStr, stat: &Stat) -> Result<()> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => copy_bytes(from, to, name, stat),
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(from, name, Vec::new()).call(|| format!("readlinkat({name:?})"))?;
            rustix::fs::symlinkat(target, to, name).call(|| format!("symlinkat({name:?})"))
        }
        kind => rustix::fs::mknodat(to, name, kind, mode(stat), stat.st_rdev).call(|| format!("mknodat({name:?})")),
    }
}

fn copy_bytes(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &OsStr, stat: &Stat) -> Result<()> {
    let source = open(from, name, OFlags::empty())?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let target = rustix::fs::openat(to, name, flags, mode(stat)).call(|| format!("openat({name:?}, O_CREAT)"))?;
    let (mut source, mut target) = (std::fs::File::from(source), std::fs::File::from(target));
    std::io::copy(&mut source, &mut target).map(drop).call(|| format!("copy_file_range({name:?})"))
}

fn finish(to: BorrowedFd<'_>, name: &OsStr, stat: &Stat) -> Result<()> {
    use rustix::fs::{Gid, Uid};
    let (owner, group) = (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)));
    rustix::fs::chownat(to, name, owner, group, AtFlags::SYMLINK_NOFOLLOW).call(|| format!("fchownat({name:?})"))?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
        return Ok(());
    }
    rustix::fs::chmodat(to, name, mode(stat), AtFlags::empty()).call(|| format!("fchmodat({name:?})"))
}

fn mode(stat: &Stat) -> Mode {
    Mode::from_raw_mode(stat.st_mode & 0o7777)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_tree_is_copied_with_links_as_links() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("sub")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("sub/file"), b"text").unwrap();
        fs::set_permissions(from.join("sub/file"), fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("/nowhere", from.join("link")).unwrap();
        copy_tree(fs::File::open(&from).unwrap(), fs::File::open(&to).unwrap()).unwrap();
        assert_eq!(fs::read(to.join("sub/file")).unwrap(), b"text");
        assert_eq!(fs::metadata(to.join("sub/file")).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_link(to.join("link")).unwrap().to_str(), Some("/nowhere"));
    }
}
