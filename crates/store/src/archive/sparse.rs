//! Files with holes.
//!
//! An archive keeps the pieces of such a file one after the other. An index can point at them in *chunks* of one size,
//! a power of two from 512 bytes up; each chunk is a hole, or lies in the archive in one run at a multiple of 512, or
//! has to be copied into the index. [`SparseFile::plan`] picks the chunk size for which pointers and copies together
//! are smallest: most files need no copy at all, and a terabyte with one odd piece at its end needs a few megabytes.

use std::ops::Range;

use super::BLOCK;
use super::fault::Fault;
use super::number::{parse_decimal, parse_unsigned};

/// More pieces than any file system writes; a bound for what a map can make us hold.
pub(super) const EXTENTS_LIMIT: usize = 1 << 20;
/// What an index may spend on one sparse file: pointers and copies.
const COST_LIMIT: u64 = 256 << 20;
/// The kernel keeps the chunk size in five bits.
const CHUNK_BITS_MAX: u8 = 31;

/// A piece of a sparse file that holds data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Where it lies in the file.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
    /// Where its bytes are in the archive.
    pub position: u64,
}

impl Extent {
    fn end(&self) -> u64 {
        self.offset + self.length
    }
}

/// A file with holes: what lies where, and how an index can say so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SparseFile {
    size: u64,
    extents: Box<[Extent]>,
    chunk_bits: u8,
    cost: u64,
    /// The bytes of all pieces in chunks to be copied, in the order of the file.
    copied: Vec<u8>,
}

/// What a chunk is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// Nothing but zeros.
    Hole,
    /// A run of the archive, at this offset.
    Archive(u64),
    /// To be made of pieces: each a range within the chunk and where its bytes are in [`SparseFile::copied`].
    Copy(Vec<(Range<u64>, Range<usize>)>),
}

impl SparseFile {
    /// Decides how a file of `size` bytes with these pieces is kept; `start` is where the first piece's bytes are.
    pub(super) fn plan(size: u64, map: &[Extent], start: u64, stored: u64) -> Result<Self, Fault> {
        if i64::try_from(size).is_err() {
            return Err(Fault::Number { field: "real size" });
        }
        let extents = place(size, map, start, stored)?;
        let blocks = size.div_ceil(BLOCK);
        let whole = u8::try_from(blocks.next_power_of_two().trailing_zeros()).unwrap_or(CHUNK_BITS_MAX);
        let (cost, chunk_bits) = (0..=whole.min(CHUNK_BITS_MAX))
            .rev()
            .map(|bits| (cost(size, &extents, bits), bits))
            .min_by_key(|(cost, _)| *cost)
            .unwrap_or_default();
        if cost > COST_LIMIT {
            return Err(Fault::Sparse { why: "the file is too large and too scattered" });
        }
        Ok(Self { size, extents, chunk_bits, cost, copied: Vec::new() })
    }

    /// Returns the size with the holes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the pieces that hold data, in order.
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// Returns the power of two by which a chunk is larger than 512 bytes.
    pub fn chunk_bits(&self) -> u8 {
        self.chunk_bits
    }

    /// Returns the size of a chunk.
    pub fn chunk_size(&self) -> u64 {
        BLOCK << self.chunk_bits
    }

    /// Returns how many bytes of an index the file takes, pointers and copies.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// Returns the bytes that the index has to hold itself.
    pub fn copied(&self) -> &[u8] {
        &self.copied
    }

    /// Returns the chunks in order.
    pub fn chunks(&self) -> impl Iterator<Item = Chunk> {
        let mut copied = 0;
        pieces(self.size, &self.extents, self.chunk_bits).map(move |(chunk, pieces)| match pieces {
            [] => Chunk::Hole,
            [piece] if lies_whole(piece, &chunk) => Chunk::Archive(piece.position + (chunk.start - piece.offset)),
            pieces => Chunk::Copy(
                pieces
                    .iter()
                    .map(|piece| {
                        let part = within(piece, &chunk);
                        let length = usize::try_from(part.end - part.start).unwrap_or(usize::MAX);
                        copied += length;
                        (part.start - chunk.start..part.end - chunk.start, copied - length..copied)
                    })
                    .collect(),
            ),
        })
    }

    /// Returns the parts of the archive whose bytes must be given to [`keep`](Self::keep), in order.
    pub(super) fn wanted(&self) -> Vec<Range<u64>> {
        let mut wanted: Vec<Range<u64>> = Vec::new();
        for (chunk, pieces) in pieces(self.size, &self.extents, self.chunk_bits) {
            if matches!(pieces, [piece] if lies_whole(piece, &chunk)) {
                continue;
            }
            for piece in pieces {
                let part = within(piece, &chunk);
                let start = piece.position + (part.start - piece.offset);
                wanted.push(start..start + (part.end - part.start));
            }
        }
        wanted
    }

