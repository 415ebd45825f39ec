//! Trees of files that steps take from: a directory of the host, or layers. One trait; a copy does not care which it is.

mod directory;
mod known;
mod layers;

use std::io::Read;

use oci::Digest;

use crate::error::ContextError;
use crate::paths::{Met, follow};

pub(crate) use directory::Directory;
pub(crate) use layers::{Layers, info as describe};

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Symlink(Vec<u8>),
    CharacterDevice((u32, u32)),
    BlockDevice((u32, u32)),
    Fifo,
}

/// A file, less its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Info {
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    /// When it was changed, in seconds since 1970, where that is a part of what it is: in layers and archives.
    pub(crate) modified: Option<u64>,
    /// The same for all names of one file, where that is of interest.
    pub(crate) identity: Option<u64>,
}

impl Info {
    pub(crate) fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }
}

/// A tree of files. Paths are relative to its top, which is the empty path, and plain: without `.`, `..` and doubled slashes.
pub(crate) trait Files {
    /// Returns what is at a path; the last name is not followed, and no name before it is a link.
    fn info(&self, path: &[u8]) -> Option<Info>;

    /// Returns every path below a directory, sorted, parents first.
    fn below(&self, directory: &[u8]) -> Vec<Vec<u8>>;

    /// Returns the digest of a file's data.
    fn digest(&self, path: &[u8]) -> Result<Digest, ContextError>;

    /// Opens a file's data.
    fn open(&self, path: &[u8]) -> Result<Box<dyn Read>, ContextError>;

    /// Returns the extended attributes of a file.
    fn attributes(&self, _path: &[u8]) -> Vec<(String, Vec<u8>)> {
        Vec::new()
    }

    /// Reads ahead what will be asked for.
    fn prepare(&self, _paths: &[Vec<u8>]) -> Result<(), ContextError> {
        Ok(())
    }
}

/// Follows all links of a path within the tree; `None` where it leads nowhere.
pub(crate) fn resolve(files: &dyn Files, path: &[u8]) -> Option<Vec<u8>> {
    follow(path, |path, last| match files.info(path).map(|info| info.kind) {
        Some(Kind::Symlink(target)) => Met::Link(target),
        Some(Kind::Directory) => Met::Name,
        Some(_) if last => Met::Name,
        _ => Met::End,
    })
}

/// Reads a small file whole, links followed; nothing where there is none, or more than `limit` bytes.
pub(crate) fn read_small(files: &dyn Files, path: &[u8], limit: u64) -> Option<Vec<u8>> {
    let path = resolve(files, path)?;
    files.info(&path).filter(|info| info.kind == Kind::File && info.size <= limit)?;
    let mut bytes = Vec::new();
    files.open(&path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// A tree without files.
#[derive(Debug)]
pub(crate) struct Nothing;

impl Files for Nothing {
    fn info(&self, path: &[u8]) -> Option<Info> {
        let top = Info { kind: Kind::Directory, mode: 0o755, uid: 0, gid: 0, size: 0, modified: None, identity: None };
        path.is_empty().then_some(top)
    }

    fn below(&self, _: &[u8]) -> Vec<Vec<u8>> {
        Vec::new()
    }

    fn digest(&self, path: &[u8]) -> Result<Digest, ContextError> {
        Err(ContextError::Changed(String::from_utf8_lossy(path).into_owned()))
    }

    fn open(&self, path: &[u8]) -> Result<Box<dyn Read>, ContextError> {
        Err(ContextError::Changed(String::from_utf8_lossy(path).into_owned()))
    }
}
