//! Views: an image's tree as a detached mount, held by a descriptor and attached nowhere on the host.
//!
//! There are two ways to one, and [`open`] chooses between them:
//!
//! - A view is one EROFS mount of the image's index, with the layers as extra devices that hold the files' data. The kernel
//!   takes both straight from the store's files (since Linux 6.12); before that, and where the store's file system cannot be
//!   mounted from, loop devices stand between. Whoever holds such a view may announce it ([`Holder`]); others then take a copy
//!   of that mount from the living holder, so that all containers of an image read through one superblock and one page
//!   cache. Nothing is pinned on the host: with the last descriptor the mount is gone.
//! - Where the kernel, or the user, can mount no EROFS, the layers are unpacked into one directory at the first use, and a
//!   view is a mount of that directory.
//!
//! Start reading at [`open`].

mod attached;
mod directory;
mod erofs;
mod holder;
mod snapshotter;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sys::Errno;
use trace::Recorder;

use crate::{Image, Store, StoreError};
use directory::Directories;
use erofs::Erofs;

pub use crate::unpack::UnpackError;
pub use attached::Attached;
pub use holder::{Holder, forget_dead};
pub use snapshotter::Snapshotter;

/// Which snapshotter is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SnapshotterKind {
    /// EROFS where the kernel can mount it for us, and directories elsewhere.
    #[default]
    Auto,
    /// EROFS mounts, or an error.
    Erofs,
    /// Directories, whatever the kernel can.
    Directory,
}

/// Opens the snapshotter of a store; `state` is where holders of views announce them.
pub fn open(kind: SnapshotterKind, store: &Store, state: &Path) -> Box<dyn Snapshotter> {
    let (erofs, directories) = (Erofs::new(state), Directories::new(store));
    match kind {
        SnapshotterKind::Auto => Box::new(Either { erofs, directories }),
        SnapshotterKind::Erofs => Box::new(erofs),
        SnapshotterKind::Directory => Box::new(directories),
    }
}

/// Directories where EROFS is refused. What the kernel can is found out by asking it: a version number knows nothing of
/// modules, user namespaces, or the file system that the store lies on.
#[derive(Debug)]
struct Either {
    erofs: Erofs,
    directories: Directories,
}

impl Snapshotter for Either {
    fn view(&self, image: &Image, recorder: &Recorder) -> Result<View, ViewError> {
        match self.erofs.view(image, recorder) {
            Err(error) if error.is_inability() => {
                tracing::debug!(image = image.id.short(), %error, "unpacked into a directory");
                self.directories.view(image, recorder)
            }
            mounted => mounted,
        }
    }
}

/// An image's tree, mounted read-only and attached nowhere.
#[derive(Debug)]
pub struct View {
    mount: OwnedFd,
    origin: Origin,
    hold: Option<Hold>,
}

/// How a view came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Mounted from the store's files.
    Files,
    /// Mounted from loop devices over the store's files.
    Loop,
    /// Taken from a process that holds it.
    Shared,
    /// Mounted from a directory into which the layers were unpacked.
    Directory,
}

/// What keeps the directory of a view from being removed: it is to stay open as long as anybody reads there.
///
/// The kernel keeps a mounted file system for its users, but not the files in a mounted directory.
#[derive(Debug)]
pub struct Hold {
    lock: OwnedFd,
    directory: PathBuf,
}

impl Hold {
    /// Returns where the directory was when the view was made.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl AsFd for Hold {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.lock.as_fd()
    }
}

/// Why an image could not be mounted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// A file of the image is not there.
    #[error("image {image} lacks {path}; remove it and build or pull it again")]
    Incomplete {
        /// The image, in short.
        image: String,
        /// The missing file.
        path: PathBuf,
    },
    /// The kernel has no EROFS.
    #[error("this kernel cannot mount EROFS images; it needs CONFIG_EROFS_FS (modprobe erofs)")]
    NoErofs(#[source] sys::Error),
    /// The kernel cannot mount from files, and loop devices could not help.
    #[error("this kernel cannot mount images from files (Linux 6.12 can), and no loop device could stand in")]
    NoFileMounts(#[source] sys::Error),
    /// The kernel refused.
    #[error("cannot mount image {image}")]
    Mount {
        /// The image, in short.
        image: String,
        /// The call that failed.
        source: sys::Error,
    },
    /// The layers could not be unpacked.
    #[error("cannot unpack image {image} into a directory")]
    Unpack {
        /// The image, in short.
        image: String,
        /// What failed.
        source: UnpackError,
    },
    /// The store could not be changed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ViewError {
    /// Says whether the kernel can do this for nobody, or not for us: another way may lead to the tree.
    fn is_inability(&self) -> bool {
        match self {
            Self::NoErofs(_) | Self::NoFileMounts(_) => true,
            // What older kernels say of a format they know in part, and all of those without rights over the host.
            Self::Mount { source, .. } => {
                matches!(source.errno(), Errno::PERM | Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP)
            }
            _ => false,
        }
    }
}

impl View {
    fn new(mount: OwnedFd, origin: Origin) -> Self {
        Self { mount, origin, hold: None }
    }

    /// Tells how it came to be.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Gives the mount away, with what must stay open beside it.
    pub fn into_parts(self) -> (OwnedFd, Option<Hold>) {
        (self.mount, self.hold)
    }
}

impl AsFd for View {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.mount.as_fd()
    }
}

/// Mounts an image's index anew, whatever snapshotter is wanted; [`open`] is for those who serve users.
pub fn view(image: &Image, recorder: &Recorder) -> Result<View, ViewError> {
    erofs::mount(image, recorder)
}

/// Takes the EROFS view of an image from a living holder, or mounts it anew when there is none, whatever snapshotter is
/// wanted; [`open`] is for those who serve users.
pub fn shared_view(image: &Image, state: &Path, recorder: &Recorder) -> Result<View, ViewError> {
    Erofs::new(state).view(image, recorder)
}