    /// Takes the next of the wanted bytes.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        self.copied.extend_from_slice(bytes);
    }
}

/// Checks a map and gives each piece its place in the archive; neighbours become one.
fn place(size: u64, map: &[Extent], start: u64, stored: u64) -> Result<Box<[Extent]>, Fault> {
    let fault = |why| Fault::Sparse { why };
    let mut extents: Vec<Extent> = Vec::with_capacity(map.len());
    let (mut end, mut position) = (0, start);
    for &Extent { offset, length, .. } in map {
        if offset < end {
            return Err(fault("its pieces overlap or are out of order"));
        }
        end = offset.checked_add(length).filter(|&end| end <= size).ok_or(fault("a piece lies beyond the end"))?;
        match extents.last_mut() {
            _ if length == 0 => {}
            Some(last) if last.end() == offset => last.length += length,
            _ => extents.push(Extent { offset, length, position }),
        }
        position = position.checked_add(length).ok_or(fault("a piece lies beyond the end"))?;
    }
    if position - start != stored {
        return Err(fault("its pieces are not as long as what is stored"));
    }
    Ok(extents.into())
}

/// What an index pays for pointers (8 bytes each) and for chunks that cannot be pointed at.
fn cost(size: u64, extents: &[Extent], bits: u8) -> u64 {
    let chunk = BLOCK << bits;
    let mut copies = 0_u64;
    // The first chunk that is not counted yet; two pieces may share one.
    let mut next = 0;
    let mut copy = |chunks: Range<u64>| {
        copies = copies.saturating_add(chunks.end.saturating_sub(chunks.start.max(next)));
        next = next.max(chunks.end);
    };
    for extent in extents {
        let (first, end) = (extent.offset / chunk, extent.end().div_ceil(chunk));
        if !extent.position.wrapping_sub(extent.offset).is_multiple_of(BLOCK) {
            // Its bytes lie across the archive's blocks from its first chunk to its last.
            copy(first..end);
            continue;
        }
        if !extent.offset.is_multiple_of(chunk) {
            copy(first..first + 1);
        }
        if !extent.end().is_multiple_of(chunk) && extent.end() != size {
            copy(end - 1..end);
        }
    }
    size.div_ceil(chunk).saturating_mul(8).saturating_add(copies.saturating_mul(chunk))
}

/// Walks the chunks with the pieces that reach into each.
fn pieces(size: u64, extents: &[Extent], bits: u8) -> impl Iterator<Item = (Range<u64>, &[Extent])> {
    let chunk = BLOCK << bits;
    let mut first = 0;
    (0..size.div_ceil(chunk)).map(move |number| {
        let range = number * chunk..size.min((number + 1).saturating_mul(chunk));
        while extents.get(first).is_some_and(|extent| extent.end() <= range.start) {
            first += 1;
        }
        let count = extents[first..].iter().take_while(|extent| extent.offset < range.end).count();
        (range, &extents[first..first + count])
    })
}

fn lies_whole(piece: &Extent, chunk: &Range<u64>) -> bool {
    piece.offset <= chunk.start
        && piece.end() >= chunk.end
        && (piece.position + (chunk.start - piece.offset)).is_multiple_of(BLOCK)
}

fn within(piece: &Extent, chunk: &Range<u64>) -> Range<u64> {
    piece.offset.max(chunk.start)..piece.end().min(chunk.end)
}

/// Reads the pieces of an old GNU map: offset and length, twelve characters each.
pub(super) fn parse_old_map(entries: &[u8], map: &mut Vec<Extent>) -> Result<(), Fault> {
    let number = |field| parse_unsigned(field).ok_or(Fault::Sparse { why: "a number is expected" });
    for entry in entries.chunks_exact(24) {
        let (offset, length) = entry.split_at(12);
        if offset[0] == 0 && length[0] == 0 {
            break;
        }
        if map.len() >= EXTENTS_LIMIT {
            return Err(Fault::Sparse { why: "too many pieces" });
        }
        map.push(Extent { offset: number(offset)?, length: number(length)?, position: 0 });
    }
    Ok(())
}

/// The map of PAX sparse files, version 1.0: lines of decimal numbers before the data, padded to a block.
#[derive(Debug, Clone, Default)]
pub(super) struct MapReader {
    count: Option<u64>,
    offset: Option<u64>,
    line: Vec<u8>,
    pub(super) map: Vec<Extent>,
}

