//! Paths of an image, resolved as data: no path of an image is ever walked on the host.

use std::borrow::Cow;

use super::name::split;
use super::tree::{Body, InodeId, Node, Tree};

/// As many symbolic links as the kernel follows on one path.
pub(super) const LINKS_MAX: usize = 40;

/// Why a path leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// A name is not there.
    #[error("no such file or directory in the image")]
    NotFound,
    /// Something is below what is not a directory.
    #[error("part of the path is not a directory in the image")]
    NotADirectory,
    /// Symbolic links lead in circles, or there are more than 40 of them.
    #[error("too many symbolic links in the image")]
    Loop,
}

/// What paths can be resolved in: the tree, and the index read back.
pub(super) trait Files {
    /// A file's place.
    type Node: Copy;
    /// Why it cannot be read.
    type Error: From<ResolveError>;

    fn root(&self) -> Self::Node;
    fn parent(&self, node: Self::Node) -> Result<Self::Node, Self::Error>;
    fn child(&self, node: Self::Node, name: &[u8]) -> Result<Option<Self::Node>, Self::Error>;
    fn is_directory(&self, node: Self::Node) -> bool;
    /// Returns where a symbolic link points; nothing if it is none.
    fn target(&self, node: Self::Node) -> Result<Option<Cow<'_, [u8]>>, Self::Error>;
}

/// Walks `path` from the root, as a process would that has the image as its root.
pub(super) fn resolve<F: Files>(files: &F, path: &[u8], follow_last: bool) -> Result<F::Node, F::Error> {
    let mut rest: Vec<Cow<'_, [u8]>> = split(path).rev().map(Cow::Borrowed).collect();
    let mut node = files.root();
    let mut links = 0;
    while let Some(name) = rest.pop() {
        if !files.is_directory(node) {
            return Err(ResolveError::NotADirectory.into());
        }
        if *name == *b".." {
            node = files.parent(node)?;
            continue;
        }
        let child = files.child(node, &name)?.ok_or(ResolveError::NotFound)?;
        let target = if rest.is_empty() && !follow_last { None } else { files.target(child)? };
        let Some(target) = target else {
            node = child;
            continue;
        };
        links += 1;
        if links > LINKS_MAX {
            return Err(ResolveError::Loop.into());
        }
        if target.starts_with(b"/") {
            node = files.root();
        }
        rest.extend(split(&target).rev().map(|name| Cow::Owned(name.to_vec())));
    }
    Ok(node)
}

impl Files for Tree {
    type Node = InodeId;
    type Error = ResolveError;

    fn root(&self) -> InodeId {
        InodeId::ROOT
    }

    fn parent(&self, id: InodeId) -> Result<InodeId, ResolveError> {
        Ok(self.inode(id).directory().map_or(InodeId::ROOT, |directory| directory.parent))
    }

    fn child(&self, id: InodeId, name: &[u8]) -> Result<Option<InodeId>, ResolveError> {
        Ok(Self::child(self, id, name).map(|child| child.id))
    }

    fn is_directory(&self, id: InodeId) -> bool {
        self.inode(id).is_directory()
    }

    fn target(&self, id: InodeId) -> Result<Option<Cow<'_, [u8]>>, ResolveError> {
        Ok(match &self.inode(id).body {
            Body::Symlink(target) => Some(Cow::Borrowed(target)),
            _ => None,
        })
    }
}

impl Tree {
    /// Returns the file of a name; symbolic links are files like others, on the way too.
    pub fn lookup(&self, path: &[u8]) -> Option<Node<'_>> {
        let id = split(path).try_fold(InodeId::ROOT, |id, name| self.child(id, name).map(|child| child.id))?;
        Some(self.node(id))
    }

    /// Returns what a process in the image would open by that path: symbolic links are followed within the image.
    pub fn resolve(&self, path: &[u8]) -> Result<Node<'_>, ResolveError> {
        resolve(self, path, true).map(|id| self.node(id))
    }

    /// Returns the same, but the last component is taken as it is, even if it is a symbolic link.
    pub fn resolve_link(&self, path: &[u8]) -> Result<Node<'_>, ResolveError> {
        resolve(self, path, false).map(|id| self.node(id))
    }
}
