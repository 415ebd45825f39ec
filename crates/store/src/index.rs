//! The index of a stack of layers: from tars to one EROFS file.

use std::fs::File;
use std::io::ErrorKind;

use sys::Calling;

use crate::error::Doing;
use crate::work::unique_name;
use crate::{ChainId, Layer, Stack, Store, StoreError, file};

impl Store {
    /// Opens the index over some layers, given from the lowest to the highest: the one that is kept, or else one that is made now
    /// and goes with its descriptor.
    pub fn index_over(&self, layers: &[Layer]) -> Result<File, StoreError> {
        let chain = ChainId::of(layers.iter().map(|layer| &layer.diff_id));
        let (kept, doing) = (self.layout().index(&chain), || format!("open index {chain}"));
        match File::open(&kept) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            opened => return opened.call(|| format!("open({})", kept.display())).doing(doing),
        }
        let directory = self.layout().tmp();
        let file = match sys::file::create_unnamed(&directory).doing(doing)? {
            Some(file) => file,
            // Some file systems know no files without a name.
            None => {
                let path = directory.join(format!(".{}", unique_name()));
                let file = file::create(&path).doing(doing)?;
                file::unlink(&path).doing(doing)?;
                file
            }
        };
        build(layers, &file)?;
        Ok(file)
    }
}

/// Writes the EROFS index merged over `layers`, from the lowest to the highest, into `file`.
pub(crate) fn build(layers: &[Layer], file: &File) -> Result<(), StoreError> {
    Stack::of(layers)?.write_index(file)
}
