//! An image as it lies in the store, ready to be mounted and run.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use jiff::Timestamp;
use oci::image::ImageConfiguration;
use oci::{Digest, Hasher};
use serde::{Deserialize, Serialize};

/// The identity of a stack of layers (image-spec, config.md, "Layer ChainID"): it names the index merged over them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChainId(Digest);

impl ChainId {
    /// Computes the identity of layers given from the lowest to the highest; no layers are a chain of their own.
    pub fn of<'a>(diff_ids: impl IntoIterator<Item = &'a Digest>) -> Self {
        let step = |chain: Digest, diff_id: &Digest| {
            let mut hasher = Hasher::default();
            hasher.update(format!("{chain} {diff_id}").as_bytes());
            hasher.finish()
        };
        let mut layers = diff_ids.into_iter();
        let lowest = layers.next().copied().unwrap_or_else(|| Digest::of(b""));
        Self(layers.fold(lowest, step))
    }

    /// Returns the digest.
    pub fn digest(&self) -> &Digest {
        &self.0
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One layer: an uncompressed tar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The SHA-256 of the tar.
    pub diff_id: Digest,
    /// The length of the tar.
    pub size: u64,
    /// The tar.
    pub path: PathBuf,
}

/// An image: its documents read, its files named. It holds nothing open; another process may remove it at any time.
#[derive(Debug, Clone)]
pub struct Image {
    /// The image's ID: the digest of its configuration.
    pub id: Digest,
    /// The digest of its manifest; where there are several, of the one that goes with the name it was asked for by.
    pub manifest: Digest,
    /// The digest of the index through which a registry gave the manifest.
    pub listed_in: Option<Digest>,
    /// What to run, and how.
    pub config: ImageConfiguration,
    /// Its layers, from the lowest to the highest.
    pub layers: Vec<Layer>,
    /// The identity of the stack of layers.
    pub chain: ChainId,
    /// The EROFS index merged over all layers.
    pub index: PathBuf,
    /// The length of all layers together.
    pub size: u64,
    /// When it was made.
    pub created: Timestamp,
}

impl Image {
    /// Tells whether the index is there and has been written.
    pub fn has_index(&self) -> bool {
        self.index_uuid().is_some()
    }

    /// Reads the UUID of the index, by which a mount of it can be known; `None` when it is no EROFS file.
    pub(crate) fn index_uuid(&self) -> Option<[u8; 16]> {
        let mut start = [0; UUID + 16];
        File::open(&self.index).and_then(|file| file.read_exact_at(&mut start, SUPERBLOCK)).ok()?;
        let is_erofs = start.starts_with(&EROFS_MAGIC.to_le_bytes());
        is_erofs.then(|| std::array::from_fn(|index| start[UUID + index]))
    }
}

/// Where EROFS has its superblock.
const SUPERBLOCK: u64 = 1024;
/// Where the UUID is in it.
const UUID: usize = 48;
/// What it begins with, and what statfs(2) tells (`EROFS_SUPER_MAGIC_V1`).
pub(crate) const EROFS_MAGIC: u32 = 0xE0F5_E1E2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_of_one_layer_is_named_as_the_layer() {
        let layer = Digest::of(b"layer");
        assert_eq!(ChainId::of([&layer]).digest(), &layer);
    }

    #[test]
    fn a_chain_is_the_digest_of_the_chain_below_and_the_layer() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        assert_eq!(ChainId::of([&a, &b]).digest(), &Digest::of(format!("{a} {b}").as_bytes()));
        assert_ne!(ChainId::of([&a, &b]), ChainId::of([&b, &a]));
    }
}
