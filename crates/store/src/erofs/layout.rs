//! The plan of an index: what stands where, before a byte is written.
//!
//! ```text
//! superblock | device table || inodes, breadth first || shared attributes || ends of directories and links || copies
//! ```
//!
//! Breadth first puts the files of one directory side by side, which is how they are looked at. `||` is a block boundary.

use std::collections::HashMap;

use oci::{Digest, Hasher};

use super::directory::Listing;
use super::disk::{BLOCK_SIZE, COMPACT_SIZE, DataLayout, EXTENDED_SIZE, InodeHead, SLOT_BITS, Superblock};
use super::place::{self, Chunks};
use super::tree::{Body, Data, Inode, InodeId, Tree};
use super::xattr::{self, Table};
use crate::archive::{Chunk, Time};

/// Mixed into the UUID, so that an index in another form would have another.
const UUID_SALT: &[u8] = b"conductor erofs index 1\n";

/// Why a tree cannot become an index.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// There must be a digest for each layer.
    #[error("an index of {layers} layers needs as many digests, not {digests}")]
    Digests {
        /// How many layers the tree has.
        layers: usize,
        /// How many digests were given.
        digests: usize,
    },
    /// One file has more attributes than its inode can tell of.
    #[error("the attributes of one file take {size} bytes, more than an inode can have")]
    Xattrs {
        /// How many bytes they take.
        size: usize,
    },
    /// The format counts blocks in 32 bits.
    #[error("the index would be larger than 2 TiB")]
    TooLarge,
}

/// What stands where in an index.
#[derive(Debug)]
pub struct Layout {
    pub(super) superblock: Superblock,
    /// In the order in which they stand.
    pub(super) inodes: Vec<Placed>,
    /// The number of each inode, by its place in the tree: where it stands, in units of 32 bytes.
    pub(super) numbers: Vec<u64>,
    pub(super) xattrs: Table,
}

/// An inode and where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    pub(super) id: InodeId,
    /// Counted from the first inode block.
    pub(super) position: u64,
    pub(super) extended: bool,
    pub(super) layout: DataLayout,
    /// How long its directory or link is; how long its attributes are.
    pub(super) size: u64,
    pub(super) xattr_size: usize,
    /// The first of its blocks in the index, if it has any.
    pub(super) block: u32,
}

impl Layout {
    /// Plans the index of a tree whose layers have these digests, lowest first.
    pub fn plan(tree: &Tree, digests: &[Digest]) -> Result<Self, LayoutError> {
        if digests.len() != tree.layers.len() {
            return Err(LayoutError::Digests { layers: tree.layers.len(), digests: digests.len() });
        }
        let order = breadth_first(tree);
        let time = most_common_time(tree, &order);
        let xattrs = Table::plan(tree, &order).ok_or(LayoutError::TooLarge)?;
        let (mut inodes, inode_bytes) = place_inodes(tree, &order, time, &xattrs)?;

        let inode_block = Superblock::size_in_blocks(digests.len()) as u64;
        let xattr_block = inode_block + inode_bytes.div_ceil(BLOCK_SIZE as u64);
        let first_block = xattr_block + xattrs.area.len().div_ceil(BLOCK_SIZE) as u64;
        let blocks = place_blocks(tree, &mut inodes, first_block)?;

        let mut numbers = vec![0; tree.inodes.len()];
        for inode in &inodes {
            numbers[inode.id.index()] = inode.position >> SLOT_BITS;
        }
        let block = |number| u32::try_from(number).map_err(|_| LayoutError::TooLarge);
        let superblock = Superblock {
            // The root comes first, so that 16 bits are enough.
            root: u16::try_from(numbers[InodeId::ROOT.index()]).map_err(|_| LayoutError::TooLarge)?,
            inodes: inodes.len() as u64,
            time,
            blocks: block(blocks)?,
            inode_block: block(inode_block)?,
            xattr_block: block(xattr_block)?,
            uuid: uuid(digests),
            devices: digests.iter().copied().zip(tree.layers.iter().copied()).collect(),
        };
        Ok(Self { superblock, inodes, numbers, xattrs })
    }

    /// Returns the length of the index.
    pub fn size(&self) -> u64 {
        u64::from(self.superblock.blocks) * BLOCK_SIZE as u64
    }

    /// Returns how many files it tells of.
    pub fn inodes(&self) -> u64 {
        self.superblock.inodes
    }

    /// Returns the identity of the file system, which follows from its layers.
    pub fn uuid(&self) -> [u8; 16] {
        self.superblock.uuid
    }

    pub(super) fn number(&self, id: InodeId) -> u64 {
        self.numbers[id.index()]
    }
}

impl Placed {
    /// Returns how long the inode is with its attributes.
    pub(super) fn fixed_size(&self) -> u64 {
        let head = if self.extended { EXTENDED_SIZE } else { COMPACT_SIZE };
        (head + self.xattr_size) as u64
    }

