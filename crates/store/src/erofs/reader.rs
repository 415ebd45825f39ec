//! Reads an index back: the names, attributes and places of an image's files, without mounting it.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use oci::Digest;

use super::directory::{self, Found};
use super::disk::{
    BLOCK_SIZE, CHUNK_INDEX_SIZE, CHUNK_INDEXES, COMPACT_SIZE, DataLayout, EXTENDED_SIZE, HOLE, InodeHead, SLOT_BITS,
    SUPERBLOCK, Superblock, decode_device, u16_at, u32_at,
};
use super::place;
use super::resolve::{Files, ResolveError, resolve};
use super::xattr;
use crate::archive::{DeviceNumber, Time, Xattr};

/// A directory or link longer than this is not one of ours.
const READ_LIMIT: u64 = 1 << 30;

/// Bytes that can be read at any place.
pub trait ReadAt {
    /// Fills the buffer from an offset on.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = self.get(start..).and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl<R: ReadAt + ?Sized> ReadAt for &R {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(buffer, offset)
    }
}

/// Why an index cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The file could not be read.
    #[error("cannot read the index of the image")]
    Read(#[from] io::Error),
    /// It is not an index, or not a whole one.
    #[error("the index of the image is damaged: {0}")]
    Damaged(&'static str),
    /// The path leads nowhere.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
}

/// An index that is read where it lies.
#[derive(Debug)]
pub struct Index<R> {
    source: R,
    superblock: Superblock,
    root: Entry,
}

/// A file as the index tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    number: u64,
    head: InodeHead,
}

/// A piece of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// What it lies in.
    pub origin: Origin,
    /// Where it begins there, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub length: u64,
}

/// What a piece of a file lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nothing: it is zeros.
    Hole,
    /// The index itself.
    Index,
    /// The layer with this number; the lowest is 0.
    Layer(u16),
}

impl<R: ReadAt> Index<R> {
    /// Reads and checks the superblock and the device table.
    pub fn open(source: R) -> Result<Self, IndexError> {
        let mut block = [0; BLOCK_SIZE];
        source.read_exact_at(&mut block, SUPERBLOCK as u64)?;
        let (mut superblock, devices) = Superblock::decode(&block).map_err(IndexError::Damaged)?;
        for device in 0..devices {
            let mut slot = [0; 128];
            source.read_exact_at(&mut slot, Superblock::slot(device))?;
            let device = Superblock::decode_slot(&slot).ok_or(IndexError::Damaged("a device has no digest"))?;
            superblock.devices.push(device);
        }
        let root = read_entry(&source, &superblock, superblock.root.into())?;
        Ok(Self { source, superblock, root })
    }

    /// Returns the digests of the layers, lowest first: the devices that a mount needs, in this order.
    pub fn layers(&self) -> impl Iterator<Item = Digest> {
        self.superblock.devices.iter().map(|(digest, _)| *digest)
    }

    /// Returns the identity of the file system.
    pub fn uuid(&self) -> [u8; 16] {
        self.superblock.uuid
    }

    /// Returns how many files it tells of.
    pub fn inodes(&self) -> u64 {
        self.superblock.inodes
    }

    /// Returns the root directory.
    pub fn root(&self) -> Entry {
        self.root
    }

    /// Returns what a process in the image would open by that path: symbolic links are followed within the image.
    pub fn resolve(&self, path: &[u8]) -> Result<Entry, IndexError> {
        resolve(self, path, true)
    }

    /// Returns the same, but the last component is taken as it is, even if it is a symbolic link.
    pub fn resolve_link(&self, path: &[u8]) -> Result<Entry, IndexError> {
        resolve(self, path, false)
    }

    /// Returns the names in a directory, sorted, without `.` and `..`.
    pub fn children(&self, directory: Entry) -> Result<Vec<(Vec<u8>, Entry)>, IndexError> {
        let bytes = self.bytes(directory)?;
        let mut children = Vec::new();
        for block in bytes.chunks(BLOCK_SIZE) {
            for (name, number, _) in decode_block(block)? {
                if !matches!(name, b"." | b"..") {
                    children.push((name.to_vec(), self.entry(number)?));
                }
            }
        }
        Ok(children)
    }

    /// Returns where a symbolic link points.
    pub fn target(&self, link: Entry) -> Result<Vec<u8>, IndexError> {
        if link.is_symlink() { self.bytes(link) } else { Err(IndexError::Damaged("it is no symbolic link")) }
    }

