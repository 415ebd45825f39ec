//! What becomes of the layers: an image with names, or files.

mod beside;

use std::os::fd::AsFd;
use std::path::Path;

use engine::Engine;
use image::documents::manifest_of;
use oci::{Digest, Reference};
use store::{Documents, Image, Layer, Stack, Store, StoreError, Work};
use trace::Recorder;

use beside::Beside;

use crate::SolvedStep;
use crate::error::BuildError;
use crate::solve::Solved;

/// What the image shall be.
#[derive(Debug, Clone, Default)]
pub struct ImageWish {
    /// Its names; without one it is known by its ID alone.
    pub names: Vec<Reference>,
    /// Puts the layers of the build into one.
    pub squash: bool,
    /// Writes the steps that made its layers into its configuration, for other builds to take.
    pub inline_cache: bool,
    /// Remarks in its manifest.
    pub annotations: Vec<(String, String)>,
}

/// An image that was built.
#[derive(Debug, Clone)]
pub struct Built {
    /// The image.
    pub image: Image,
    /// Its manifest's digest.
    pub manifest: Digest,
}

impl Solved {
    /// Makes the image, and announces it.
    pub fn into_image(mut self, store: &Store, wish: &ImageWish, recorder: &Recorder) -> Result<Built, BuildError> {
        if wish.squash {
            self.squash(store)?;
        }
        let diff_ids: Vec<_> = self.layers.iter().map(|layer| layer.diff_id).collect();
        let config = self.document.complete(&diff_ids, self.epoch);
        let mut config = config.map_err(|error| BuildError::Document(Box::new(error)))?;
        if wish.inline_cache {
            config = self.with_steps(&config).map_err(|error| BuildError::Document(Box::new(error)))?;
        }
        let manifest = manifest_of(&config, &self.layers).map_err(|error| BuildError::Document(Box::new(error)))?;
        let manifest = annotated(manifest, &wish.annotations).map_err(|error| BuildError::Document(Box::new(error)))?;
        let digest = Digest::of(&manifest);
        let documents = Documents { config, manifest, listed_in: None };
        let image = self.work.commit(&documents, &wish.names, recorder)?;
        Ok(Built { image, manifest: digest })
    }

    /// What was squashed into one layer has no step of its own.
    fn with_steps(&self, config: &[u8]) -> serde_json::Result<Vec<u8>> {
        let is_ours = |step: &&SolvedStep| self.layers.iter().any(|layer| layer.diff_id == step.layer);
        let own = self.solved.iter().filter(|step| step.in_target).filter(is_ours);
        image::cached::with_steps(config, &own.map(SolvedStep::share).collect::<Vec<_>>())
    }

    /// Keeps the layers of all steps, so that they can be given away when the image is made.
    pub fn hold_steps(&self) -> Result<(Work, Vec<Layer>), BuildError> {
        let mut work = self.work.beside()?;
        let mut layers: Vec<Layer> = Vec::new();
        for step in &self.solved {
            if layers.iter().all(|layer| layer.diff_id != step.layer) {
                layers.push(work.keep_layer(&step.layer)?.ok_or(StoreError::MissingLayer(step.layer))?);
            }
        }
        Ok((work, layers))
    }

    /// Returns the layers, from the lowest to the highest.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Returns what was made as an image that is known to nobody: its layers and its index, for as long as this lives.
    pub fn unnamed_image(&self) -> Result<Image, BuildError> {
        let stack = Stack::of(&self.layers)?;
        Ok(self.work.mountable(&stack, oci::image::ImageConfiguration::default())?)
    }

    /// Writes all files as a tar, as a container of the image would see them.
    pub fn write_tree(&self, engine: &Engine, out: &mut impl std::io::Write) -> Result<(), BuildError> {
        let image = self.unnamed_image()?;
        let view = engine.snapshots().view(&image, engine.recorder());
        let view = view.map_err(|error| BuildError::Document(Box::new(error)))?;
        image::write_tree(view.as_fd(), &image::Cleaning::none(), out)
            .map_err(|error| BuildError::Document(Box::new(error)))
    }

    /// Writes all files into a directory: what is there already stays, or is replaced by a file of the same name.
    pub fn write_files(&self, engine: &Engine, directory: &Path) -> Result<(), BuildError> {
        let system = |source| BuildError::System { doing: "write the files of the image", source };
        let image = self.unnamed_image()?;
        let view = engine.snapshots().view(&image, engine.recorder());
        let view = view.map_err(|error| BuildError::Document(Box::new(error)))?;
        let beside = Beside::make(directory).map_err(system)?;
        sys::copy::copy_tree(view.as_fd(), beside.fd().as_fd()).map_err(system)?;
        beside.take_names().map_err(system)
    }

    /// Puts the layers of the build into one: what they make of the layers below, with nothing of what they undid.
    fn squash(&mut self, _store: &Store) -> Result<(), BuildError> {
        let own = self.layers.split_off(self.inherited);
        if own.is_empty() {
            return Ok(());
        }
        let layer = crate::op::squash::squash(&mut self.work, &self.layers, &own);
        self.layers.push(layer.map_err(|error| BuildError::Document(Box::new(error)))?);
        Ok(())
    }
}

/// Adds remarks to a manifest.
fn annotated(manifest: Vec<u8>, annotations: &[(String, String)]) -> serde_json::Result<Vec<u8>> {
    if annotations.is_empty() {
        return Ok(manifest);
    }
    let mut document: serde_json::Value = serde_json::from_slice(&manifest)?;
    let remarks: serde_json::Map<_, _> =
        annotations.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    document["annotations"] = remarks.into();
    serde_json::to_vec(&document)
}
