//! The record of an image: one small JSON that says which content belongs to it.
//!
//! It exists for two readers. `run` learns from it where everything lies with one read, and needs of the documents only
//! the configuration. The garbage collector learns what is in use without parsing any document.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use oci::Digest;
use serde::{Deserialize, Serialize};
use sys::Calling;

use crate::error::Doing;
use crate::{ChainId, Layout, StoreError};

/// What the store knows of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The digest of the configuration, which is the image's ID and the record's file name.
    pub(crate) id: Digest,
    /// The digest of the manifest.
    pub(crate) manifest: Digest,
    /// The layers, from the lowest to the highest.
    pub(crate) layers: Vec<RecordedLayer>,
    /// When the image was made.
    pub(crate) created: Timestamp,
}

/// A layer of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordedLayer {
    pub(crate) diff_id: Digest,
    pub(crate) size: u64,
}

impl Record {
    /// Reads a record, directly or through a name that leads to it; `None` when there is none.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, StoreError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            // ELOOP and ENOTDIR cannot come from a store of ours; ENAMETOOLONG can, from a long tag on a small file system.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).call(|| format!("open({})", path.display())).doing(|| "read an image's record");
            }
        };
        let damaged = |error| StoreError::Damaged { path: path.into(), source: Box::new(error) };
        serde_json::from_slice(&bytes).map(Some).map_err(damaged)
    }

    /// Returns the identity of the stack of layers.
    pub(crate) fn chain(&self) -> ChainId {
        ChainId::of(self.layers.iter().map(|layer| &layer.diff_id))
    }

    /// Returns the length of all layers together.
    pub(crate) fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }

    /// Returns every file of content that belongs to the image.
    pub(crate) fn content<'a>(&'a self, layout: &'a Layout) -> impl Iterator<Item = std::path::PathBuf> + 'a {
        let documents = [layout.blob(&self.id), layout.blob(&self.manifest), layout.index(&self.chain())];
        self.layers.iter().map(|layer| layout.layer(&layer.diff_id)).chain(documents)
    }
}
