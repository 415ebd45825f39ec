//! An image out of a directory, for a build that starts from it. What the store has is not read again.

use std::path::Path;

use oci::image::ImageConfiguration;
use oci::{Digest, Platform};
use store::{Documents, Durability, Image, Layer, Store, StoreError, Work};
use trace::Recorder;

use super::{DEPTH, LayoutError, LayoutImage, Wanted, bytes, entries, name_of, open};
use crate::manifest::{Descriptor, Document, Manifest, choose};
use crate::unpacking::archive_layer;

/// Takes an image out of a directory, for a machine; it has no name in the store.
pub fn take_image(
    store: &Store,
    image: &LayoutImage,
    platform: &Platform,
    recorder: &Recorder,
) -> Result<Image, LayoutError> {
    let directory = image.path.as_path();
    let entry = image.entry()?;
    let (listed_in, bytes_of_manifest, manifest) = manifest(directory, &entry, platform)?;
    match store.images().load(&manifest.config.digest) {
        Ok(known) => return Ok(known),
        Err(StoreError::NotFound(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let config = bytes(directory, &manifest.config.digest)?;
    let read: ImageConfiguration = serde_json::from_slice(&config)
        .map_err(|source| LayoutError::Configuration { config: manifest.config.digest, source })?;
    let expected = read.rootfs().diff_ids();
    if expected.len() != manifest.layers.len() {
        return Err(LayoutError::LayerCount { expected: expected.len(), actual: manifest.layers.len() });
    }
    let mut work = store.begin(Durability::Durable)?;
    for (blob, expected) in manifest.layers.iter().zip(expected) {
        take_layer(directory, blob, expected, &mut work)?;
    }
    let documents = Documents { config, manifest: bytes_of_manifest, listed_in };
    Ok(work.commit(&documents, &[], recorder)?)
}

impl LayoutImage {
    /// Finds what is wanted in the index.
    fn entry(&self) -> Result<Descriptor, LayoutError> {
        let entries = entries(&self.path)?;
        let named = |name: &str| entries.iter().find(|entry| name_of(entry) == Some(name));
        let found = match &self.wanted {
            Wanted::Named(name) => named(name),
            Wanted::Digest(digest) => entries.iter().find(|entry| entry.digest == *digest),
            Wanted::Only => match &entries[..] {
                [only] => Some(only),
                _ => named("latest"),
            },
        };
        found.cloned().ok_or_else(|| LayoutError::Nothing {
            directory: self.path.display().to_string(),
            name: match &self.wanted {
                Wanted::Only => "latest".to_owned(),
                Wanted::Named(name) => name.clone(),
                Wanted::Digest(digest) => digest.to_string(),
            },
            known: entries.iter().filter_map(name_of).map(ToOwned::to_owned).collect(),
        })
    }
}

/// Goes from an entry to the manifest for a machine; of several, tells the index that listed it.
fn manifest(
    directory: &Path,
    from: &Descriptor,
    platform: &Platform,
) -> Result<(Option<Digest>, Vec<u8>, Manifest), LayoutError> {
    let (mut at, mut listed_in) = (from.clone(), None);
    for _ in 0..DEPTH {
        let bytes = bytes(directory, &at.digest)?;
        match Document::parse(&bytes)? {
            Document::Manifest(manifest) => return Ok((listed_in, bytes, manifest)),
            Document::Index(images) => {
                listed_in = Some(at.digest);
                at = choose(&images, platform)?.clone();
            }
        }
    }
    Err(LayoutError::TooDeep)
}

/// Brings a layer into the work, unless the store has it. It is what the configuration says, or it is not taken.
fn take_layer(directory: &Path, blob: &Descriptor, expected: &str, work: &mut Work) -> Result<Layer, LayoutError> {
    let known = expected.parse().ok().map(|diff_id: Digest| work.keep_layer(&diff_id)).transpose()?;
    if let Some(Some(layer)) = known {
        return Ok(layer);
    }
    let came = archive_layer(work, open(directory, blob)?);
    let came = came.map_err(|source| LayoutError::Layer { digest: blob.digest, source: Box::new(source) })?;
    match came {
        Some(layer) if layer.diff_id.to_string() == expected => Ok(layer),
        other => {
            let actual = other.map_or_else(|| "what is no layer".to_owned(), |layer| layer.diff_id.to_string());
            Err(LayoutError::WrongLayer { digest: blob.digest, expected: expected.to_owned(), actual })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn digest(byte: u8) -> Digest {
        Digest::of(&[byte])
    }

    #[test]
    fn an_image_is_found_by_its_name_its_digest_or_by_being_alone() {
        let directory = tempfile::tempdir().unwrap();
        let entry = |byte: u8, name: &str| {
            let digest = digest(byte);
            format!(r#"{{"digest":"{digest}","size":1,"annotations":{{"{}":"{name}"}}}}"#, super::super::NAME)
        };
        let write = |entries: &[String]| {
            let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
            fs::write(directory.path().join("index.json"), index).unwrap();
        };
        let find = |wanted: Wanted| LayoutImage { path: directory.path().into(), wanted }.entry();
        write(&[entry(1, "one")]);
        assert_eq!(find(Wanted::Only).unwrap().digest, digest(1));
        write(&[entry(1, "one"), entry(2, "two")]);
        assert_eq!(find(Wanted::Named("two".into())).unwrap().digest, digest(2));
        assert_eq!(find(Wanted::Digest(digest(1))).unwrap().digest, digest(1));
        let text = find(Wanted::Only).unwrap_err().to_string();
        assert!(text.ends_with("holds nothing by the name latest, only one, two"), "{text}");
        write(&[entry(1, "one"), entry(2, "latest")]);
        assert_eq!(find(Wanted::Only).unwrap().digest, digest(2));
    }
}
