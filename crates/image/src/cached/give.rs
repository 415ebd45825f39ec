//! Steps for others.

use std::fs::File;
use std::path::Path;

use oci::{Digest, Platform};
use store::{Layer, Store};

use super::document::{SharedStep, compose};
use super::take::{KnownSteps, known_steps};
use super::{CacheError, CachePlace};
use crate::manifest::Descriptor;
use crate::packing::{self, Packing};
use crate::progress::{News, TransferProgress, Watched};
use crate::several::several;

/// How steps are given.
#[derive(Debug, Clone, Copy)]
pub struct Giving<'a> {
    /// Where the layers are.
    pub store: &'a Store,
    /// A directory for what is compressed meanwhile.
    pub scratch: &'a Path,
    /// How layers are compressed; not at all, where nothing is said.
    pub packing: Option<Packing>,
}

/// Gives steps to a place, with their layers; returns the digest of the manifest. What is there already is not sent again.
pub fn give_steps(
    place: &CachePlace<'_>,
    steps: &[SharedStep],
    layers: &[Layer],
    giving: Giving<'_>,
    progress: &dyn TransferProgress,
) -> Result<Digest, CacheError> {
    // What was there before is no reason to fail, whatever it is.
    let before = known_steps(place, &Platform::host()).unwrap_or_default();
    let transfer = Transfer { place, giving, before: &before, progress };
    let blobs = several(layers, |layer, _| Ok::<_, CacheError>((layer.diff_id, transfer.give(layer)?)))?;
    let (config, manifest) = compose(steps, &blobs)?;
    place.announce(&config, &manifest)
}

struct Transfer<'a> {
    place: &'a CachePlace<'a>,
    giving: Giving<'a>,
    before: &'a KnownSteps,
    progress: &'a dyn TransferProgress,
}

const PLAIN: &str = "application/vnd.oci.image.layer.v1.tar";

impl Transfer<'_> {
    fn give(&self, layer: &Layer) -> Result<Descriptor, CacheError> {
        for blob in self.candidates(layer)? {
            if self.place.has(&blob)? {
                self.progress.tell(&layer.diff_id.short(), News::Exists);
                return Ok(blob);
            }
        }
        match self.giving.packing {
            Some(packing) => self.pack(layer, packing),
            None => {
                let blob = described(PLAIN, layer.diff_id, layer.size);
                self.send(layer, &blob, &layer.path)?;
                Ok(blob)
            }
        }
    }

    /// Returns the forms in which the layer may be there already.
    fn candidates(&self, layer: &Layer) -> Result<Vec<Descriptor>, CacheError> {
        let Some(packing) = self.giving.packing else { return Ok(vec![described(PLAIN, layer.diff_id, layer.size)]) };
        let known = self.giving.store.compressed_of(&layer.diff_id)?;
        let known = known.into_iter().map(|known| described(&known.form.media_type, known.digest, known.form.size));
        let before = self.before.blob(&layer.diff_id).cloned();
        Ok(before.into_iter().chain(known).filter(|blob| Packing::of(&blob.media_type) == Some(packing)).collect())
    }

    fn pack(&self, layer: &Layer, packing: Packing) -> Result<Descriptor, CacheError> {
        let failed = |source| CacheError::Pack { layer: layer.diff_id, source };
        self.progress.tell(&layer.diff_id.short(), News::Packing(layer.size));
        let path = self.giving.scratch.join(format!("packed-{}", layer.diff_id.hex()));
        let source = File::open(&layer.path).map_err(failed)?;
        let told = Watched { source, layer: layer.diff_id.short(), progress: self.progress };
        let packed = File::create(&path).and_then(|file| packing::pack(packing, told, file)).map_err(failed)?;
        let blob = described(&packing.media_type(""), packed.digest, packed.size);
        if !self.place.has(&blob)? {
            self.send(layer, &blob, &path)?;
        }
        // The next layers need the space.
        let _ = std::fs::remove_file(&path);
        Ok(blob)
    }

    fn send(&self, layer: &Layer, blob: &Descriptor, path: &Path) -> Result<(), CacheError> {
        self.progress.tell(&layer.diff_id.short(), News::Begun(blob.size));
        self.place.put(blob, path)?;
        self.progress.tell(&layer.diff_id.short(), News::Done);
        Ok(())
    }
}

fn described(media_type: &str, digest: Digest, size: u64) -> Descriptor {
    Descriptor { media_type: media_type.to_owned(), digest, size, platform: None, annotations: None }
}
