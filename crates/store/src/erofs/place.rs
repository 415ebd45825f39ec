//! Where an inode and what belongs to it are put.

use super::disk::{BLOCK_SIZE, CHUNK_INDEX_SIZE, SLOT_BITS};
use super::tree::Data;
use crate::archive::BLOCK;

/// Inodes start at multiples of this.
const SLOT: u64 = 1 << SLOT_BITS;

/// Finds where an inode can start at or after `cursor`, if its data's end of `tail` bytes is to follow its `fixed` bytes
/// (head and attributes) within one block, as the format demands. None if no start does.
pub(super) fn inline(cursor: u64, fixed: u64, tail: u64) -> Option<u64> {
    let block = BLOCK_SIZE as u64;
    let first = after(cursor);
    // After a block's worth of starts the remainders repeat.
    (0..block / SLOT).map(|step| first + step * SLOT).find(|start| (start + fixed) % block + tail <= block)
}

/// Finds where an inode can start at or after `cursor`.
pub(super) fn after(cursor: u64) -> u64 {
    cursor.next_multiple_of(SLOT)
}

/// Returns where chunk indexes stand, if `position` is the first byte after an inode's head and attributes.
pub(super) fn chunk_indexes(position: u64) -> u64 {
    position.next_multiple_of(CHUNK_INDEX_SIZE as u64)
}

/// How a file is cut into chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunks {
    /// The power of two by which a chunk is larger than a block.
    pub(super) bits: u8,
    pub(super) count: u64,
}

impl Chunks {
    /// One chunk where that is possible: it is one where a file is up to 1 TiB and has no holes.
    pub(super) fn of(data: &Data) -> Self {
        let bits = match data {
            Data::Whole { size, .. } => {
                let bits = size.div_ceil(BLOCK).next_power_of_two().trailing_zeros();
                u8::try_from(bits).unwrap_or(u8::MAX).min(31)
            }
            Data::Sparse { file, .. } => file.chunk_bits(),
        };
        Self { bits, count: data.size().div_ceil(BLOCK << bits) }
    }

    /// Returns the size of one.
    pub(super) fn size(self) -> u64 {
        BLOCK << self.bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inode_is_moved_until_its_data_ends_within_a_block() {
        assert_eq!(inline(0, 64, 448), Some(0));
        assert_eq!(inline(10, 64, 100), Some(32));
        // The head at the end of a block, the data at the start of the next.
        assert_eq!(inline(32, 64, 500), Some(448));
        assert_eq!(inline(0, 64, 511), Some(448));
        // Attributes of 12 bytes: no start brings 511 bytes to a block's start.
        assert_eq!(inline(0, 76, 511), None);
    }

    #[test]
    fn a_file_is_one_chunk_up_to_a_tebibyte() {
        for (size, bits, count) in
            [(1, 0, 1), (512, 0, 1), (513, 1, 1), (5 << 30, 24, 1), (1 << 40, 31, 1), ((1 << 40) + 1, 31, 2)]
        {
            let data = Data::Whole { size, layer: 0, block: 0 };
            assert_eq!(Chunks::of(&data), Chunks { bits, count }, "{size}");
        }
    }
}
