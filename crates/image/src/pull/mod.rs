//! `pull`: an image out of a registry.
//!
//! The manifest says what there is ([`plan`]), and signatures whether it is what was meant ([`signatures`]); then each layer is a
//! stream of its own ([`layer`]): download, digest, compression taken off, diff-id, one sequential write. Nothing is announced
//! before every digest is found right. A layer that came whole stays for the next attempt, whatever becomes of the others.

mod layer;
mod plan;
mod signatures;

use std::sync::{Mutex, PoisonError};

use oci::{Digest, Platform, Reference};
use registry::{Client, Repository};
use store::{Documents, Durability, Image, Store, StoreError, Work};
use trace::Recorder;
use trust::{Policy, Verified};

use crate::manifest::ManifestError;
use crate::progress::TransferProgress;
use crate::several::several;
use plan::Planned;

pub(crate) use plan::read_config;

/// What is pulled.
#[derive(Debug, Clone)]
pub struct PullOptions {
    /// The machine that the image is for, and no other; this one, where nothing is said.
    pub platform: Option<Platform>,
    /// Whose signatures it must have.
    pub policy: Policy,
}

/// An image that was pulled.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// The image.
    pub image: Image,
    /// The digest that its name has at the registry: of an index, or of the manifest.
    pub digest: Digest,
    /// Whether it was here already.
    pub was_here: bool,
    /// The machine that it is for, where that is another one than was wanted and nobody insisted.
    pub foreign: Option<Platform>,
    /// Who vouches for it, where somebody has to.
    pub verified: Vec<Verified>,
}

/// Why an image could not be pulled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// The registry did not give it.
    #[error(transparent)]
    Registry(Box<registry::Error>),
    /// It is not trusted.
    #[error(transparent)]
    Trust(Box<trust::Error>),
    /// The list of an image's signatures is none.
    #[error("the signatures of {digest} of {name} cannot be read")]
    Signatures {
        /// What they are of.
        digest: Digest,
        /// The image.
        name: String,
        /// What is wrong with the list.
        source: serde_json::Error,
    },
    /// There are more signatures than are looked at.
    #[error("{0} has more than {1} signatures, which is more than are looked at")]
    TooManySignatures(String, usize),
    /// A manifest or an index is of no use.
    #[error("{document} of {name} is of no use")]
    Manifest {
        /// Which one.
        document: String,
        /// The image.
        name: String,
        /// Why.
        source: Box<ManifestError>,
    },
    /// Indexes lead to indexes, and so on.
    #[error("the indexes of {0} lead from one to the other more than {1} times")]
    TooDeep(String, usize),
    /// The configuration is longer than any can be.
    #[error("the configuration of {name} has {size} bytes; more than {most} are not taken")]
    LongConfig {
        /// The image.
        name: String,
        /// How long it is said to be.
        size: u64,
        /// How long it may be.
        most: u64,
    },
    /// The configuration is none.
    #[error("the configuration {digest} of {name} cannot be read")]
    Config {
        /// Its digest.
        digest: Digest,
        /// The image.
        name: String,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Configuration and manifest do not fit together.
    #[error("the configuration of {name} names {expected} layers, and its manifest {actual}")]
    LayerCount {
        /// The image.
        name: String,
        /// How many the configuration names.
        expected: usize,
        /// How many there are.
        actual: usize,
    },
    /// A layer came and cannot be read.
    #[error("layer {digest} of {name} cannot be read: {reason}")]
    Layer {
        /// Its digest.
        digest: Digest,
        /// The image.
        name: String,
        /// What the decompressor says, or what it is instead.
        reason: String,
    },
    /// A layer is another one than the configuration says.
    #[error("layer {digest} of {name} holds {actual}, and its configuration says {expected}")]
    WrongLayer {
        /// Its digest.
        digest: Digest,
        /// The image.
        name: String,
        /// The diff-id of what came.
        actual: Digest,
        /// The diff-id that the configuration names.
        expected: String,
    },
    /// The store refused.
    #[error("cannot keep {name}")]
    Store {
        /// The image.
        name: String,
        /// Why.
        source: Box<StoreError>,
    },
}

impl From<registry::Error> for PullError {
    fn from(error: registry::Error) -> Self {
        Self::Registry(Box::new(error))
    }
}

impl From<trust::Error> for PullError {
    fn from(error: trust::Error) -> Self {
        Self::Trust(Box::new(error))
    }
}

/// Pulls an image and gives it the name that it was asked for by.
pub fn pull(
    store: &Store,
    client: &Client<'_>,
    name: &Reference,
    options: &PullOptions,
    progress: &dyn TransferProgress,
    recorder: &Recorder,
) -> Result<Pulled, PullError> {
    let judge = options.policy.judge(name)?;
    let repository = client.repository(name)?;
    let planned = plan::plan(&repository, name, options)?;
    let verified = signatures::verify(&repository, name, &planned, judge, recorder)?;
    let pulled = |image, was_here| Pulled {
        image,
        digest: planned.listed_in.unwrap_or(planned.digest),
        was_here,
        foreign: planned.foreign.clone(),
        verified: verified.clone(),
    };
    if let Some(image) = find(store, name, &planned)? {
        return Ok(pulled(image, true));
    }
    let transfer = Transfer { store, repository: &repository, name, planned: &planned, progress };
    let work = transfer.layers()?;
    let documents =
        Documents { config: planned.config.clone(), manifest: planned.manifest.clone(), listed_in: planned.listed_in };
    let image = work.commit(&documents, std::slice::from_ref(name), recorder).map_err(transfer.refused())?;
    Ok(pulled(image, false))
}

/// Finds the image if its name leads to the same manifest here as there, and all of it is here.
fn find(store: &Store, name: &Reference, planned: &Planned) -> Result<Option<Image>, PullError> {
    match store.images().resolve_exactly(name) {
        Ok(image) => {
            let same = image.manifest == planned.digest && image.listed_in == planned.listed_in;
            let whole = image.has_index() && image.layers.iter().all(|layer| layer.path.is_file());
            Ok(Some(image).filter(|_| same && whole))
        }
        Err(StoreError::NotFound(_)) => Ok(None),
        Err(source) => Err(PullError::Store { name: name.familiar(), source: Box::new(source) }),
    }
}

/// An image on its way.
struct Transfer<'a> {
    store: &'a Store,
    repository: &'a Repository<'a>,
    name: &'a Reference,
    planned: &'a Planned,
    progress: &'a dyn TransferProgress,
}

impl Transfer<'_> {
    /// Brings all layers, several at a time. The first that fails ends the others.
    fn layers(&self) -> Result<Work, PullError> {
        let work = Mutex::new(self.store.begin(Durability::Durable).map_err(self.refused())?);
        several(&self.planned.layers, |wanted, stop| self.bring(wanted, &work, stop))?;
        Ok(work.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn refused(&self) -> impl Fn(StoreError) -> PullError {
        let name = self.name.familiar();
        move |source| PullError::Store { name: name.clone(), source: Box::new(source) }
    }
}
