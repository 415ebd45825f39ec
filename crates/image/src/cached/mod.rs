//! Steps of builds that others have made: given to a place, and taken from there.
//!
//! A place is a repository of a registry or a directory. What lies there is an image manifest like any other: its configuration
//! lists the steps (`document.rs`), and its layers are what they made. Or it is an image, whose configuration lists the steps that
//! made its own layers. Reading it costs two documents; a layer comes when it is asked for, and is held against its diff-id.
//!
//! Start reading at [`known_steps`] and [`give_steps`].

mod document;
mod give;
mod place;
mod take;

use oci::{Digest, DigestError};
use store::StoreError;

use crate::layout::LayoutError;
use crate::manifest::ManifestError;
use crate::{ArchiveFault, PullError};

pub use document::{FIELD, SharedStep, with_steps};
pub use give::{Giving, give_steps};
pub use place::{CacheDirectory, CachePlace};
pub use take::{KnownSteps, bring_step, known_steps};

/// Why steps could not be given to a place, or taken from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The registry did not do it.
    #[error(transparent)]
    Registry(Box<registry::Error>),
    /// The registry gave no document.
    #[error(transparent)]
    Document(Box<PullError>),
    /// The directory could not be written.
    #[error("{0}")]
    Directory(#[from] sys::Error),
    /// The directory could not be read.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// What is there is no manifest.
    #[error("what is there is of no use")]
    Manifest(#[from] ManifestError),
    /// What is there lists no steps.
    #[error("what is there lists no steps of a build")]
    NoSteps,
    /// What lists the steps cannot be read.
    #[error("the list of steps cannot be read")]
    Shape(#[from] serde_json::Error),
    /// A digest is none.
    #[error("the list of steps cannot be read")]
    Digest(#[from] DigestError),
    /// A layer could not be read.
    #[error("layer {digest} cannot be read")]
    Layer {
        /// Its diff-id.
        digest: Digest,
        /// Why.
        source: Box<ArchiveFault>,
    },
    /// A layer is another one than the list says.
    #[error("layer {expected} was asked for, and {actual} came")]
    WrongLayer {
        /// The diff-id that the list names.
        expected: Digest,
        /// What came.
        actual: String,
    },
    /// A layer could not be compressed.
    #[error("cannot compress layer {layer}")]
    Pack {
        /// Its diff-id.
        layer: Digest,
        /// What failed.
        source: std::io::Error,
    },
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<registry::Error> for CacheError {
    fn from(error: registry::Error) -> Self {
        Self::Registry(Box::new(error))
    }
}

impl From<PullError> for CacheError {
    fn from(error: PullError) -> Self {
        Self::Document(Box::new(error))
    }
}
