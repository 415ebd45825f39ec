//! Where hostile archives are unpacked as root: mounts of the test's own, in which nothing else can be written.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use sys::mount::{self, Attributes, MountAttrFlags, Propagation};
use sys::namespace::{self, NamespaceKind};
use tempfile::TempDir;

/// A mount namespace whose every mount is read-only, but for two: a disk for tars and indexes, and memory to unpack in.
pub(super) struct Arena {
    disk: TempDir,
    memory: PathBuf,
    number: AtomicUsize,
}

impl Arena {
    /// Moves the calling thread, and what it starts from now on, in there.
    pub(super) fn enter() -> Self {
        let is_covered = Path::new(env!("CARGO_TARGET_TMPDIR")).starts_with("/tmp");
        assert!(!is_covered, "this test covers /tmp, so the checkout must lie elsewhere");
        // An index is mounted from a file of a disk; a tmpfs will not do.
        let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        namespace::unshare(&[NamespaceKind::Mount]).unwrap();
        mount::set_propagation(Path::new("/"), Propagation::Private, true).unwrap();
        let own = mount::clone_tree_at(None, env!("CARGO_TARGET_TMPDIR"), false).unwrap();
        mount::attach(&own, File::open(env!("CARGO_TARGET_TMPDIR")).unwrap()).unwrap();
        let root = mount::open_mount(Path::new("/")).unwrap();
        let sealed = Attributes { set: MountAttrFlags::MOUNT_ATTR_RDONLY, ..Attributes::default() };
        mount::set_attributes(root, &sealed, true).unwrap();
        let open = Attributes { clear: MountAttrFlags::MOUNT_ATTR_RDONLY, ..Attributes::default() };
        mount::set_attributes(&own, &open, false).unwrap();
        for directory in ["/tmp", "/run", "/var/tmp", "/dev/shm"] {
            mount::mount_at("tmpfs", Path::new(directory), "mode=1777,size=2g").unwrap();
        }
        Self { disk, memory: PathBuf::from("/tmp"), number: AtomicUsize::new(0) }
    }

    /// Returns the directory on the disk.
    pub(super) fn disk(&self) -> &Path {
        self.disk.path()
    }

    /// Makes an empty directory in memory, as a root is before its first layer.
    pub(super) fn directory(&self) -> PathBuf {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let path = self.memory.join(number.to_string());
        fs::create_dir(&path).unwrap();
        path
    }
}
