//! The record of an image: one small JSON that says which content belongs to it.
//!
//! It exists for two readers. `run` learns from it where everything lies with one read, and needs of the documents only
//! the configuration. The garbage collector learns what is in use without parsing any document.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use oci::{Digest, Reference};
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
    /// The digest of the index through which a registry gave the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) index: Option<Digest>,
    /// Other manifests of the same configuration: with its layers compressed in another way, say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) others: Vec<Variant>,
    /// The layers, from the lowest to the highest.
    pub(crate) layers: Vec<RecordedLayer>,
    /// When the image was made.
    pub(crate) created: Timestamp,
}

/// A manifest that came later, and the names that go with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Variant {
    pub(crate) manifest: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) index: Option<Digest>,
    pub(crate) names: Vec<String>,
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

    /// Returns the manifest that goes with a name, and the index that it came through.
    pub(crate) fn manifest_for(&self, name: Option<&Reference>) -> (Digest, Option<Digest>) {
        let is_meant = |variant: &&Variant| {
            name.is_some_and(|name| match name.digest() {
                Some(digest) => variant.has(digest),
                None => variant.names.contains(&name.to_string()),
            })
        };
        let other = self.others.iter().find(is_meant);
        other.map_or((self.manifest, self.index), |variant| (variant.manifest, variant.index))
    }

    /// Returns the digest by which others know the image under a name: of the index, or else of the manifest.
    pub(crate) fn digest_for(&self, name: Option<&Reference>) -> Digest {
        let (manifest, index) = self.manifest_for(name);
        index.unwrap_or(manifest)
    }

    /// Tells whether a manifest of the image, or the index of one, has this digest.
    pub(crate) fn has_digest(&self, digest: &Digest) -> bool {
        self.manifest == *digest || self.index == Some(*digest) || self.others.iter().any(|other| other.has(digest))
    }

    /// Joins what was known of the image with what came now under `names`: the first manifest stays the image's own.
    pub(crate) fn joined(self, known: Option<Self>, names: &[Reference]) -> Self {
        let Some(mut known) = known.filter(|known| known.layers == self.layers) else { return self };
        known.forget_names(names);
        if known.manifest == self.manifest {
            known.index = self.index.or(known.index);
        } else if !names.is_empty() {
            known.add_names(self.manifest, self.index, names);
        }
        known
    }

    /// Lets a further name go with the manifest that another one goes with.
    pub(crate) fn named_like(&self, asked: Option<&Reference>, name: &Reference) -> Self {
        let mut named = self.clone();
        named.forget_names(std::slice::from_ref(name));
        let (manifest, index) = self.manifest_for(asked);
        if manifest != self.manifest {
            named.add_names(manifest, index, std::slice::from_ref(name));
        }
        named
    }

    /// Lets a name go with another manifest from now on.
    pub(crate) fn with_manifest(&self, manifest: Digest, name: &Reference) -> Self {
        let mut renewed = self.clone();
        renewed.forget_names(std::slice::from_ref(name));
        if manifest != self.manifest {
            renewed.add_names(manifest, None, std::slice::from_ref(name));
        }
        renewed
    }

    fn forget_names(&mut self, names: &[Reference]) {
        for other in &mut self.others {
            other.names.retain(|known| names.iter().all(|name| name.to_string() != *known));
        }
        self.others.retain(|other| !other.names.is_empty());
    }

    fn add_names(&mut self, manifest: Digest, index: Option<Digest>, names: &[Reference]) {
        let names = names.iter().map(Reference::to_string);
        match self.others.iter_mut().find(|other| other.manifest == manifest) {
            Some(other) => {
                other.names.extend(names);
                other.index = index.or(other.index);
            }
            None => self.others.push(Variant { manifest, index, names: names.collect() }),
        }
    }

    /// Returns the digests of all manifests of the image.
    pub(crate) fn manifests(&self) -> impl Iterator<Item = Digest> {
        std::iter::once(self.manifest).chain(self.others.iter().map(|other| other.manifest))
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
        let documents = [layout.blob(&self.id), layout.index(&self.chain())];
        let manifests = self.manifests().map(|manifest| layout.blob(&manifest));
        self.layers.iter().map(|layer| layout.layer(&layer.diff_id)).chain(documents).chain(manifests)
    }
}

impl Variant {
    fn has(&self, digest: &Digest) -> bool {
        self.manifest == *digest || self.index == Some(*digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(manifest: &str) -> Record {
        let (manifest, index) = (Digest::of(manifest.as_bytes()), None);
        let (id, layers, created) = (Digest::of(b"config"), Vec::new(), Timestamp::UNIX_EPOCH);
        Record { id, manifest, index, others: Vec::new(), layers, created }
    }

    fn names(texts: &[&str]) -> Vec<Reference> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn manifest(record: &Record, name: &str) -> Digest {
        record.manifest_for(Some(&name.parse().unwrap())).0
    }

    #[test]
    fn each_name_keeps_the_manifest_it_came_with() {
        let both = record("zstd").joined(Some(record("gzip")), &names(&["b"]));
        assert_eq!(manifest(&both, "a"), Digest::of(b"gzip"));
        assert_eq!(manifest(&both, "b"), Digest::of(b"zstd"));
        assert_eq!(manifest(&both, &format!("x@{}", Digest::of(b"zstd"))), Digest::of(b"zstd"));
        let tagged = both.named_like(Some(&"b".parse().unwrap()), &"c".parse().unwrap());
        assert_eq!(manifest(&tagged, "c"), Digest::of(b"zstd"));
        let back = tagged.named_like(Some(&"a".parse().unwrap()), &"b".parse().unwrap());
        assert_eq!((manifest(&back, "b"), manifest(&back, "c")), (Digest::of(b"gzip"), Digest::of(b"zstd")));
    }

    #[test]
    fn a_manifest_without_names_is_not_kept() {
        let both = record("zstd").joined(Some(record("gzip")), &names(&["b"]));
        assert_eq!(record("gzip").joined(Some(both), &names(&["b"])), record("gzip"));
        assert_eq!(record("zstd").joined(Some(record("gzip")), &[]), record("gzip"));
    }
}
