//! What was built before: each step of a build under the key of how it was made.
//!
//! ```text
//! cache/
//! ├── steps/<key>            one small JSON a step: which layer it made, over which layers
//! ├── mounts/<id>/           one directory a cache mount, with its locks
//! ├── contexts/<id>          what was known of a directory's files when it was last read
//! └── fetched/<id>/          what came from elsewhere: files of URLs, repositories
//! ```
//!
//! A step's record keeps its layer and the index over it from being swept, as an image's does. It says when the step was last
//! used by its file's own time. One that cannot be read is as good as none: the step is made again.
//!
//! Start reading at [`Cache`].

use std::collections::HashSet;
use std::fs::{self, File, FileTimes, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;
use oci::Digest;
use serde::{Deserialize, Serialize};
use sys::Calling;
use trace::Recorder;

use crate::error::Doing;
use crate::removal::remove_tree;
use crate::step::apply;
use crate::sweep::{self, Lately};
use crate::{CacheItem, CacheKind, ChainId, Layout, Store, StoreError, StoreStep, file, release, tree_size};

/// One step of a build that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedStep {
    /// How it was made, as a digest.
    pub key: Digest,
    /// The layer that it made.
    pub layer: Digest,
    /// The length of the layer.
    pub size: u64,
    /// The layers up to this one.
    pub chain: ChainId,
    /// The instruction, for people.
    pub what: String,
    /// When it was made.
    pub created: Timestamp,
    /// The build that made it.
    pub build: String,
}

/// A kept directory that is in use: nobody removes it meanwhile.
#[derive(Debug)]
pub struct HeldDirectory {
    path: PathBuf,
    _hold: File,
}

impl HeldDirectory {
    /// Returns where it is; what is in it under names of its own is its user's.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The cache of builds.
#[derive(Debug, Clone, Copy)]
pub struct Cache<'a> {
    store: &'a Store,
}

impl<'a> Cache<'a> {
    pub(crate) fn new(store: &'a Store) -> Self {
        Self { store }
    }

    /// Finds the step with a key, if its layer is still there, and notes that it was used.
    pub fn find(&self, key: &Digest) -> Result<Option<CachedStep>, StoreError> {
        let path = self.store.layout().cached_step(key);
        let Some(step) = read(&path)?.filter(|step| step.key == *key) else { return Ok(None) };
        let layer = self.store.layout().layer(&step.layer);
        if layer.metadata().ok().map(|metadata| metadata.len()) != Some(step.size) {
            return Ok(None);
        }
        touch(&path);
        Ok(Some(step))
    }

    /// Lists all that is kept, what was used last first.
    pub fn items(&self) -> Result<Vec<CacheItem>, StoreError> {
        let mut items = self.steps()?;
        let layout = self.store.layout();
        items.extend(directories(&layout.cache_mounts(), CacheKind::Mount)?);
        items.extend(directories(&layout.fetched(), CacheKind::Fetched)?);
        items.extend(contexts(&layout.contexts())?);
        items.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.id.cmp(&b.id)));
        Ok(items)
    }

    fn steps(&self) -> Result<Vec<CacheItem>, StoreError> {
        let catalogue = self.store.images().catalogue()?;
        let layout = self.store.layout();
        let of_images: HashSet<Digest> =
            catalogue.entries.iter().flat_map(|entry| &entry.record.layers).map(|layer| layer.diff_id).collect();
        let item = |step: CachedStep| {
            let path = layout.cached_step(&step.key);
            CacheItem {
                kind: CacheKind::Step { layer: step.layer },
                id: step.key.hex(),
                used: modified(&path).unwrap_or(step.created),
                path,
                what: step.what,
                size: step.size,
                created: Some(step.created),
                shared: of_images.contains(&step.layer),
                in_use: is_linked(&layout.layer(&step.layer)),
            }
        };
        Ok(catalogue.cached.into_iter().map(item).collect())
    }

    /// Forgets steps, and removes the content that nobody else needs; returns how much that was.
    pub fn remove(&self, keys: &[Digest], recorder: &Recorder) -> Result<u64, StoreError> {
        self.store.ensure()?;
        let locked = self.store.lock()?;
        let layout = self.store.layout();
        let records: Vec<_> = keys.iter().map(|key| StoreStep::Unlink { path: layout.cached_step(key) }).collect();
        apply(&records, recorder)?;
        let catalogue = self.store.images().catalogue()?;
        let orphans = sweep::find_orphans(self.store, &catalogue, Lately::Keep)?;
        let freed = orphans.iter().filter_map(|path| path.metadata().ok()).map(|metadata| metadata.len()).sum();
        let mut steps: Vec<_> = orphans.into_iter().map(|path| StoreStep::Unlink { path }).collect();
        steps.extend(catalogue.retired(&[], layout));
        let held = release::hold(&steps);
        apply(&steps, recorder)?;
        drop(locked);
        release::release(held);
        sweep::remove_retired(&steps)?;
        Ok(freed)
    }

    /// Returns the directory of a cache mount, made if need be.
    pub fn mount(&self, id: &str, what: &str) -> Result<HeldDirectory, StoreError> {
        self.directory(&self.store.layout().cache_mounts(), id, what)
    }

    /// Returns the directory for what is fetched from one place, made if need be.
    pub fn fetched(&self, id: &str, what: &str) -> Result<HeldDirectory, StoreError> {
        self.directory(&self.store.layout().fetched(), id, what)
    }

    /// Returns where what is known of a context is kept; the directory is there.
    pub fn context(&self, id: &str) -> Result<PathBuf, StoreError> {
        let directory = self.store.layout().contexts();
        self.ensure(&directory)?;
        Ok(directory.join(id))
    }

    /// Removes kept directories that nobody uses; returns how much they held.
    pub(crate) fn remove_directories(&self, directories: &[&CacheItem]) -> Result<u64, StoreError> {
        let mut freed = 0;
        for kept in directories {
            let locked = self.store.lock()?;
            // Renamed under the lock, under which users take hold; removed without it, since that may take long.
            if is_in_use(&kept.path) {
                continue;
            }
            let gone = self.store.layout().tmp().join(format!("kept-{}", crate::work::unique_name()));
            let doing = || format!("remove {}", kept.path.display());
            match fs::rename(&kept.path, &gone) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                renamed => renamed.call(|| format!("rename({})", kept.path.display())).doing(doing)?,
            }
            drop(locked);
            remove_tree(&gone).doing(doing)?;
            freed += kept.size;
        }
        Ok(freed)
    }

    /// Removes what is known of contexts: it is found out again. Returns how much it held.
    pub(crate) fn remove_contexts(&self, contexts: &[&CacheItem]) -> Result<u64, StoreError> {
        contexts.iter().try_for_each(|kept| file::unlink(&kept.path)).doing(|| "forget what contexts held")?;
        Ok(contexts.iter().map(|kept| kept.size).sum())
    }

    fn directory(&self, below: &Path, id: &str, what: &str) -> Result<HeldDirectory, StoreError> {
        self.ensure(below)?;
        let _locked = self.store.lock()?;
        let path = below.join(id);
        let doing = || format!("make {}", path.display());
        file::ensure_directory(&path).doing(doing)?;
        let note = path.join(WHAT);
        match fs::read_to_string(&note) {
            Ok(known) if known == what => touch(&note),
            _ => fs::write(&note, what).call(|| format!("write({})", note.display())).doing(doing)?,
        }
        let hold = File::open(&note).call(|| format!("open({})", note.display())).doing(doing)?;
        hold.lock_shared().call(|| format!("flock({}, LOCK_SH)", note.display())).doing(doing)?;
        Ok(HeldDirectory { path, _hold: hold })
    }

    fn ensure(&self, directory: &Path) -> Result<(), StoreError> {
        self.store.ensure()?;
        [self.store.layout().cache().as_path(), directory]
            .iter()
            .try_for_each(|path| file::ensure_directory(path))
            .doing(|| format!("make {}", directory.display()))
    }
}

