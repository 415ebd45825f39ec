//! `load`: images out of an archive, as `save` of this and other engines makes them.
//!
//! The archive is read once, from its start to its end, so it may come through a pipe: what is large goes into the store's
//! work as a layer while it is read ([`contents`]), what is small and JSON is kept. Then the documents say which images
//! there are ([`plan`]), and each is held against what came and announced. What no image names goes with the work.

mod contents;
mod plan;

use std::io::{BufReader, Read};
use std::os::fd::BorrowedFd;

use oci::image::ImageConfiguration;
use oci::{Digest, Platform, Reference};
use store::archive::ArchiveError;
use store::{Documents, Durability, Image, Layer, Store, StoreError, Work};
use trace::{Explain, Recorder, Step};

use crate::compression::{BUFFER, Compression, look};
use crate::documents::{self, DocumentError};
use crate::manifest::{self, ManifestError};
use crate::progress::TransferProgress;
use crate::tree::{Cleaning, TreeError, write_tree};
use contents::Contents;
use plan::Planned;

/// What is taken out of an archive.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// The machine for which images are taken, and no others. Where nothing is said, those for this machine are taken where
    /// there are several.
    pub platform: Option<Platform>,
}

/// An image that came out of an archive.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The image.
    pub image: Image,
    /// The names that the archive gives it.
    pub names: Vec<Reference>,
}

