//! What a name stands for when it is added to a list: an image here, or else one or several at its registry.

use oci::{Digest, Entry, Machine, Member, Origin, Reference};
use registry::{Client, Repository, Version};
use store::{Image, Store, StoreError};

use super::{AT_REGISTRY, ListError};
use crate::manifest::{Document, Manifest};
use crate::pull::read_config;
use crate::push::kind;
use crate::several::several;

/// Finds what a name, an ID or the beginning of one stands for. What is here comes first; after `docker://` the registry is asked.
/// An index at a registry is all the images in it.
pub fn find(store: &Store, client: &Client<'_>, asked: &str) -> Result<Vec<Member>, ListError> {
    if let Some(name) = asked.strip_prefix(AT_REGISTRY) {
        return at_registry(client, &name.parse().map_err(StoreError::Name)?);
    }
    let name = asked.parse::<Reference>().ok();
    match (store.images().resolve(asked), name) {
        // The digest of an index means all that is in it, of which one image may be here.
        (Ok(image), Some(name)) if name.digest().is_some_and(|digest| *digest != image.manifest) => {
            at_registry(client, &name)
        }
        (Ok(image), _) => Ok(vec![here(store, asked, &image)?]),
        (Err(StoreError::NotFound(_)), Some(name)) => at_registry(client, &name),
        (Err(error), _) => Err(error.into()),
    }
}

/// Gets the manifest of a member, byte for byte: an image's that is here as it goes to a registry when nothing has to be compressed.
pub fn manifest(store: &Store, client: &Client<'_>, member: &Member) -> Result<Vec<u8>, ListError> {
    match &member.origin {
        Origin::Image(id) => match image_of(store, id, member)? {
            Some(image) => Ok(store.images().document(&image.manifest)?),
            None => Err(ListError::Gone { member: member.told(), image: *id }),
        },
        Origin::Registry(at) => Ok(client.repository(at)?.manifest(&Version::Digest(member.entry.digest))?.bytes),
    }
}

/// Finds an image here by its ID, with the manifest that goes with its name where that still leads to it.
pub(super) fn image_of(store: &Store, id: &Digest, member: &Member) -> Result<Option<Image>, StoreError> {
    let named = member.name.as_ref().and_then(|name| store.images().resolve_name(name).ok());
    if let Some(image) = named.filter(|image| image.id == *id) {
        return Ok(Some(image));
    }
    match store.images().load(id) {
        Ok(image) => Ok(Some(image)),
        Err(StoreError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn here(store: &Store, asked: &str, image: &Image) -> Result<Member, ListError> {
    let manifest = store.images().document(&image.manifest)?;
    let config = store.images().document(&image.id)?;
    let names = store.images().names_of(&image.id)?;
    let name = asked.parse::<Reference>().ok().filter(|name| store.images().resolve_name(name).is_ok());
    let name = name.or_else(|| names.into_iter().next());
    let told = name.as_ref().map_or_else(|| image.id.short(), Reference::familiar);
    let entry = Entry {
        media_type: kind(&manifest).to_owned(),
        platform: Some(machine(&config, &image.id, &told)?),
        ..Entry::new(image.manifest, manifest.len() as u64)
    };
    Ok(Member { entry, name, origin: Origin::Image(image.id) })
}

fn at_registry(client: &Client<'_>, name: &Reference) -> Result<Vec<Member>, ListError> {
    let repository = client.repository(name)?;
    let found = repository.manifest(&Version::of(name))?;
    let entries = match read(&found.bytes, &found.digest, name)? {
        Document::Manifest(manifest) => vec![entry(&repository, &found, &manifest, name)?],
        Document::Index(_) => entries(&repository, &found, name)?,
    };
    let member = |entry: Entry| {
        let at = format!("{}@{}", name.repository(), entry.digest).parse().map_err(StoreError::Name)?;
        Ok(Member { entry, name: Some(name.clone()), origin: Origin::Registry(at) })
    };
    entries.into_iter().map(member).collect()
}

fn read(bytes: &[u8], digest: &Digest, name: &Reference) -> Result<Document, ListError> {
    Document::read(bytes).map_err(|source| ListError::Document {
        document: format!("the manifest {digest}"),
        name: name.familiar(),
        source: Box::new(source),
    })
}

/// Reads all of an index. Machines and remarks stay as they are; where there is no machine, the configuration is asked.
fn entries(repository: &Repository<'_>, index: &registry::Manifest, name: &Reference) -> Result<Vec<Entry>, ListError> {
    let entries = Entry::parse_index(&index.bytes)
        .map_err(|source| ListError::Index { name: name.familiar(), source: Box::new(source) })?;
    if let Some(index) = entries.iter().find(|entry| entry.is_index()) {
        return Err(ListError::Nested { name: name.familiar(), digest: index.digest });
    }
    several(&entries, |listed, _| {
        if listed.platform.is_some() && !listed.media_type.is_empty() {
            return Ok(listed.clone());
        }
        let found = repository.manifest(&Version::Digest(listed.digest))?;
        match read(&found.bytes, &found.digest, name)? {
            Document::Index(_) => Err(ListError::Nested { name: name.familiar(), digest: listed.digest }),
            Document::Manifest(manifest) => {
                let own = entry(repository, &found, &manifest, name)?;
                let platform = listed.platform.clone().or(own.platform);
                Ok(Entry { media_type: own.media_type, size: own.size, platform, ..listed.clone() })
            }
        }
    })
}

/// Tells how a manifest of a registry stands in an index. What is no image of a container has no machine.
fn entry(
    repository: &Repository<'_>,
    found: &registry::Manifest,
    manifest: &Manifest,
    name: &Reference,
) -> Result<Entry, ListError> {
    let platform = match manifest.is_image() {
        true => {
            let config = read_config(repository, name, &manifest.config)?;
            Some(machine(&config, &manifest.config.digest, &name.familiar())?)
        }
        false => None,
    };
    let media_type = match found.media_type.as_str() {
        "" => kind(&found.bytes),
        said => said,
    };
    let entry = Entry::new(found.digest, found.bytes.len() as u64);
    Ok(Entry { media_type: media_type.to_owned(), platform, ..entry })
}

fn machine(config: &[u8], digest: &Digest, name: &str) -> Result<Machine, ListError> {
    let fault = |source| ListError::Machine { digest: *digest, name: name.to_owned(), source };
    serde_json::from_slice::<Machine>(config).map(Machine::without_empty_words).map_err(fault)
}
