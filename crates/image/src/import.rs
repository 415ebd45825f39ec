//! `import`: a root file system in a tar becomes an image of one layer.
//!
//! The tar goes into the store as it comes, byte for byte (a gzip or zstd around it is taken off), hashed on the way; reading it for
//! the index is what finds out whether it is a tar at all.

use std::io::{BufReader, Read};

use jiff::Timestamp;
use oci::{Platform, Reference};
use store::{Durability, Image, Store, StoreError};
use sys::Calling;
use trace::{Explain, Recorder, Step};

use crate::compression::{BUFFER, Compression, look};
use crate::documents::{DocumentError, Recipe, compose};
use crate::pour::{PourError, pour};
use crate::{Change, apply_changes};

/// What the imported image shall be.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// Its names; without one it is known by its ID alone.
    pub names: Vec<Reference>,
    /// Changes to its configuration.
    pub changes: Vec<Change>,
    /// A remark for its history.
    pub message: Option<String>,
    /// The machine that it is for; this one, where nothing is said.
    pub platform: Option<Platform>,
    /// When it was made: now, or what SOURCE_DATE_EPOCH says.
    pub created: Timestamp,
}

/// Why a tar could not be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The stream broke.
    #[error("cannot read the root file system's tar")]
    Read(#[source] sys::Error),
    /// There is nothing in it.
    #[error("the tar is empty: a root file system was expected")]
    Empty,
    /// The store refused.
    #[error("cannot import the image")]
    Store(#[from] StoreError),
    /// The documents could not be composed.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

struct CopyStep(Compression);

/// Makes an image of one layer from a tar of a root file system, which may be compressed with gzip or zstd.
pub fn import(
    store: &Store,
    source: impl Read,
    options: &ImportOptions,
    recorder: &Recorder,
) -> Result<Image, ImportError> {
    let source = BufReader::with_capacity(BUFFER, source);
    let (start, source) = look(source).call(|| "read(tar)").map_err(ImportError::Read)?;
    if start.is_empty() {
        return Err(ImportError::Empty);
    }
    let compression = Compression::of(&start);
    let mut work = store.begin(Durability::Durable)?;
    let mut writer = work.layer()?;
    recorder.record(&CopyStep(compression));
    let mut plain = compression.take_off(source).call(|| "read(tar)").map_err(ImportError::Read)?;
    pour(&mut plain, &mut writer).map_err(|error| match error {
        PourError::Source(error) => ImportError::Read(sys::Error::from_io("read(tar)", &error)),
        PourError::Store(error) => error.into(),
    })?;
    let layer = work.finish(writer)?;
    let mut recipe = Recipe::new(options.created, "conductor import");
    recipe.comment.clone_from(&options.message);
    if let Some(platform) = &options.platform {
        recipe.platform.clone_from(platform);
    }
    apply_changes(&mut recipe.config, &options.changes);
    Ok(work.commit(&compose(&recipe, &[layer])?, &options.names, recorder)?)
}

impl Explain for CopyStep {
    fn explain(&self) -> Step {
        let shell = format!("cat TAR{} | tee LAYER | sha256sum", self.0.pipe());
        Step::host("write the tar into the store as the image's layer, hashing it on the way", shell)
    }
}
