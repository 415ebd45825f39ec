//! Lists of images under one name: what goes into one is found here or at its registry ([`find`]), and a list is pushed with all
//! that is in it ([`push`]). What a list is, and what document comes of it, is [`oci::ManifestList`]; where it lies, [`store::Lists`].

mod find;
mod push;

use oci::Digest;
use store::StoreError;

use crate::manifest::ManifestError;
use crate::{PullError, PushError};

pub use find::{find, manifest};
pub use push::{ListPushOptions, PushedList, push};

/// What stands before the name of an image that is to be looked for at its registry, although it is here too.
pub const AT_REGISTRY: &str = "docker://";

/// Why a list could not be put together, or pushed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// The list does not allow it.
    #[error(transparent)]
    List(Box<oci::ListError>),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A registry refused.
    #[error(transparent)]
    Registry(Box<registry::Error>),
    /// A document is of no use.
    #[error("{document} of {name} is of no use")]
    Document {
        /// Which one.
        document: String,
        /// The image.
        name: String,
        /// Why.
        source: Box<ManifestError>,
    },
    /// A registry's index is of no use.
    #[error("the index of {name} is of no use")]
    Index {
        /// Its name.
        name: String,
        /// Why.
        source: Box<oci::ListError>,
    },
    /// An index is within an index.
    #[error(
        "the index of {name} has another index in it, {digest}, and a list has images alone: add that one by its digest"
    )]
    Nested {
        /// Its name.
        name: String,
        /// The index in it.
        digest: Digest,
    },
    /// A configuration does not tell the machine.
    #[error("the configuration {digest} of {name} does not tell what machine it is for")]
    Machine {
        /// Its digest.
        digest: Digest,
        /// The image.
        name: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A configuration could not be had.
    #[error(transparent)]
    Config(Box<PullError>),
    /// An image here has gone since it was added.
    #[error("{member} is no longer here: the image {} was removed after it was added", .image.short())]
    Gone {
        /// How the list knows it.
        member: String,
        /// Its ID.
        image: Digest,
    },
    /// An image of the list could not be pushed.
    #[error("cannot push {member}")]
    Member {
        /// How the list knows it.
        member: String,
        /// Why.
        source: Box<PushError>,
    },
    /// The place is one that nothing can be pushed to.
    #[error("{0} carries a digest: a list is pushed to a tag, and its digest follows from what is in it")]
    Digest(String),
}

impl ListError {
    /// Returns what went wrong at a registry, if it did.
    pub fn registry(&self) -> Option<&registry::Error> {
        match self {
            Self::Registry(error) => Some(error),
            Self::Config(error) => match error.as_ref() {
                PullError::Registry(error) => Some(error),
                _ => None,
            },
            Self::Member { source, .. } => match source.as_ref() {
                PushError::Registry(error) => Some(error),
                _ => None,
            },
            _ => None,
        }
    }
}

impl From<oci::ListError> for ListError {
    fn from(error: oci::ListError) -> Self {
        Self::List(Box::new(error))
    }
}

impl From<registry::Error> for ListError {
    fn from(error: registry::Error) -> Self {
        Self::Registry(Box::new(error))
    }
}

impl From<PullError> for ListError {
    fn from(error: PullError) -> Self {
        Self::Config(Box::new(error))
    }
}
