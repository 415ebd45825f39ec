//! The documents of an image, composed from nouns: configuration, history, manifest. Pure.
//!
//! The same nouns give the same bytes. The document types keep labels and ports in hash maps, so everything passes through
//! a `serde_json::Value` first, whose keys are sorted.

use jiff::Timestamp;
use oci::image::{
    Arch, Config, DescriptorBuilder, History, HistoryBuilder, ImageConfiguration, ImageManifest, ImageManifestBuilder,
};
use oci::image::{MediaType, Os, RootFs, RootFsBuilder, SCHEMA_VERSION};
use oci::{Digest, Platform};
use serde::Serialize;
use serde_json::{Map, Value};
use store::{Documents, Layer};

/// What an image of one or more layers shall be.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The machine it is for.
    pub platform: Platform,
    /// What runs in it, and how.
    pub config: Config,
    /// When it was made.
    pub created: Timestamp,
    /// What made its top layer, as a command line.
    pub created_by: String,
    /// A remark for the history.
    pub comment: Option<String>,
}

/// Why documents could not be composed: the document types refused what was given.
#[derive(Debug, thiserror::Error)]
#[error("cannot compose the image's documents")]
pub struct DocumentError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl Recipe {
    /// Starts from what this machine is and the environment that every image of ours has.
    pub fn new(created: Timestamp, created_by: impl Into<String>) -> Self {
        let mut config = Config::default();
        config.set_env(Some(vec![DEFAULT_PATH.to_owned()]));
        Self { platform: Platform::host(), config, created, created_by: created_by.into(), comment: None }
    }
}

/// The search path of an image that sets none, as Docker has it.
pub const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Composes the documents of an image with the given layers, from the lowest to the highest.
pub fn compose(recipe: &Recipe, layers: &[Layer]) -> Result<Documents, DocumentError> {
    let config = canonical(&configuration(recipe, layers)?)?;
    let manifest = manifest_of(&config, layers)?;
    Ok(Documents { config, manifest, listed_in: None })
}

/// What a layer on top of an image adds to its configuration.
#[derive(Debug, Clone)]
pub struct Addition {
    /// What runs in it, and how.
    pub config: Config,
    /// When it was made.
    pub created: Timestamp,
    /// What made the layer, as a command line.
    pub created_by: String,
    /// Who made it.
    pub author: Option<String>,
    /// A remark for the history.
    pub comment: Option<String>,
}

/// Composes the documents of an image that has one layer more than the one with the configuration `base`. What that says beyond
/// the specification, such as Docker's health check, stays as it is.
pub fn compose_on(base: &[u8], addition: &Addition, layers: &[Layer]) -> Result<Documents, DocumentError> {
    let fault = |error: serde_json::Error| DocumentError(Box::new(error));
    let known: ImageConfiguration = serde_json::from_slice(base).map_err(fault)?;
    let mut steps = known.history().clone().unwrap_or_default();
    steps.push(addition.step()?);
    let mut composed: Map<String, Value> = serde_json::from_slice(base).map_err(fault)?;
    let mut set = |key: &str, value: serde_json::Result<Value>| -> Result<(), DocumentError> {
        composed.insert(key.to_owned(), value.map_err(fault)?);
        Ok(())
    };
    set("created", Ok(addition.created.to_string().into()))?;
    set("rootfs", serde_json::to_value(root_fs(layers)?))?;
    set("history", serde_json::to_value(steps))?;
    if let Some(author) = &addition.author {
        set("author", Ok(author.clone().into()))?;
    }
    let mut config = composed.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
    let before = serde_json::to_value(known.config().clone().unwrap_or_default()).map_err(fault)?;
    config.retain(|key, _| before.get(key).is_none());
    if let Value::Object(now) = serde_json::to_value(&addition.config).map_err(fault)? {
        config.extend(now);
    }
    composed.insert("config".to_owned(), config.into());
    let config = canonical(&composed)?;
    let manifest = manifest_of(&config, layers)?;
    Ok(Documents { config, manifest, listed_in: None })
}

impl Addition {
    fn step(&self) -> Result<History, DocumentError> {
        let mut step = HistoryBuilder::default().created(self.created.to_string()).created_by(self.created_by.clone());
        if let Some(author) = &self.author {
            step = step.author(author.clone());
        }
        if let Some(comment) = &self.comment {
            step = step.comment(comment.clone());
        }
        step.build().map_err(|error| DocumentError(Box::new(error)))
    }
}

/// Composes the manifest of a configuration that is there, with its layers uncompressed.
pub fn manifest_of(config: &[u8], layers: &[Layer]) -> Result<Vec<u8>, DocumentError> {
    canonical(&manifest(config, layers)?)
}

fn configuration(recipe: &Recipe, layers: &[Layer]) -> Result<ImageConfiguration, DocumentError> {
    let mut configuration = ImageConfiguration::default();
    configuration
        .set_created(Some(recipe.created.to_string()))
        .set_architecture(Arch::from(recipe.platform.architecture.as_str()))
        .set_os(Os::from(recipe.platform.os.as_str()))
        .set_variant(recipe.platform.variant.clone())
        .set_config(Some(recipe.config.clone()))
        .set_rootfs(root_fs(layers)?)
        .set_history(Some(vec![history(recipe)?]));
    Ok(configuration)
}

