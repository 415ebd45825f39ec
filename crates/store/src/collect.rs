//! What the cache of builds keeps, item by item, and which of it goes.
//!
//! [`plan_collect`] is pure: it is given the items, says which go, and reads nothing. What is used last goes last; what a running
//! build uses does not go at all.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use jiff::Timestamp;
use oci::Digest;
use sys::Calling;
use trace::Recorder;

use crate::error::Doing;
use crate::{Cache, Store, StoreError};

/// What an item of the cache is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheKind {
    /// A step that was made; the layer is what it made.
    Step {
        /// The layer.
        layer: Digest,
    },
    /// The directory of a cache mount.
    Mount,
    /// What came from elsewhere: a file of a URL, a repository.
    Fetched,
    /// What was known of a directory's files when it was last read.
    Context,
}

/// One thing that the cache of builds keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheItem {
    /// What it is.
    pub kind: CacheKind,
    /// Its identity: the key of a step, or the name of a file or directory.
    pub id: String,
    /// Where it is.
    pub path: PathBuf,
    /// What it is for, for people.
    pub what: String,
    /// How much it holds.
    pub size: u64,
    /// When it was made, where that is known.
    pub created: Option<Timestamp>,
    /// When it was last used.
    pub used: Timestamp,
    /// Whether an image has it: then the room that it takes is the image's.
    pub shared: bool,
    /// Whether somebody uses it now.
    pub in_use: bool,
}

/// How much of the cache stays. Zero means that nothing is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheBounds {
    /// So much may always stay.
    pub reserved: u64,
    /// More than so much never stays.
    pub most: u64,
    /// So much of the file system shall be free.
    pub least_free: u64,
}

/// A file system's size, and what is free of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// All of it.
    pub size: u64,
    /// What is free.
    pub free: u64,
}

impl CacheBounds {
    /// Returns the bound that holds where nobody chose one: a tenth of the file system or 20 GB, whichever is larger, and never
    /// more than half of it.
    pub fn usual(room: Room) -> Self {
        let most = (room.size / 10).max(USUAL_LEAST).min(room.size / 2);
        Self { most, ..Self::default() }
    }

    /// Returns how much may stay of a cache of this size.
    pub fn keep(&self, total: u64, room: Room) -> u64 {
        if *self == Self::default() {
            return 0;
        }
        let most = if self.most == 0 && self.least_free == 0 { self.reserved } else { self.most };
        let most = if most == 0 { u64::MAX } else { most };
        let missing = self.least_free.saturating_sub(room.free);
        let fits = if missing == 0 { u64::MAX } else { total.saturating_sub(missing) };
        most.min(fits).max(self.reserved)
    }
}

/// The least that is always allowed where the file system is large enough.
const USUAL_LEAST: u64 = 20_000_000_000;

/// Returns how much room the cache takes by itself: each layer once, and none that an image has.
pub fn cache_size(items: &[CacheItem]) -> u64 {
    let mut seen = HashSet::new();
    let own = items.iter().filter(|item| !item.shared && item.layer().is_none_or(|layer| seen.insert(layer)));
    own.map(|item| item.size).sum()
}

/// Plans what goes of the items that are wanted gone, until no more than `keep` bytes stay; with `keep` 0 all of them go.
pub fn plan_collect<'a>(items: &'a [CacheItem], wanted: &dyn Fn(&CacheItem) -> bool, keep: u64) -> Vec<&'a CacheItem> {
    let mut candidates: Vec<_> = items.iter().filter(|item| !item.in_use && wanted(item)).collect();
    candidates.sort_by(|a, b| a.used.cmp(&b.used).then_with(|| a.id.cmp(&b.id)));
    if keep == 0 {
        return candidates;
    }
    let mut users: HashMap<Digest, usize> = HashMap::new();
    for layer in items.iter().filter_map(CacheItem::layer) {
        *users.entry(layer).or_default() += 1;
    }
    let mut left = cache_size(items);
    let mut gone = Vec::new();
    // What an image has takes no room of ours.
    for item in candidates.into_iter().filter(|item| !item.shared) {
        if left <= keep {
            break;
        }
        let others = item.layer().and_then(|layer| users.get_mut(&layer));
        let is_last = others.is_none_or(|others| {
            *others -= 1;
            *others == 0
        });
        left -= if is_last { item.size } else { 0 };
        gone.push(item);
    }
    gone
}

impl CacheItem {
    fn layer(&self) -> Option<Digest> {
        match self.kind {
            CacheKind::Step { layer } => Some(layer),
            _ => None,
        }
    }
}

