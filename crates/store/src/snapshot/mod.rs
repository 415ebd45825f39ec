//! Views: an image's tree as a detached mount, held by a descriptor and attached nowhere on the host.
//!
//! A view is one EROFS mount of the image's index, with the layers as extra devices that hold the files' data. The kernel
//! takes both straight from the store's files (since Linux 6.12); before that, and where the store's file system cannot be
//! mounted from, loop devices stand between.
//!
//! Whoever holds a view may announce it ([`Holder`]); [`shared_view`] then takes a copy of that mount from the living holder,
//! so that all containers of an image read through one superblock and one page cache. Nothing is pinned on the host: with
//! the last descriptor the mount is gone.
//!
//! Start reading at [`shared_view`].

mod erofs;
mod holder;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use trace::Recorder;

use crate::Image;

pub use holder::{Holder, forget_dead};

/// An image's tree, mounted read-only and attached nowhere.
#[derive(Debug)]
pub struct View {
    mount: OwnedFd,
    origin: Origin,
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
}

impl View {
    pub(crate) fn new(mount: OwnedFd, origin: Origin) -> Self {
        Self { mount, origin }
    }

    /// Tells how it came to be.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Gives the mount away.
    pub fn into_fd(self) -> OwnedFd {
        self.mount
    }
}

impl AsFd for View {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.mount.as_fd()
    }
}

impl From<View> for OwnedFd {
    fn from(view: View) -> Self {
        view.mount
    }
}

/// Takes the view of an image from a living holder, or mounts it anew when there is none.
pub fn shared_view(image: &Image, state: &Path, recorder: &Recorder) -> Result<View, ViewError> {
    match holder::take(state, image, recorder) {
        Some(mount) => Ok(View::new(mount, Origin::Shared)),
        None => view(image, recorder),
    }
}

/// Mounts an image's tree anew.
pub fn view(image: &Image, recorder: &Recorder) -> Result<View, ViewError> {
    erofs::mount(image, recorder)
}