/// What a kept directory is for, in the directory; its time is that of the last use. Users share a lock on it.
const WHAT: &str = "what";

fn directories(directory: &Path, kind: CacheKind) -> Result<Vec<CacheItem>, StoreError> {
    let names = file::names(directory).doing(|| format!("list {}", directory.display()))?;
    let item = |id: String| {
        let path = directory.join(&id);
        let note = path.join(WHAT);
        CacheItem {
            kind,
            what: fs::read_to_string(&note).unwrap_or_default().trim().to_owned(),
            size: tree_size(&path).unwrap_or_default(),
            created: path.metadata().ok().and_then(|found| found.created().ok()?.try_into().ok()),
            used: modified(&note).unwrap_or(Timestamp::UNIX_EPOCH),
            shared: false,
            in_use: is_in_use(&path),
            id,
            path,
        }
    };
    Ok(names.into_iter().map(item).collect())
}

fn contexts(directory: &Path) -> Result<Vec<CacheItem>, StoreError> {
    let names = file::names(directory).doing(|| format!("list {}", directory.display()))?;
    let item = |id: String| {
        let path = directory.join(&id);
        CacheItem {
            kind: CacheKind::Context,
            what: "what is known of a context's files".to_owned(),
            size: path.metadata().map_or(0, |found| found.len()),
            created: None,
            used: modified(&path).unwrap_or(Timestamp::UNIX_EPOCH),
            shared: false,
            in_use: false,
            id,
            path,
        }
    };
    Ok(names.into_iter().map(item).collect())
}

/// Tells whether work in flight has a layer: it has a name for it of its own.
fn is_linked(layer: &Path) -> bool {
    layer.metadata().is_ok_and(|metadata| metadata.nlink() > 1)
}

fn is_in_use(path: &Path) -> bool {
    let Ok(file) = File::open(path.join(WHAT)) else { return false };
    matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

/// Reads all records; what cannot be read is left out.
pub(crate) fn read_all(layout: &Layout) -> Result<Vec<CachedStep>, StoreError> {
    let directory = layout.cached_steps();
    let names = file::names(&directory).doing(|| "list the cache of builds")?;
    let steps = names.iter().map(|name| read(&directory.join(name)));
    Ok(steps.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

fn read(path: &Path) -> Result<Option<CachedStep>, StoreError> {
    match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        // A power cut may have emptied it: what is not synced is not promised.
        read => Ok(serde_json::from_slice(
            &read.call(|| format!("open({})", path.display())).doing(|| "read the cache of builds")?,
        )
        .ok()),
    }
}

impl CachedStep {
    /// Returns every file of content that the step keeps.
    pub(crate) fn content(&self, layout: &Layout) -> [PathBuf; 2] {
        [layout.layer(&self.layer), layout.index(&self.chain)]
    }
}

/// A time that cannot be set only lets something be thought older than it is.
fn touch(path: &Path) {
    let times = FileTimes::new().set_modified(SystemTime::now());
    if let Ok(file) = File::options().append(true).open(path) {
        let _ = file.set_times(times);
    }
}

fn modified(path: &Path) -> Option<Timestamp> {
    path.metadata().ok()?.modified().ok()?.try_into().ok()
}
