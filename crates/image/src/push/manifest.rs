//! The manifest that goes to a registry: the image's own where the registry has just those layers. Pure.

use oci::Digest;
use serde_json::Value;
use store::{Compressed, Form, Image, Layer};

use crate::manifest::{Descriptor, Manifest};

/// The media type of a manifest (image-spec, media-types.md).
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A layer as the registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) media_type: String,
    /// Whether it was compressed here, and can be made again.
    pub(super) made_here: bool,
}

impl Given {
    pub(super) fn of(named: &Descriptor) -> Self {
        Self { digest: named.digest, size: named.size, media_type: named.media_type.clone(), made_here: false }
    }

    pub(super) fn compressed(&self, layer: &Layer, repository: &str) -> Compressed {
        let repositories = Some(repository.to_owned()).filter(|name| !name.is_empty()).into_iter().collect();
        let (size, media_type, made_here) = (self.size, self.media_type.clone(), self.made_here);
        let form = Form { size, media_type, made_here, repositories };
        Compressed { digest: self.digest, layer: layer.diff_id, form }
    }
}

impl From<Compressed> for Given {
    fn from(known: Compressed) -> Self {
        Self {
            digest: known.digest,
            size: known.form.size,
            media_type: known.form.media_type,
            made_here: known.form.made_here,
        }
    }
}

/// Returns what kind of document a manifest says it is.
pub(crate) fn kind(own: &[u8]) -> &'static str {
    let said = serde_json::from_slice::<Value>(own).ok();
    match said.as_ref().and_then(|document| document.get("mediaType")?.as_str()) {
        Some(DOCKER) => DOCKER,
        _ => MANIFEST,
    }
}

/// The media type of Docker's manifests.
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// Tells whether a manifest names any layer in a compressed form.
pub(super) fn is_compressed(manifest: &Manifest, image: &Image) -> bool {
    let pairs = manifest.layers.iter().zip(&image.layers);
    pairs.into_iter().any(|(named, layer)| named.digest != layer.diff_id)
}

/// Returns the manifest with the layers as the registry has them: byte for byte as it was, if those are the same.
pub(super) fn with_layers(own: &[u8], parsed: &Manifest, given: &[Given]) -> Vec<u8> {
    let same = |(named, given): (&Descriptor, &Given)| named.digest == given.digest;
    if parsed.layers.iter().zip(given).all(same) {
        return own.to_vec();
    }
    let Ok(mut document) = serde_json::from_slice::<Value>(own) else { return own.to_vec() };
    if let Some(layers) = document.get_mut("layers").and_then(Value::as_array_mut) {
        for (layer, given) in layers.iter_mut().zip(given) {
            layer["digest"] = given.digest.to_string().into();
            layer["size"] = given.size.into();
            layer["mediaType"] = given.media_type.clone().into();
        }
    }
    serde_json::to_vec(&document).unwrap_or_else(|_| own.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Document;

    #[test]
    fn a_manifest_is_left_alone_where_nothing_differs() {
        let layer = Digest::of(b"layer");
        let own = format!(
            "{{ \"schemaVersion\": 2, \"config\": {{\"mediaType\": \"application/vnd.oci.image.config.v1+json\", \
             \"digest\": \"{layer}\", \"size\": 3}}, \"layers\": [{{\"mediaType\": \
             \"application/vnd.oci.image.layer.v1.tar\", \"digest\": \"{layer}\", \"size\": 9, \"annotations\": {{\"a\": \
             \"b\"}}}}]}}"
        );
        let Document::Manifest(parsed) = Document::parse(own.as_bytes()).unwrap() else { panic!("a manifest") };
        let same = Given::of(&parsed.layers[0]);
        assert_eq!(with_layers(own.as_bytes(), &parsed, &[same]), own.as_bytes());
        let other = Given { digest: Digest::of(b"packed"), size: 4, media_type: "x".into(), made_here: true };
        let changed: Value = serde_json::from_slice(&with_layers(own.as_bytes(), &parsed, &[other])).unwrap();
        assert_eq!(changed["layers"][0]["digest"], Digest::of(b"packed").to_string());
        assert_eq!(
            (&changed["layers"][0]["size"], &changed["layers"][0]["annotations"]["a"]),
            (&4.into(), &"b".into())
        );
    }
}
