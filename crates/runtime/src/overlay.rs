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
    let mut attached = Attached::default();
    let mounted = match mount_by(Syntax::OneByOne, overlay, &mut attached) {
        // What an older kernel says of an option that it does not know; a bad option of ours fails either way.
        Err(refused) if refused.errno() == sys::Errno::INVAL => mount_by(Syntax::Joined, overlay, &mut attached)
            .map_err(|error| match error.errno() {
                sys::Errno::INVAL => refused,
                _ => error,
            }),
        done => done,
    };
    attached.detach()?;
    mounted
}

/// Mounts an overlay with its layers named in one way.
pub fn mount_with(overlay: &Overlay, syntax: Syntax) -> sys::Result<OwnedFd> {
    let mut attached = Attached::default();
    let mounted = mount_by(syntax, overlay, &mut attached);
    attached.detach()?;
    mounted
}

fn mount_by<'a>(syntax: Syntax, overlay: &'a Overlay, attached: &mut Attached<'a>) -> sys::Result<OwnedFd> {
    match syntax {
        Syntax::OneByOne => mount_one_by_one(overlay, attached),
        Syntax::Joined => mount_joined(overlay, attached),
    }
}

/// The layers that are part of this namespace for as long as the overlay is being made.
///
/// Before 6.13 a layer is a path, and a mount must be part of the namespace to have one. The overlay keeps a reference of
/// its own, so they can go then, and they must: over `/` they would lie over the old root when the new one is pivoted
/// to, be detached in its place, and leave the host's files below `/..` of the container.
#[derive(Debug, Default)]
struct Attached<'a>(Vec<&'a OwnedFd>);

impl<'a> Attached<'a> {
    fn attach(&mut self, layer: &'a OwnedFd) -> sys::Result<()> {
        if self.0.iter().any(|known| known.as_raw_fd() == layer.as_raw_fd()) {
            return Ok(());
        }
        mount::attach(layer, paths::open_host(Path::new("/"))?)?;
        self.0.push(layer);
        Ok(())
    }

    /// Detaches every layer, also after one has failed.
    fn detach(self) -> sys::Result<()> {
        // With the dot, the link to the descriptor is no last link, which unmounting does not follow.
        let path = |layer: &OwnedFd| format!("/proc/self/fd/{}/.", layer.as_raw_fd());
        let detached: Vec<_> = self.0.into_iter().map(|layer| mount::unmount(Path::new(&path(layer)))).collect();
        detached.into_iter().collect()
    }
}

fn mount_one_by_one<'a>(overlay: &'a Overlay, attached: &mut Attached<'a>) -> sys::Result<OwnedFd> {
    let mut filesystem = Filesystem::open("overlay")?.option("source", "overlay")?;
    for lower in &overlay.lowers {
        filesystem = match lower {
            Lower::Directory(path) => filesystem.path_option("lowerdir+", path)?,
            Lower::Mount { mount, .. } => filesystem.descriptor_or("lowerdir+", mount.as_fd(), || {
                attached.attach(mount)?;
                Ok(format!("/proc/self/fd/{}", mount.as_raw_fd()))
            })?,
        };
    }
    create(filesystem, overlay)
}

fn create(filesystem: Filesystem, overlay: &Overlay) -> sys::Result<OwnedFd> {
    let filesystem = filesystem.path_option("upperdir", &overlay.upper)?.path_option("workdir", &overlay.work)?;
    let filesystem = if overlay.volatile { filesystem.flag("volatile")? } else { filesystem };
    filesystem.mount(Attr::empty())
}

fn mount_joined<'a>(overlay: &'a Overlay, attached: &mut Attached<'a>) -> sys::Result<OwnedFd> {
    // The upper and work directories too: a comma or colon in their paths would end the option.
    let [upper, work] = [paths::open_host(&overlay.upper)?, paths::open_host(&overlay.work)?];
    let opened = overlay.lowers.iter().map(|lower| open_layer(lower, attached)).collect::<sys::Result<Vec<_>>>()?;
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

fn open_layer<'a>(lower: &'a Lower, attached: &mut Attached<'a>) -> sys::Result<OwnedFd> {
    match lower {
        Lower::Directory(path) => paths::open_host(path),
        Lower::Mount { mount, .. } => {
            attached.attach(mount)?;
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