    /// Splits the size of a directory or link: what stands in blocks, and what stands behind the inode.
    pub(super) fn split_size(&self) -> (u64, u64) {
        match self.layout {
            DataLayout::Plain => (self.size, 0),
            DataLayout::Inline => (self.size - self.size % BLOCK_SIZE as u64, self.size % BLOCK_SIZE as u64),
            DataLayout::Chunks => (0, 0),
        }
    }
}

/// Lists every inode once, parents before children, each directory's names in order.
fn breadth_first(tree: &Tree) -> Vec<InodeId> {
    let mut order = Vec::with_capacity(tree.len());
    let mut is_seen = vec![false; tree.inodes.len()];
    order.push(InodeId::ROOT);
    let mut next = 0;
    while let Some(&id) = order.get(next) {
        next += 1;
        for (_, child) in tree.children(id) {
            if !std::mem::replace(&mut is_seen[child.id.index()], true) {
                order.push(child.id);
            }
        }
    }
    order
}

/// The short inodes share one time; of several that are equally common, the earliest.
fn most_common_time(tree: &Tree, order: &[InodeId]) -> Time {
    let mut counts: HashMap<Time, usize> = HashMap::new();
    for &id in order {
        *counts.entry(tree.inode(id).mtime).or_default() += 1;
    }
    let most = counts.into_iter().max_by(|(a, many), (b, more)| many.cmp(more).then(b.cmp(a)));
    most.map(|(time, _)| time).unwrap_or_default()
}

fn place_inodes(tree: &Tree, order: &[InodeId], time: Time, xattrs: &Table) -> Result<(Vec<Placed>, u64), LayoutError> {
    let mut cursor = 0;
    let mut inodes = Vec::with_capacity(order.len());
    for &id in order {
        let inode = tree.inode(id);
        let xattr_size = xattrs.body(inode).len();
        if xattr::count(xattr_size).is_none() {
            return Err(LayoutError::Xattrs { size: xattr_size });
        }
        let size = size_of_inode(tree, id, inode);
        let extended = InodeHead::needs_extended(inode, size, time);
        let layout = DataLayout::Plain;
        let mut placed = Placed { id, position: 0, extended, layout, size, xattr_size, block: 0 };
        cursor = place_inode(&mut placed, inode, cursor);
        inodes.push(placed);
    }
    Ok((inodes, cursor))
}

fn size_of_inode(tree: &Tree, id: InodeId, inode: &Inode) -> u64 {
    match &inode.body {
        Body::Directory(_) => Listing::new(tree, id).size(),
        Body::File(data) => data.size(),
        Body::Symlink(target) => target.len() as u64,
        _ => 0,
    }
}

/// Decides on layout and position; gives where the next inode may start.
fn place_inode(placed: &mut Placed, inode: &Inode, cursor: u64) -> u64 {
    let fixed = placed.fixed_size();
    placed.position = place::after(cursor);
    match &inode.body {
        Body::File(data) if data.size() > 0 => {
            placed.layout = DataLayout::Chunks;
            let indexes = place::chunk_indexes(placed.position + fixed);
            return indexes + Chunks::of(data).count * 8;
        }
        Body::Directory(_) | Body::Symlink(_) => {
            let tail = placed.size % BLOCK_SIZE as u64;
            if tail > 0
                && let Some(position) = place::inline(cursor, fixed, tail)
            {
                placed.layout = DataLayout::Inline;
                placed.position = position;
                return position + fixed + tail;
            }
        }
        _ => {}
    }
    placed.position + fixed
}

/// Gives blocks to directories and links, then to what is copied of sparse files; gives the number of all blocks.
fn place_blocks(tree: &Tree, inodes: &mut [Placed], first: u64) -> Result<u64, LayoutError> {
    let mut next = first;
    let mut take = |bytes: u64| {
        let block = u32::try_from(next).map_err(|_| LayoutError::TooLarge)?;
        next += bytes.div_ceil(BLOCK_SIZE as u64);
        Ok(block)
    };
    for inode in inodes.iter_mut() {
        let (blocks, _) = inode.split_size();
        if blocks > 0 && inode.layout != DataLayout::Chunks {
            inode.block = take(blocks)?;
        }
    }
    for inode in inodes {
        if let Body::File(Data::Sparse { file, .. }) = &tree.inode(inode.id).body {
            let copies = file.chunks().filter(|chunk| matches!(chunk, Chunk::Copy(_))).count() as u64;
            if copies > 0 {
                inode.block = take(copies * file.chunk_size())?;
            }
        }
    }
    Ok(next)
}

fn uuid(digests: &[Digest]) -> [u8; 16] {
    let mut hasher = Hasher::default();
    hasher.update(UUID_SALT);
    for digest in digests {
        hasher.update(digest.as_bytes());
    }
    let hash = hasher.finish();
    let mut uuid: [u8; 16] = std::array::from_fn(|index| hash.as_bytes()[index]);
    // RFC 9562: version 8, made as its maker likes.
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    uuid
}
