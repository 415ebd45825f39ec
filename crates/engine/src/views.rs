//! Images whose trees somebody wants to see without a container: `image mount` and `image unmount`.
//!
//! Nothing is written down: where views are attached is in the kernel's table of mounts, and there alone.

use std::path::{Path, PathBuf};

use oci::Digest;
use store::Image;
use store::snapshot::Attached;
use trace::{Step, quote};

use crate::error::Doing;
use crate::{Engine, Error};

impl Engine {
    /// Attaches an image's tree, which can only be read, to a directory of the caller's mount namespace. It stays until it is
    /// detached.
    pub fn attach_image(&self, image: &Image, directory: &Path) -> Result<(), Error> {
        let doing = || format!("mount image {} at {}", image.id.short(), directory.display());
        let target = sys::path::open_host(directory).doing(doing)?;
        let view = self.snapshots().view(image, self.recorder()).doing(doing)?;
        let shell = format!("mount --move /mnt {}", quote(&directory.to_string_lossy()));
        self.recorder().record(&Step::host(format!("attach the tree to {}", directory.display()), shell));
        // A tree's directory may be removed once it is held no more; but from here on the image is in use.
        let (mount, _hold) = view.into_parts();
        sys::mount::attach(&mount, &target).doing(doing)
    }

    /// Returns where the tree of an image is attached, as far as this process sees it. What cannot be told is nothing.
    pub fn attached_image(&self, id: &Digest) -> Vec<PathBuf> {
        let Ok(image) = self.store().images().load(id) else { return Vec::new() };
        let attached = Attached::read(self.store().layout()).unwrap_or_else(|error| {
            tracing::warn!("where images are mounted cannot be told: {error}");
            Attached::default()
        });
        attached.of(&image.chain).map(Path::to_owned).collect()
    }

    /// Detaches the tree of an image from a directory; what others have mounted there stays.
    pub fn detach_image(&self, directory: &Path) -> Result<(), Error> {
        let doing = || format!("unmount {}", directory.display());
        let attached = Attached::read(self.store().layout()).doing(doing)?;
        let place = std::fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
        if !attached.places().any(|attached| attached == place) {
            return Err(Error::NoImageMounted(place));
        }
        let shell = format!("umount {}", quote(&place.to_string_lossy()));
        self.recorder().record(&Step::host(format!("detach the tree from {}", place.display()), shell));
        sys::mount::unmount(&place).doing(doing)
    }
}
