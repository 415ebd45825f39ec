//! A directory that is laid out as the OCI says: documents and layers by their digests, images by their names
//! (image-spec, image-layout.md).

mod take;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use oci::{Digest, DigestError};
use store::StoreError;
use sys::Calling;

use crate::ArchiveFault;
use crate::manifest::{Descriptor, Document, ManifestError};

pub use take::take_image;

/// An image of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutImage {
    /// The directory.
    pub path: PathBuf,
    /// Which of its images.
    pub wanted: Wanted,
}

/// Which image of a directory is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The only one there is, or the one that is called `latest`.
    Only,
    /// The one with this name.
    Named(String),
    /// The one whose manifest or index has this digest.
    Digest(Digest),
}

/// Why something of a directory could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// It could not be read.
    #[error("{0}")]
    Read(#[from] sys::Error),
    /// There is nothing under the name.
    #[error("{directory} holds nothing by the name {name}{}", others(.known))]
    Nothing {
        /// The directory.
        directory: String,
        /// What was asked for.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// Something is not what its name says.
    #[error("{expected} is damaged: its bytes have the digest {actual}")]
    Damaged {
        /// The digest that it should have.
        expected: Digest,
        /// The digest that it has.
        actual: Digest,
    },
    /// A manifest or an index is of no use.
    #[error("what is there is of no use")]
    Manifest(#[from] ManifestError),
    /// An index leads to an index, and so on.
    #[error("the indexes in it lead from one to the other more than {DEPTH} times")]
    TooDeep,
    /// The configuration of an image cannot be read.
    #[error("the configuration {config} cannot be read")]
    Configuration {
        /// Its digest.
        config: Digest,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The configuration and the manifest do not fit together.
    #[error("the configuration names {expected} layers, and the manifest {actual}")]
    LayerCount {
        /// How many the configuration names.
        expected: usize,
        /// How many there are.
        actual: usize,
    },
    /// A layer could not be read.
    #[error("layer {digest} cannot be read")]
    Layer {
        /// Its digest.
        digest: Digest,
        /// Why.
        source: Box<ArchiveFault>,
    },
    /// A layer is another one than the configuration says.
    #[error("layer {digest} holds {actual}, and the configuration of the image says {expected}")]
    WrongLayer {
        /// Its digest.
        digest: Digest,
        /// The diff-id that the configuration names.
        expected: String,
        /// What came.
        actual: String,
    },
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl FromStr for LayoutImage {
    type Err = DigestError;

    /// Reads `DIRECTORY[:NAME]` or `DIRECTORY@DIGEST`.
    fn from_str(text: &str) -> Result<Self, DigestError> {
        if let Some((path, digest)) = text.rsplit_once('@').filter(|(_, rest)| rest.contains(':')) {
            return Ok(Self { path: path.into(), wanted: Wanted::Digest(digest.parse()?) });
        }
        Ok(match text.rsplit_once(':').filter(|(_, name)| !name.contains('/')) {
            Some((path, name)) => Self { path: path.into(), wanted: Wanted::Named(name.to_owned()) },
            None => Self { path: text.into(), wanted: Wanted::Only },
        })
    }
}

fn others(known: &[String]) -> String {
    if known.is_empty() { String::new() } else { format!(", only {}", known.join(", ")) }
}

/// How far indexes may lead to indexes.
pub(crate) const DEPTH: usize = 4;
/// The longest document.
const LONGEST: u64 = 8 << 20;
/// The annotation that is a name in a directory.
pub(crate) const NAME: &str = "org.opencontainers.image.ref.name";

/// Returns what the index of a directory lists.
pub(crate) fn entries(directory: &Path) -> Result<Vec<Descriptor>, LayoutError> {
    match Document::read(&read(&directory.join("index.json"))?)? {
        Document::Index(entries) => Ok(entries),
        Document::Manifest(_) => Ok(Vec::new()),
    }
}

/// Returns the name of an entry.
pub(crate) fn name_of(entry: &Descriptor) -> Option<&str> {
    entry.annotations.as_ref()?.get(NAME).map(String::as_str)
}

/// Returns the path of the bytes of a digest.
pub(crate) fn blob(directory: &Path, digest: &Digest) -> PathBuf {
    directory.join("blobs/sha256").join(digest.hex())
}

/// Opens the bytes of a layer.
pub(crate) fn open(directory: &Path, wanted: &Descriptor) -> Result<impl Read + use<>, LayoutError> {
    let path = blob(directory, &wanted.digest);
    let file = File::open(&path).call(|| format!("open({})", path.display()))?;
    Ok(file.take(wanted.size))
}

/// Reads a document, which is held against its digest.
pub(crate) fn bytes(directory: &Path, digest: &Digest) -> Result<Vec<u8>, LayoutError> {
    let bytes = read(&blob(directory, digest))?;
    match Digest::of(&bytes) {
        actual if actual == *digest => Ok(bytes),
        actual => Err(LayoutError::Damaged { expected: *digest, actual }),
    }
}

/// Reads a document.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, LayoutError> {
    let mut bytes = Vec::new();
    let file = File::open(path).call(|| format!("open({})", path.display()))?;
    file.take(LONGEST).read_to_end(&mut bytes).call(|| format!("read({})", path.display()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_followed_by_a_name_or_a_digest() {
        let read = |text: &str| {
            let LayoutImage { path, wanted } = text.parse().unwrap();
            (path.to_str().unwrap().to_owned(), wanted)
        };
        let digest = Digest::of(b"");
        assert_eq!(read("/a/b"), ("/a/b".into(), Wanted::Only));
        assert_eq!(read("b:1.0"), ("b".into(), Wanted::Named("1.0".into())));
        assert_eq!(read("a:x/b"), ("a:x/b".into(), Wanted::Only));
        assert_eq!(read(&format!("./b@{digest}")), ("./b".into(), Wanted::Digest(digest)));
        assert!("a@sha256:12".parse::<LayoutImage>().is_err());
    }
}
