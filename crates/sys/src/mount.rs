//! Mounts by descriptor: fsopen, open_tree, move_mount, mount_setattr (Linux 5.2 and 5.12), pivot_root.
//!
//! A mount comes to be detached, known by its descriptor alone; it is attached to a directory that is a descriptor too.
//! No string is resolved twice, so nothing can be exchanged in between.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};

pub use rustix::mount::MountAttrFlags;

use crate::errno::check;
use crate::{Calling, Errno, Error, Result};

/// A file system in the making: options are set on it, then it is created and mounted, detached.
#[derive(Debug)]
pub struct Filesystem {
    context: OwnedFd,
    name: &'static str,
}

impl Filesystem {
    /// Opens a context for a kind of file system (fsopen(2)).
    pub fn open(name: &'static str) -> Result<Self> {
        let context = rustix::mount::fsopen(name, FsOpenFlags::FSOPEN_CLOEXEC).call(|| format!("fsopen({name:?})"))?;
        Ok(Self { context, name })
    }

    /// Opens a context for a kind of file system whose name came from outside, as in an OCI mount's `type`.
    pub fn open_named(name: &str) -> Result<Self> {
        let context = rustix::mount::fsopen(name, FsOpenFlags::FSOPEN_CLOEXEC).call(|| format!("fsopen({name:?})"))?;
        Ok(Self { context, name: "filesystem" })
    }

    /// Sets an option with a value, such as `size=64m`.
    pub fn option(self, key: &str, value: &str) -> Result<Self> {
        let done = rustix::mount::fsconfig_set_string(&self.context, key, value);
        self.checked(done, format_args!("FSCONFIG_SET_STRING, {key:?}, {value:?}"))
    }

    /// Sets an option whose value is a path that may hold any byte.
    pub fn path_option(self, key: &str, value: &Path) -> Result<Self> {
        let done = rustix::mount::fsconfig_set_string(&self.context, key, value);
        self.checked(done, format_args!("FSCONFIG_SET_STRING, {key:?}, {value:?}"))
    }

    /// Sets an option that has no value, such as `ro`.
    pub fn flag(self, key: &str) -> Result<Self> {
        let done = rustix::mount::fsconfig_set_flag(&self.context, key);
        self.checked(done, format_args!("FSCONFIG_SET_FLAG, {key:?}"))
    }

    /// Sets an option whose value is a descriptor, as overlay's `lowerdir+` takes since Linux 6.13.
    pub fn descriptor(self, key: &str, fd: BorrowedFd<'_>) -> Result<Self> {
        let done = rustix::mount::fsconfig_set_fd(&self.context, key, fd);
        self.checked(done, format_args!("FSCONFIG_SET_FD, {key:?}, {}", fd.as_raw_fd()))
    }

    /// Sets an option to a descriptor or, where the kernel takes none there, to the path that `otherwise` returns.
    pub fn descriptor_or(
        self,
        key: &str,
        fd: BorrowedFd<'_>,
        otherwise: impl FnOnce() -> Result<String>,
    ) -> Result<Self> {
        match rustix::mount::fsconfig_set_fd(&self.context, key, fd) {
            // EBADF: before 6.13 the kernel looks for a file that can be read, and a mount's descriptor is none.
            // EOPNOTSUPP: before 6.5 the file system takes nothing but strings.
            Err(Errno::INVAL | Errno::BADF | Errno::OPNOTSUPP) => {
                // The refusal leaves a message that would be blamed on a later option.
                self.messages();
                self.option(key, &otherwise()?)
            }
            done => self.checked(done, format_args!("FSCONFIG_SET_FD, {key:?}, {}", fd.as_raw_fd())),
        }
    }

