//! What `image inspect` prints: an image in the shape and with the field names that Docker's has.

use std::collections::BTreeMap;

use oci::image::Config;
use oci::{Digest, Reference};
use serde::Serialize;
use store::{Image, StoreError};

/// An image, described.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Inspection {
    /// The image's ID.
    pub id: Digest,
    /// Its names by tag.
    pub repo_tags: Vec<String>,
    /// Its names by the digest of its manifest.
    pub repo_digests: Vec<String>,
    /// The remark of its last step.
    pub comment: String,
    /// When it was made.
    pub created: String,
    /// Who made it.
    pub author: String,
    /// What to run, and how.
    pub config: InspectedConfig,
    /// The processor it is for.
    pub architecture: String,
    /// The processor's variant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The operating system it is for.
    pub os: String,
    /// The length of all its layers together.
    pub size: u64,
    /// Where its files are.
    pub graph_driver: GraphDriver,
    /// Its layers.
    #[serde(rename = "RootFS")]
    pub root_fs: InspectedRootFs,
    /// Its manifest.
    pub descriptor: InspectedDescriptor,
}

/// What an image runs, and how; every field is there, empty where the image says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InspectedConfig {
    /// The user.
    pub user: String,
    /// The ports it listens on.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, Nothing>,
    /// The environment.
    pub env: Vec<String>,
    /// The default command.
    pub cmd: Option<Vec<String>>,
    /// The directories that belong on volumes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<String, Nothing>,
    /// The working directory.
    pub working_dir: String,
    /// The program that always runs.
    pub entrypoint: Option<Vec<String>>,
    /// The labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// The signal that stops it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
}

/// The value of a set's members, which Docker writes as `{}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Nothing {}

/// Where an image's files are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GraphDriver {
    /// How they are mounted.
    pub name: String,
    /// The index, and the layers below it.
    pub data: BTreeMap<String, String>,
}

/// The layers of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InspectedRootFs {
    /// Always `layers`.
    pub r#type: String,
    /// Their diff-ids, from the lowest to the highest.
    pub layers: Vec<Digest>,
}

/// The manifest of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InspectedDescriptor {
    /// Its kind.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its length.
    pub size: u64,
}

/// Describes an image with its names and its manifest.
pub fn inspect(store: &store::Store, image: &Image) -> Result<Inspection, StoreError> {
    let names = store.images().digests_of(&image.id)?;
    let manifest = store.images().document(&image.manifest)?;
    Ok(describe(image, &names, manifest.len() as u64))
}

fn describe(image: &Image, names: &[(Reference, Digest)], manifest_size: u64) -> Inspection {
    let last = image.config.history().as_deref().and_then(|history| history.last());
    let comment = last.and_then(|step| step.comment().clone());
    let layers = image.layers.iter().rev().map(|layer| layer.path.to_string_lossy());
    let data = [
        ("Index".to_owned(), image.index.to_string_lossy().into_owned()),
        ("Layers".to_owned(), layers.collect::<Vec<_>>().join(":")),
    ];
    Inspection {
        id: image.id,
        repo_tags: names.iter().filter(|(name, _)| name.tag().is_some()).map(|(name, _)| name.familiar()).collect(),
        repo_digests: repo_digests(names),
        comment: comment.unwrap_or_default(),
        created: image.created.to_string(),
        author: image.config.author().clone().unwrap_or_default(),
        config: config(image.config.config().as_ref()),
        architecture: image.config.architecture().to_string(),
        variant: image.config.variant().clone(),
        os: image.config.os().to_string(),
        size: image.size,
        graph_driver: GraphDriver { name: "erofs".into(), data: data.into() },
        root_fs: InspectedRootFs {
            r#type: "layers".into(),
            layers: image.layers.iter().map(|layer| layer.diff_id).collect(),
        },
        descriptor: InspectedDescriptor {
            media_type: oci::image::MediaType::ImageManifest.to_string(),
            digest: image.manifest,
            size: manifest_size,
        },
    }
}

fn repo_digests(names: &[(Reference, Digest)]) -> Vec<String> {
    let mut digests: Vec<_> =
        names.iter().map(|(name, digest)| format!("{}@{digest}", name.familiar_repository())).collect();
    digests.sort();
    digests.dedup();
    digests
}

fn config(config: Option<&Config>) -> InspectedConfig {
    let Some(config) = config else { return InspectedConfig::default() };
    let set = |words: &Option<Vec<String>>| words.iter().flatten().map(|word| (word.clone(), Nothing {})).collect();
    InspectedConfig {
        user: config.user().clone().unwrap_or_default(),
        exposed_ports: set(config.exposed_ports()),
        env: config.env().clone().unwrap_or_default(),
        cmd: config.cmd().clone(),
        volumes: set(config.volumes()),
        working_dir: config.working_dir().clone().unwrap_or_default(),
        entrypoint: config.entrypoint().clone(),
        labels: config.labels().clone().map(|labels| labels.into_iter().collect()),
        stop_signal: config.stop_signal().clone(),
    }
}
