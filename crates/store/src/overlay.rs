//! What a container's root is stacked from, and the scratch directories that hold its changes.
//!
//! Nothing is mounted here: the runtime assembles the overlay inside the container's own mount namespace. This module says
//! of what, and makes and removes the directories that are the writable layer.

use std::fs::{self, DirBuilder};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sys::Calling;
use trace::{Explain, Recorder, Step, quote};

use crate::error::Doing;
use crate::removal::remove_tree;
use crate::{Layout, Store, StoreError, file};

/// A container's root: directories that are read, and one that takes the changes.
#[derive(Debug)]
pub struct Overlay {
    /// What is read, from the highest to the lowest, as overlay counts.
    pub lowers: Vec<Lower>,
    /// Where changes go; without it the root is read-only.
    pub scratch: Option<Scratch>,
    /// Whether changes need not reach the disk, because they end with the container.
    pub volatile: bool,
}

/// One read-only layer of an overlay.
#[derive(Debug)]
pub enum Lower {
    /// A detached mount, held by its descriptor.
    Mount(OwnedFd),
    /// A directory of the host.
    Directory(PathBuf),
}

/// Owner and mode of an image's root directory, which the root of a container takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootAttributes {
    /// The permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

impl Default for RootAttributes {
    fn default() -> Self {
        Self { mode: 0o755, uid: 0, gid: 0 }
    }
}

impl RootAttributes {
    /// Reads them from a mounted image.
    pub fn of(root: impl std::os::fd::AsFd) -> sys::Result<Self> {
        let stat = rustix::fs::fstat(&root).call(|| "fstat(root of the image)")?;
        Ok(Self { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid })
    }
}

/// The writable layer of a container: the directory of its changes, and overlay's own work directory beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scratch {
    /// What the container changed.
    pub upper: PathBuf,
    /// Overlay's work directory.
    pub work: PathBuf,
    directory: PathBuf,
}

/// Makes or removes a scratch directory.
#[derive(Debug)]
enum ScratchStep<'a> {
    Create(&'a Scratch, RootAttributes),
    Remove(&'a Scratch),
}

impl Scratch {
    /// Names the writable layer of a container. The identifier is the engine's and names a directory.
    pub fn at(layout: &Layout, id: &str) -> Self {
        let directory = layout.containers().join(id);
        Self { upper: directory.join("upper"), work: directory.join("work"), directory }
    }

    /// Makes the writable layer of a new container; the root directory gets the image's owner and mode.
    pub fn create(store: &Store, id: &str, root: RootAttributes, recorder: &Recorder) -> Result<Self, StoreError> {
        let scratch = Self::at(store.layout(), id);
        recorder.record(&ScratchStep::Create(&scratch, root));
        scratch.make(store, root).doing(|| format!("make the writable layer of container {id}"))?;
        Ok(scratch)
    }

    fn make(&self, store: &Store, root: RootAttributes) -> sys::Result<()> {
        let make = |path: &Path| DirBuilder::new().mode(0o700).create(path);
        if make(&self.directory).is_err() {
            let containers = store.layout().containers();
            fs::create_dir_all(store.layout().root()).call(|| format!("mkdir({})", store.layout().root().display()))?;
            file::ensure_directory(store.layout().root())?;
            file::ensure_directory(&containers)?;
            make(&self.directory).call(|| format!("mkdir({}, 0700)", self.directory.display()))?;
        }
        for path in [&self.upper, &self.work] {
            make(path).call(|| format!("mkdir({}, 0700)", path.display()))?;
        }
        // Set by chmod, as mkdir's mode passes through the umask.
        let upper = || self.upper.display();
        fs::set_permissions(&self.upper, fs::Permissions::from_mode(root.mode))
            .call(|| format!("chmod({}, {:04o})", upper(), root.mode))?;
        if root.uid == 0 && root.gid == 0 {
            return Ok(());
        }
        std::os::unix::fs::chown(&self.upper, Some(root.uid), Some(root.gid))
            .call(|| format!("chown({}, {}, {})", upper(), root.uid, root.gid))
    }

    /// Removes the writable layer with all that is in it, and is content when it is gone.
    pub fn remove(&self, recorder: &Recorder) -> Result<(), StoreError> {
        recorder.record(&ScratchStep::Remove(self));
        remove_tree(&self.directory).doing(|| format!("remove the writable layer {}", self.directory.display()))
    }

    /// Returns the length of all files that the container made or changed, on the disk (`ps --size`).
    pub fn usage(&self) -> Result<u64, StoreError> {
        usage(&self.upper).doing(|| format!("measure the writable layer {}", self.directory.display()))
    }

    /// Lists the containers that have a writable layer, for those whose owner is looking for what is left over.
    pub fn list(layout: &Layout) -> Result<Vec<String>, StoreError> {
        file::names(&layout.containers()).doing(|| "list the writable layers")
    }
}

fn usage(directory: &Path) -> sys::Result<u64> {
    let mut total = 0;
    let mut waiting = vec![directory.to_path_buf()];
    while let Some(directory) = waiting.pop() {
        let entries = fs::read_dir(&directory).call(|| format!("opendir({})", directory.display()))?;
        for entry in entries {
            let entry = entry.call(|| format!("getdents64({})", directory.display()))?;
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => waiting.push(entry.path()),
                Ok(metadata) => total += metadata.blocks() * 512,
                // It was removed while we looked.
                Err(_) => {}
            }
        }
    }
    Ok(total)
}

impl Explain for ScratchStep<'_> {
    fn explain(&self) -> Step {
        match self {
            Self::Create(scratch, root) => {
                let directory = scratch.directory.to_string_lossy();
                let (directory, mode) = (quote(&directory), root.mode);
                let (uid, gid) = (root.uid, root.gid);
                Step::host(
                    "make the directories that take the container's changes",
                    format!(
                        "install -d -m 0700 {directory} {directory}/work\n\
                         install -d -m {mode:04o} -o {uid} -g {gid} {directory}/upper"
                    ),
                )
            }
            Self::Remove(scratch) => Step::host(
                "remove the container's changes",
                format!("rm -rf {}", quote(&scratch.directory.to_string_lossy())),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writable_layer_is_made_with_the_roots_mode_and_removed_whole() {
        let top = tempfile::tempdir().unwrap();
        let store = Store::open(&top.path().join("deep/store"));
        let root = RootAttributes { mode: 0o1777, ..RootAttributes::default() };
        let scratch = Scratch::create(&store, "c1", root, &Recorder::silent()).unwrap();
        assert_eq!(fs::metadata(&scratch.upper).unwrap().mode() & 0o7777, 0o1777);
        assert_eq!(fs::metadata(&scratch.directory).unwrap().mode() & 0o7777, 0o700);
        assert_eq!(Scratch::list(store.layout()).unwrap(), ["c1"]);
        fs::create_dir(scratch.work.join("work")).unwrap();
        fs::set_permissions(scratch.work.join("work"), fs::Permissions::from_mode(0o000)).unwrap();
        scratch.remove(&Recorder::silent()).unwrap();
        scratch.remove(&Recorder::silent()).unwrap();
        assert!(Scratch::list(store.layout()).unwrap().is_empty());
    }
}
