//! The tree of an image's files, all layers merged: the model between the tars and the index.

use std::collections::BTreeMap;

use crate::archive::{Content, DeviceNumber, SparseFile, Time, Xattr};

/// The place of an [`Inode`] in its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InodeId(pub(super) u32);

impl InodeId {
    /// The root directory.
    pub const ROOT: Self = Self(0);

    pub(super) fn index(self) -> usize {
        self.0 as usize
    }

    /// Returns the place as a number, which no other file of the tree has.
    pub fn number(self) -> u32 {
        self.0
    }
}

/// What a tree is grown from, layer by layer, and asked about by path.
///
/// ```no_run
/// use store::erofs::Tree;
///
/// let mut tree = Tree::new();
/// let layer = std::io::Cursor::new(vec![0; 1024]);
/// tree.add_layer(layer)?;
/// assert!(tree.lookup(b"/etc/passwd").is_none());
/// # Ok::<(), store::erofs::LayerError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Tree {
    pub(super) inodes: Vec<Inode>,
    /// Places whose inode has lost its last name.
    pub(super) free: Vec<InodeId>,
    /// The length of each layer's tar in blocks of 512 bytes.
    pub(super) layers: Vec<u32>,
    /// The directory that the last member went into, by the text before its name.
    pub(super) parent: Option<(Vec<u8>, InodeId)>,
    /// What the sparse files of all layers take in the index.
    pub(super) sparse_cost: u64,
}

/// A file of any kind, without its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inode {
    /// Permissions with set-uid, set-gid and sticky bit.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// How many names it has; for a directory two and one for each directory in it.
    pub links: u32,
    /// Time of the last change.
    pub mtime: Time,
    /// Extended attributes, sorted by name.
    pub xattrs: Box<[Xattr]>,
    /// What it is.
    pub body: Body,
}

/// What kind of file it is, with what only that kind has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A directory.
    Directory(Box<Directory>),
    /// A regular file.
    File(Data),
    /// A symbolic link with its target.
    Symlink(Box<[u8]>),
    /// A character device.
    CharDevice(DeviceNumber),
    /// A block device.
    BlockDevice(DeviceNumber),
    /// A named pipe.
    Fifo,
}

/// Where a regular file's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// In one run of a layer's tar.
    Whole {
        /// How many bytes.
        size: u64,
        /// Which layer, counted from 0.
        layer: u16,
        /// The block of 512 bytes where they start.
        block: u32,
    },
    /// In pieces, with holes between.
    Sparse {
        /// Which layer, counted from 0.
        layer: u16,
        /// The pieces.
        file: Box<SparseFile>,
    },
}

/// The names in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    pub(super) parent: InodeId,
    /// The layer for which its lower layers' content was last taken out.
    pub(super) pruned: u16,
    pub(super) entries: BTreeMap<Box<[u8]>, Child>,
}

/// A name's meaning, and which layer gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Child {
    pub(super) id: InodeId,
    pub(super) layer: u16,
}

impl Data {
    /// Gives the data of a layer's member its place; none if it lies too far into the tar.
    pub(super) fn from_content(content: Content, layer: u16) -> Option<Self> {
        Some(match content {
            Content::Whole { size, offset } => Self::Whole { size, layer, block: u32::try_from(offset / 512).ok()? },
            Content::Sparse(file) => Self::Sparse { layer, file },
        })
    }

    /// Returns the size of the file.
    pub fn size(&self) -> u64 {
        match self {
            Self::Whole { size, .. } => *size,
            Self::Sparse { file, .. } => file.size(),
        }
    }
}

impl Inode {
    /// A directory that no archive describes: made because something lies in it.
    pub(super) fn implicit_directory() -> Self {
        let directory = Directory { parent: InodeId::ROOT, pruned: 0, entries: BTreeMap::new() };
        Self {
            mode: 0o755,
            uid: 0,
            gid: 0,
            links: 2,
            mtime: Time::default(),
            xattrs: Box::default(),
            body: Body::Directory(Box::new(directory)),
        }
    }