    /// Returns the extended attributes of a file, sorted by name.
    pub fn xattrs(&self, entry: Entry) -> Result<Vec<Xattr>, IndexError> {
        let damaged = || IndexError::Damaged("attributes end too early");
        let mut body = vec![0; xattr::body_size(entry.head.xattr_count)];
        let start = self.behind(entry) - body.len() as u64;
        self.source.read_exact_at(&mut body, start)?;
        let (numbers, mut own) = xattr::split_body(&body).ok_or_else(damaged)?;
        let mut xattrs = Vec::new();
        for number in numbers {
            let offset = u64::from(self.superblock.xattr_block) * BLOCK_SIZE as u64 + u64::from(number) * 4;
            let mut head = [0; 4];
            self.source.read_exact_at(&mut head, offset)?;
            let mut bytes = vec![0; 4 + usize::from(head[0]) + usize::from(u16_at(&head, 2))];
            self.source.read_exact_at(&mut bytes, offset)?;
            xattrs.extend(xattr::decode(&bytes).ok_or_else(damaged)?.0);
        }
        while !own.is_empty() {
            let (xattr, size) = xattr::decode(own).ok_or_else(damaged)?;
            xattrs.extend(xattr);
            own = own.get(size..).unwrap_or_default();
        }
        xattrs.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(xattrs)
    }

    /// Reads a whole regular file, at most `limit` bytes of it; `layers` are the tars, lowest first.
    pub fn read<T: ReadAt>(&self, file: Entry, layers: &[T], limit: u64) -> Result<Vec<u8>, IndexError> {
        let size = file.head.size.min(limit);
        let mut bytes = vec![0; usize::try_from(size).map_err(|_| IndexError::Damaged("a file is too large"))?];
        let mut rest = &mut bytes[..];
        for piece in self.pieces(file)? {
            let length = usize::try_from(piece.length).unwrap_or(usize::MAX).min(rest.len());
            let chunk = rest.split_off_mut(..length).unwrap_or_default();
            match piece.origin {
                Origin::Hole => {}
                Origin::Index => self.source.read_exact_at(chunk, piece.offset)?,
                Origin::Layer(layer) => {
                    let layer = layers.get(usize::from(layer)).ok_or(IndexError::Damaged("a layer is missing"))?;
                    layer.read_exact_at(chunk, piece.offset)?;
                }
            }
        }
        Ok(bytes)
    }

    /// Returns where the bytes of a regular file lie, in order; together the pieces are as long as the file.
    pub fn pieces(&self, file: Entry) -> Result<Vec<Piece>, IndexError> {
        if !file.is_file() || file.head.layout != DataLayout::Chunks {
            return Ok(Vec::new());
        }
        let bits = file.head.union & !u32::from(CHUNK_INDEXES);
        let chunk_size = (BLOCK_SIZE as u64) << (bits & 31);
        let count = usize::try_from(file.head.size.div_ceil(chunk_size)).unwrap_or(usize::MAX);
        let mut indexes =
            vec![0; count.checked_mul(CHUNK_INDEX_SIZE).ok_or(IndexError::Damaged("a file is too large"))?];
        self.source.read_exact_at(&mut indexes, place::chunk_indexes(self.behind(file)))?;
        let mut left = file.head.size;
        let piece = |index: &[u8]| {
            let (device, block) = (u16_at(index, 2), u32_at(index, 4));
            let length = left.min(chunk_size);
            left -= length;
            let origin = match device.checked_sub(1) {
                _ if block == HOLE => Origin::Hole,
                None => Origin::Index,
                Some(layer) => Origin::Layer(layer),
            };
            Piece { origin, offset: u64::from(block) * BLOCK_SIZE as u64, length }
        };
        Ok(indexes.chunks_exact(CHUNK_INDEX_SIZE).map(piece).collect())
    }