    /// Creates the file system and returns it as a detached mount.
    pub fn mount(self, attributes: MountAttrFlags) -> Result<OwnedFd> {
        let created = rustix::mount::fsconfig_create(&self.context);
        let this = self.checked(created, format_args!("FSCONFIG_CMD_CREATE"))?;
        rustix::mount::fsmount(&this.context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
            .call(|| format!("fsmount({}, {attributes:?})", this.name))
    }

    /// Adds what the file system itself says of the failure to the call's name.
    fn checked(self, done: std::result::Result<(), Errno>, what: fmt::Arguments<'_>) -> Result<Self> {
        let Err(errno) = done else { return Ok(self) };
        let said = self.messages();
        let said = if said.is_empty() { said } else { format!(" [{said}]") };
        Err(Error::new(format!("fsconfig({}, {what}){said}", self.name), errno))
    }

    /// Reads the messages that the kernel keeps for this context ("e overlay: ...").
    fn messages(&self) -> String {
        let mut said = Vec::new();
        let mut line = [0; 512];
        while let Ok(length @ 1..) = rustix::io::read(&self.context, &mut line) {
            let text = String::from_utf8_lossy(&line[..length]);
            said.push(text.trim_start_matches("e ").trim().to_owned());
        }
        said.join("; ")
    }
}

/// Mounts a file system the older way (mount(2)), on a path of the calling process's view; the options are at most a page.
pub fn mount_at(kind: &str, target: &Path, options: &str) -> Result<()> {
    let call = || format!("mount({kind:?}, {target:?}, {options:?})");
    let options = std::ffi::CString::new(options).ok().ok_or(Errno::INVAL).call(call)?;
    rustix::mount::mount(kind, target, kind, rustix::mount::MountFlags::empty(), options.as_c_str()).call(call)
}

/// Opens the mount at a path of the calling process's view, attached as it is.
pub fn open_mount(path: &Path) -> Result<OwnedFd> {
    rustix::mount::open_tree(CWD, path, OpenTreeFlags::OPEN_TREE_CLOEXEC).call(|| format!("open_tree({path:?})"))
}

/// Makes a detached copy of the mount at `path` (below `base`, or in the calling process's view), with all mounts
/// below it when `recursive`.
pub fn clone_tree_at(base: Option<BorrowedFd<'_>>, path: impl AsRef<Path>, recursive: bool) -> Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let path = path.as_ref();
    if path.as_os_str().is_empty() {
        flags |= OpenTreeFlags::AT_EMPTY_PATH;
    }
    rustix::mount::open_tree(base.unwrap_or(CWD), path, flags).call(|| {
        let recursive = if recursive { "|AT_RECURSIVE" } else { "" };
        format!("open_tree({path:?}, OPEN_TREE_CLONE{recursive})")
    })
}

/// Makes a detached copy of the mount behind a descriptor.
pub fn clone_tree(source: impl AsFd, recursive: bool) -> Result<OwnedFd> {
    clone_tree_at(Some(source.as_fd()), "", recursive)
}

/// Attaches a detached mount (or moves an attached one) to the directory or file behind `target`.
pub fn attach(mount: impl AsFd, target: impl AsFd) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount.as_fd(), "", target.as_fd(), "", flags)
        .call(|| format!("move_mount({}, {})", mount.as_fd().as_raw_fd(), target.as_fd().as_raw_fd()))
}

/// How a mount passes on what is mounted below it (mount_namespaces(7), "Shared subtrees").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Neither gives nor takes.
    Private,
    /// Gives to its peers and takes from them.
    Shared,
    /// Takes from its master and gives nothing.
    Slave,
    /// Private, and cannot be bind-mounted.
    Unbindable,
}

impl Propagation {
    /// Returns the word that mount(8) uses after `--make-` (or `--make-r` for a whole tree).
    pub const fn word(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Shared => "shared",
            Self::Slave => "slave",
            Self::Unbindable => "unbindable",
        }
    }

    const fn flag(self) -> MountPropagationFlags {
        match self {
            Self::Private => MountPropagationFlags::PRIVATE,
            Self::Shared => MountPropagationFlags::SHARED,
            Self::Slave => MountPropagationFlags::DOWNSTREAM,
            Self::Unbindable => MountPropagationFlags::UNBINDABLE,
        }
    }
}

