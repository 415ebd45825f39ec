//! Images whose trees somebody wants to see without a container: `image mount` and `image unmount`.
//!
//! Nothing is written down: where views are attached is in the kernel's table of mounts, and there alone.

use std::path::{Path, PathBuf};

use oci::Digest;
use store::Image;
use store::snapshot::Attached;
use sys::mount::{self, Attributes, MountAttrFlags};
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
        let place = quote(&directory.to_string_lossy()).into_owned();
        let shell = format!("mount --move /mnt {place} && mount -o remount,bind,ro,nosuid,nodev {place}");
        self.recorder().record(&Step::host(format!("attach the tree to {}", directory.display()), shell));
        // A tree's directory may be removed once it is held no more; but from here on the image is in use.
        let (mount, _hold) = view.into_parts();
        // Whoever made the image is root in it, and shall not be here to all who find the directory.
        let set = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        mount::set_attributes(&mount, &Attributes { set, ..Attributes::default() }, false).doing(doing)?;
        mount::attach(&mount, &target).doing(doing)
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
        mount::unmount(&place).doing(doing)
    }
}
