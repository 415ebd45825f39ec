//! Layers wrapped up as an image, in the two forms in which images travel.

use oci::Digest;
use serde_json::{Value, json};

use super::{Layer, Member, tar};

/// Wraps layers up as an image in Docker's form, as `docker save` writes it.
pub fn docker(name: &str, layers: &[Layer]) -> Vec<u8> {
    let config = config(layers);
    let paths: Vec<_> = layers.iter().map(|layer| format!("{}.tar", Digest::of(&layer.bytes).hex())).collect();
    let path = format!("{}.json", Digest::of(&config).hex());
    let manifest = json!([{ "Config": path, "RepoTags": [name], "Layers": paths }]).to_string();
    let mut members: Vec<_> = paths.iter().zip(layers).map(|(path, layer)| Member::file(path, &layer.bytes)).collect();
    members.extend([Member::file(&path, &config), Member::file("manifest.json", manifest)]);
    tar(members)
}

/// Wraps layers up as an image layout of the OCI.
pub fn layout(name: &str, layers: &[Layer]) -> Vec<u8> {
    let config = config(layers);
    let layers: Vec<_> = layers.iter().map(|layer| layer.bytes.as_slice()).collect();
    let described = |kind: &str, bytes: &[u8]| {
        let kind = format!("application/vnd.oci.image.{kind}");
        json!({ "mediaType": kind, "digest": Digest::of(bytes), "size": bytes.len() })
    };
    let manifest = json!({
        "schemaVersion": 2,
        "config": described("config.v1+json", &config),
        "layers": layers.iter().map(|layer| described("layer.v1.tar", layer)).collect::<Vec<_>>(),
    });
    let manifest = manifest.to_string();
    let mut image = described("manifest.v1+json", manifest.as_bytes());
    image["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
    let index = json!({ "schemaVersion": 2, "manifests": [image] }).to_string();
    let blobs = layers.into_iter().chain([config.as_slice(), manifest.as_bytes()]);
    let blobs = blobs.map(|bytes| Member::file(format!("blobs/sha256/{}", Digest::of(bytes).hex()), bytes));
    let first = [Member::file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#), Member::file("index.json", index)];
    tar(first.into_iter().chain(blobs))
}

fn config(layers: &[Layer]) -> Vec<u8> {
    let ids: Vec<_> = layers.iter().map(|layer| Digest::of(&layer.bytes)).collect();
    let config: Value = json!({
        "architecture": "amd64", "os": "linux", "config": {}, "rootfs": { "type": "layers", "diff_ids": ids },
    });
    config.to_string().into_bytes()
}
