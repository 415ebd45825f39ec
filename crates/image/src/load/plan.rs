//! Which images an archive says it has. Pure.

use std::collections::{BTreeMap, BTreeSet};

use oci::{Digest, Platform, Reference};
use serde::Deserialize;

use super::LoadError;
use super::contents::{Contents, blob_path};
use crate::manifest::{Descriptor, Document, Manifest, choose};

/// An image that is to be made.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) names: Vec<Reference>,
    pub(super) config: Vec<u8>,
    /// As it came; Docker's form has none.
    pub(super) manifest: Option<Vec<u8>>,
    /// From the lowest to the highest.
    pub(super) layers: Vec<Layer>,
}

/// Where a layer is.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) path: String,
    /// What its bytes have to be, where that is said.
    pub(super) blob: Option<Descriptor>,
}

/// One image of Docker's form.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

/// How far indexes may lead to indexes.
const DEPTH: usize = 4;

/// Plans the images of an archive. Where it has both forms, the image layout has the manifests as they were.
pub(super) fn plan(contents: &Contents, platform: &Platform) -> Result<Vec<Planned>, LoadError> {
    let items: Option<Vec<Item>> = document(contents, "manifest.json")?;
    let index = contents.document("index.json");
    match (index, items) {
        (Some(index), items) => plan_layout(contents, index, &items.unwrap_or_default(), platform),
        (None, Some(items)) => items.into_iter().map(|item| plan_item(contents, item)).collect(),
        (None, None) => Err(LoadError::NoImages),
    }
}

fn document<T: for<'d> Deserialize<'d>>(contents: &Contents, path: &str) -> Result<Option<T>, LoadError> {
    let parsed = contents.document(path).map(serde_json::from_slice).transpose();
    parsed.map_err(|source| LoadError::Document { name: path.to_owned(), source })
}

fn plan_item(contents: &Contents, item: Item) -> Result<Planned, LoadError> {
    let config = contents.document(&item.config).ok_or_else(|| LoadError::Missing { name: item.config.clone() })?;
    // Its name is its digest, in every archive that a tool has written.
    if let Some(digest) = named_digest(&item.config)
        && digest != Digest::of(config)
    {
        let (actual, length) = (Digest::of(config), config.len() as u64);
        return Err(LoadError::Damaged { name: item.config, actual, length });
    }
    Ok(Planned {
        names: names(item.repo_tags.iter().flatten())?,
        config: config.to_vec(),
        manifest: None,
        layers: item.layers.into_iter().map(|path| Layer { path, blob: None }).collect(),
    })
}

fn named_digest(path: &str) -> Option<Digest> {
    let file = path.rsplit('/').next()?;
    format!("sha256:{}", file.strip_suffix(".json").unwrap_or(file)).parse().ok()
}

fn plan_layout(
    contents: &Contents,
    index: &[u8],
    items: &[Item],
    platform: &Platform,
) -> Result<Vec<Planned>, LoadError> {
    let fault = |source| LoadError::Manifest { name: "index.json".to_owned(), source };
    let images = match Document::parse(index).map_err(fault)? {
        Document::Index(images) => images,
        Document::Manifest(_) => return Err(LoadError::NoImages),
    };
    // One image for several machines may stand here without an index of its own.
    let platforms: BTreeSet<_> = images.iter().filter_map(|image| Some(image.platform.as_ref()?.to_string())).collect();
    let is_one = images.len() > 1
        && platforms.len() == images.len()
        && images.iter().all(|image| image.annotations == images[0].annotations);
    let images: Vec<_> = if is_one { vec![choose(&images, platform).map_err(fault)?] } else { images.iter().collect() };
    // Each manifest once: an image with two names stands here twice.
    let mut planned: BTreeMap<Digest, Planned> = BTreeMap::new();
    let mut order = Vec::new();
    for image in images {
        let (digest, bytes, manifest) = follow(contents, image, platform)?;
        let more = annotated_names(image)?;
        if let Some(known) = planned.get_mut(&digest) {
            known.names.extend(more);
            continue;
        }
        let mut made = plan_manifest(contents, bytes, &manifest)?;
        let of_docker = items.iter().filter(|item| named_digest(&item.config) == Some(manifest.config.digest));
        made.names = names(of_docker.flat_map(|item| item.repo_tags.iter().flatten()))?;
        made.names.extend(more);
        order.push(digest);
        planned.insert(digest, made);
    }
    let mut all: Vec<_> = order.iter().filter_map(|digest| planned.remove(digest)).collect();
    for image in &mut all {
        image.names.sort();
        image.names.dedup();
    }
    Ok(all)
}

/// Goes from a descriptor to the manifest for a machine.
fn follow<'c>(
    contents: &'c Contents,
    from: &Descriptor,
    platform: &Platform,
) -> Result<(Digest, &'c [u8], Manifest), LoadError> {
    let mut at = from.clone();
    for _ in 0..DEPTH {
        let bytes = contents.blob(&at)?;
        let fault = |source| LoadError::Manifest { name: at.digest.to_string(), source };
        match Document::parse(bytes).map_err(fault)? {
            Document::Manifest(manifest) => return Ok((at.digest, bytes, manifest)),
            Document::Index(images) => at = choose(&images, platform).map_err(fault)?.clone(),
        }
    }
    Err(LoadError::TooDeep(DEPTH))
}

fn plan_manifest(contents: &Contents, bytes: &[u8], manifest: &Manifest) -> Result<Planned, LoadError> {
    let layer = |blob: &Descriptor| Layer { path: blob_path(&blob.digest), blob: Some(blob.clone()) };
    Ok(Planned {
        names: Vec::new(),
        config: contents.blob(&manifest.config)?.to_vec(),
        manifest: Some(bytes.to_vec()),
        layers: manifest.layers.iter().map(layer).collect(),
    })
}

/// The names that containerd, Podman and Skopeo write beside a manifest. A tag alone names nothing.
fn annotated_names(image: &Descriptor) -> Result<Vec<Reference>, LoadError> {
    let said = |key| image.annotations.as_ref().and_then(|said| said.get(key));
    let name = said("io.containerd.image.name").or_else(|| said("org.opencontainers.image.ref.name"));
    names(name.filter(|name| name.contains([':', '/'])).into_iter())
}

fn names<'n>(texts: impl Iterator<Item = &'n String>) -> Result<Vec<Reference>, LoadError> {
    texts.map(|text| text.parse().map_err(|error| LoadError::Store(store::StoreError::Name(error)))).collect()
}
