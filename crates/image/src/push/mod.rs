//! `push`: an image into a registry.
//!
//! For each layer the registry is asked first whether it has the bytes; then whether it has them in another repository; then
//! they are copied from the registry that is known to have them; and only then is the layer compressed anew ([`layer`]). So an
//! image that came from a registry goes on with the manifest that it came with, wherever that can be ([`manifest`]).

mod layer;
mod manifest;

use oci::{Digest, Reference};
use registry::{Client, Repository, Version};
use store::{Durability, Image, Store, StoreError, Work};
use trace::Recorder;

use crate::manifest::{Descriptor, Document, Manifest, ManifestError};
use crate::packing::Packing;
use crate::progress::TransferProgress;
use crate::several::several;
use manifest::Given;

/// How an image is pushed.
#[derive(Debug, Clone, Copy, Default)]
pub struct PushOptions {
    /// How layers are compressed that nobody has compressed yet; as they are known already, or else with gzip, where nothing is
    /// said.
    pub packing: Option<Packing>,
}

/// An image that was pushed.
#[derive(Debug, Clone)]
pub struct Pushed {
    /// The digest of its manifest at the registry.
    pub digest: Digest,
    /// The length of its manifest.
    pub size: u64,
    /// The digest that its manifest had before, where that could not be kept: the compressed bytes of a layer were nowhere to be had.
    pub before: Option<Digest>,
}

/// Why an image could not be pushed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The registry did not take it.
    #[error(transparent)]
    Registry(Box<registry::Error>),
    /// Its manifest is of no use.
    #[error("the manifest of {name} is of no use")]
    Manifest {
        /// The image.
        name: String,
        /// Why.
        source: Box<ManifestError>,
    },
    /// The name is one that nothing can be pushed to.
    #[error("{0} carries a digest: an image is pushed to a tag, and its digest follows from what it is")]
    Digest(String),
    /// A layer could not be compressed.
    #[error("cannot compress layer {layer}")]
    Pack {
        /// Its diff-id.
        layer: Digest,
        /// What failed.
        source: std::io::Error,
    },
    /// The store refused.
    #[error("cannot push {name}")]
    Store {
        /// The image.
        name: String,
        /// Why.
        source: Box<StoreError>,
    },
}

impl From<registry::Error> for PushError {
    fn from(error: registry::Error) -> Self {
        Self::Registry(Box::new(error))
    }
}

/// Pushes the image that has a name here to the place that the name means.
pub fn push(
    store: &Store,
    client: &Client<'_>,
    name: &Reference,
    options: PushOptions,
    progress: &dyn TransferProgress,
    recorder: &Recorder,
) -> Result<Pushed, PushError> {
    if name.digest().is_some() {
        return Err(PushError::Digest(name.familiar()));
    }
    let refused = |source| PushError::Store { name: name.familiar(), source: Box::new(source) };
    let image = store.images().resolve_exactly(name).map_err(refused)?;
    let own = store.images().document(&image.manifest).map_err(refused)?;
    let parsed = match Document::parse(&own) {
        Ok(Document::Manifest(manifest)) => manifest,
        Ok(Document::Index(_)) => {
            return Err(PushError::Manifest { name: name.familiar(), source: Box::new(ManifestError::Faceless) });
        }
        Err(source) => return Err(PushError::Manifest { name: name.familiar(), source: Box::new(source) }),
    };
    let repository = client.repository(name)?;
    // What is removed meanwhile stays until we are through.
    let work = keep(store, &image).map_err(refused)?;
    let transfer = Transfer { store, client, repository: &repository, name, progress, work: &work, options };
    let given = transfer.layers(&image, &parsed)?;
    transfer.config(&parsed.config)?;
    let bytes = manifest::with_layers(&own, &parsed, &given);
    let version = Version::Tag(name.tag().unwrap_or("latest").to_owned());
    let digest = repository.put_manifest(&version, manifest::kind(&own), &bytes)?;
    transfer.note(&image, &given).map_err(refused)?;
    if digest != image.manifest {
        store.images().renew_manifest(name, &bytes, recorder).map_err(refused)?;
    }
    let was_compressed = manifest::is_compressed(&parsed, &image);
    let before = (digest != image.manifest && was_compressed).then_some(image.manifest);
    Ok(Pushed { digest, size: bytes.len() as u64, before })
}

fn keep(store: &Store, image: &Image) -> Result<Work, StoreError> {
    let mut work = store.begin(Durability::Remakeable)?;
    for layer in &image.layers {
        work.keep_layer(&layer.diff_id)?.ok_or(StoreError::MissingLayer(layer.diff_id))?;
    }
    Ok(work)
}

/// An image on its way.
struct Transfer<'a> {
    store: &'a Store,
    client: &'a Client<'a>,
    repository: &'a Repository<'a>,
    name: &'a Reference,
    progress: &'a dyn TransferProgress,
    work: &'a Work,
    options: PushOptions,
}

impl Transfer<'_> {
    /// Brings all layers, several at a time, and returns what the registry has for each.
    fn layers(&self, image: &Image, manifest: &Manifest) -> Result<Vec<Given>, PushError> {
        let pairs: Vec<_> = image.layers.iter().zip(&manifest.layers).collect();
        several(&pairs, |(layer, blob), _| self.give(layer, blob))
    }

    fn config(&self, config: &Descriptor) -> Result<(), PushError> {
        if self.repository.has_blob(&config.digest)? {
            return Ok(());
        }
        let bytes = self.store.images().document(&config.digest).map_err(self.refused())?;
        let open = |from: u64| Ok(&bytes[usize::try_from(from).unwrap_or(bytes.len()).min(bytes.len())..]);
        Ok(self.repository.upload(&config.digest, bytes.len() as u64, open)?)
    }

    /// Remembers where the bytes of each layer are now.
    fn note(&self, image: &Image, given: &[Given]) -> Result<(), StoreError> {
        let compressed = image.layers.iter().zip(given).filter(|(layer, given)| given.digest != layer.diff_id);
        compressed
            .map(|(layer, given)| given.compressed(layer, self.repository.name()))
            .try_for_each(|compressed| self.store.note_compressed(&compressed))
    }

    fn refused(&self) -> impl Fn(StoreError) -> PushError {
        let name = self.name.familiar();
        move |source| PushError::Store { name: name.clone(), source: Box::new(source) }
    }
}
