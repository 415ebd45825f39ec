//! The list of steps, as it is written down. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use oci::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::CacheError;
use crate::manifest::Descriptor;

/// The kind of a configuration that lists steps.
pub(super) const CONFIG: &str = "application/vnd.conductor.buildcache.config.v1+json";
/// The kind of the manifest.
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The field of an image's configuration that lists the steps which made its layers.
pub const FIELD: &str = "conductor.buildcache.v1";

/// One step of a build, as others know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedStep {
    /// How it was made, as a digest.
    pub key: Digest,
    /// The layer that it made, by its diff-id.
    pub layer: Digest,
    /// The length of the layer.
    pub size: u64,
    /// The instruction, for people.
    pub what: String,
    /// When it was made, where that is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
}

/// A configuration that lists steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listing {
    pub(super) steps: Vec<SharedStep>,
    /// The diff-ids of the manifest's layers, in their order.
    pub(super) layers: Vec<Digest>,
}

/// Composes the two documents of a cache: its configuration, and its manifest.
pub(super) fn compose(
    steps: &[SharedStep],
    layers: &[(Digest, Descriptor)],
) -> Result<(Vec<u8>, Vec<u8>), serde_json::Error> {
    let listing = Listing { steps: steps.to_vec(), layers: layers.iter().map(|(diff_id, _)| *diff_id).collect() };
    let config = serde_json::to_vec(&listing)?;
    let described = |media_type: &str, digest: &Digest, size: u64| -> Value {
        json!({ "mediaType": media_type, "digest": digest.to_string(), "size": size })
    };
    let layers: Vec<_> = layers.iter().map(|(_, blob)| described(&blob.media_type, &blob.digest, blob.size)).collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": described(CONFIG, &Digest::of(&config), config.len() as u64),
        "layers": layers,
    });
    Ok((config, serde_json::to_vec(&manifest)?))
}

/// Reads what a configuration lists: that of a cache, or that of an image. The digests that go with the manifest's layers come
/// along.
pub(super) fn read(config: &[u8], is_image: bool) -> Result<Listing, CacheError> {
    if !is_image {
        return Ok(serde_json::from_slice(config)?);
    }
    let all: Map<String, Value> = serde_json::from_slice(config)?;
    let steps = all.get(FIELD).cloned().ok_or(CacheError::NoSteps)?;
    let layers = all.get("rootfs").and_then(|root| root.get("diff_ids")).cloned().unwrap_or_else(|| json!([]));
    Ok(Listing { steps: serde_json::from_value(steps)?, layers: serde_json::from_value(layers)? })
}

/// Writes the steps that made an image's layers into its configuration. The same steps give the same bytes, whenever they were made.
pub fn with_steps(config: &[u8], steps: &[SharedStep]) -> Result<Vec<u8>, serde_json::Error> {
    let mut all: BTreeMap<String, Value> = serde_json::from_slice(config)?;
    let timeless: Vec<_> = steps.iter().map(|step| SharedStep { created: None, ..step.clone() }).collect();
    all.insert(FIELD.to_owned(), serde_json::to_value(timeless)?);
    serde_json::to_vec(&all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Document;

    fn step(name: &str) -> SharedStep {
        let created = Some(Timestamp::UNIX_EPOCH);
        let (key, layer) = (Digest::of(name.as_bytes()), Digest::of(format!("layer of {name}").as_bytes()));
        SharedStep { key, layer, size: 1024, what: format!("RUN {name}"), created }
    }

    fn blob(step: &SharedStep) -> (Digest, Descriptor) {
        let media_type = "application/vnd.oci.image.layer.v1.tar+gzip".to_owned();
        let digest = Digest::of(step.what.as_bytes());
        (step.layer, Descriptor { media_type, digest, size: 100, platform: None, annotations: None })
    }

    #[test]
    fn a_list_reads_back_as_it_was_written() {
        let steps = [step("a"), step("b")];
        let (config, manifest) = compose(&steps, &[blob(&steps[0]), blob(&steps[1])]).unwrap();
        let listing = read(&config, false).unwrap();
        assert_eq!(listing.steps, steps);
        assert_eq!(listing.layers, [steps[0].layer, steps[1].layer]);
        let Document::Manifest(manifest) = Document::read(&manifest).unwrap() else { panic!("it is an index") };
        assert_eq!((manifest.config.media_type.as_str(), manifest.config.digest), (CONFIG, Digest::of(&config)));
        assert_eq!(
            manifest.layers.iter().map(|layer| layer.digest).collect::<Vec<_>>(),
            [blob(&steps[0]).1.digest, blob(&steps[1]).1.digest]
        );
        assert!(!manifest.is_image(), "nobody takes it for an image that could be run");
    }

    #[test]
    fn an_image_lists_its_own_steps() {
        let root = json!({ "type": "layers", "diff_ids": [Digest::of(b"").to_string()] });
        let config = json!({ "os": "linux", "architecture": "amd64", "rootfs": root }).to_string();
        let config = config.as_bytes();
        assert!(matches!(read(config, true), Err(CacheError::NoSteps)));
        let with = with_steps(config, &[step("a")]).unwrap();
        let listing = read(&with, true).unwrap();
        assert_eq!(listing.steps, [SharedStep { created: None, ..step("a") }]);
        assert_eq!(listing.layers, [Digest::of(b"")]);
        let later = SharedStep { created: Some(Timestamp::MAX), ..step("a") };
        assert_eq!(with_steps(&with, &[later]).unwrap(), with);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for wrong in ["", "{}", "[]", r#"{"steps":[{"key":"x"}],"layers":[]}"#] {
            assert!(read(wrong.as_bytes(), false).is_err(), "{wrong}");
        }
    }
}
