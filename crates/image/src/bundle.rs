//! Several images as one: an index over images for several machines, and over documents that say something of them.
//!
//! What is said of an image names it by the digest of its manifest, and that is known only once it is known how its layers are
//! packed where it goes. So whoever has something to say is asked then.

use std::collections::BTreeMap;
use std::fs::File;

use oci::{Digest, Reference};
use registry::{Client, Version};
use serde_json::{Value, json};
use store::{Image, Store};
use trace::Recorder;

use crate::push::{Place, PushError, PushOptions};
use crate::save::{SaveError, emit, open_layers, plan, write};
use crate::{Form, TransferProgress};

/// Documents that go with an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Companion {
    /// All of them, with their digests; the manifest that holds them is the last.
    pub documents: Vec<(Digest, Vec<u8>)>,
    /// How the index names the manifest.
    pub descriptor: Value,
}

/// Who says something of an image whose manifest has a digest.
pub type Companions<'a> = &'a dyn Fn(&Image, &Digest) -> Option<Companion>;

/// Writes images, and what is said of them, into an archive that is an OCI image layout: one index with all of them, under each
/// of the names.
pub fn save_index(
    store: &Store,
    images: &[Image],
    names: &[Reference],
    companions: Companions<'_>,
    out: &mut File,
    progress: &dyn TransferProgress,
) -> Result<Digest, SaveError> {
    let plain: Vec<_> = images.iter().map(|image| (image.clone(), Vec::new())).collect();
    let mut parts = plan::plan(store, &plain, Form::Oci)?;
    let mut documents = BTreeMap::new();
    let mut members = plan::members(&parts);
    for (image, member) in images.iter().zip(members.clone()) {
        let digest = member["digest"].as_str().and_then(|text| text.parse().ok());
        if let Some(companion) = digest.and_then(|digest| companions(image, &digest)) {
            documents.extend(companion.documents);
            members.push(companion.descriptor);
        }
    }
    let index = index(&members);
    let digest = Digest::of(&index);
    let entry = json!({ "mediaType": INDEX, "digest": digest, "size": index.len() });
    documents.insert(digest, index);
    plan::rewrite(&mut parts, &entry, names, documents);
    let layers = open_layers(&parts)?;
    parts.iter().try_for_each(|part| write(part, &layers, out, progress))?;
    emit(out, &[0; 1024])?;
    Ok(digest)
}

/// Gives images, and what is said of them, to a registry: each under its digest, and the index with all of them under the name.
pub fn push_index(
    store: &Store,
    client: &Client<'_>,
    name: &Reference,
    images: &[Image],
    companions: Companions<'_>,
    progress: &dyn TransferProgress,
) -> Result<Digest, PushError> {
    if name.digest().is_some() {
        return Err(PushError::Digest(name.familiar()));
    }
    let repository = client.repository(name)?;
    let place = Place { store, client, repository: &repository, name, progress, options: PushOptions::default() };
    let (mut members, mut said) = (Vec::new(), Vec::new());
    for image in images {
        let given = place.deliver(image, None)?;
        let mut member = plan::described(image, given.digest, given.manifest.len());
        member["mediaType"] = json!(given.media_type);
        members.push(member);
        let Some(companion) = companions(image, &given.digest) else { continue };
        let Some(((digest, manifest), blobs)) = companion.documents.split_last() else { continue };
        for (digest, bytes) in blobs {
            let open = |from: u64| Ok(&bytes[usize::try_from(from).unwrap_or(bytes.len()).min(bytes.len())..]);
            repository.upload(digest, bytes.len() as u64, open)?;
        }
        repository.put_manifest(&Version::Digest(*digest), MANIFEST, manifest)?;
        said.push(companion.descriptor);
    }
    members.extend(said);
    let version = Version::Tag(name.tag().unwrap_or("latest").to_owned());
    Ok(repository.put_manifest(&version, INDEX, &index(&members))?)
}

/// Gives a list of images a name here: for `run` they are found under it at their registry, or by their IDs.
pub fn list_images(
    store: &Store,
    client: &Client<'_>,
    name: &Reference,
    images: &[Image],
    recorder: &Recorder,
) -> Result<(), crate::lists::ListError> {
    let mut members = Vec::new();
    for image in images {
        members.extend(crate::lists::find(store, client, &image.id.to_string())?);
    }
    store.lists().change_or_create(name, recorder, |_| {
        let mut made = oci::ManifestList::default();
        made.put(members).map_err(crate::lists::ListError::from)?;
        Ok(made)
    })
}

fn index(members: &[Value]) -> Vec<u8> {
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": members }).to_string().into_bytes()
}

/// The media types of an index and of a manifest (image-spec, media-types.md).
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
