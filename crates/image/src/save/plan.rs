//! What stands in an archive of images, and in which order.

use std::collections::BTreeMap;

use oci::{Digest, Reference};
use serde::Serialize;
use serde_json::{Value, json};
use store::{Image, Layer, Store};

use super::{Form, SaveError};
use crate::documents::manifest_of;
use crate::manifest::Document;

/// One entry of the archive.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) path: String,
    pub(crate) source: Source,
}

/// Where an entry's bytes come from.
#[derive(Debug)]
pub(crate) enum Source {
    Directory,
    Bytes(Vec<u8>),
    Layer(Layer),
}

impl Source {
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Directory => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Layer(layer) => layer.size,
        }
    }
}

/// One image of Docker's form.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

/// Plans an archive: what tells of the rest comes first, and every blob once.
pub(crate) fn plan(store: &Store, images: &[(Image, Vec<Reference>)], form: Form) -> Result<Vec<Part>, SaveError> {
    let mut blobs = BTreeMap::new();
    let (mut index, mut items) = (Vec::new(), Vec::new());
    for (image, names) in images {
        let config = store.images().document(&image.id)?;
        let manifest = uncompressed_manifest(store, image, &config)?;
        let digest = Digest::of(&manifest);
        index.extend(entries(image, names, digest, manifest.len()));
        items.push(Item {
            config: blob(&image.id),
            repo_tags: names.iter().map(Reference::familiar).collect(),
            layers: image.layers.iter().map(|layer| blob(&layer.diff_id)).collect(),
        });
        blobs.insert(digest, Source::Bytes(manifest));
        blobs.insert(image.id, Source::Bytes(config));
        blobs.extend(image.layers.iter().map(|layer| (layer.diff_id, Source::Layer(layer.clone()))));
    }
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": index });
    let mut parts =
        vec![document("oci-layout", &json!({ "imageLayoutVersion": "1.0.0" })), document("index.json", &index)];
    if form == Form::Docker {
        parts.push(document("manifest.json", &json!(items)));
    }
    parts.extend(["blobs", "blobs/sha256"].map(|path| Part { path: path.into(), source: Source::Directory }));
    parts.extend(blobs.into_iter().map(|(digest, source)| Part { path: blob(&digest), source }));
    Ok(parts)
}

/// The media type of an index (image-spec, media-types.md).
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Returns the manifest of an image with its layers as they lie here: its own, if that has none compressed.
fn uncompressed_manifest(store: &Store, image: &Image, config: &[u8]) -> Result<Vec<u8>, SaveError> {
    let own = store.images().document(&image.manifest)?;
    let layers = image.layers.iter().map(|layer| layer.diff_id);
    let kind = serde_json::from_slice::<Value>(&own).ok().and_then(|document| document.get("mediaType").cloned());
    match Document::parse(&own) {
        Ok(Document::Manifest(manifest))
            if kind.is_none_or(|kind| kind == MANIFEST)
                && manifest.layers.iter().map(|layer| layer.digest).eq(layers) =>
        {
            Ok(own)
        }
        _ => Ok(manifest_of(config, &image.layers)?),
    }
}

/// Returns how the index of a plan describes its images.
pub(crate) fn members(parts: &[Part]) -> Vec<Value> {
    let index = parts.iter().find(|part| part.path == "index.json");
    let bytes = index.and_then(|part| if let Source::Bytes(bytes) = &part.source { Some(bytes) } else { None });
    let index: Option<Value> = bytes.and_then(|bytes| serde_json::from_slice(bytes).ok());
    index.and_then(|index| index["manifests"].as_array().cloned()).unwrap_or_default()
}

/// Lets a plan lead to one entry, under each of the names, and adds documents to it.
pub(crate) fn rewrite(parts: &mut Vec<Part>, entry: &Value, names: &[Reference], documents: BTreeMap<Digest, Vec<u8>>) {
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": named(entry, names) });
    for part in parts.iter_mut().filter(|part| part.path == "index.json") {
        part.source = Source::Bytes(index.to_string().into_bytes());
    }
    let known: Vec<_> = parts.iter().map(|part| part.path.clone()).collect();
    let new = documents.into_iter().map(|(digest, bytes)| Part { path: blob(&digest), source: Source::Bytes(bytes) });
    parts.extend(new.filter(|part| !known.contains(&part.path)));
}

/// Returns an entry of the index for each name of an image, or one without a name. Containerd and Docker read the one remark,
/// Podman and Skopeo the other.
fn entries(image: &Image, names: &[Reference], manifest: Digest, size: usize) -> Vec<Value> {
    named(&described(image, manifest, size), names)
}

fn named(plain: &Value, names: &[Reference]) -> Vec<Value> {
    let named = |name: &Reference| {
        let (mut entry, name) = (plain.clone(), name.to_string());
        entry["annotations"] = json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name });
        entry
    };
    if names.is_empty() { vec![plain.clone()] } else { names.iter().map(named).collect() }
}

/// Returns how an index describes an image.
pub(crate) fn described(image: &Image, manifest: Digest, size: usize) -> Value {
    let platform = [
        ("architecture", Some(image.config.architecture().to_string())),
        ("os", Some(image.config.os().to_string())),
        ("variant", image.config.variant().clone()),
    ];
    let platform: BTreeMap<_, _> = platform.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    json!({ "mediaType": MANIFEST, "digest": manifest, "size": size, "platform": platform })
}

/// The media type of a manifest.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn document(path: &str, value: &Value) -> Part {
    Part { path: path.to_owned(), source: Source::Bytes(value.to_string().into_bytes()) }
}

fn blob(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