/// Why an archive could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The stream broke.
    #[error("cannot read the archive")]
    Read(#[source] std::io::Error),
    /// It is no tar, or breaks off.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Nothing came.
    #[error("the archive is empty")]
    Empty,
    /// It is a tar, and none of images.
    #[error(
        "there is neither an index.json nor a manifest.json in it, so it is no archive of images; \
         the tar of a root file system becomes an image by `conductor import`"
    )]
    NoImages,
    /// There is more in it than any set of images has.
    #[error("its documents and the names of its files take more than {0} bytes together")]
    TooMuch(usize),
    /// Something that is named in it is not there.
    #[error("{name} is named in the archive, and is not there")]
    Missing {
        /// A path or a digest.
        name: String,
    },
    /// Something is not what its name says.
    #[error("{name} is damaged: its bytes have the digest {actual} and the length {length}")]
    Damaged {
        /// The digest, with the length, that it should have.
        name: String,
        /// The digest that it has.
        actual: Digest,
        /// How long it is.
        length: u64,
    },
    /// A layer could not be unpacked.
    #[error("layer {name} cannot be read: {reason}")]
    Layer {
        /// Its path in the archive.
        name: String,
        /// What the decompressor says.
        reason: String,
    },
    /// A layer is another one than the configuration says.
    #[error("layer {name} holds {actual}, and the configuration of the image says {expected}")]
    WrongLayer {
        /// Its path or digest in the archive.
        name: String,
        /// The diff-id of what came.
        actual: Digest,
        /// The diff-id that the configuration names.
        expected: String,
    },
    /// The configuration and the manifest do not fit together.
    #[error("the configuration {config} names {expected} layers, and the manifest {actual}")]
    LayerCount {
        /// The configuration.
        config: Digest,
        /// How many it names.
        expected: usize,
        /// How many there are.
        actual: usize,
    },
    /// A document is none.
    #[error("{name} cannot be read")]
    Document {
        /// Its path or digest in the archive.
        name: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A manifest or an index is of no use.
    #[error("{name} is of no use")]
    Manifest {
        /// Its digest.
        name: String,
        /// Why.
        source: ManifestError,
    },
    /// An index leads to an index, and so on.
    #[error("the indexes in it lead from one to the other more than {0} times")]
    TooDeep(usize),
    /// The documents could not be composed.
    #[error(transparent)]
    Compose(#[from] DocumentError),
    /// The store refused.
    #[error("cannot load the image")]
    Store(#[from] StoreError),
}

struct ReadStep(Compression);

/// Takes the images out of an archive: of Docker's form, of the OCI image layout, or both in one, compressed or not.
pub fn load(
    store: &Store,
    source: impl Read,
    options: &LoadOptions,
    progress: &dyn TransferProgress,
    recorder: &Recorder,
) -> Result<Vec<Loaded>, LoadError> {
    let (start, source) = look(BufReader::with_capacity(BUFFER, source)).map_err(LoadError::Read)?;
    if start.is_empty() {
        return Err(LoadError::Empty);
    }
    let compression = Compression::of(&start);
    let mut work = store.begin(Durability::Durable)?;
    recorder.record(&ReadStep(compression));
    let contents = Contents::read(compression.take_off(source).map_err(LoadError::Read)?, &mut work, progress)?;
    let planned = plan::plan(&contents, &options.platform.clone().unwrap_or_else(Platform::host))?;
    let admit = |planned| admit(&mut work, &contents, planned, options.platform.as_ref(), recorder);
    planned.into_iter().map(admit).collect()
}

/// Takes the images out of a directory: an OCI image layout, or an archive that somebody has unpacked.
pub fn load_layout(
    store: &Store,
    directory: BorrowedFd<'_>,
    options: &LoadOptions,
    progress: &dyn TransferProgress,
    recorder: &Recorder,
) -> Result<Vec<Loaded>, LoadError> {
    let (reader, mut writer) = std::io::pipe().map_err(LoadError::Read)?;
    std::thread::scope(|scope| {
        // As an archive it is read once and by the same rules, and no path in it is opened by its name.
        let write = move || write_tree(directory, &Cleaning::none(), &mut writer);
        let written = std::thread::Builder::new().spawn_scoped(scope, write).map_err(LoadError::Read)?;
        let loaded = load(store, reader, options, progress, recorder);
        match written.join() {
            // If we end first it cannot write on; what we say of it is the reason then.
            Ok(Err(error @ (TreeError::Read { .. } | TreeError::Entry { .. }))) => {
                Err(LoadError::Read(std::io::Error::other(error)))
            }
            _ => loaded,
        }
    })
}

/// Holds an image against what came, and announces it.
fn admit(
    work: &mut Work,
    contents: &Contents,
    planned: Planned,
    wanted: Option<&Platform>,
    recorder: &Recorder,
) -> Result<Loaded, LoadError> {
    let id = Digest::of(&planned.config);
    let config: ImageConfiguration = serde_json::from_slice(&planned.config)
        .map_err(|source| LoadError::Document { name: id.to_string(), source })?;
    if let Some(wanted) = wanted {
        let own = Platform {
            os: config.os().to_string(),
            architecture: config.architecture().to_string(),
            variant: config.variant().clone(),
        };
        manifest::demand(&own, wanted).map_err(|source| LoadError::Manifest { name: id.to_string(), source })?;
    }
    let expected = config.rootfs().diff_ids();
    if expected.len() != planned.layers.len() {
        return Err(LoadError::LayerCount { config: id, expected: expected.len(), actual: planned.layers.len() });
    }
    let mut layers = Vec::with_capacity(expected.len());
    for (wanted, expected) in planned.layers.iter().zip(expected) {
        layers.push(take(work, contents, wanted, expected)?);
    }
    let manifest = match planned.manifest {
        Some(manifest) => manifest,
        None => documents::manifest_of(&planned.config, &layers)?,
    };
    let ids: Vec<_> = layers.iter().map(|layer| layer.diff_id).collect();
    let documents = Documents { config: planned.config, manifest, listed_in: None };
    let image = work.fork(&ids)?.commit(&documents, &planned.names, recorder)?;
    Ok(Loaded { image, names: planned.names })
}

fn take(work: &mut Work, contents: &Contents, wanted: &plan::Layer, expected: &str) -> Result<Layer, LoadError> {
    let layer = contents.layer(&wanted.path, wanted.blob.as_ref(), work)?;
    if layer.diff_id.to_string() != *expected {
        let (name, expected) = (wanted.path.clone(), expected.to_owned());
        return Err(LoadError::WrongLayer { name, actual: layer.diff_id, expected });
    }
    Ok(layer)
}

impl Explain for ReadStep {
    fn explain(&self) -> Step {
        let shell = format!("cat ARCHIVE{} | tar -x --to-command='tee LAYER | sha256sum'", self.0.pipe());
        Step::host("read the archive, and write each layer in it into the store, hashing it on the way", shell)
    }
}
