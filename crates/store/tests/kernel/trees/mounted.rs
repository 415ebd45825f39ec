//! An index, mounted, and trees of files compared name by name.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use oci::Digest;
use store::erofs::{Layout, Tree, write};
use store::snapshot::{self, Hold, Origin, SnapshotterKind};
use store::{Durability, Store};
use sys::mount::{Filesystem, MountAttrFlags};
use trace::Recorder;

use crate::fixture::documents;

/// An image of some tars, mounted nowhere: reached by its descriptor, gone with it.
pub(super) struct Mounted {
    mount: OwnedFd,
    _hold: Option<Hold>,
}

impl Mounted {
    /// Puts the tars into a store in `directory`, and takes a view of the image.
    pub(super) fn new(directory: &Path, tars: &[PathBuf], kind: SnapshotterKind) -> Self {
        let store = Store::open(directory);
        let mut work = store.begin(Durability::Remakeable).unwrap();
        let mut layers = Vec::new();
        for tar in tars {
            let mut writer = work.layer().unwrap();
            std::io::copy(&mut File::open(tar).unwrap(), &mut writer).unwrap();
            layers.push(work.finish(writer).unwrap());
        }
        let image = work.commit(&documents(&layers), &[], &Recorder::silent()).unwrap();
        let snapshots = snapshot::open(kind, &store, &directory.join("state"));
        let view = snapshots.view(&image, &Recorder::silent()).unwrap();
        assert_eq!(view.origin() == Origin::Directory, kind == SnapshotterKind::Directory);
        let (mount, hold) = view.into_parts();
        Self { mount, _hold: hold }
    }

    /// Makes the index of one tar that is too large to be copied, and mounts it.
    pub(super) fn in_place(directory: &Path, tar: &Path) -> Self {
        let mut tree = Tree::new();
        tree.add_layer(File::open(tar).unwrap()).unwrap();
        let index = directory.join("index.erofs");
        let layout = Layout::plan(&tree, &[Digest::of(b"")]).unwrap();
        write(&tree, &layout, File::create(&index).unwrap()).unwrap();
        let context = Filesystem::open("erofs").unwrap().path_option("source", &index).unwrap();
        let context = context.path_option("device", tar).unwrap();
        Self { mount: context.mount(MountAttrFlags::MOUNT_ATTR_RDONLY).unwrap(), _hold: None }
    }

    /// Stacks an overlay on it, as a container's root is stacked.
    pub(super) fn overlay(&self, directory: &Path) -> Self {
        let (upper, work) = (directory.join("upper"), directory.join("work"));
        fs::create_dir(&upper).unwrap();
        fs::create_dir(&work).unwrap();
        let context = Filesystem::open("overlay").unwrap();
        let context = context.descriptor("lowerdir+", self.mount.as_fd()).unwrap();
        let context = context.path_option("upperdir", &upper).unwrap().path_option("workdir", &work).unwrap();
        Self { mount: context.mount(MountAttrFlags::empty()).unwrap(), _hold: None }
    }

    pub(super) fn open(&self) -> OwnedFd {
        self.mount.try_clone().unwrap()
    }

    pub(super) fn root(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.mount.as_raw_fd()))
    }
}

/// Everything about a file that a program could see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    /// Of a directory, each file system has its own idea of the size.
    pub(super) size: Option<u64>,
    pub(super) mtime: Option<(i64, i64)>,
    pub(super) links: u64,
    pub(super) rdev: u64,
    pub(super) target: Option<PathBuf>,
    pub(super) content: Option<u64>,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first name of the file: two names of one file agree.
    pub(super) first: PathBuf,
}

pub(super) type Listing = BTreeMap<PathBuf, Facts>;

/// Looks at all there is below `root`.
pub(super) fn list(root: &Path) -> Listing {
    let mut paths = vec![PathBuf::new()];
    let mut next = 0;
    while let Some(path) = paths.get(next).cloned() {
        next += 1;
        // The root is a link in /proc; what is in it is not to be followed.
        let whole = root.join(&path);
        if path.as_os_str().is_empty() || fs::symlink_metadata(&whole).unwrap().is_dir() {
            paths.extend(fs::read_dir(&whole).unwrap().map(|entry| path.join(entry.unwrap().file_name())));
        }
    }
    paths.sort();
    let mut first = BTreeMap::new();
    paths.into_iter().map(|path| (path.clone(), facts(root, &path, &mut first))).collect()
}

fn facts(root: &Path, path: &Path, first: &mut BTreeMap<u64, PathBuf>) -> Facts {
    // The root itself is reached by a link.
    let whole = root.join(if path.as_os_str().is_empty() { Path::new(".") } else { path });
    let stat = fs::symlink_metadata(&whole).unwrap();
    let is_device = matches!(stat.mode() & 0o170_000, 0o020_000 | 0o060_000);
    Facts {
        mode: stat.mode(),
        owner: (stat.uid(), stat.gid()),
        size: (!stat.is_dir()).then_some(stat.size()),
        mtime: Some((stat.mtime(), stat.mtime_nsec())),
        links: stat.nlink(),
        rdev: if is_device { stat.rdev() } else { 0 },
        target: stat.is_symlink().then(|| fs::read_link(&whole).unwrap()),
        content: (stat.is_file() && stat.size() < 1 << 28).then(|| hash(&whole)),
        xattrs: xattrs(&whole),
        first: first.entry(stat.ino()).or_insert_with(|| path.to_owned()).clone(),
    }
}

fn hash(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut bytes = Vec::new();
    File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
    hasher.write(&bytes);
    hasher.finish()
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 1 << 16];
    let length = rustix::fs::llistxattr(path, &mut names).unwrap();
    let names = names[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let mut value = vec![0; 1 << 16];
            let length = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value).unwrap();
            value.truncate(length);
            (name.to_vec(), value)
        })
        .collect()
}

/// Has GNU tar unpack an archive.
pub(super) fn unpack(tar: &Path, directory: &Path) {
    fs::create_dir_all(directory).unwrap();
    run(Command::new("tar")
        .args(["--extract", "--preserve-permissions", "--same-owner", "--numeric-owner", "--delay-directory-restore"])
        .args(["--xattrs", "--xattrs-include=*", "--exclude=.wh.*", "--file"])
        .arg(tar)
        .arg("--directory")
        .arg(directory));
}

pub(super) fn run(command: &mut Command) {
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {said}");
}

/// Compares two trees and names the first few differences.
pub(super) fn assert_same(found: &Listing, expected: &Listing) {
    let names = |listing: &Listing| listing.keys().cloned().collect::<Vec<_>>();
    let (has, wants) = (names(found), names(expected));
    let missing: Vec<_> = wants.iter().filter(|path| !found.contains_key(*path)).take(5).collect();
    let extra: Vec<_> = has.iter().filter(|path| !expected.contains_key(*path)).take(5).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing {missing:?}, too many {extra:?}");
    for (path, facts) in expected {
        assert_eq!(&found[path], facts, "{path:?}");
    }
}

/// Forgets the times of directories that no archive describes: unpacking gives them the hour.
pub(super) fn forget_times(listing: &mut Listing, paths: &[&str]) {
    for path in paths {
        if let Some(facts) = listing.get_mut(Path::new(path)) {
            facts.mtime = None;
        }
    }
}

/// A name from bytes.
pub(super) fn name(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}
