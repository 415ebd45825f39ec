//! Directories on disk: blocks of sorted entries, each block complete in itself.
//!
//! ```text
//! | entry 0 | entry 1 | ... | name 0 | name 1 | ... | zeros up to the block's end |
//! ```
//!
//! An entry (12 bytes) is a file number, where its name starts in the block, and a kind. The first name's start tells how
//! many entries there are, the next name's start (or a zero, or the end) where a name ends. The kernel searches the
//! blocks by their first names, then within one, so `.` and `..` stand where they sort.

use std::ops::Range;

use super::disk::{BLOCK_SIZE, file_kind};
use super::tree::{InodeId, Tree};

const ENTRY_SIZE: usize = 12;

/// The names of a directory as they are written, `.` and `..` among them.
pub(super) struct Listing<'a> {
    names: Vec<(&'a [u8], InodeId)>,
}

impl<'a> Listing<'a> {
    pub(super) fn new(tree: &'a Tree, id: InodeId) -> Self {
        let Some(directory) = tree.inode(id).directory() else { return Self { names: Vec::new() } };
        let mut names = Vec::with_capacity(directory.entries.len() + 2);
        names.extend(directory.entries.iter().map(|(name, child)| (&**name, child.id)));
        for (dots, id) in [(&b"."[..], id), (b"..", directory.parent)] {
            let place = names.partition_point(|(name, _)| *name < dots);
            names.insert(place, (dots, id));
        }
        Self { names }
    }

    /// Returns the size of the directory.
    pub(super) fn size(&self) -> u64 {
        let mut size = 0_u64;
        for block in self.blocks() {
            // All blocks but the last are whole.
            size = size.next_multiple_of(BLOCK_SIZE as u64) + self.used(&block) as u64;
        }
        size
    }

    /// Returns the directory's bytes; `number` tells the file number of an inode.
    pub(super) fn encode(&self, tree: &Tree, number: impl Fn(InodeId) -> u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for block in self.blocks() {
            bytes.resize(bytes.len().next_multiple_of(BLOCK_SIZE), 0);
            let mut offset = block.len() * ENTRY_SIZE;
            for (name, id) in &self.names[block.clone()] {
                bytes.extend(number(*id).to_le_bytes());
                bytes.extend(u16::try_from(offset).unwrap_or(u16::MAX).to_le_bytes());
                bytes.extend([file_kind(&tree.inode(*id).body), 0]);
                offset += name.len();
            }
            for (name, _) in &self.names[block] {
                bytes.extend(*name);
            }
        }
        bytes
    }

    fn used(&self, block: &Range<usize>) -> usize {
        self.names[block.clone()].iter().map(|(name, _)| ENTRY_SIZE + name.len()).sum()
    }

    /// Cuts the names into blocks, as many into each as fit.
    fn blocks(&self) -> impl Iterator<Item = Range<usize>> {
        let mut start = 0;
        std::iter::from_fn(move || {
            let mut used = 0;
            let fits = |(name, _): &&(&[u8], InodeId)| {
                used += ENTRY_SIZE + name.len();
                used <= BLOCK_SIZE
            };
            let count = self.names[start..].iter().take_while(fits).count();
            start += count;
            (count > 0).then_some(start - count..start)
        })
    }
}

/// An entry read back: name, file number and kind.
pub(super) type Found<'a> = (&'a [u8], u64, u8);

/// Reads the entries of one block.
pub(super) fn decode(block: &[u8]) -> Option<Vec<Found<'_>>> {
    let entry = |index: usize| -> Option<(u64, usize, u8)> {
        let bytes = block.get(index * ENTRY_SIZE..(index + 1) * ENTRY_SIZE)?;
        let (number, rest) = bytes.split_first_chunk::<8>()?;
        Some((u64::from_le_bytes(*number), u16::from_le_bytes([rest[0], rest[1]]).into(), rest[2]))
    };
    let count = entry(0)?.1 / ENTRY_SIZE;
    (0..count)
        .map(|index| {
            let (number, start, kind) = entry(index)?;
            let end = if index + 1 < count { entry(index + 1)?.1 } else { block.len() };
            let name = block.get(start..end)?;
            let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
            Some((&name[..end], number, kind))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing<'a>(names: &'a [Vec<u8>]) -> Listing<'a> {
        Listing { names: names.iter().map(|name| (name.as_slice(), InodeId::ROOT)).collect() }
    }

    #[test]
    fn blocks_are_filled_and_read_back() {
        let tree = Tree::new();
        let mut names: Vec<Vec<u8>> = (0..1000).map(|n| format!("{n:0width$}", width = n % 250 + 4).into()).collect();
        names.push(vec![b'n'; 255]);
        names.sort();
        let listing = listing(&names);
        let bytes = listing.encode(&tree, |_| 7);
        assert_eq!(bytes.len() as u64, listing.size());
        let found: Vec<_> = bytes.chunks(BLOCK_SIZE).flat_map(|block| decode(block).unwrap()).collect();
        let expected: Vec<_> = names.iter().map(|name| (name.as_slice(), 7, 2)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_block_may_be_full_to_its_last_byte() {
        let names = [vec![b'a'; 244], vec![b'b'; 244], vec![b'c'; 10]];
        let listing = listing(&names);
        assert_eq!(listing.size(), 512 + 22);
        let bytes = listing.encode(&Tree::new(), |_| 1);
        assert_eq!(decode(&bytes[..512]).unwrap()[1].0, names[1]);
    }

    #[test]
    fn dots_stand_where_they_sort() {
        let mut tree = Tree::new();
        for name in [&b"+"[..], b"...", b"a"] {
            let id = tree.insert(super::super::tree::Inode::implicit_directory()).unwrap();
            tree.attach(InodeId::ROOT, name, super::super::tree::Child { id, layer: 0 });
        }
        let listing = Listing::new(&tree, InodeId::ROOT);
        let names: Vec<_> = listing.names.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, [&b"+"[..], b".", b"..", b"...", b"a"]);
    }
}