impl MapReader {
    /// Takes the next block; says whether the map is whole.
    pub(super) fn read(&mut self, block: &[u8]) -> Result<bool, Fault> {
        let fault = |why| Fault::Sparse { why };
        for &byte in block {
            if byte != b'\n' {
                self.line.push(byte);
                if self.line.len() > 20 {
                    return Err(fault("a number is too long"));
                }
                continue;
            }
            let number = parse_decimal(&self.line).ok_or(fault("a number is expected"))?;
            self.line.clear();
            if self.take(number)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn take(&mut self, number: u64) -> Result<bool, Fault> {
        let Some(count) = self.count else {
            if number > EXTENTS_LIMIT as u64 {
                return Err(Fault::Sparse { why: "too many pieces" });
            }
            self.count = Some(number);
            return Ok(number == 0);
        };
        match self.offset.take() {
            None => self.offset = Some(number),
            Some(offset) => self.map.push(Extent { offset, length: number, position: 0 }),
        }
        Ok(self.map.len() as u64 == count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(size: u64, map: &[(u64, u64)]) -> SparseFile {
        let map: Vec<_> = map.iter().map(|&(offset, length)| Extent { offset, length, position: 0 }).collect();
        let stored = map.iter().map(|extent| extent.length).sum();
        SparseFile::plan(size, &map, 512, stored).unwrap()
    }

    #[test]
    fn aligned_pieces_are_pointed_at_with_the_largest_chunks_that_fit() {
        let file = plan(1 << 20, &[(0x10000, 0x4000), (0x80000, 0x8000)]);
        assert_eq!(file.chunk_size(), 0x4000);
        assert!(file.wanted().is_empty());
        let chunks: Vec<_> = file.chunks().collect();
        assert_eq!(chunks.len(), 64);
        assert_eq!(chunks[3], Chunk::Hole);
        assert_eq!(chunks[4], Chunk::Archive(512));
        assert_eq!(chunks[32], Chunk::Archive(512 + 0x4000));
        assert_eq!(chunks[33], Chunk::Archive(512 + 0x8000));
    }

    #[test]
    fn a_piece_that_is_not_aligned_is_copied() {
        let mut file = plan(2000, &[(100, 200), (1024, 976)]);
        let wanted = file.wanted();
        let total: u64 = wanted.iter().map(|range| range.end - range.start).sum();
        assert_eq!(total, 1176, "{wanted:?}");
        file.keep(&vec![7; 1176]);
        let copied: usize = file
            .chunks()
            .map(|chunk| match chunk {
                Chunk::Copy(pieces) => pieces.iter().map(|(_, from)| from.len()).sum(),
                _ => 0,
            })
            .sum();
        assert_eq!(copied, file.copied().len());
    }

    #[test]
    fn a_huge_file_with_one_odd_piece_costs_megabytes() {
        let file = plan(1 << 44, &[((1 << 43) + 512, 512)]);
        assert!(file.cost() < 32 << 20, "{}", file.cost());
        let file = plan(u64::MAX / 4, &[]);
        assert!(file.cost() < 128 << 20, "{}", file.cost());
    }

    #[test]
    fn the_cost_is_what_the_chunks_take() {
        for map in [
            &[][..],
            &[(0, 100)],
            &[(512, 512), (2048, 1)],
            &[(1, 511), (512, 512), (5000, 5000)],
            &[(0, 512), (1000, 24), (3000, 4096)],
        ] {
            let file = plan(10_000, map);
            let copies = file.chunks().filter(|chunk| matches!(chunk, Chunk::Copy(_))).count() as u64;
            assert_eq!(file.cost(), file.chunks().count() as u64 * 8 + copies * file.chunk_size(), "{map:?}");
        }
    }

    #[test]
    fn maps_that_describe_no_file_are_refused() {
        let extent = |(offset, length)| Extent { offset, length, position: 0 };
        for (size, map, stored) in [
            (1000, &[(0, 10), (5, 10)][..], 20),
            (1000, &[(500, 10), (5, 10)], 20),
            (1000, &[(995, 10)], 10),
            (1000, &[(u64::MAX, 10)], 10),
            (1000, &[(0, 10)], 11),
            (u64::MAX, &[(0, 1)], 1),
        ] {
            let map: Vec<_> = map.iter().copied().map(extent).collect();
            let refused = SparseFile::plan(size, &map, 0, stored);
            assert!(matches!(refused, Err(Fault::Sparse { .. } | Fault::Number { .. })), "{size} {map:?}");
        }
    }

    #[test]
    fn a_map_before_the_data_may_cross_blocks() {
        let mut reader = MapReader::default();
        assert!(!reader.read(b"2\n0\n5").unwrap());
        assert!(reader.read(b"12\n1024\n512\n\0\0\0\0").unwrap());
        let pieces: Vec<_> = reader.map.iter().map(|extent| (extent.offset, extent.length)).collect();
        assert_eq!(pieces, [(0, 512), (1024, 512)]);
        assert!(MapReader::default().read(b"0\n").unwrap());
        assert!(MapReader::default().read(b"9999999999\n").is_err());
        assert!(MapReader::default().read(b"x\n").is_err());
        assert!(MapReader::default().read(&[b'1'; 512]).is_err());
    }
}