/// What is changed of a mount.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'fd> {
    /// Attributes that are switched on.
    pub set: MountAttrFlags,
    /// Attributes that are switched off.
    pub clear: MountAttrFlags,
    /// The new propagation, if it changes.
    pub propagation: Option<Propagation>,
    /// The user namespace by which IDs are mapped (an idmapped mount), if any.
    pub user_namespace: Option<BorrowedFd<'fd>>,
}

impl Default for Attributes<'_> {
    fn default() -> Self {
        Self { set: MountAttrFlags::empty(), clear: MountAttrFlags::empty(), propagation: None, user_namespace: None }
    }
}

/// Changes attributes of the mount behind `mount`, and of all mounts below it when `recursive` (mount_setattr(2)).
pub fn set_attributes(mount: impl AsFd, attributes: &Attributes<'_>, recursive: bool) -> Result<()> {
    let mut set = u64::from(attributes.set.bits());
    if attributes.user_namespace.is_some() {
        set |= u64::from(MountAttrFlags::MOUNT_ATTR_IDMAP.bits());
    }
    let raw = MountAttr {
        set,
        clear: u64::from(attributes.clear.bits()),
        propagation: attributes.propagation.map_or(0, |propagation| u64::from(propagation.flag().bits())),
        user_namespace: attributes.user_namespace.map_or(0, |fd| u64::from(fd.as_raw_fd().unsigned_abs())),
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    let fd = mount.as_fd().as_raw_fd();
    // SAFETY: the path is an empty C string, and `raw` is a whole mount_attr of the size passed, which the kernel reads.
    let ret = unsafe {
        libc::syscall(libc::SYS_mount_setattr, fd, c"".as_ptr(), flags, &raw const raw, size_of::<MountAttr>())
    };
    check(ret, || format!("mount_setattr({fd}, {attributes:?})")).map(drop)
}

/// `struct mount_attr` of `linux/mount.h` (MOUNT_ATTR_SIZE_VER0).
#[repr(C)]
#[derive(Debug)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Changes the propagation of the mount at a path of the calling process's view (mount(2)).
pub fn set_propagation(path: &Path, propagation: Propagation, recursive: bool) -> Result<()> {
    let flags =
        propagation.flag() | if recursive { MountPropagationFlags::REC } else { MountPropagationFlags::empty() };
    rustix::mount::mount_change(path, flags).call(|| format!("mount({path:?}, {flags:?})"))
}

/// Makes the mount behind `new_root` the root of the mount namespace and lets the old root go.
///
/// This is pivot_root(2) with "." twice, as its man page shows: the old root ends up over the new one and is detached. The
/// caller has made the old root a slave or private ([`set_propagation`]), so that its end is told to nobody. It is an
/// error if something still lies over the new root then: a mount over the old root would have been detached in its place,
/// and `/..` lead to the old root.
pub fn pivot_into(new_root: impl AsFd) -> Result<()> {
    rustix::process::fchdir(new_root.as_fd()).call(|| format!("fchdir({})", new_root.as_fd().as_raw_fd()))?;
    rustix::process::pivot_root(".", ".").call(|| "pivot_root(\".\", \".\")")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).call(|| "umount2(\".\", MNT_DETACH)")?;
    rustix::process::chdir("/").call(|| "chdir(\"/\")")?;
    let place = |path: &str| rustix::fs::stat(path).call(|| format!("stat({path:?})")).map(|it| (it.st_dev, it.st_ino));
    // A lookup that begins at the root does not see what is mounted over it; one that goes up from there does.
    if place("/")? != place("/..")? {
        return Err(Error::new("pivot_root(\".\", \".\"): the old root did not go", Errno::BUSY));
    }
    Ok(())
}

/// Detaches the mount at a path of the calling process's view.
pub fn unmount(path: &Path) -> Result<()> {
    rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
        .call(|| format!("umount2({path:?}, MNT_DETACH)"))
}