fn root_fs(layers: &[Layer]) -> Result<RootFs, DocumentError> {
    let diff_ids: Vec<_> = layers.iter().map(|layer| layer.diff_id.to_string()).collect();
    RootFsBuilder::default().diff_ids(diff_ids).build().map_err(|error| DocumentError(Box::new(error)))
}

fn history(recipe: &Recipe) -> Result<History, DocumentError> {
    let mut history =
        HistoryBuilder::default().created(recipe.created.to_string()).created_by(recipe.created_by.clone());
    if let Some(comment) = &recipe.comment {
        history = history.comment(comment.clone());
    }
    history.build().map_err(|error| DocumentError(Box::new(error)))
}

/// The layers of a local image are uncompressed; a push replaces them by compressed ones and remembers those.
fn manifest(config: &[u8], layers: &[Layer]) -> Result<ImageManifest, DocumentError> {
    let layers: Result<Vec<_>, _> =
        layers.iter().map(|layer| descriptor(MediaType::ImageLayer, &layer.diff_id, layer.size)).collect();
    ImageManifestBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageManifest)
        .config(descriptor(MediaType::ImageConfig, &Digest::of(config), config.len() as u64)?)
        .layers(layers?)
        .build()
        .map_err(|error| DocumentError(Box::new(error)))
}

fn descriptor(kind: MediaType, digest: &Digest, size: u64) -> Result<oci::image::Descriptor, DocumentError> {
    let digest: oci::image::Digest = digest.to_string().parse().map_err(|error| DocumentError(Box::new(error)))?;
    let built = DescriptorBuilder::default().media_type(kind).digest(digest).size(size).build();
    built.map_err(|error| DocumentError(Box::new(error)))
}

fn canonical(document: &impl Serialize) -> Result<Vec<u8>, DocumentError> {
    let sorted = serde_json::to_value(document).and_then(|value| serde_json::to_vec(&value));
    sorted.map_err(|error| DocumentError(Box::new(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe() -> Recipe {
        let mut recipe = Recipe::new(Timestamp::UNIX_EPOCH, "conductor import");
        recipe.platform = Platform { os: "linux".into(), architecture: "amd64".into(), variant: None };
        let labels = ["b", "a", "d", "c"].map(|key| (key.to_owned(), "1".to_owned()));
        recipe.config.set_labels(Some(labels.into()));
        recipe
    }

    fn layer() -> Layer {
        Layer { diff_id: Digest::of(b"layer"), size: 1024, path: "/nowhere".into() }
    }

    fn pretty(document: &[u8]) -> String {
        let value: serde_json::Value = serde_json::from_slice(document).unwrap();
        serde_json::to_string_pretty(&value).unwrap()
    }

    #[test]
    fn what_a_configuration_says_beyond_the_specification_stays() {
        let base =
            br#"{"architecture":"arm64","os":"linux","docker_version":"20","rootfs":{"type":"layers","diff_ids":[]},
            "config":{"Cmd":["a"],"Healthcheck":{"Test":["CMD","true"]},"Shell":["/bin/bash"]}}"#;
        let mut config = Config::default();
        config.set_entrypoint(Some(vec!["b".to_owned()]));
        let (created, created_by, author) = (Timestamp::UNIX_EPOCH, "sh".to_owned(), Some("me".to_owned()));
        let addition = Addition { config, created, created_by, author, comment: None };
        let composed = compose_on(base, &addition, &[]).unwrap();
        insta::assert_snapshot!(String::from_utf8(composed.config).unwrap());
    }

    #[test]
    fn the_configuration_names_the_layers_and_what_made_them() {
        let documents = compose(&recipe(), &[layer()]).unwrap();
        insta::assert_snapshot!(pretty(&documents.config), @r#"
        {
          "architecture": "amd64",
          "config": {
            "Env": [
              "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
            ],
            "Labels": {
              "a": "1",
              "b": "1",
              "c": "1",
              "d": "1"
            }
          },
          "created": "1970-01-01T00:00:00Z",
          "history": [
            {
              "created": "1970-01-01T00:00:00Z",
              "created_by": "conductor import"
            }
          ],
          "os": "linux",
          "rootfs": {
            "diff_ids": [
              "sha256:dac1d7cfa95021764849fd102524e141488c5e3a90f861dbb5a12d9ac8584f85"
            ],
            "type": "layers"
          }
        }
        "#);
    }

    #[test]
    fn the_manifest_points_at_configuration_and_layers() {
        let documents = compose(&recipe(), &[layer()]).unwrap();
        insta::assert_snapshot!(pretty(&documents.manifest), @r#"
        {
          "config": {
            "digest": "sha256:a8316bad1a00a7716e74f9da5aa8ea0581e2c1dd5552a8c864086493d6e40231",
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "size": 393
          },
          "layers": [
            {
              "digest": "sha256:dac1d7cfa95021764849fd102524e141488c5e3a90f861dbb5a12d9ac8584f85",
              "mediaType": "application/vnd.oci.image.layer.v1.tar",
              "size": 1024
            }
          ],
          "mediaType": "application/vnd.oci.image.manifest.v1+json",
          "schemaVersion": 2
        }
        "#);
    }

    #[test]
    fn the_same_nouns_give_the_same_bytes() {
        let first = compose(&recipe(), &[layer()]).unwrap();
        assert!((0..20).all(|_| compose(&recipe(), &[layer()]).unwrap() == first));
    }
}
