//! Writes an index as it was planned, from its first byte to its last.

use std::io::{self, BufWriter, Write};

use super::directory::Listing;
use super::disk::{
    BLOCK_SIZE, CHUNK_INDEX_SIZE, CHUNK_INDEXES, DataLayout, HOLE, InodeHead, chunk_index, encode_device, type_bits,
};
use super::layout::{Layout, Placed};
use super::place::{self, Chunks};
use super::tree::{Body, Data, Inode, Tree};
use super::xattr;
use crate::archive::{Chunk, SparseFile};

/// Why an index could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the index of the image")]
pub struct WriteError(#[from] io::Error);

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// The length of the index.
    pub bytes: u64,
    /// How many files it tells of.
    pub inodes: u64,
}

/// Writes the index of a tree in the layout that was planned for it.
pub fn write(tree: &Tree, layout: &Layout, out: impl Write) -> Result<Summary, WriteError> {
    let mut writer = Writer { tree, layout, out: BufWriter::with_capacity(1 << 18, out), position: 0, start: 0 };
    writer.put(&layout.superblock.encode())?;
    writer.start = writer.position;
    let blocks = writer.put_inodes()?;
    writer.pad_to_block()?;
    writer.put(&layout.xattrs.area)?;
    writer.pad_to_block()?;
    writer.put(&blocks)?;
    writer.put_copies()?;
    writer.pad_to(layout.size())?;
    writer.out.flush()?;
    Ok(Summary { bytes: layout.size(), inodes: layout.inodes() })
}

struct Writer<'a, W: Write> {
    tree: &'a Tree,
    layout: &'a Layout,
    out: BufWriter<W>,
    position: u64,
    /// Where the inodes begin.
    start: u64,
}

impl<W: Write> Writer<'_, W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.position += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn pad_to(&mut self, position: u64) -> io::Result<()> {
        debug_assert!(position >= self.position, "the plan goes forward only");
        let mut rest = position.saturating_sub(self.position);
        while rest > 0 {
            let zeros = [0; 4096];
            let count = usize::try_from(rest).unwrap_or(usize::MAX).min(zeros.len());
            self.put(&zeros[..count])?;
            rest -= count as u64;
        }
        Ok(())
    }

    fn pad_to_block(&mut self) -> io::Result<()> {
        self.pad_to(self.position.next_multiple_of(BLOCK_SIZE as u64))
    }

    /// Writes all inodes, and gives the blocks of directories and links, which come later.
    fn put_inodes(&mut self) -> io::Result<Vec<u8>> {
        let mut blocks = Vec::new();
        let mut head = Vec::new();
        for (number, placed) in (1..).zip(&self.layout.inodes) {
            let inode = self.tree.inode(placed.id);
            self.pad_to(self.start + placed.position)?;
            head.clear();
            plan_head(placed, inode, number).encode(&mut head);
            self.put(&head)?;
            let xattrs = self.layout.xattrs.body(inode);
            self.put(&xattrs)?;
            match &inode.body {
                Body::File(data) => self.put_chunks(placed, data)?,
                Body::Directory(_) => {
                    let bytes = Listing::new(self.tree, placed.id).encode(self.tree, |id| self.layout.number(id));
                    self.put_bytes(placed, &bytes, &mut blocks)?;
                }
                Body::Symlink(target) => self.put_bytes(placed, target, &mut blocks)?,
                Body::CharDevice(_) | Body::BlockDevice(_) | Body::Fifo => {}
            }
        }
        Ok(blocks)
    }

    /// Writes what stands behind the inode, and keeps what stands in blocks.
    fn put_bytes(&mut self, placed: &Placed, bytes: &[u8], blocks: &mut Vec<u8>) -> io::Result<()> {
        let (in_blocks, _) = placed.split_size();
        let split = usize::try_from(in_blocks).unwrap_or(usize::MAX).min(bytes.len());
        blocks.extend_from_slice(&bytes[..split]);
        blocks.resize(blocks.len().next_multiple_of(BLOCK_SIZE), 0);
        self.put(&bytes[split..])
    }

    fn put_chunks(&mut self, placed: &Placed, data: &Data) -> io::Result<()> {
        if data.size() == 0 {
            return Ok(());
        }
        let chunks = Chunks::of(data);
        self.pad_to(self.start + place::chunk_indexes(placed.position + placed.fixed_size()))?;
        match data {
            Data::Whole { layer, block, .. } => {
                for number in 0..chunks.count {
                    let block = u64::from(*block) + number * (chunks.size() / BLOCK_SIZE as u64);
                    self.put(&archive_chunk(*layer, block))?;
                }
            }
            Data::Sparse { layer, file } => {
                let mut own = placed.block;
                for chunk in file.chunks() {
                    let index = match chunk {
                        Chunk::Hole => chunk_index(0, HOLE),
                        Chunk::Archive(offset) => archive_chunk(*layer, offset / BLOCK_SIZE as u64),
                        Chunk::Copy(_) => {
                            own += 1 << chunks.bits;
                            chunk_index(0, own - (1 << chunks.bits))
                        }
                    };
                    self.put(&index)?;
                }
            }
        }
        Ok(())
    }

    /// Writes the chunks of sparse files that archives keep off their block grid.
    fn put_copies(&mut self) -> io::Result<()> {
        for placed in &self.layout.inodes {
            if let Body::File(Data::Sparse { file, .. }) = &self.tree.inode(placed.id).body
                && placed.block > 0
            {
                self.pad_to(u64::from(placed.block) * BLOCK_SIZE as u64)?;
                self.put_copied(file)?;
            }
        }
        Ok(())
    }

    fn put_copied(&mut self, file: &SparseFile) -> io::Result<()> {
        for chunk in file.chunks() {
            let Chunk::Copy(pieces) = chunk else { continue };
            let start = self.position;
            for (place, from) in pieces {
                self.pad_to(start + place.start)?;
                self.put(&file.copied()[from])?;
            }
            self.pad_to(start + file.chunk_size())?;
        }
        Ok(())
    }
}

/// The tar's length was checked to be within 32 bits of blocks.
fn archive_chunk(layer: u16, block: u64) -> [u8; CHUNK_INDEX_SIZE] {
    chunk_index(layer + 1, u32::try_from(block).unwrap_or(HOLE))
}

fn plan_head(placed: &Placed, inode: &Inode, number: u32) -> InodeHead {
    let union = match &inode.body {
        Body::File(data) if data.size() > 0 => u32::from(CHUNK_INDEXES | u16::from(Chunks::of(data).bits)),
        Body::CharDevice(number) | Body::BlockDevice(number) => encode_device(*number),
        Body::Directory(_) | Body::Symlink(_) if placed.layout != DataLayout::Chunks => placed.block,
        _ => 0,
    };
    InodeHead {
        extended: placed.extended,
        layout: placed.layout,
        xattr_count: xattr::count(placed.xattr_size).unwrap_or_default(),
        mode: type_bits(&inode.body) | inode.mode,
        size: placed.size,
        union,
        number,
        uid: inode.uid,
        gid: inode.gid,
        mtime: inode.mtime,
        links: inode.links,
    }
}
