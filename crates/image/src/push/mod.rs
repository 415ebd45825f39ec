//! `push`: an image into a registry.
//!
//! For each layer the registry is asked first whether it has the bytes; then whether it has them in another repository; then
//! they are copied from the registry that is known to have them; and only then is the layer compressed anew ([`layer`]). So an
//! image that came from a registry goes on with the manifest that it came with, wherever that can be ([`manifest`]).

mod blob;
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

pub(crate) use blob::bring;
pub(crate) use manifest::kind;

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
    let repository = client.repository(name)?;
    let place = Place { store, client, repository: &repository, name, progress, options };
    let given = place.deliver(&image, Some(name.tag().unwrap_or("latest")))?;
    if given.digest != image.manifest {
        store.images().renew_manifest(name, &given.manifest, recorder).map_err(refused)?;
    }
    let before = (given.digest != image.manifest && given.was_compressed).then_some(image.manifest);
    Ok(Pushed { digest: given.digest, size: given.manifest.len() as u64, before })
}

/// Where images go, and what is known on the way.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) store: &'a Store,
    pub(crate) client: &'a Client<'a>,
    pub(crate) repository: &'a Repository<'a>,
    /// What the repository is called.
    pub(crate) name: &'a Reference,
    pub(crate) progress: &'a dyn TransferProgress,
    pub(crate) options: PushOptions,
}

/// An image as a registry has it now.
pub(crate) struct Delivered {
    pub(crate) digest: Digest,
    pub(crate) manifest: Vec<u8>,
    pub(crate) media_type: &'static str,
    /// Whether its manifest named compressed layers before.
    was_compressed: bool,
}

impl Place<'_> {
    /// Gives an image to the repository, under a tag or under its digest alone.
    pub(crate) fn deliver(&self, image: &Image, tag: Option<&str>) -> Result<Delivered, PushError> {
        let refused = |source| PushError::Store { name: self.name.familiar(), source: Box::new(source) };
        let own = self.store.images().document(&image.manifest).map_err(refused)?;
        let parsed = self.read(&own)?;
        // What is removed meanwhile stays until we are through.
        let work = keep(self.store, image).map_err(refused)?;
        let transfer = Transfer { place: *self, work: &work };
        let given = transfer.layers(image, &parsed)?;
        transfer.config(&parsed.config)?;
        let manifest = manifest::with_layers(&own, &parsed, &given);
        let version = tag.map_or_else(|| Version::Digest(Digest::of(&manifest)), |tag| Version::Tag(tag.to_owned()));
        let media_type = manifest::kind(&own);
        let digest = self.repository.put_manifest(&version, media_type, &manifest)?;
        transfer.note(image, &given).map_err(refused)?;
        Ok(Delivered { digest, manifest, media_type, was_compressed: manifest::is_compressed(&parsed, image) })
    }

    fn read(&self, own: &[u8]) -> Result<Manifest, PushError> {
        let fault = |source| PushError::Manifest { name: self.name.familiar(), source: Box::new(source) };
        match Document::parse(own).map_err(fault)? {
            Document::Manifest(manifest) => Ok(manifest),
            Document::Index(_) => Err(fault(ManifestError::Faceless)),
        }
    }
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
    place: Place<'a>,
    work: &'a Work,
}

impl Transfer<'_> {
    /// Brings all layers, several at a time, and returns what the registry has for each.
    fn layers(&self, image: &Image, manifest: &Manifest) -> Result<Vec<Given>, PushError> {
        let pairs: Vec<_> = image.layers.iter().zip(&manifest.layers).collect();
        several(&pairs, |(layer, blob), _| self.give(layer, blob))
    }

    fn config(&self, config: &Descriptor) -> Result<(), PushError> {
        if self.place.repository.has_blob(&config.digest)? {
            return Ok(());
        }
        let bytes = self.place.store.images().document(&config.digest).map_err(self.refused())?;
        let open = |from: u64| Ok(&bytes[usize::try_from(from).unwrap_or(bytes.len()).min(bytes.len())..]);
        Ok(self.place.repository.upload(&config.digest, bytes.len() as u64, open)?)
    }

    /// Remembers where the bytes of each layer are now.
    fn note(&self, image: &Image, given: &[Given]) -> Result<(), StoreError> {
        let compressed = image.layers.iter().zip(given).filter(|(layer, given)| given.digest != layer.diff_id);
        compressed
            .map(|(layer, given)| given.compressed(layer, self.place.repository.name()))
            .try_for_each(|compressed| self.place.store.note_compressed(&compressed))
    }

    fn refused(&self) -> impl Fn(StoreError) -> PushError {
        let name = self.place.name.familiar();
        move |source| PushError::Store { name: name.clone(), source: Box::new(source) }
    }
}
