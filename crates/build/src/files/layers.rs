//! Layers as a tree: those of a stage or an image, of an archive, of a repository.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Read;
use std::rc::Rc;

use dockerfile::Ignore;
use oci::{Digest, Hasher};
use store::Stack;
use store::erofs::{Body, Inode, Node};
use sys::Calling;

use super::{Files, Info, Kind};
use crate::error::ContextError;
use crate::paths::join;

/// A stack of layers, less what patterns leave out.
#[derive(Debug)]
pub(crate) struct Layers {
    stack: Rc<Stack>,
    ignore: Option<Ignore>,
    /// Owners and times of its files are those of another machine, and of no interest.
    is_context: bool,
    digests: RefCell<HashMap<Vec<u8>, Digest>>,
}

impl Layers {
    pub(crate) fn new(stack: Rc<Stack>) -> Self {
        Self { stack, ignore: None, is_context: false, digests: RefCell::default() }
    }

    /// An archive as a context leaves out what a directory would.
    pub(crate) fn as_context(stack: Rc<Stack>, ignore: Ignore) -> Self {
        let ignore = Some(ignore).filter(|ignore| !ignore.is_empty());
        Self { ignore, is_context: true, ..Self::new(stack) }
    }

    fn node(&self, path: &[u8]) -> Option<Node<'_>> {
        self.stack.tree().lookup(path)
    }

    /// A directory that is left out is there for what is not.
    fn is_left_out(&self, path: &[u8], node: Node<'_>) -> bool {
        let Some(ignore) = &self.ignore else { return false };
        let text = String::from_utf8_lossy(path);
        if path.is_empty() || !ignore.is_excluded(&text) {
            return false;
        }
        let holds = |(name, child): (&[u8], Node<'_>)| !self.is_left_out(&join(path, name), child);
        !(node.inode.is_directory()
            && ignore.may_include_below(&text)
            && self.stack.tree().children(node.id).any(holds))
    }

    fn collect(&self, path: &[u8], node: Node<'_>, found: &mut Vec<Vec<u8>>) {
        for (name, child) in self.stack.tree().children(node.id) {
            let path = join(path, name);
            if !self.is_left_out(&path, child) {
                found.push(path.clone());
                self.collect(&path, child, found);
            }
        }
    }

    fn inode(&self, path: &[u8]) -> Result<&Inode, ContextError> {
        let lossy = || String::from_utf8_lossy(path).into_owned();
        self.node(path).map(|node| node.inode).ok_or_else(|| ContextError::Changed(lossy()))
    }
}

impl Files for Layers {
    fn info(&self, path: &[u8]) -> Option<Info> {
        let node = self.node(path).filter(|node| !self.is_left_out(path, *node))?;
        let mut info = info(node.inode);
        if self.is_context {
            info = Info { uid: 0, gid: 0, modified: None, identity: None, ..info };
        } else if node.inode.links > 1 && !info.is_directory() {
            info.identity = Some(node.id.number().into());
        }
        Some(info)
    }

    fn below(&self, directory: &[u8]) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        if let Some(node) = self.node(directory) {
            self.collect(directory, node, &mut found);
        }
        found.sort();
        found
    }

    fn digest(&self, path: &[u8]) -> Result<Digest, ContextError> {
        if let Some(known) = self.digests.borrow().get(path) {
            return Ok(*known);
        }
        let read = |source| ContextError::Read { path: String::from_utf8_lossy(path).into_owned(), source };
        let mut data = self.open(path)?;
        let (mut hasher, mut buffer) = (Hasher::default(), vec![0; 128 * 1024]);
        loop {
            match data.read(&mut buffer).call(|| "read(layer)").map_err(read)? {
                0 => break,
                length => hasher.update(&buffer[..length]),
            }
        }
        let digest = hasher.finish();
        self.digests.borrow_mut().insert(path.to_vec(), digest);
        Ok(digest)
    }

    fn open(&self, path: &[u8]) -> Result<Box<dyn Read>, ContextError> {
        let read = |source| ContextError::Read { path: String::from_utf8_lossy(path).into_owned(), source };
        self.stack.open(self.inode(path)?).call(|| "open(layer)").map_err(read)
    }

    fn attributes(&self, path: &[u8]) -> Vec<(String, Vec<u8>)> {
        let Some(node) = self.node(path).filter(|_| !self.is_context) else { return Vec::new() };
        let named = node.inode.xattrs.iter();
        named.map(|xattr| (String::from_utf8_lossy(&xattr.name).into_owned(), xattr.value.clone())).collect()
    }
}

/// Describes a file of a stack.
pub(crate) fn info(inode: &Inode) -> Info {
    let (kind, size) = match &inode.body {
        Body::Directory(_) => (Kind::Directory, 0),
        Body::File(data) => (Kind::File, data.size()),
        Body::Symlink(target) => (Kind::Symlink(target.to_vec()), 0),
        Body::CharDevice(number) => (Kind::CharacterDevice((number.major, number.minor)), 0),
        Body::BlockDevice(number) => (Kind::BlockDevice((number.major, number.minor)), 0),
        Body::Fifo => (Kind::Fifo, 0),
    };
    let modified = u64::try_from(inode.mtime.seconds).ok();
    Info { kind, mode: inode.mode.into(), uid: inode.uid, gid: inode.gid, size, modified, identity: None }
}
