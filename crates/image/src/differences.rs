//! What a container changed: read from the upper directory of its overlay, never found by comparing trees.
//!
//! Overlay writes a change down when it is made: a changed file stands there whole, a removed one as a character device 0/0,
//! and a directory that took the place of an old one is marked opaque (kernel, filesystems/overlayfs). Directories are there for
//! what is in them, too; those that are as in the image are told apart by the image's index.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, OFlags, Stat};
use store::erofs::{Entry, Index, IndexError};
use sys::Calling;

use crate::tree::{TreeError, is_opaque, is_whiteout, lossy, names, open};

/// One path that a container changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// Its path, without a slash in front; the root's is empty.
    pub path: Vec<u8>,
    /// What became of it.
    pub kind: DifferenceKind,
}

/// What became of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DifferenceKind {
    /// It is new.
    Added,
    /// It was there, and is another now; for a directory, also that something below it is.
    Changed,
    /// It is gone.
    Deleted,
}

/// Why the changes could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DifferenceError {
    /// The changes themselves.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The image below them.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// Lists what differs from the image, in order. What is at one of `unseen` (a place of a mount) the container did not make.
pub fn differences(
    upper: BorrowedFd<'_>,
    image: &Index<File>,
    unseen: &BTreeSet<Vec<u8>>,
) -> Result<Vec<Difference>, DifferenceError> {
    let read = |source| TreeError::Read { path: String::new(), source };
    let mut finder = Finder { image, unseen, found: Vec::new() };
    let top = open(upper, c".", OFlags::DIRECTORY).map_err(read)?;
    let stat = rustix::fs::fstat(&top).call(|| "fstat").map_err(read)?;
    if !is_as_before(&stat, &image.root()) {
        finder.found.push(Difference { path: Vec::new(), kind: DifferenceKind::Changed });
    }
    finder.directory(&top, b"", Some(image.root()))?;
    Ok(finder.found)
}

struct Finder<'a> {
    image: &'a Index<File>,
    unseen: &'a BTreeSet<Vec<u8>>,
    found: Vec<Difference>,
}

impl Finder<'_> {
    fn directory(&mut self, directory: &OwnedFd, prefix: &[u8], below: Option<Entry>) -> Result<(), DifferenceError> {
        for name in names(directory).map_err(|source| TreeError::Read { path: lossy(prefix), source })? {
            let path = [prefix, name.to_bytes()].concat();
            if !self.unseen.contains(&path) {
                self.child(directory, &name, path, below)?;
            }
        }
        Ok(())
    }

    fn child(
        &mut self,
        parent: &OwnedFd,
        name: &CStr,
        path: Vec<u8>,
        below: Option<Entry>,
    ) -> Result<(), DifferenceError> {
        let read = |source| TreeError::Read { path: lossy(&path), source };
        let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
        let stat = stat.call(|| format!("fstatat({name:?}, AT_SYMLINK_NOFOLLOW)")).map_err(read)?;
        let before = below.map(|_| self.before(&path)).transpose()?.flatten();
        let kind = match (is_whiteout(&stat), before) {
            (true, None) => return Ok(()),
            (true, Some(_)) => DifferenceKind::Deleted,
            (false, Some(_)) => DifferenceKind::Changed,
            (false, None) => DifferenceKind::Added,
        };
        self.found.push(Difference { path: path.clone(), kind });
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Ok(());
        }
        let own = open(parent.as_fd(), name, OFlags::DIRECTORY).map_err(read)?;
        let opaque = is_opaque(&own).map_err(read)?;
        let below = before.filter(|before| before.is_directory() && !opaque);
        let count = self.found.len();
        self.directory(&own, &[&path, b"/".as_slice()].concat(), below)?;
        if self.found.len() == count && below.is_some_and(|before| is_as_before(&stat, &before)) {
            self.found.pop();
        }
        Ok(())
    }

    /// All that leads to `path` is a directory in the image, so no link is followed.
    fn before(&self, path: &[u8]) -> Result<Option<Entry>, IndexError> {
        match self.image.resolve_link(path) {
            Ok(entry) => Ok(Some(entry)),
            Err(IndexError::Resolve(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A directory's time changes with what is in it; with nothing in it that differs, only the mounts' places were made there.
fn is_as_before(stat: &Stat, before: &Entry) -> bool {
    stat.st_mode == before.mode() && stat.st_uid == before.uid() && stat.st_gid == before.gid()
}
