//! Layers one over the other: a tree that can be asked about paths, and grown.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use sys::Calling;

use crate::error::Doing;
use crate::{ChainId, Layer, StoreError, erofs};

/// A stack of layers, from the lowest to the highest, merged in memory as their index would be. A layer more is merged
/// over what is there; the others are not read again.
#[derive(Debug, Clone, Default)]
pub struct Stack {
    tree: erofs::Tree,
    layers: Vec<Layer>,
}

impl Stack {
    /// Merges layers.
    pub fn of(layers: &[Layer]) -> Result<Self, StoreError> {
        let mut stack = Self::default();
        layers.iter().try_for_each(|layer| stack.push(layer))?;
        Ok(stack)
    }

    /// Puts one more layer on top.
    pub fn push(&mut self, layer: &Layer) -> Result<(), StoreError> {
        let path = &layer.path;
        let tar = File::open(path).call(|| format!("open({})", path.display())).doing(|| "read a layer")?;
        self.tree.add_layer(tar).map_err(|error| StoreError::Index(Box::new(error)))?;
        self.layers.push(layer.clone());
        Ok(())
    }

    /// Returns the merged tree.
    pub fn tree(&self) -> &erofs::Tree {
        &self.tree
    }

    /// Returns the layers.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Opens the data of a regular file of the stack; anything else is empty.
    pub fn open(&self, inode: &erofs::Inode) -> io::Result<Box<dyn Read>> {
        let layer = |layer: u16| {
            let known = self.layers.get(usize::from(layer)).ok_or(io::ErrorKind::NotFound)?;
            File::open(&known.path)
        };
        Ok(match &inode.body {
            erofs::Body::File(erofs::Data::Whole { size, layer: number, block }) => {
                let mut tar = layer(*number)?;
                tar.seek(SeekFrom::Start(u64::from(*block) * 512))?;
                Box::new(tar.take(*size))
            }
            erofs::Body::File(erofs::Data::Sparse { layer: number, file }) => {
                let tar = layer(*number)?;
                let mut pieces: Vec<Box<dyn Read>> = Vec::new();
                let mut at = 0;
                for extent in file.extents() {
                    pieces.push(Box::new(io::repeat(0).take(extent.offset - at)));
                    let file = tar.try_clone()?;
                    pieces.push(Box::new(Positioned { file, position: extent.position, left: extent.length }));
                    at = extent.offset + extent.length;
                }
                pieces.push(Box::new(io::repeat(0).take(file.size() - at)));
                Box::new(Pieces { pieces: pieces.into_iter().rev().collect() })
            }
            _ => Box::new(io::empty()),
        })
    }

    /// Returns the identity of the stack.
    pub fn chain(&self) -> ChainId {
        ChainId::of(self.layers.iter().map(|layer| &layer.diff_id))
    }

    /// Writes the EROFS index of the stack.
    pub(crate) fn write_index(&self, file: &File) -> Result<(), StoreError> {
        let fault = |error: Box<dyn std::error::Error + Send + Sync>| StoreError::Index(error);
        let digests: Vec<_> = self.layers.iter().map(|layer| layer.diff_id).collect();
        let layout = erofs::Layout::plan(&self.tree, &digests).map_err(|error| fault(Box::new(error)))?;
        erofs::write(&self.tree, &layout, file).map_err(|error| fault(Box::new(error)))?;
        Ok(())
    }
}

/// A part of a tar, read by position: several of them share one descriptor.
struct Positioned {
    file: File,
    position: u64,
    left: u64,
}

impl Read for Positioned {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use std::os::unix::fs::FileExt;
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let length = self.file.read_at(&mut buffer[..most], self.position)?;
        self.position += length as u64;
        self.left -= length as u64;
        Ok(length)
    }
}

/// One reader after the other, the first one last in the list.
struct Pieces {
    pieces: Vec<Box<dyn Read>>,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(piece) = self.pieces.last_mut() {
            match piece.read(buffer)? {
                0 if !buffer.is_empty() => drop(self.pieces.pop()),
                length => return Ok(length),
            }
        }
        Ok(0)
    }
}
