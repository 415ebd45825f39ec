//! Removing a tree that somebody else filled.
//!
//! The writable layer of a container holds whatever its processes left there: directories nested thousands deep, modes
//! that forbid, immutable files. All of it goes, by descriptor, and no link is ever followed.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, IFlags, Mode, OFlags, RenameFlags};
use sys::{Calling, Errno};

/// How deep the descent goes before it moves a directory up: it bounds the descriptors and the stack.
const DEPTH: u32 = 64;

/// Removes `path` with everything below it, and is content when it is gone already.
pub(crate) fn remove_tree(path: &Path) -> sys::Result<()> {
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL);
    let name = name.call(|| format!("unlink({})", path.display()))?;
    remove_at(CWD, &name).call(|| format!("unlinkat({})", path.display()))
}

fn remove_at(parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    match open_directory(parent, name) {
        Ok(directory) => {
            let mut removal = Removal { top: directory, moved: 0 };
            removal.empty_top()?;
            unlink(parent, name, AtFlags::REMOVEDIR)
        }
        // A file, or a link.
        Err(Errno::NOTDIR | Errno::LOOP) => unlink(parent, name, AtFlags::empty()),
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

struct Removal {
    top: OwnedFd,
    moved: u64,
}

impl Removal {
    /// What was too deep turns up at the top, so it is emptied until it is empty.
    fn empty_top(&mut self) -> Result<(), Errno> {
        loop {
            let before = self.moved;
            let top = rustix::io::fcntl_dupfd_cloexec(&self.top, 0)?;
            self.empty(top.as_fd(), 0)?;
            if self.moved == before {
                return Ok(());
            }
        }
    }

    fn empty(&mut self, directory: BorrowedFd<'_>, depth: u32) -> Result<(), Errno> {
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            // A type that the file system does not tell is found out by trying.
            if matches!(entry.file_type(), FileType::Directory | FileType::Unknown) {
                self.remove_directory(directory, name, depth)?;
            } else {
                unlink(directory, name, AtFlags::empty())?;
            }
        }
        Ok(())
    }

    fn remove_directory(&mut self, parent: BorrowedFd<'_>, name: &CStr, depth: u32) -> Result<(), Errno> {
        let directory = match open_directory(parent, name) {
            Err(Errno::NOTDIR | Errno::LOOP) => return unlink(parent, name, AtFlags::empty()),
            result => result?,
        };
        if depth < DEPTH {
            self.empty(directory.as_fd(), depth + 1)?;
            return unlink(parent, name, AtFlags::REMOVEDIR);
        }
        // Whoever filled the tree may have taken any name, so the next free one is looked for.
        loop {
            self.moved += 1;
            let raised = format!(".raised-{}", self.moved);
            match rustix::fs::renameat_with(parent, name, &self.top, raised, RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => {}
                result => return result,
            }
        }
    }
}

fn open_directory(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// Immutable and append-only files can be removed once they are neither, and so can what lies in such a directory.
fn unlink(parent: BorrowedFd<'_>, name: &CStr, flags: AtFlags) -> Result<(), Errno> {
    match rustix::fs::unlinkat(parent, name, flags) {
        Err(Errno::PERM) => {
            let open = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            if let Ok(file) = rustix::fs::openat(parent, name, open, Mode::empty()) {
                make_mutable(file.as_fd());
            }
            make_mutable(parent);
            rustix::fs::unlinkat(parent, name, flags)
        }
        Err(Errno::NOENT) => Ok(()),
        result => result,
    }
}

fn make_mutable(file: BorrowedFd<'_>) {
    if let Ok(flags) = rustix::fs::ioctl_getflags(file) {
        // What fails here fails again, with its reason, in the call that is made next.
        let _ = rustix::fs::ioctl_setflags(file, flags - IFlags::IMMUTABLE - IFlags::APPEND);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_tree_deeper_than_any_path_goes() {
        let top = tempfile::tempdir().unwrap();
        let root = top.path().join("root");
        fs::create_dir(&root).unwrap();
        let mut directory = rustix::fs::open(&root, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&directory, "d", Mode::from_raw_mode(0o700)).unwrap();
            directory = rustix::fs::openat(&directory, "d", OFlags::PATH, Mode::empty()).unwrap();
        }
        remove_tree(&root).unwrap();
        assert!(!root.exists());
    }

    #[test]
    fn a_link_is_removed_and_not_followed() {
        let top = tempfile::tempdir().unwrap();
        let (precious, tree) = (top.path().join("precious"), top.path().join("tree"));
        fs::create_dir(&precious).unwrap();
        fs::write(precious.join("file"), "kept").unwrap();
        fs::create_dir(&tree).unwrap();
        std::os::unix::fs::symlink(&precious, tree.join("link")).unwrap();
        remove_tree(&tree).unwrap();
        assert!(precious.join("file").exists());
        std::os::unix::fs::symlink(&precious, &tree).unwrap();
        remove_tree(&tree).unwrap();
        assert!(precious.join("file").exists() && !tree.is_symlink());
    }

    #[test]
    fn what_is_gone_already_is_removed() {
        assert_eq!(remove_tree(Path::new("/nonexistent/tree")), Ok(()));
    }
}
