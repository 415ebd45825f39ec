//! How much room things take. What images take is known from their records; only what others fill is walked.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use oci::{Digest, Reference};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use sys::Calling;

use crate::catalogue::Catalogue;
use crate::{Images, StoreError, Usage};

/// How much room the images of a store take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImagesUsage {
    /// Each image, the newest first.
    pub images: Vec<ImageUsage>,
    /// All layers together, each counted once, those included that came lately for an image that is not complete.
    pub size: u64,
    /// The part of it that would come back if every image without a container went.
    pub reclaimable: u64,
}

/// How much room one image takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUsage {
    /// The image.
    pub id: Digest,
    /// Its names.
    pub names: Vec<Reference>,
    /// Its layers together.
    pub size: u64,
    /// Those that other images have too.
    pub shared: u64,
    /// Whether a container uses it.
    pub in_use: bool,
}

impl Images<'_> {
    /// Tells how much room the images take; nothing is walked for it.
    pub fn usage(&self, users: &dyn Fn(&Digest) -> Option<Usage>) -> Result<ImagesUsage, StoreError> {
        let layout = self.store().layout();
        let lately = |layer: &Digest| layout.layer(layer).metadata().map_or(0, |metadata| metadata.len());
        Ok(usage(self.catalogue()?, users, lately))
    }
}

fn usage(
    catalogue: Catalogue,
    users: &dyn Fn(&Digest) -> Option<Usage>,
    lately: impl Fn(&Digest) -> u64,
) -> ImagesUsage {
    let mut owners: HashMap<Digest, usize> = HashMap::new();
    let (mut sizes, mut needed) = (HashMap::new(), HashSet::new());
    let in_use: Vec<bool> = catalogue.entries.iter().map(|entry| users(&entry.record.id).is_some()).collect();
    for (entry, in_use) in catalogue.entries.iter().zip(&in_use) {
        let own: HashMap<_, _> = entry.record.layers.iter().map(|layer| (layer.diff_id, layer.size)).collect();
        for (layer, size) in own {
            *owners.entry(layer).or_default() += 1;
            sizes.insert(layer, size);
            needed.extend(in_use.then_some(layer));
        }
    }
    for (layer, _) in &catalogue.compressed {
        sizes.entry(*layer).or_insert_with(|| lately(layer));
    }
    let shared = |layer: &Digest| owners.get(layer).is_some_and(|owners| *owners > 1);
    let mut images: Vec<_> = catalogue.entries.into_iter().zip(in_use).collect();
    images.sort_by(|(a, _), (b, _)| b.record.created.cmp(&a.record.created).then_with(|| a.names.cmp(&b.names)));
    let images = images.into_iter().map(|(entry, in_use)| {
        let of_others = entry.record.layers.iter().filter(|layer| shared(&layer.diff_id));
        let (size, shared) = (entry.record.size(), of_others.map(|layer| layer.size).sum());
        ImageUsage { id: entry.record.id, names: entry.names, size, shared, in_use }
    });
    ImagesUsage {
        images: images.collect(),
        size: sizes.values().sum(),
        reclaimable: sizes.iter().filter(|(layer, _)| !needed.contains(*layer)).map(|(_, size)| size).sum(),
    }
}

/// Adds up the room that a tree takes on its disk, each file once. Somebody may change it meanwhile: it is walked by descriptor, no
/// link is followed, and what goes away on the way counts as nothing.
pub fn tree_size(path: &Path) -> sys::Result<u64> {
    let name = std::ffi::CString::new(path.as_os_str().as_bytes()).map_err(|_| sys::Errno::INVAL);
    let name = name.call(|| format!("open({})", path.display()))?;
    match rustix::fs::openat(CWD, &name, FLAGS, Mode::empty()) {
        Err(sys::Errno::NOENT) => Ok(0),
        opened => {
            let top = opened.call(|| format!("open({})", path.display()))?;
            Ok(Sum::default().directory(&top, 0))
        }
    }
}

const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How deep a tree is walked: each level holds a descriptor.
const DEPTH: u32 = 256;

#[derive(Default)]
struct Sum {
    /// Files with several names that were counted.
    seen: HashSet<(u64, u64)>,
}

impl Sum {
    fn directory(&mut self, directory: &OwnedFd, depth: u32) -> u64 {
        let Ok(entries) = Dir::read_from(directory) else { return 0 };
        let mut sum = 0;
        for entry in entries.flatten() {
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let Ok(stat) = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            if is_directory || stat.st_nlink == 1 || self.seen.insert((stat.st_dev, stat.st_ino)) {
                sum += u64::try_from(stat.st_blocks).unwrap_or_default() * 512;
            }
            if is_directory
                && depth < DEPTH
                && let Ok(below) = rustix::fs::openat(directory.as_fd(), name, FLAGS, Mode::empty())
            {
                sum += self.directory(&below, depth + 1);
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Entry;
    use crate::record::{Record, RecordedLayer};

    #[test]
    fn layers_count_once_and_those_of_images_in_use_do_not_come_back() {
        let entry = |text: &str, layers: &[(&str, u64)]| {
            let layer =
                |(name, size): &(&str, u64)| RecordedLayer { diff_id: Digest::of(name.as_bytes()), size: *size };
            let record = Record {
                id: Digest::of(text.as_bytes()),
                manifest: Digest::of(b""),
                index: None,
                others: Vec::new(),
                layers: layers.iter().map(layer).collect(),
                created: jiff::Timestamp::UNIX_EPOCH,
            };
            Entry { record, names: vec![text.parse().unwrap()] }
        };
        let entries = vec![entry("one", &[("base", 100), ("top", 10)]), entry("two", &[("base", 100), ("other", 1)])];
        let compressed = vec![(Digest::of(b"base"), Digest::of(b"b.gz")), (Digest::of(b"late"), Digest::of(b"l.gz"))];
        let catalogue = Catalogue { entries, compressed, ..Catalogue::default() };
        let running =
            |id: &Digest| (*id == Digest::of(b"one")).then(|| Usage { user: "container web".into(), running: true });
        let found = usage(catalogue, &running, |_| 1000);
        assert_eq!((found.size, found.reclaimable), (1111, 1001));
        assert_eq!(
            found.images.iter().map(|image| (image.size, image.shared)).collect::<Vec<_>>(),
            [(110, 100), (101, 100)]
        );
    }
}
