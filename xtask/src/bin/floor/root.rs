//! The root: one EROFS mount and one overlay, or one directory, and what belongs into it.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::bare::call;
use crate::owned;

/// What the root is made from.
#[derive(Debug)]
pub(crate) enum Root {
    /// An EROFS file, the file that it refers to, and where the changes go.
    Image { erofs: CString, device: Option<CString>, scratch: PathBuf },
    /// A directory that holds the tree itself.
    Directory(CString),
}

impl Root {
    pub(crate) fn image(erofs: &str, device: Option<&String>, scratch: &str) -> io::Result<Self> {
        let device = device.map(|path| CString::new(path.as_str())).transpose()?;
        Ok(Self::Image { erofs: CString::new(erofs)?, device, scratch: scratch.into() })
    }

    pub(crate) fn directory(path: &str) -> io::Result<Self> {
        Ok(Self::Directory(CString::new(path)?))
    }

    /// Makes the directories that an overlay writes to.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        let Self::Image { scratch, .. } = self else { return Ok(()) };
        std::fs::create_dir(scratch)?;
        std::fs::create_dir(scratch.join("upper"))?;
        std::fs::create_dir(scratch.join("work"))
    }

    /// Removes them.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match self {
            Self::Image { scratch, .. } => std::fs::remove_dir_all(scratch),
            Self::Directory(_) => Ok(()),
        }
    }

    /// Mounts the root, detached, and names the directory that it is put on.
    fn mount(&self) -> io::Result<(OwnedFd, CString)> {
        match self {
            Self::Image { erofs, device, scratch } => {
                let mut options = vec![(c"source", erofs.as_c_str())];
                options.extend(device.as_ref().map(|device| (c"device", device.as_c_str())));
                let lower = filesystem(c"erofs", &options, None)?;
                let path = |name: &str| CString::new(scratch.join(name).into_os_string().into_encoded_bytes());
                let (upper, work) = (path("upper")?, path("work")?);
                let options = [(c"upperdir", upper.as_c_str()), (c"workdir", work.as_c_str())];
                Ok((filesystem(c"overlay", &options, Some(&lower))?, path("")?))
            }
            Self::Directory(path) => {
                let flags = libc::OPEN_TREE_CLONE as usize | libc::O_CLOEXEC as usize | libc::AT_RECURSIVE as usize;
                let tree = call(libc::SYS_open_tree, &[AT_CWD, path.as_ptr() as usize, flags])?;
                Ok((owned(tree)?, path.clone()))
            }
        }
    }
}

const AT_CWD: usize = libc::AT_FDCWD as usize;

const HIDDEN_DIRECTORIES: &[&CStr] = &[c"proc/acpi", c"proc/asound", c"proc/scsi", c"sys/firmware"];
const HIDDEN_FILES: &[&CStr] =
    &[c"proc/interrupts", c"proc/kcore", c"proc/keys", c"proc/latency_stats", c"proc/sched_debug", c"proc/timer_list"];
const FIXED: &[&CStr] = &[c"proc/bus", c"proc/fs", c"proc/irq", c"proc/sys", c"proc/sysrq-trigger"];
const NODES: &[(&CStr, u32, u32)] = &[
    (c"dev/null", 1, 3),
    (c"dev/zero", 1, 5),
    (c"dev/full", 1, 7),
    (c"dev/random", 1, 8),
    (c"dev/urandom", 1, 9),
    (c"dev/tty", 5, 0),
];
const LINKS: &[(&CStr, &CStr)] = &[
    (c"/proc/self/fd", c"dev/fd"),
    (c"/proc/self/fd/0", c"dev/stdin"),
    (c"/proc/self/fd/1", c"dev/stdout"),
    (c"/proc/self/fd/2", c"dev/stderr"),
    (c"pts/ptmx", c"dev/ptmx"),
];

const NOSUID: u64 = libc::MS_NOSUID;
const GUARDED: u64 = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
const READ_ONLY: u64 = libc::MS_RDONLY;

/// Assembles the root and makes it ours.
pub(crate) fn enter(root: &Root, v1: &[PathBuf], v2: bool) -> io::Result<()> {
    mount(c"none", c"/", c"", libc::MS_REC | libc::MS_PRIVATE, c"")?;
    let (tree, place) = root.mount()?;
    let (from, empty) = (tree.as_raw_fd() as usize, c"".as_ptr() as usize);
    let flags = libc::MOVE_MOUNT_F_EMPTY_PATH as usize;
    call(libc::SYS_move_mount, &[from, empty, AT_CWD, place.as_ptr() as usize, flags])?;
    call(libc::SYS_fchdir, &[from])?;
    systems(v1, v2)?;
    devices()?;
    hide()?;
    call(libc::SYS_pivot_root, &[c".".as_ptr() as usize, c".".as_ptr() as usize])?;
    call(libc::SYS_umount2, &[c".".as_ptr() as usize, libc::MNT_DETACH as usize])?;
    call(libc::SYS_chdir, &[c"/".as_ptr() as usize])?;
    Ok(())
}

