//! The images of a store: found, listed, named and removed.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use oci::image::ImageConfiguration;
use oci::{Digest, Reference};
use sys::Calling;
use trace::Recorder;

use crate::catalogue::{self, Asked, Catalogue, Entry};
use crate::compressed;
use crate::error::Doing;
use crate::layout::parse_name;
use crate::record::Record;
use crate::step::apply;
use crate::sweep::{self, Lately};
use crate::work::unique_name;
use crate::{Image, Layer, Layout, Listed, Removed, Store, StoreError, StoreStep, Usage, file, release};

/// The images of a store. Finding and listing take no lock.
#[derive(Debug, Clone, Copy)]
pub struct Images<'a> {
    store: &'a Store,
}

impl<'a> Images<'a> {
    pub(crate) fn new(store: &'a Store) -> Self {
        Self { store }
    }

    pub(crate) fn store(&self) -> &'a Store {
        self.store
    }

    fn layout(&self) -> &'a Layout {
        self.store.layout()
    }

    /// Finds an image by name, by ID or by the beginning of its ID, and reads it.
    pub fn resolve(&self, asked: &str) -> Result<Image, StoreError> {
        let (asked, record) = self.find(asked)?;
        self.read(record, asked.name())
    }

    /// Finds an image by its name, and reads it.
    pub fn resolve_name(&self, name: &Reference) -> Result<Image, StoreError> {
        let (name, record) = self.find_name(name)?.ok_or_else(|| StoreError::NotFound(name.familiar()))?;
        self.read(record, Some(&name))
    }

    /// Finds an image by this very name, and reads it.
    pub fn resolve_exactly(&self, name: &Reference) -> Result<Image, StoreError> {
        let record = self.find_exactly(name)?.ok_or_else(|| StoreError::NotFound(name.familiar()))?;
        self.read(record, Some(name))
    }

    /// Reads the image with this ID.
    pub fn load(&self, id: &Digest) -> Result<Image, StoreError> {
        let record = Record::read(&self.layout().record(id))?.ok_or_else(|| StoreError::NotFound(id.to_string()))?;
        self.read(record, None)
    }

    /// Lists all images, the newest first.
    pub fn list(&self) -> Result<Vec<Listed>, StoreError> {
        Ok(self.catalogue()?.list())
    }

    /// Returns the names of an image, in order.
    pub fn names_of(&self, id: &Digest) -> Result<Vec<Reference>, StoreError> {
        Ok(self.names()?.remove(id).unwrap_or_default())
    }

    /// Returns the names of an image with the digest that goes with each, in order.
    pub fn digests_of(&self, id: &Digest) -> Result<Vec<(Reference, Digest)>, StoreError> {
        let record = Record::read(&self.layout().record(id))?.ok_or_else(|| StoreError::NotFound(id.to_string()))?;
        let names = self.names_of(id)?.into_iter();
        Ok(names.map(|name| (record.digest_for(Some(&name)), name)).map(|(digest, name)| (name, digest)).collect())
    }

    /// Reads a document by its digest.
    pub fn document(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let path = self.layout().blob(digest);
        fs::read(&path).call(|| format!("open({})", path.display())).doing(|| format!("read document {digest}"))
    }

    /// Gives an image another name; if another image had it, that one loses it.
    pub fn tag(&self, asked: &str, name: &Reference, recorder: &Recorder) -> Result<Digest, StoreError> {
        if name.digest().is_some() {
            return Err(StoreError::NameWithDigest(name.clone()));
        }
        self.store.ensure()?;
        let _locked = self.store.lock()?;
        let (asked, record) = self.find(asked)?;
        self.rewrite(&record, record.named_like(asked.name(), name), recorder)?;
        let step = StoreStep::Tag {
            name: name.clone(),
            id: record.id,
            link: self.layout().name(name),
            beside: self.layout().beside_name(),
        };
        apply(&[step], recorder)?;
        self.sync_name(name)?;
        Ok(record.id)
    }

    /// Gives the image that has a name another manifest under it, as a registry has it now.
    pub fn renew_manifest(&self, name: &Reference, manifest: &[u8], recorder: &Recorder) -> Result<(), StoreError> {
        let _locked = self.store.lock()?;
        let record = self.find_exactly(name)?.ok_or_else(|| StoreError::NotFound(name.familiar()))?;
        let digest = Digest::of(manifest);
        let (path, beside) = (self.layout().blob(&digest), self.layout().beside_name());
        file::write_new(&beside, manifest, true).doing(|| "write a manifest")?;
        apply(&[StoreStep::Place { what: "manifest", from: beside, to: path, replace: true }], recorder)?;
        self.rewrite(&record, record.with_manifest(digest, name), recorder)?;
        crate::sweep::remove_orphans(self.store, Lately::Keep, recorder)
    }

    /// Removes a name or an image as Docker's `rmi` does; `users` tells who uses an image.
    pub fn remove(
        &self,
        asked: &str,
        force: bool,
        users: &dyn Fn(&Digest) -> Option<Usage>,
        recorder: &Recorder,
    ) -> Result<Removed, StoreError> {
        self.find(asked)?;
        let locked = self.store.lock()?;
        // Looked up again, now that nobody else can change it.
        let (asked, record) = self.find(asked)?;
        let catalogue = self.catalogue()?;
        let (removed, steps) = catalogue::plan_remove(&catalogue, &asked, &record.id, force, users, self.layout())?;
        let held = release::hold(&steps);
        apply(&steps, recorder)?;
        drop(locked);
        release::release(held);
        sweep::remove_retired(&steps)?;
        Ok(removed)
    }

    /// Removes the images that have no name and no user; with `all`, every one that has no user.
    pub fn prune(
        &self,
        all: bool,
        users: &dyn Fn(&Digest) -> Option<Usage>,
        recorder: &Recorder,
    ) -> Result<Removed, StoreError> {
        self.store.ensure()?;
        sweep::sweep(self.store, Lately::Remove, recorder)?;
        let locked = self.store.lock()?;
        let (removed, steps) = catalogue::plan_prune(&self.catalogue()?, all, users, self.layout());
        let held = release::hold(&steps);
        apply(&steps, recorder)?;
        drop(locked);
        release::release(held);
        sweep::remove_retired(&steps)?;
        Ok(removed)
    }

    /// A whole ID comes first, then a name, then the beginning of an ID, as in Docker.
    fn find(&self, asked: &str) -> Result<(Asked, Record), StoreError> {
        if let Ok(id) = asked.parse().or_else(|_| format!("sha256:{asked}").parse()) {
            let record = Record::read(&self.layout().record(&id))?;
            return record.map(|record| (Asked::Id(id), record)).ok_or_else(|| StoreError::NotFound(asked.into()));
        }
        let name = asked.parse::<Reference>();
        if let Ok(name) = &name
            && let Some((name, record)) = self.find_name(name)?
        {
            return Ok((Asked::Name(name), record));
        }
        let prefix = asked.strip_prefix("sha256:").unwrap_or(asked);
        let is_prefix = !prefix.is_empty() && prefix.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match is_prefix.then(|| self.find_prefix(prefix)).transpose()?.flatten() {
            Some(record) => Ok((Asked::Id(record.id), record)),
            None => Err(name.err().map_or_else(|| StoreError::NotFound(asked.into()), StoreError::Name)),
        }
    }

    /// A name without a domain finds what other engines made on this machine, too.
    fn find_name(&self, name: &Reference) -> Result<Option<(Reference, Record)>, StoreError> {
        let names = [Some(name.clone()), name.on_this_machine()];
        for name in names.into_iter().flatten() {
            if let Some(record) = self.find_exactly(&name)? {
                return Ok(Some((name, record)));
            }
        }
        Ok(None)
    }

    fn find_exactly(&self, name: &Reference) -> Result<Option<Record>, StoreError> {
        let record = Record::read(&self.layout().name(name))?;
        let Some(digest) = name.digest().filter(|_| record.is_none()) else { return Ok(record) };
        // An image named by a tag is known by its digest within the same repository too.
        let repository = self.layout().repository(name);
        for tag in file::names(&repository).doing(|| format!("list {}", repository.display()))? {
            if let Some(record) = Record::read(&repository.join(tag))?
                && record.has_digest(digest)
            {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    fn find_prefix(&self, prefix: &str) -> Result<Option<Record>, StoreError> {
        let images = self.layout().images();
        let mut ids = file::names(&images).doing(|| "list the images")?;
        ids.retain(|id| id.starts_with(prefix));
        match ids.as_slice() {
            [] => Ok(None),
            [id] => Record::read(&images.join(id)),
            _ => Err(StoreError::Ambiguous { prefix: prefix.into(), count: ids.len() }),
        }
    }

    /// The hot path of `run`: one read beside the record's.
    fn read(&self, record: Record, name: Option<&Reference>) -> Result<Image, StoreError> {
        let layout = self.layout();
        let (manifest, listed_in) = record.manifest_for(name);
        let path = layout.blob(&record.id);
        let bytes = fs::read(&path).call(|| format!("open({})", path.display()));
        let bytes = bytes.doing(|| format!("read the configuration of image {}", record.id.short()))?;
        let damaged = |error| StoreError::Damaged { path: path.clone(), source: Box::new(error) };
        let config: ImageConfiguration = serde_json::from_slice(&bytes).map_err(damaged)?;
        let (chain, size) = (record.chain(), record.size());
        let layers = record.layers.iter();
        let layers =
            layers.map(|layer| Layer { diff_id: layer.diff_id, size: layer.size, path: layout.layer(&layer.diff_id) });
        Ok(Image {
            id: record.id,
            manifest,
            listed_in,
            config,
            layers: layers.collect(),
            chain,
            index: layout.index(&chain),
            size,
            created: record.created,
        })
    }

    pub(crate) fn catalogue(&self) -> Result<Catalogue, StoreError> {
        let mut names = self.names()?;
        let images = self.layout().images();
        let compressed = compressed::pairs(self.layout())?;
        let cached = crate::cache::read_all(self.layout())?;
        let mut catalogue = Catalogue { compressed, cached, word: unique_name(), ..Catalogue::default() };
        for file in file::names(&images).doing(|| "list the images")? {
            // A reader without the lock may meet an image that is just being removed.
            if let Some(record) = Record::read(&images.join(file))? {
                let names = names.remove(&record.id).unwrap_or_default();
                catalogue.entries.push(Entry { record, names });
            }
        }
        catalogue.trees = file::names(&self.layout().trees()).doing(|| "list the unpacked images")?;
        Ok(catalogue)
    }

    /// Returns all names, by the image they lead to.
    pub(crate) fn catalogue_names(&self) -> Result<HashMap<Digest, Vec<Reference>>, StoreError> {
        self.names()
    }

    /// Reads all names, by the image they lead to, in order.
    fn names(&self) -> Result<HashMap<Digest, Vec<Reference>>, StoreError> {
        let top = self.layout().names();
        let mut found: HashMap<Digest, Vec<Reference>> = HashMap::new();
        for repository in file::names(&top).doing(|| "list the names")? {
            let directory = top.join(&repository);
            for last in file::names(&directory).doing(|| format!("list {}", directory.display()))? {
                let link = file::link(&directory.join(&last)).doing(|| format!("read the name {repository}/{last}"))?;
                let id = link.as_deref().and_then(Path::file_name).and_then(|hex| hex.to_str());
                let id = id.and_then(|hex| format!("sha256:{hex}").parse().ok());
                if let (Some(id), Some(name)) = (id, parse_name(&repository, &last)) {
                    found.entry(id).or_default().push(name);
                }
            }
        }
        found.values_mut().for_each(|names| names.sort());
        Ok(found)
    }

    /// Writes a record anew, beside the old one first. The caller holds the lock.
    fn rewrite(&self, old: &Record, new: Record, recorder: &Recorder) -> Result<(), StoreError> {
        if *old == new {
            return Ok(());
        }
        let beside = self.layout().beside_name();
        let bytes = serde_json::to_vec(&new).map_err(|error| StoreError::Index(Box::new(error)))?;
        file::write_new(&beside, &bytes, true).doing(|| "write an image's record")?;
        apply(&[StoreStep::Record { id: new.id, from: beside, to: self.layout().record(&new.id) }], recorder)
    }

    /// Waits until a name is on the disk.
    pub(crate) fn sync_name(&self, name: &Reference) -> Result<(), StoreError> {
        let layout = self.layout();
        file::sync_directory(&layout.repository(name))
            .and_then(|()| file::sync_directory(&layout.names()))
            .doing(|| format!("write the name {} to the disk", name.familiar()))
    }
}