    pub(super) fn directory(&self) -> Option<&Directory> {
        match &self.body {
            Body::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    pub(super) fn directory_mut(&mut self) -> Option<&mut Directory> {
        match &mut self.body {
            Body::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    /// Says whether it is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self.body, Body::Directory(_))
    }
}

/// An inode with its place, found by name.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    /// The place: two names of one file have the same.
    pub id: InodeId,
    /// The file.
    pub inode: &'a Inode,
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// Starts with an empty root directory and no layer.
    pub fn new() -> Self {
        let inodes = vec![Inode::implicit_directory()];
        Self { inodes, free: Vec::new(), layers: Vec::new(), parent: None, sparse_cost: 0 }
    }

    /// Returns the root directory.
    pub fn root(&self) -> Node<'_> {
        self.node(InodeId::ROOT)
    }

    /// Returns how many files there are, those of several names counted once.
    pub fn len(&self) -> usize {
        self.inodes.len() - self.free.len()
    }

    /// Says whether there is nothing but the root.
    pub fn is_empty(&self) -> bool {
        self.len() == 1
    }

    /// Returns how many layers were added.
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Returns the names in a directory, sorted; nothing if it is none.
    pub fn children(&self, id: InodeId) -> impl Iterator<Item = (&[u8], Node<'_>)> {
        let entries = self.inode(id).directory().map(|directory| directory.entries.iter());
        entries.into_iter().flatten().map(|(name, child)| (&**name, self.node(child.id)))
    }

    /// Calls `visit` for every name with its path, parents first, each directory sorted; the root is `/`.
    pub fn walk(&self, mut visit: impl FnMut(&[u8], Node<'_>)) {
        let mut todo = vec![(b"/".to_vec(), InodeId::ROOT)];
        while let Some((path, id)) = todo.pop() {
            visit(&path, self.node(id));
            let below = todo.len();
            let start = if path == b"/" { &[][..] } else { &path };
            todo.extend(self.children(id).map(|(name, node)| ([start, b"/", name].concat(), node.id)));
            todo[below..].reverse();
        }
    }

    pub(super) fn node(&self, id: InodeId) -> Node<'_> {
        Node { id, inode: self.inode(id) }
    }

    pub(super) fn inode(&self, id: InodeId) -> &Inode {
        &self.inodes[id.index()]
    }

    pub(super) fn inode_mut(&mut self, id: InodeId) -> &mut Inode {
        &mut self.inodes[id.index()]
    }

    pub(super) fn child(&self, parent: InodeId, name: &[u8]) -> Option<Child> {
        self.inode(parent).directory()?.entries.get(name).copied()
    }

    /// Keeps an inode and gives its place; there may be no more of them than fit 32 bits.
    pub(super) fn insert(&mut self, inode: Inode) -> Option<InodeId> {
        if let Some(id) = self.free.pop() {
            *self.inode_mut(id) = inode;
            return Some(id);
        }
        let id = InodeId(u32::try_from(self.inodes.len()).ok()?);
        self.inodes.push(inode);
        Some(id)
    }

    /// Gives an inode a name that must be free; its link count must know of it already.
    pub(super) fn attach(&mut self, parent: InodeId, name: &[u8], child: Child) {
        if let Some(directory) = self.inode_mut(child.id).directory_mut() {
            directory.parent = parent;
            self.inode_mut(parent).links += 1;
        }
        if let Some(directory) = self.inode_mut(parent).directory_mut() {
            directory.entries.insert(name.into(), child);
        }
    }

    /// Takes a name away, and with its last name the file, and with a directory all that is in it.
    pub(super) fn detach(&mut self, parent: InodeId, name: &[u8]) {
        self.parent = None;
        let removed = self.inode_mut(parent).directory_mut().and_then(|directory| directory.entries.remove(name));
        let Some(child) = removed else { return };
        if self.inode(child.id).is_directory() {
            self.inode_mut(parent).links -= 1;
        }
        let mut todo = vec![child.id];
        // No recursion: an archive may be deeper than our stack.
        while let Some(id) = todo.pop() {
            let inode = self.inode_mut(id);
            if let Some(directory) = inode.directory_mut() {
                let entries = std::mem::take(&mut directory.entries);
                inode.links = 0;
                todo.extend(entries.into_values().map(|child| child.id));
            } else {
                inode.links -= 1;
            }
            if self.inode(id).links == 0 {
                // What is left takes no memory of its own.
                self.inode_mut(id).body = Body::Fifo;
                self.inode_mut(id).xattrs = Box::default();
                self.free.push(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_takes_little_memory() {
        assert!(size_of::<Inode>() <= 80, "{}", size_of::<Inode>());
    }
}
