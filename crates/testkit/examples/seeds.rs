//! Writes what the fuzz targets (`fuzz/`) start from, a directory for each, into the directory that is named.

use std::error::Error;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use testkit::archives::{self, Case, image};

/// Larger ones would only slow the search down.
const LARGEST: usize = 32 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let root = std::env::args_os().nth(1).ok_or("usage: seeds DIRECTORY")?;
    let root = Path::new(&root);
    let cases = archives::all();
    write(root, "layer", cases.iter().filter_map(layers))?;
    write(root, "load", cases.iter().step_by(9).flat_map(images))?;
    write(root, "manifest", manifests().iter().map(bytes))?;
    write(root, "config", configs().iter().map(bytes))?;
    write(root, "reference", REFERENCES.iter().map(|text| text.as_bytes().to_vec()))?;
    Ok(())
}

fn write(root: &Path, target: &str, seeds: impl Iterator<Item = Vec<u8>>) -> std::io::Result<()> {
    let directory = root.join(target);
    fs::create_dir_all(&directory)?;
    let seeds = seeds.filter(|seed| seed.len() <= LARGEST);
    seeds.enumerate().try_for_each(|(number, seed)| fs::write(directory.join(format!("seed-{number:03}")), seed))
}

/// One or two layers, behind what the target wants to know of them.
fn layers(case: &Case) -> Option<Vec<u8>> {
    let (lower, rest) = case.layers.split_first()?;
    let blocks = if rest.is_empty() { 0 } else { u16::try_from(lower.bytes.len() / 512).ok()? };
    // Checksums made to fit, the tar given block by block.
    let mut seed = vec![147];
    seed.extend(blocks.to_le_bytes());
    seed.extend(&lower.bytes);
    seed.extend(rest.iter().take(1).flat_map(|layer| &layer.bytes));
    Some(seed)
}

fn images(case: &Case) -> [Vec<u8>; 2] {
    [image::docker("seed:1", &case.layers), image::layout("seed:1", &case.layers)]
        .map(|bytes| [vec![1], bytes].concat())
}

fn bytes(document: &Value) -> Vec<u8> {
    document.to_string().into_bytes()
}

const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn described(kind: &str) -> Value {
    json!({ "mediaType": kind, "digest": DIGEST, "size": 7 })
}

fn manifests() -> Vec<Value> {
    let oci = described("application/vnd.oci.image.config.v1+json");
    let docker = described("application/vnd.docker.container.image.v1+json");
    let mut image = described("application/vnd.oci.image.manifest.v1+json");
    image["platform"] = json!({ "os": "linux", "architecture": "amd64" });
    let mut other = image.clone();
    other["platform"] = json!({ "os": "linux", "architecture": "arm64", "variant": "v8" });
    other["annotations"] = json!({ "org.opencontainers.image.ref.name": "a:1" });
    vec![
        json!({ "schemaVersion": 2, "config": oci, "layers": [described("application/vnd.oci.image.layer.v1.tar+gzip")] }),
        json!({ "schemaVersion": 2, "config": docker, "layers": [described("application/vnd.docker.image.rootfs.diff.tar.gzip")] }),
        json!({ "schemaVersion": 2, "manifests": [image, other] }),
        json!({ "manifests": [described("")] }),
        json!({ "config": oci, "layers": [], "manifests": [] }),
        json!({ "schemaVersion": 1, "fsLayers": [] }),
    ]
}

fn configs() -> Vec<Value> {
    // The SHA-256 of the two blocks of zeros that are an empty layer.
    let empty = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
    let config = json!({
        "User": "1000:1000", "ExposedPorts": { "80/tcp": {} }, "Env": ["PATH=/bin", "A="], "Entrypoint": ["/bin/sh"],
        "Cmd": ["-c", "true"], "Volumes": { "/data": {} }, "WorkingDir": "/", "Labels": { "a": "b" },
        "StopSignal": "SIGTERM", "Healthcheck": { "Test": ["NONE"] },
    });
    let whole = json!({
        "architecture": "amd64", "os": "linux", "created": "2025-01-01T00:00:00.5Z", "author": "somebody",
        "config": config, "history": [{ "created": "2025-01-01T00:00:00Z", "created_by": "x", "empty_layer": true }],
        "rootfs": { "type": "layers", "diff_ids": [] },
    });
    let mut one = whole.clone();
    one["rootfs"]["diff_ids"] = json!([empty]);
    let mut two = one.clone();
    two["rootfs"]["diff_ids"] = json!([empty, empty]);
    two["variant"] = json!("v8");
    vec![whole, one, two, json!({ "architecture": "", "os": "", "rootfs": { "type": "", "diff_ids": [] } })]
}

const REFERENCES: &[&str] = &[
    "mydebian",
    "debian:bookworm",
    "localhost:5000/a/b__c/d---e:B_1.2-x",
    "[fe80::1]:5000/a",
    "Example.org/a@sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "eg/a:1@sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "linux/arm64/v8",
    "../a",
];
