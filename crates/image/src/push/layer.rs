//! One layer on its way from the store to a registry.

use std::fs::File;
use std::io::{Seek, SeekFrom};

use oci::Reference;
use store::{Compressed, Layer};

use super::blob;
use super::manifest::Given;
use super::{PushError, Transfer};
use crate::manifest::Descriptor;
use crate::packing::{self, Packing};
use crate::progress::{News, Watched};

impl Transfer<'_> {
    /// Sees to it that the registry has a layer, and returns what it has.
    pub(super) fn give(&self, layer: &Layer, named: &Descriptor) -> Result<Given, PushError> {
        for candidate in self.candidates(layer, named)? {
            if self.is_there(&candidate)? || self.mount(&candidate)? || self.copy(&candidate)? {
                return Ok(candidate.into());
            }
        }
        self.pack(layer, named)
    }

    /// Returns the forms in which a layer may be given: the one that the manifest names, or those that are known of a layer that
    /// nobody has compressed for it.
    fn candidates(&self, layer: &Layer, named: &Descriptor) -> Result<Vec<Compressed>, PushError> {
        let mut known = self.place.store.compressed_of(&layer.diff_id).map_err(self.refused())?;
        if named.digest == layer.diff_id {
            let here = |candidate: &Compressed| {
                !candidate.form.repositories.iter().any(|at| at == self.place.repository.name())
            };
            let packing = self.place.options.packing;
            known.retain(|known| packing.is_none_or(|packing| Packing::of(&known.form.media_type) == Some(packing)));
            known.sort_by_key(|candidate| (here(candidate), candidate.digest));
            return Ok(known);
        }
        known.retain(|candidate| candidate.digest == named.digest);
        if known.is_empty() {
            known.push(Given::of(named).compressed(layer, ""));
        }
        Ok(known)
    }

    fn is_there(&self, candidate: &Compressed) -> Result<bool, PushError> {
        let is_there = self.place.repository.has_blob(&candidate.digest)?;
        if is_there {
            self.place.progress.tell(&candidate.digest.short(), News::Exists);
        }
        Ok(is_there)
    }

    /// Has it appear from another repository of the same registry.
    fn mount(&self, candidate: &Compressed) -> Result<bool, PushError> {
        for from in self.known_in(candidate).filter(|from| from.domain() == self.place.name.domain()) {
            let from = self.place.client.repository(&from)?;
            // A registry that knows nothing of mounting, or does not let us look there, takes the bytes all the same.
            if self.place.repository.mount(&candidate.digest, &from).unwrap_or(false) {
                self.place.progress.tell(&candidate.digest.short(), News::Mounted);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Copies it from another registry, which may have forgotten it, or not be there.
    fn copy(&self, candidate: &Compressed) -> Result<bool, PushError> {
        let (digest, size) = (candidate.digest, candidate.form.size);
        // To compress it again is quicker than to fetch it, and gives the same bytes.
        let elsewhere = self.known_in(candidate).filter(|_| !candidate.form.made_here);
        for from in elsewhere {
            let Ok(from) = self.place.client.repository(&from) else { continue };
            if let Err(error) = from.blob(&digest, size).map(drop) {
                tracing::debug!(%error, "{} cannot give {digest}", from.name());
                continue;
            }
            blob::copy(&from, self.place.repository, &digest, size, self.place.progress)?;
            return Ok(true);
        }
        Ok(false)
    }

    fn known_in(&self, candidate: &Compressed) -> impl Iterator<Item = Reference> {
        let known = candidate.form.repositories.iter().filter(|known| *known != self.place.repository.name());
        known.filter_map(|known| known.parse().ok())
    }

    /// Compresses it, and sends what comes of that.
    fn pack(&self, layer: &Layer, named: &Descriptor) -> Result<Given, PushError> {
        let packing = Packing::of(&named.media_type).or(self.place.options.packing).unwrap_or_default();
        let failed = |source| PushError::Pack { layer: layer.diff_id, source };
        self.place.progress.tell(&layer.diff_id.short(), News::Packing(layer.size));
        let path = self.work.path().join(format!("packed-{}", layer.diff_id.hex()));
        let source = File::open(&layer.path).map_err(failed)?;
        let told = Watched { source, layer: layer.diff_id.short(), progress: self.place.progress };
        let packed = File::create_new(&path).and_then(|file| packing::pack(packing, told, file)).map_err(failed)?;
        let media_type = packing.media_type(&named.media_type);
        let given = Given { digest: packed.digest, size: packed.size, media_type, made_here: true };
        if !self.place.repository.has_blob(&packed.digest)? {
            self.place.progress.tell(&layer.diff_id.short(), News::Begun(packed.size));
            let open = |at: u64| {
                let mut file = File::open(&path)?;
                file.seek(SeekFrom::Start(at))?;
                Ok(Watched { source: file, layer: layer.diff_id.short(), progress: self.place.progress })
            };
            self.place.repository.upload(&packed.digest, packed.size, open)?;
        }
        // It can be made again, and the next layers need the space.
        let _ = std::fs::remove_file(&path);
        self.place.progress.tell(&layer.diff_id.short(), News::Done);
        Ok(given)
    }
}
