//! A list with all that is in it on its way to a registry: its images first, each under its digest, and then the index.

use oci::{Digest, Entry, ListKind, ManifestList, Member, Origin, Reference};
use registry::{Client, Version};
use store::{Store, StoreError};
use trace::Recorder;

use super::ListError;
use super::find::image_of;
use crate::manifest::Document;
use crate::push::{Place, PushError, PushOptions, bring};
use crate::several::several;
use crate::{Silent, TransferProgress};

/// How a list is pushed.
#[derive(Debug, Clone, Copy, Default)]
pub struct ListPushOptions {
    /// The document that it becomes; Docker's where all that is in it is Docker's, where nothing is said.
    pub kind: Option<ListKind>,
    /// Whether the list is removed then, unless somebody has changed it meanwhile.
    pub purge: bool,
}

/// A list that was pushed.
#[derive(Debug, Clone)]
pub struct PushedList {
    /// The digest of its index.
    pub digest: Digest,
    /// The length of its index.
    pub size: u64,
    /// The machines that several images of it are for.
    pub repeated: Vec<String>,
    /// Whether it is no longer here.
    pub purged: bool,
}

/// Pushes the list that has a name here to a place, which may be of another name. The list takes over the digests that its
/// images have there.
pub fn push(
    store: &Store,
    client: &Client<'_>,
    name: &Reference,
    to: &Reference,
    options: ListPushOptions,
    progress: &dyn TransferProgress,
    recorder: &Recorder,
) -> Result<PushedList, ListError> {
    if to.digest().is_some() {
        return Err(ListError::Digest(to.familiar()));
    }
    let mut list = store.lists().get(name)?;
    if list.members().is_empty() {
        return Err(oci::ListError::Empty.into());
    }
    let kind = list.kind(options.kind)?;
    let repository = client.repository(to)?;
    let place = Place { store, client, repository: &repository, name: to, progress, options: PushOptions::default() };
    let give = |member: &Member| Ok((member.entry.digest, place.give(member)?));
    let given = list.members().iter().map(give).collect::<Result<Vec<_>, ListError>>()?;
    renew(&mut list, &given);
    let index = list.index(kind)?;
    let version = Version::Tag(to.tag().unwrap_or("latest").to_owned());
    let digest = repository.put_manifest(&version, kind.media_type(), &index)?;
    // Whoever has changed the list meanwhile has kept what is the same; whoever has removed it wants none.
    let renewed = store.lists().change(name, recorder, |kept| {
        renew(kept, &given);
        Ok(())
    });
    match renewed {
        Ok(()) | Err(StoreError::NoList(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let purged = options.purge && store.lists().remove_unchanged(name, &list, recorder)?;
    Ok(PushedList { digest, size: index.len() as u64, repeated: list.repeated(), purged })
}

fn renew(list: &mut ManifestList, given: &[(Digest, Entry)]) {
    given.iter().for_each(|(before, now)| list.renew(before, now));
}

impl Place<'_> {
    /// Sees to it that the repository has an image of a list, and tells how it stands in an index now.
    fn give(&self, member: &Member) -> Result<Entry, ListError> {
        let fault = |source: PushError| ListError::Member { member: member.told(), source: Box::new(source) };
        match &member.origin {
            Origin::Image(id) => match image_of(self.store, id, member)? {
                Some(image) => {
                    let given = self.deliver(&image, None).map_err(fault)?;
                    let (media_type, size) = (given.media_type.to_owned(), given.manifest.len() as u64);
                    Ok(Entry { media_type, digest: given.digest, size, ..member.entry.clone() })
                }
                // An earlier push may have brought it there, in this very form.
                None if self.repository.has_manifest(&member.entry.digest)? => Ok(member.entry.clone()),
                None => Err(ListError::Gone { member: member.told(), image: *id }),
            },
            Origin::Registry(from) => self.carry(&member.entry, from).map(|()| member.entry.clone()).map_err(fault),
        }
    }

    /// Brings a manifest from another repository, of whichever registry, with all that it names.
    fn carry(&self, entry: &Entry, from: &Reference) -> Result<(), PushError> {
        if self.repository.has_manifest(&entry.digest)? {
            return Ok(());
        }
        let version = Version::Digest(entry.digest);
        let from = self.client.repository(from)?;
        let found = from.manifest(&version)?;
        let fault = |source| PushError::Manifest { name: from.name().to_owned(), source: Box::new(source) };
        if let Document::Manifest(manifest) = Document::read(&found.bytes).map_err(fault)? {
            several(&manifest.layers, |layer, _| bring(&from, self.repository, layer, self.progress))?;
            bring(&from, self.repository, &manifest.config, &Silent)?;
        }
        self.repository.put_manifest(&version, &entry.media_type, &found.bytes)?;
        Ok(())
    }
}