    /// Reads what lies in the index itself.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), IndexError> {
        Ok(self.source.read_exact_at(buffer, offset)?)
    }

    fn entry(&self, number: u64) -> Result<Entry, IndexError> {
        read_entry(&self.source, &self.superblock, number)
    }

    /// Returns where what follows an inode's head and attributes begins.
    fn behind(&self, entry: Entry) -> u64 {
        position(&self.superblock, entry.number)
            .saturating_add(entry.head_size() + xattr::body_size(entry.head.xattr_count) as u64)
    }

    /// Reads a directory or a link.
    fn bytes(&self, entry: Entry) -> Result<Vec<u8>, IndexError> {
        let head = &entry.head;
        if head.size > READ_LIMIT || head.layout == DataLayout::Chunks {
            return Err(IndexError::Damaged("a directory or link is out of bounds"));
        }
        let mut bytes = vec![0; usize::try_from(head.size).unwrap_or(usize::MAX)];
        let tail = if head.layout == DataLayout::Inline { bytes.len() % BLOCK_SIZE } else { 0 };
        let split = bytes.len() - tail;
        let (blocks, tail) = bytes.split_at_mut(split);
        if !blocks.is_empty() {
            self.source.read_exact_at(blocks, u64::from(head.union) * BLOCK_SIZE as u64)?;
        }
        self.source.read_exact_at(tail, self.behind(entry))?;
        Ok(bytes)
    }

    fn find(&self, directory: Entry, wanted: &[u8]) -> Result<Option<Entry>, IndexError> {
        let bytes = self.bytes(directory)?;
        let blocks = bytes.chunks(BLOCK_SIZE).collect::<Vec<_>>();
        let mut found = None;
        // The block with the last first name that is not beyond the wanted one.
        let (mut low, mut high) = (0, blocks.len());
        while low < high {
            let middle = low.midpoint(high);
            let entries = decode_block(blocks[middle])?;
            if entries.first().is_some_and(|(name, ..)| *name <= wanted) {
                found = entries.iter().find(|(name, ..)| *name == wanted).map(|(_, number, _)| *number);
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        found.map(|number| self.entry(number)).transpose()
    }
}

fn read_entry(source: &impl ReadAt, superblock: &Superblock, number: u64) -> Result<Entry, IndexError> {
    let mut bytes = [0; EXTENDED_SIZE];
    let position = position(superblock, number);
    // The last inode may be short, and nothing may follow it.
    let (first, second) = bytes.split_at_mut(COMPACT_SIZE);
    source.read_exact_at(first, position)?;
    if first[0] & 1 == 1 {
        source.read_exact_at(second, position.saturating_add(COMPACT_SIZE as u64))?;
    }
    let head = InodeHead::decode(&bytes, superblock.time);
    Ok(Entry { number, head: head.ok_or(IndexError::Damaged("an inode is of no known form"))? })
}

fn position(superblock: &Superblock, number: u64) -> u64 {
    let start = u64::from(superblock.inode_block) * BLOCK_SIZE as u64;
    start.saturating_add(number.saturating_mul(1 << SLOT_BITS))
}

fn decode_block(block: &[u8]) -> Result<Vec<Found<'_>>, IndexError> {
    directory::decode(block).ok_or(IndexError::Damaged("a directory block is malformed"))
}

impl<R: ReadAt> Files for Index<R> {
    type Node = Entry;
    type Error = IndexError;

    fn root(&self) -> Entry {
        self.root
    }

    fn parent(&self, node: Entry) -> Result<Entry, IndexError> {
        self.find(node, b"..")?.ok_or(IndexError::Damaged("a directory has no parent"))
    }

    fn child(&self, node: Entry, name: &[u8]) -> Result<Option<Entry>, IndexError> {
        self.find(node, name)
    }

    fn is_directory(&self, node: Entry) -> bool {
        node.is_directory()
    }

    fn target(&self, node: Entry) -> Result<Option<Cow<'_, [u8]>>, IndexError> {
        if node.is_symlink() { Ok(Some(Cow::Owned(Self::target(self, node)?))) } else { Ok(None) }
    }
}

impl Entry {
    /// Returns the number of the file: two names of one file have the same.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Returns type and permissions, as stat(2) does.
    pub fn mode(&self) -> u32 {
        self.head.mode.into()
    }

    /// Returns the owner.
    pub fn uid(&self) -> u32 {
        self.head.uid
    }

    /// Returns the group.
    pub fn gid(&self) -> u32 {
        self.head.gid
    }

    /// Returns the size.
    pub fn size(&self) -> u64 {
        self.head.size
    }

    /// Returns how many names it has.
    pub fn links(&self) -> u32 {
        self.head.links
    }

    /// Returns the time of the last change.
    pub fn mtime(&self) -> Time {
        self.head.mtime
    }

    /// Returns the number of a device; nothing for other files.
    pub fn device(&self) -> Option<DeviceNumber> {
        matches!(self.mode() & 0o170_000, 0o020_000 | 0o060_000).then(|| decode_device(self.head.union))
    }

    /// Says whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.mode() & 0o170_000 == 0o040_000
    }

    /// Says whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.mode() & 0o170_000 == 0o100_000
    }

    /// Says whether it is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.mode() & 0o170_000 == 0o120_000
    }

    fn head_size(&self) -> u64 {
        if self.head.extended { 64 } else { 32 }
    }
}