fn systems(v1: &[PathBuf], v2: bool) -> io::Result<()> {
    mount(c"proc", c"proc", c"proc", GUARDED, c"")?;
    mount(c"sysfs", c"sys", c"sysfs", GUARDED | READ_ONLY, c"")?;
    if v1.is_empty() && v2 {
        return mount(c"cgroup", c"sys/fs/cgroup", c"cgroup2", GUARDED | READ_ONLY, c"");
    }
    mount(c"tmpfs", c"sys/fs/cgroup", c"tmpfs", GUARDED, c"mode=755")?;
    for hierarchy in v1 {
        let name = CString::new(hierarchy.file_name().unwrap_or_default().as_encoded_bytes())?;
        let place = joined(c"sys/fs/cgroup", &name)?;
        make_directory(&place)?;
        let option = if name.as_c_str() == c"systemd" { CString::new("name=systemd")? } else { name };
        mount(c"cgroup", &place, c"cgroup", GUARDED | READ_ONLY, &option)?;
    }
    if v2 {
        make_directory(c"sys/fs/cgroup/unified")?;
        mount(c"cgroup", c"sys/fs/cgroup/unified", c"cgroup2", GUARDED | READ_ONLY, c"")?;
    }
    mount(c"tmpfs", c"sys/fs/cgroup", c"", GUARDED | READ_ONLY | libc::MS_REMOUNT, c"mode=755")
}

fn devices() -> io::Result<()> {
    mount(c"tmpfs", c"dev", c"tmpfs", NOSUID | libc::MS_STRICTATIME, c"mode=755,size=65536k")?;
    for place in [c"dev/pts", c"dev/shm", c"dev/mqueue"] {
        make_directory(place)?;
    }
    mount(c"devpts", c"dev/pts", c"devpts", NOSUID | libc::MS_NOEXEC, c"newinstance,ptmxmode=0666,mode=0620,gid=5")?;
    mount(c"shm", c"dev/shm", c"tmpfs", GUARDED, c"mode=1777,size=65536k")?;
    mount(c"mqueue", c"dev/mqueue", c"mqueue", GUARDED, c"")?;
    call(libc::SYS_umask, &[0])?;
    for (path, major, minor) in NODES {
        let number = libc::makedev(*major, *minor) as usize;
        call(libc::SYS_mknodat, &[AT_CWD, path.as_ptr() as usize, (libc::S_IFCHR | 0o666) as usize, number])?;
    }
    call(libc::SYS_umask, &[0o022])?;
    for (target, path) in LINKS {
        call(libc::SYS_symlinkat, &[target.as_ptr() as usize, AT_CWD, path.as_ptr() as usize])?;
    }
    Ok(())
}

fn hide() -> io::Result<()> {
    // What this kernel does not have needs no hiding.
    let there = |path: &&&CStr| Path::new(path.to_str().unwrap_or_default()).exists();
    for path in HIDDEN_FILES.iter().filter(there) {
        mount(c"dev/null", path, c"", libc::MS_BIND, c"")?;
    }
    for path in HIDDEN_DIRECTORIES.iter().filter(there) {
        mount(c"tmpfs", path, c"tmpfs", READ_ONLY, c"size=0k")?;
    }
    for path in FIXED.iter().filter(there) {
        mount(path, path, c"", libc::MS_BIND | libc::MS_REC, c"")?;
        mount(path, path, c"", GUARDED | READ_ONLY | libc::MS_BIND | libc::MS_REMOUNT, c"")?;
    }
    Ok(())
}

/// Mounts a file system, detached.
fn filesystem(kind: &CStr, options: &[(&CStr, &CStr)], lower: Option<&OwnedFd>) -> io::Result<OwnedFd> {
    const SET_STRING: usize = 1;
    const SET_FD: usize = 5;
    const CREATE: usize = 6;
    let context = owned(call(libc::SYS_fsopen, &[kind.as_ptr() as usize, 1])?)?;
    let number = context.as_raw_fd() as usize;
    let set = |key: &CStr, value: &CStr| {
        call(libc::SYS_fsconfig, &[number, SET_STRING, key.as_ptr() as usize, value.as_ptr() as usize, 0])
    };
    if let Some(lower) = lower {
        let key = c"lowerdir+".as_ptr() as usize;
        call(libc::SYS_fsconfig, &[number, SET_FD, key, 0, lower.as_raw_fd() as usize])?;
    }
    for (key, value) in options {
        set(key, value)?;
    }
    call(libc::SYS_fsconfig, &[number, CREATE, 0, 0, 0])?;
    owned(call(libc::SYS_fsmount, &[number, 1, 0])?)
}

fn mount(source: &CStr, target: &CStr, kind: &CStr, flags: u64, options: &CStr) -> io::Result<()> {
    let address = |text: &CStr| if text.is_empty() { 0 } else { text.as_ptr() as usize };
    let flags = usize::try_from(flags).map_err(io::Error::other)?;
    let words = [address(source), address(target), address(kind), flags, address(options)];
    let told = |error: io::Error| io::Error::other(format!("mount on {target:?}: {error}"));
    call(libc::SYS_mount, &words).map(|_| ()).map_err(told)
}

fn make_directory(path: &CStr) -> io::Result<()> {
    call(libc::SYS_mkdirat, &[AT_CWD, path.as_ptr() as usize, 0o755]).map(|_| ())
}

fn joined(directory: &CStr, name: &CStr) -> io::Result<CString> {
    Ok(CString::new([directory.to_bytes(), b"/", name.to_bytes()].concat())?)
}
