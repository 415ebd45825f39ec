//! Where files go: paths of the image resolved as data, over what lies below and what the step has put there so far.

use std::collections::BTreeMap;
use std::path::PathBuf;

use store::Stack;
use store::erofs::Body;

use crate::files::{Info, Kind};
use crate::paths::{Met, follow, parent};

/// What a new layer holds, by path.
pub(crate) type Entries = BTreeMap<Vec<u8>, Entry>;

/// One file of a new layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) info: Info,
    pub(crate) data: Data,
    /// Seconds since 1970.
    pub(crate) modified: u64,
    pub(crate) attributes: Vec<(String, Vec<u8>)>,
}

/// Where a file's data comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Data {
    None,
    Inline(Vec<u8>),
    /// A file of the host.
    File(PathBuf),
    /// A file of one of the trees that are copied from.
    Tree {
        tree: usize,
        path: Vec<u8>,
    },
}

/// Why a file cannot go where it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TargetError {
    #[error("{0} is a directory in the image, and a file cannot take its place")]
    Directory(String),
    #[error("{0} is not a directory in the image")]
    NotADirectory(String),
    #[error("the links at {0} lead in circles")]
    Loop(String),
}

/// A layer in the making, over the layers below.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    /// `None` where the layer is made without regard to them (`--link`).
    below: Option<&'a Stack>,
    pub(crate) entries: Entries,
    epoch: u64,
    /// The owner of directories that are made on the way.
    owner: (u32, u32),
}

impl<'a> Target<'a> {
    pub(crate) fn new(below: Option<&'a Stack>, epoch: u64, owner: Option<(u32, u32)>) -> Self {
        Self { below, entries: Entries::new(), epoch, owner: owner.unwrap_or_default() }
    }

    /// Returns what is at a path, with nothing followed.
    pub(crate) fn info(&self, path: &[u8]) -> Option<Info> {
        if let Some(entry) = self.entries.get(path) {
            return Some(entry.info.clone());
        }
        Some(crate::files::describe(self.below?.tree().lookup(path)?.inode))
    }

    /// Returns where a path leads, links followed; what is not there yet is taken as it is written.
    pub(crate) fn resolve(&self, path: &[u8]) -> Result<Vec<u8>, TargetError> {
        follow(path, |path, _| match self.info(path).map(|info| info.kind) {
            Some(Kind::Symlink(target)) => Met::Link(target),
            _ => Met::Name,
        })
        .ok_or_else(|| TargetError::Loop(lossy(path)))
    }

    pub(crate) fn is_directory(&self, path: &[u8]) -> bool {
        path.is_empty() || self.info(path).is_some_and(|info| info.is_directory())
    }

    /// Makes a directory and those above it, where they are missing.
    pub(crate) fn ensure_directory(&mut self, path: &[u8]) -> Result<(), TargetError> {
        if path.is_empty() {
            return Ok(());
        }
        match self.info(path) {
            Some(info) if info.is_directory() => return self.keep_above(path),
            Some(_) => return Err(TargetError::NotADirectory(lossy(path))),
            None => {}
        }
        self.ensure_directory(parent(path))?;
        let (uid, gid) = self.owner;
        let info = Info { kind: Kind::Directory, mode: 0o755, uid, gid, size: 0, modified: None, identity: None };
        self.put(path, Entry { info, data: Data::None, modified: self.epoch, attributes: Vec::new() });
        Ok(())
    }

    /// Puts a file that is no directory into its place, in a directory that is there.
    pub(crate) fn put_file(&mut self, path: &[u8], entry: Entry) -> Result<(), TargetError> {
        if self.is_directory(path) {
            return Err(TargetError::Directory(lossy(path)));
        }
        self.keep_above(parent(path))?;
        self.put(path, entry);
        Ok(())
    }

    /// Puts a directory into its place; one that is there keeps what is in it, and gets new attributes if `renew`.
    pub(crate) fn put_directory(&mut self, path: &[u8], entry: Entry, renew: bool) -> Result<(), TargetError> {
        match self.info(path) {
            _ if path.is_empty() => return Ok(()),
            Some(info) if !info.is_directory() => return Err(TargetError::NotADirectory(lossy(path))),
            Some(_) if !renew => return self.keep_above(path),
            _ => {}
        }
        self.keep_above(parent(path))?;
        self.put(path, entry);
        Ok(())
    }

    fn put(&mut self, path: &[u8], entry: Entry) {
        self.entries.insert(path.to_vec(), entry);
    }

    /// Writes down the directories of the image that something new is in: whoever applies the layer over another one must not
    /// have to guess what they are like.
    fn keep_above(&mut self, path: &[u8]) -> Result<(), TargetError> {
        let mut at = path;
        while !at.is_empty() && !self.entries.contains_key(at) {
            let node = self.below.and_then(|below| below.tree().lookup(at));
            let node = node.ok_or_else(|| TargetError::NotADirectory(lossy(at)))?;
            let Body::Directory(_) = node.inode.body else { return Err(TargetError::NotADirectory(lossy(at))) };
            let attributes = node.inode.xattrs.iter();
            let attributes = attributes
                .map(|xattr| (String::from_utf8_lossy(&xattr.name).into_owned(), xattr.value.clone()))
                .collect();
            let modified = u64::try_from(node.inode.mtime.seconds).unwrap_or_default();
            let info = crate::files::describe(node.inode);
            self.entries.insert(at.to_vec(), Entry { info, data: Data::None, modified, attributes });
            at = parent(at);
        }
        Ok(())
    }
}

fn lossy(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(path).trim_start_matches('/'))
}
