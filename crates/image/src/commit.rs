//! `commit`: what a container changed becomes the top layer of a new image.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::BorrowedFd;

use jiff::Timestamp;
use oci::{Digest, Reference};
use store::erofs::{Index, IndexError};
use store::{Durability, Image, Store, StoreError, Work};
use trace::{Explain, Recorder, Step};

use crate::differences::{DifferenceError, differences};
use crate::documents::{Addition, DocumentError, compose_on};
use crate::tree::{TreeError, write_changes};
use crate::{Change, apply_changes};

/// What the committed image shall be.
#[derive(Debug, Clone)]
pub struct CommitOptions {
    /// Its names; without one it is known by its ID alone.
    pub names: Vec<Reference>,
    /// Changes to the configuration of the image below.
    pub changes: Vec<Change>,
    /// Who made it.
    pub author: Option<String>,
    /// A remark for its history.
    pub message: Option<String>,
    /// The command that the container ran, for the history.
    pub command: String,
    /// When it was made: now, or what SOURCE_DATE_EPOCH says.
    pub created: Timestamp,
}

/// Why a container's changes did not become an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// What it changed could not be read.
    #[error("cannot read what the container changed")]
    Differences(#[from] DifferenceError),
    /// The layer could not be written.
    #[error("cannot write the new layer")]
    Tree(#[from] TreeError),
    /// The image below lacks a layer.
    #[error("the image of the container lacks layer {0}; load or pull it again")]
    Missing(Digest),
    /// The documents could not be composed.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The store refused.
    #[error("cannot commit the image")]
    Store(#[from] StoreError),
}

struct LayerStep;

/// Makes an image of `base` and the changes in `upper`, an overlay's directory that nobody writes to meanwhile; a container that
/// never ran has none. What is at one of `unseen` the container did not make.
pub fn commit(
    store: &Store,
    base: &Image,
    upper: Option<BorrowedFd<'_>>,
    unseen: &BTreeSet<Vec<u8>>,
    options: &CommitOptions,
    recorder: &Recorder,
) -> Result<Image, CommitError> {
    let index = open_index(base).map_err(DifferenceError::Index)?;
    let found = upper.map(|upper| differences(upper, &index, unseen)).transpose()?.unwrap_or_default();
    let paths = found.into_iter().map(|difference| difference.path).collect();
    let mut work = store.begin(Durability::Durable)?;
    let mut layers = Vec::new();
    for layer in &base.layers {
        layers.push(work.keep_layer(&layer.diff_id)?.ok_or(CommitError::Missing(layer.diff_id))?);
    }
    layers.push(write_layer(&mut work, upper, &paths, recorder)?);
    let mut config = base.config.config().clone().unwrap_or_default();
    apply_changes(&mut config, &options.changes);
    let addition = Addition {
        config,
        created: options.created,
        created_by: options.command.clone(),
        author: options.author.clone(),
        comment: options.message.clone(),
    };
    let below = store.images().document(&base.id)?;
    Ok(work.commit(&compose_on(&below, &addition, &layers)?, &options.names, recorder)?)
}

/// Opens the index of an image, which tells of its files without a mount.
pub fn open_index(image: &Image) -> Result<Index<File>, IndexError> {
    Index::open(File::open(&image.index)?)
}

fn write_layer(
    work: &mut Work,
    upper: Option<BorrowedFd<'_>>,
    paths: &BTreeSet<Vec<u8>>,
    recorder: &Recorder,
) -> Result<store::Layer, CommitError> {
    recorder.record(&LayerStep);
    let mut writer = work.layer()?;
    match upper {
        Some(upper) => write_changes(upper, paths, None, &mut writer)?,
        None => writer.append(&[0; 1024])?,
    }
    Ok(work.finish(writer)?)
}

impl Explain for LayerStep {
    fn explain(&self) -> Step {
        Step::host(
            "write what the container changed into the store as a layer, hashing it on the way",
            "tar -C UPPER --numeric-owner --xattrs -c . | tee LAYER | sha256sum",
        )
    }
}
