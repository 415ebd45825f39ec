//! Layers one over the other: a tree that can be asked about paths, and grown.

use std::fs::File;

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
