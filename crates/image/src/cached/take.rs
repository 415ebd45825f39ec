//! Steps that others have made.

use std::collections::HashMap;

use oci::{Digest, Platform};
use store::{Layer, Work};

use super::document::{CONFIG, SharedStep, read};
use super::{CacheError, CachePlace};
use crate::manifest::Descriptor;
use crate::unpacking::archive_layer;

/// What a place lists: which steps, and where their layers are.
#[derive(Debug, Clone, Default)]
pub struct KnownSteps {
    steps: HashMap<Digest, SharedStep>,
    layers: HashMap<Digest, Descriptor>,
}

impl KnownSteps {
    /// Returns how many there are.
    pub fn count(&self) -> usize {
        self.steps.len()
    }

    /// Finds a step by its key.
    pub fn find(&self, key: &Digest) -> Option<&SharedStep> {
        self.steps.get(key)
    }

    pub(super) fn blob(&self, layer: &Digest) -> Option<&Descriptor> {
        self.layers.get(layer)
    }
}

/// Reads what a place lists; of several images the one for `wanted` is asked.
pub fn known_steps(place: &CachePlace<'_>, wanted: &Platform) -> Result<KnownSteps, CacheError> {
    let (manifest, config) = place.documents(wanted)?;
    let is_image = manifest.is_image();
    if !is_image && manifest.config.media_type != CONFIG {
        return Err(CacheError::NoSteps);
    }
    let listing = read(&config, is_image)?;
    let steps = listing.steps.into_iter().map(|step| (step.key, step)).collect();
    Ok(KnownSteps { steps, layers: listing.layers.into_iter().zip(manifest.layers).collect() })
}

/// Brings the layer of a step into a work, from the store if it is there. It is what the list says, or it is not taken.
pub fn bring_step(
    place: &CachePlace<'_>,
    known: &KnownSteps,
    step: &SharedStep,
    work: &mut Work,
) -> Result<Layer, CacheError> {
    if let Some(layer) = work.keep_layer(&step.layer)? {
        return Ok(layer);
    }
    let wrong = |actual: String| CacheError::WrongLayer { expected: step.layer, actual };
    let blob = known.blob(&step.layer).ok_or_else(|| wrong("nothing".to_owned()))?;
    let came = archive_layer(work, place.open(blob)?);
    let came = came.map_err(|source| CacheError::Layer { digest: step.layer, source: Box::new(source) })?;
    match came {
        Some(layer) if layer.diff_id == step.layer => Ok(layer),
        Some(layer) => Err(wrong(layer.diff_id.to_string())),
        None => Err(wrong("what is no layer".to_owned())),
    }
}