impl Cache<'_> {
    /// Removes items, and the content that nobody else needs; returns how much that was.
    pub fn remove_items(&self, items: &[&CacheItem], recorder: &Recorder) -> Result<u64, StoreError> {
        let of = |wanted: fn(&CacheKind) -> bool| items.iter().filter(move |item| wanted(&item.kind)).copied();
        let keys = of(|kind| matches!(kind, CacheKind::Step { .. })).filter_map(CacheItem::key).collect::<Vec<_>>();
        let directories: Vec<_> = of(|kind| matches!(kind, CacheKind::Mount | CacheKind::Fetched)).collect();
        let contexts: Vec<_> = of(|kind| matches!(kind, CacheKind::Context)).collect();
        let freed = self.remove(&keys, recorder)?;
        Ok(freed + self.remove_directories(&directories)? + self.remove_contexts(&contexts)?)
    }

    /// Removes the items used least lately until no more than `keep` bytes stay, and none that was used since a time; returns
    /// how much that was.
    pub fn collect(&self, keep: u64, since: Timestamp, recorder: &Recorder) -> Result<u64, StoreError> {
        let items = self.items()?;
        let gone = plan_collect(&items, &|item| item.used < since, keep.max(1));
        if gone.is_empty() { Ok(0) } else { self.remove_items(&gone, recorder) }
    }
}

impl CacheItem {
    /// Returns the key of a step.
    pub fn key(&self) -> Option<Digest> {
        self.layer().and_then(|_| format!("sha256:{}", self.id).parse().ok())
    }
}

impl Store {
    /// Tells how large the file system of the store is.
    pub fn room(&self) -> Result<Room, StoreError> {
        self.ensure()?;
        let root = self.layout().root();
        let doing = || format!("measure the file system of {}", root.display());
        let found = rustix::fs::statvfs(root).call(|| format!("statfs({})", root.display())).doing(doing)?;
        Ok(Room { size: found.f_blocks * found.f_frsize, free: found.f_bavail * found.f_frsize })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(id: &str, layer: Option<&str>, size: u64, used: i64) -> CacheItem {
        CacheItem {
            kind: layer.map_or(CacheKind::Mount, |layer| CacheKind::Step { layer: Digest::of(layer.as_bytes()) }),
            id: id.into(),
            path: id.into(),
            what: id.into(),
            size,
            created: None,
            used: Timestamp::from_second(used).unwrap(),
            shared: false,
            in_use: false,
        }
    }

    fn planned(items: &[CacheItem], since: i64, keep: u64) -> Vec<&str> {
        let since = Timestamp::from_second(since).unwrap();
        plan_collect(items, &|item| item.used < since, keep).iter().map(|item| item.id.as_str()).collect()
    }

    #[test]
    fn what_was_used_least_lately_goes_first_and_no_more_than_must() {
        let items = [item("new", Some("a"), 100, 30), item("old", Some("b"), 100, 10), item("mount", None, 100, 20)];
        assert_eq!(planned(&items, 100, 300), [""; 0]);
        assert_eq!(planned(&items, 100, 299), ["old"]);
        assert_eq!(planned(&items, 100, 150), ["old", "mount"]);
        assert_eq!(planned(&items, 100, 0), ["old", "mount", "new"]);
    }

    #[test]
    fn what_was_just_used_stays_whatever_the_bound() {
        let items = [item("new", Some("a"), 100, 30), item("old", Some("b"), 100, 10)];
        assert_eq!(planned(&items, 30, 1), ["old"]);
        assert_eq!(planned(&items, 10, 1), [""; 0]);
    }

    #[test]
    fn what_somebody_uses_stays() {
        let items = [CacheItem { in_use: true, ..item("busy", None, 100, 1) }, item("idle", None, 100, 2)];
        assert_eq!(planned(&items, 100, 1), ["idle"]);
        assert_eq!(planned(&items, 100, 0), ["idle"]);
    }

    #[test]
    fn a_layer_counts_once_and_goes_with_the_last_of_its_steps() {
        let items = [item("one", Some("a"), 100, 1), item("two", Some("a"), 100, 2), item("three", Some("b"), 10, 3)];
        assert_eq!(cache_size(&items), 110);
        assert_eq!(planned(&items, 100, 109), ["one", "two"]);
    }

    #[test]
    fn what_an_image_has_takes_no_room() {
        let items = [CacheItem { shared: true, ..item("image", Some("a"), 100, 1) }, item("own", Some("b"), 10, 2)];
        assert_eq!(cache_size(&items), 10);
        assert_eq!(planned(&items, 100, 10), [""; 0]);
        assert_eq!(planned(&items, 100, 5), ["own"]);
        assert_eq!(planned(&items, 100, 0), ["image", "own"]);
    }

    #[test]
    fn bounds_are_those_of_docker() {
        let room = Room { size: 1000, free: 100 };
        let bounds = |reserved, most, least_free| CacheBounds { reserved, most, least_free };
        for (bounds, keep) in [
            (bounds(0, 0, 0), 0),
            (bounds(300, 0, 0), 300),
            (bounds(0, 400, 0), 400),
            (bounds(300, 200, 0), 300),
            (bounds(0, 0, 100), u64::MAX),
            (bounds(0, 0, 150), 450),
            (bounds(470, 0, 150), 470),
            (bounds(0, 400, 150), 400),
        ] {
            assert_eq!(bounds.keep(500, room), keep, "{bounds:?}");
        }
    }

    #[test]
    fn the_usual_bound_grows_with_the_disk_and_never_fills_it() {
        let usual = |size| CacheBounds::usual(Room { size, free: 0 }).most;
        assert_eq!(usual(1_000_000_000_000), 100_000_000_000);
        assert_eq!(usual(100_000_000_000), 20_000_000_000);
        assert_eq!(usual(8_000_000_000), 4_000_000_000);
    }
}
