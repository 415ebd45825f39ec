//! Sweeping: what died with its owner, and content that belongs to no image.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use trace::Recorder;

use crate::catalogue::Catalogue;
use crate::compressed::is_fresh;
use crate::error::Doing;
use crate::removal::remove_tree;
use crate::step::apply;
use crate::{Layout, Store, StoreError, StoreStep, file};

/// A directory of dead work, now owned by the one who will remove it.
#[derive(Debug)]
pub(crate) struct Stale {
    path: PathBuf,
    _owned: Option<File>,
}

/// What becomes of layers that came lately for an image that is not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lately {
    Keep,
    Remove,
}

/// Removes the directories of dead work, and content that no record refers to.
pub(crate) fn sweep(store: &Store, lately: Lately, recorder: &Recorder) -> Result<(), StoreError> {
    let locked = store.lock()?;
    // Trees that belong to no image become stale first.
    remove_orphans(store, lately, recorder)?;
    let stale = find_stale(store)?;
    drop(locked);
    remove_stale(stale)
}

/// Finds the directories whose owner is dead and takes them over. The caller holds the store's lock, so that no
/// directory is met between being made and being locked.
pub(crate) fn find_stale(store: &Store) -> Result<Vec<Stale>, StoreError> {
    let tmp = store.layout().tmp();
    let names = file::names(&tmp).doing(|| format!("list {}", tmp.display()))?;
    Ok(names.iter().filter_map(|name| take_over(&tmp.join(name))).collect())
}

fn take_over(path: &Path) -> Option<Stale> {
    // A name that was never put into its place: it is a link and belongs to somebody only while the store is locked.
    if path.is_symlink() {
        return Some(Stale { path: path.into(), _owned: None });
    }
    let directory = File::open(path).ok()?;
    // A file system without locks cannot tell who is alive, so there work stays.
    let owned = sys::file::try_lock(&directory).unwrap_or(false);
    owned.then(|| Stale { path: path.into(), _owned: Some(directory) })
}

/// Removes dead work; it may be large, so the store is not locked meanwhile.
pub(crate) fn remove_stale(stale: Vec<Stale>) -> Result<(), StoreError> {
    stale.iter().try_for_each(|stale| {
        remove_tree(&stale.path).doing(|| format!("remove abandoned work in {}", stale.path.display()))
    })
}

/// Removes the trees that have just lost their names; one that is held goes with a later sweep.
pub(crate) fn remove_retired(steps: &[StoreStep]) -> Result<(), StoreError> {
    let retired = steps.iter().filter_map(|step| match step {
        StoreStep::Retire { to, .. } => take_over(to),
        _ => None,
    });
    remove_stale(retired.collect())
}

/// Removes content that no record refers to, as a writer killed between the two leaves it. The caller holds the lock.
pub(crate) fn remove_orphans(store: &Store, lately: Lately, recorder: &Recorder) -> Result<(), StoreError> {
    apply(&plan_sweep(store, lately)?, recorder)
}

fn plan_sweep(store: &Store, lately: Lately) -> Result<Vec<StoreStep>, StoreError> {
    let catalogue = store.images().catalogue()?;
    let orphans = find_orphans(store, &catalogue, lately)?;
    let unused = orphans.into_iter().map(|path| StoreStep::Unlink { path });
    Ok(unused.chain(catalogue.retired(&[], store.layout())).collect())
}

/// Finds content that no record refers to.
pub(crate) fn find_orphans(store: &Store, catalogue: &Catalogue, lately: Lately) -> Result<Vec<PathBuf>, StoreError> {
    let layout = store.layout();
    let present = content(layout)?;
    let mut used: HashSet<PathBuf> = catalogue.entries.iter().flat_map(|entry| entry.record.content(layout)).collect();
    used.extend(catalogue.cached.iter().flat_map(|step| step.content(layout)));
    if lately == Lately::Keep {
        let fresh = catalogue.compressed.iter().filter(|(layer, digest)| is_fresh(layout, layer, digest));
        used.extend(fresh.map(|(layer, _)| layout.layer(layer)));
    }
    let mut gone: Vec<_> = present.iter().filter(|path| !used.contains(*path)).cloned().collect();
    let present: HashSet<_> = present.into_iter().filter(|path| used.contains(path)).collect();
    let notes = catalogue.compressed.iter().filter(|(layer, _)| !present.contains(&layout.layer(layer)));
    gone.extend(notes.map(|(layer, digest)| layout.compressed_form(layer, digest)));
    Ok(gone)
}

fn content(layout: &Layout) -> Result<Vec<PathBuf>, StoreError> {
    let mut found = Vec::new();
    for directory in [layout.layers(), layout.indexes(), layout.blobs()] {
        let names = file::names(&directory).doing(|| format!("list {}", directory.display()))?;
        found.extend(names.iter().map(|name| directory.join(name)));
    }
    Ok(found)
}
