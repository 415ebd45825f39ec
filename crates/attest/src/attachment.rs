//! Statements beside an image: a manifest of their own in the same index, as BuildKit attaches them.
//!
//! ```text
//! index
//! ├── manifest of the image            linux/amd64
//! └── manifest of its attestations     unknown/unknown, vnd.docker.reference.digest = the manifest above
//!     ├── configuration                with no meaning
//!     └── one layer a statement        application/vnd.in-toto+json, in-toto.io/predicate-type = its kind
//! ```

use oci::Digest;
use serde_json::{Value, json};

use crate::Statement;

const IN_TOTO: &str = "application/vnd.in-toto+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// What has to be stored, and what the index has to say, for statements to go with an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The documents, statements first and the manifest last.
    pub blobs: Vec<(Digest, Vec<u8>)>,
    /// The digest of the manifest.
    pub manifest: Digest,
    /// The entry for the index.
    pub descriptor: Value,
}

/// Makes the manifest with statements about the image whose manifest has the digest `image`.
pub fn attach(image: &Digest, statements: &[Statement]) -> Attachment {
    let mut blobs = Vec::new();
    let mut layers = Vec::new();
    for statement in statements {
        let (digest, mut layer) = keep(&mut blobs, IN_TOTO, statement.document());
        layer["annotations"] = json!({ "in-toto.io/predicate-type": statement.predicate_type() });
        layers.push((digest, layer));
    }
    let (digests, layers): (Vec<_>, Vec<_>) = layers.into_iter().unzip();
    let config = json!({
        "architecture": "unknown", "os": "unknown", "config": {},
        "rootfs": { "type": "layers", "diff_ids": digests.iter().map(Digest::to_string).collect::<Vec<_>>() },
    });
    let (_, config) = keep(&mut blobs, CONFIG, &config);
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
    let (manifest, mut descriptor) = keep(&mut blobs, MANIFEST, &manifest);
    descriptor["platform"] = json!({ "architecture": "unknown", "os": "unknown" });
    descriptor["annotations"] = json!({
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": image.to_string(),
    });
    Attachment { blobs, manifest, descriptor }
}

/// Adds a document to the blobs and returns its digest and what points at it.
fn keep(blobs: &mut Vec<(Digest, Vec<u8>)>, media_type: &str, document: &Value) -> (Digest, Value) {
    let bytes = document.to_string().into_bytes();
    let digest = Digest::of(&bytes);
    let descriptor = json!({ "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len() });
    blobs.push((digest, bytes));
    (digest, descriptor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attachment() -> Attachment {
        let image = Digest::of(b"image");
        let say = |kind: &str| Statement::new("app", &image, kind, json!({}));
        attach(&image, &[say("https://spdx.dev/Document"), say("https://slsa.dev/provenance/v1")])
    }

    #[test]
    fn the_entry_of_the_index_points_at_the_image_and_is_for_no_platform() {
        let Attachment { blobs, manifest, descriptor } = attachment();
        insta::assert_snapshot!(serde_json::to_string_pretty(&descriptor).unwrap(), @r#"
        {
          "annotations": {
            "vnd.docker.reference.digest": "sha256:6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d",
            "vnd.docker.reference.type": "attestation-manifest"
          },
          "digest": "sha256:171ff9d86ea50f106d758993c7678dc6a6ebe617cd61f0f1cde507d27cb0fd65",
          "mediaType": "application/vnd.oci.image.manifest.v1+json",
          "platform": {
            "architecture": "unknown",
            "os": "unknown"
          },
          "size": 674
        }
        "#);
        let (digest, bytes) = blobs.last().unwrap();
        assert_eq!((digest, &Digest::of(bytes)), (&manifest, &manifest));
    }

    #[test]
    fn each_statement_is_a_layer_that_tells_its_kind() {
        let blobs = attachment().blobs;
        let manifest: Value = serde_json::from_slice(&blobs[3].1).unwrap();
        let kinds: Vec<_> =
            (0..2).map(|n| &manifest["layers"][n]["annotations"]["in-toto.io/predicate-type"]).collect();
        assert_eq!(kinds, ["https://spdx.dev/Document", "https://slsa.dev/provenance/v1"]);
        for (layer, blob) in [(&manifest["layers"][0], &blobs[0]), (&manifest["layers"][1], &blobs[1])] {
            assert_eq!(layer["mediaType"], IN_TOTO);
            assert_eq!((&layer["digest"], &layer["size"]), (&json!(blob.0.to_string()), &json!(blob.1.len())));
        }
        let config: Value = serde_json::from_slice(&blobs[2].1).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"], json!([blobs[0].0.to_string(), blobs[1].0.to_string()]));
    }

    #[test]
    fn the_manifest_is_one_that_the_specification_knows() {
        let blobs = attachment().blobs;
        let manifest = oci::image::ImageManifest::from_reader(blobs[3].1.as_slice()).unwrap();
        assert_eq!(manifest.layers().len(), 2);
        oci::image::ImageConfiguration::from_reader(blobs[2].1.as_slice()).unwrap();
    }
}
