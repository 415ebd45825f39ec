//! Why the store could not do what it was asked.

use std::path::PathBuf;

use oci::{Digest, Reference, ReferenceError};

/// Why the store could not find, add, name or remove something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No image has this name or ID.
    #[error("no such image: {0}")]
    NotFound(String),
    /// Several images have an ID that begins so.
    #[error("{prefix} is the beginning of {count} image IDs: give more digits")]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// How many images it fits.
        count: usize,
    },
    /// The text is no image name.
    #[error(transparent)]
    Name(#[from] ReferenceError),
    /// A name for an image to be given carries a digest.
    #[error("{0} carries a digest: an image is named by a tag, and finds its digest itself")]
    NameWithDigest(Reference),
    /// The image is known by several names, and was asked to go by its ID.
    #[error("image {id} has {count} names: remove them one by one, or use force")]
    SeveralNames {
        /// The image, in short.
        id: String,
        /// How many names it has.
        count: usize,
    },
    /// Somebody uses the image.
    #[error("image {image} is used by {user}: {advice}")]
    InUse {
        /// The image as it was asked for.
        image: String,
        /// Who does.
        user: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// No list has this name.
    #[error("no such manifest list: {0}")]
    NoList(String),
    /// A list has this name already.
    #[error("there is a manifest list {0} already")]
    ListExists(String),
    /// A list says more than any can.
    #[error("the manifest list {name} would have {length} bytes, and may have {most}")]
    ListTooLong {
        /// The list.
        name: String,
        /// How long it would be.
        length: usize,
        /// How long it may be.
        most: u64,
    },
    /// A name for a list carries a digest.
    #[error("{0} carries a digest: a manifest list is named by a tag, and its digest follows from what is in it")]
    ListWithDigest(String),
    /// A layer is not what it was said to be.
    #[error("layer {actual} was expected to be {expected}")]
    WrongDigest {
        /// The diff-id that was announced.
        expected: Digest,
        /// The diff-id of the bytes that came.
        actual: Digest,
    },
    /// A layer unpacks to more than anybody wants.
    #[error("the layer unpacks to more than {most} bytes; if that is meant, set largest_layer in the configuration")]
    LayerTooLarge {
        /// The bound.
        most: u64,
    },
    /// The image lacks a layer that its configuration names.
    #[error("layer {0} is missing from the store")]
    MissingLayer(Digest),
    /// The layers cannot be indexed.
    #[error("cannot index the layers")]
    Index(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A file of the store does not hold what it should.
    #[error("{path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The disk or the kernel refused.
    #[error("cannot {doing}")]
    Disk {
        /// What was being done.
        doing: String,
        /// The call that failed.
        source: sys::Error,
    },
}

/// Adds what was being done to a failed call.
pub(crate) trait Doing<T> {
    /// Names what was being done; the closure runs only on failure.
    fn doing<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T, StoreError>;
}

impl<T> Doing<T> for sys::Result<T> {
    fn doing<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Disk { doing: what().into(), source })
    }
}
