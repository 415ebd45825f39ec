//! The index of a stack of layers: from tars to one EROFS file.

use std::fs::File;

use sys::Calling;

use crate::error::Doing;
use crate::{Layer, StoreError, erofs};

/// Writes the EROFS index merged over `layers`, from the lowest to the highest, into `file`.
pub(crate) fn build(layers: &[Layer], file: &File) -> Result<(), StoreError> {
    let fault = |error: Box<dyn std::error::Error + Send + Sync>| StoreError::Index(error);
    let mut tree = erofs::Tree::new();
    for layer in layers {
        let path = &layer.path;
        let tar = File::open(path).call(|| format!("open({})", path.display())).doing(|| "read a layer")?;
        tree.add_layer(tar).map_err(|error| fault(Box::new(error)))?;
    }
    let digests: Vec<_> = layers.iter().map(|layer| layer.diff_id).collect();
    let layout = erofs::Layout::plan(&tree, &digests).map_err(|error| fault(Box::new(error)))?;
    erofs::write(&tree, &layout, file).map_err(|error| fault(Box::new(error)))?;
    Ok(())
}
