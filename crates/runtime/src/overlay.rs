//! Mounting an overlay over any number of layers, on kernels old and new.
//!
//! Since Linux 6.5 a layer is an option of its own (`lowerdir+`), and since 6.13 that option takes a descriptor. Before,
//! all layers stand in one option: in 256 bytes by fsconfig(2), in a page by mount(2). There each layer is opened and
//! named by its descriptor's number, relative to `/proc/self/fd`, so that 500 of them fit whatever their paths.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use sys::mount::{self, Filesystem, MountAttrFlags as Attr};
use sys::path as paths;

use crate::plan::{Lower, Overlay};

/// How the layers are named to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// One option a layer (Linux 6.5).
    OneByOne,
    /// One option for all.
    Joined,
}

/// Mounts an overlay, detached, in the way that the kernel has.
///
/// The calling process has a mount namespace of its own where a kernel before 6.5 is given many layers.
pub fn mount(overlay: &Overlay) -> sys::Result<OwnedFd> {
    let refused = match mount_with(overlay, Syntax::OneByOne) {
        // What an older kernel says of an option that it does not know; a bad option of ours fails either way.
        Err(error) if error.errno() == sys::Errno::INVAL => error,
        done => return done,
    };
    mount_with(overlay, Syntax::Joined).map_err(|error| match error.errno() {
        sys::Errno::INVAL => refused,
        _ => error,
    })
}

/// Mounts an overlay with its layers named in one way.
pub fn mount_with(overlay: &Overlay, syntax: Syntax) -> sys::Result<OwnedFd> {
    match syntax {
        Syntax::OneByOne => mount_one_by_one(overlay),
        Syntax::Joined => mount_joined(overlay),
    }
}

fn mount_one_by_one(overlay: &Overlay) -> sys::Result<OwnedFd> {
    let mut filesystem = Filesystem::open("overlay")?.option("source", "overlay")?;
    for lower in &overlay.lowers {
        filesystem = match lower {
            Lower::Directory(path) => filesystem.path_option("lowerdir+", path)?,
            Lower::Mount { mount, .. } => filesystem.descriptor_or("lowerdir+", mount.as_fd(), || {
                attach_for_lookup(mount)?;
                Ok(format!("/proc/self/fd/{}", mount.as_raw_fd()))
            })?,
        };
    }
    create(filesystem, overlay)
}

/// Before 6.13 a layer is a path, and a mount must be part of this namespace to be one. Over `/` it covers nothing, and
/// the overlay keeps a reference of its own.
fn attach_for_lookup(layer: &OwnedFd) -> sys::Result<()> {
    match mount::attach(layer, paths::open_host(Path::new("/"))?) {
        // It is there already, since the first of the two ways has been tried.
        Err(error) if error.errno() == sys::Errno::LOOP => Ok(()),
        done => done,
    }
}

fn create(filesystem: Filesystem, overlay: &Overlay) -> sys::Result<OwnedFd> {
    let filesystem = filesystem.path_option("upperdir", &overlay.upper)?.path_option("workdir", &overlay.work)?;
    let filesystem = if overlay.volatile { filesystem.flag("volatile")? } else { filesystem };
    filesystem.mount(Attr::empty())
}

fn mount_joined(overlay: &Overlay) -> sys::Result<OwnedFd> {
    // The upper and work directories too: a comma or colon in their paths would end the option.
    let [upper, work] = [paths::open_host(&overlay.upper)?, paths::open_host(&overlay.work)?];
    let opened = overlay.lowers.iter().map(open_layer).collect::<sys::Result<Vec<_>>>()?;
    let names: Vec<_> = opened.iter().map(|layer| layer.as_raw_fd().to_string()).collect();
    let names = names.join(":");
    let before = paths::open_host(Path::new("."))?;
    paths::change_dir(Path::new("/proc/self/fd"))?;
    let mounted = if names.len() < FSCONFIG_LIMIT {
        joined_by_fsconfig(overlay, &names, &upper, &work)
    } else {
        joined_by_mount(overlay, &names, &upper, &work)
    };
    paths::change_dir_to(&before)?;
    mounted
}

/// How long the value of an option may be for fsconfig(2), its end included.
const FSCONFIG_LIMIT: usize = 256;

fn open_layer(lower: &Lower) -> sys::Result<OwnedFd> {
    match lower {
        Lower::Directory(path) => paths::open_host(path),
        Lower::Mount { mount, .. } => {
            attach_for_lookup(mount)?;
            paths::duplicate(mount)
        }
    }
}

fn joined_by_fsconfig(overlay: &Overlay, names: &str, upper: &OwnedFd, work: &OwnedFd) -> sys::Result<OwnedFd> {
    let filesystem = Filesystem::open("overlay")?.option("source", "overlay")?.option("lowerdir", names)?;
    let number = |fd: &OwnedFd| fd.as_raw_fd().to_string();
    let filesystem = filesystem.option("upperdir", &number(upper))?.option("workdir", &number(work))?;
    let filesystem = if overlay.volatile { filesystem.flag("volatile")? } else { filesystem };
    filesystem.mount(Attr::empty())
}

/// mount(2) needs a place in this namespace; over its own upper directory the overlay covers nothing of anybody's, and
/// from there it is taken by descriptor.
fn joined_by_mount(overlay: &Overlay, names: &str, upper: &OwnedFd, work: &OwnedFd) -> sys::Result<OwnedFd> {
    let volatile = if overlay.volatile { ",volatile" } else { "" };
    let (upper_name, work) = (upper.as_raw_fd(), work.as_raw_fd());
    let options = format!("lowerdir={names},upperdir={upper_name},workdir={work}{volatile}");
    mount::mount_at("overlay", &overlay.upper, &options)?;
    let detached = mount::clone_tree_at(None, &overlay.upper, false);
    mount::unmount(&overlay.upper)?;
    detached
}
