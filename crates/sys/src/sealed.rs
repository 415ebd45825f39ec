//! Our own binary, made unwritable, and executed again by descriptor.
//!
//! A process of a container can reach the binary of a runtime that joins the container through `/proc/PID/exe`, and write
//! to it (CVE-2019-5736). What runs from a detached read-only mount of the binary cannot be written to by anybody.

use std::ffi::{CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;

use crate::mount::{self, Attributes, MountAttrFlags};
use crate::process::{environment, exec_fd};
use crate::{Calling, Errno, Error, Result};

/// Tells whether the binary we run from can be opened for writing by nobody, whatever their rights.
pub fn is_sealed() -> bool {
    let read_only =
        rustix::fs::statvfs("/proc/self/exe").is_ok_and(|fs| fs.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
    read_only
        || std::fs::read_link("/proc/self/exe").is_ok_and(|path| path.as_os_str().as_bytes().starts_with(b"/memfd:"))
}

/// Opens our own binary on a detached read-only mount.
///
/// A process of a container can reach the binary of a runtime that joins it through `/proc/PID/exe` and write to it
/// (CVE-2019-5736). A process that runs from this descriptor has an `exe` on which every open for writing answers EROFS.
/// It costs three system calls; where mounts are not allowed, a sealed copy in memory does the same.
pub fn sealed_binary() -> Result<OwnedFd> {
    let clone = mount::clone_tree_at(None, "/proc/self/exe", false);
    let sealed = clone.and_then(|tree| {
        mount::set_attributes(
            &tree,
            &Attributes { set: MountAttrFlags::MOUNT_ATTR_RDONLY, ..Attributes::default() },
            false,
        )?;
        Ok(tree)
    });
    sealed.or_else(|_| sealed_copy())
}

fn sealed_copy() -> Result<OwnedFd> {
    let binary = std::fs::read("/proc/self/exe").call(|| "read(\"/proc/self/exe\")")?;
    crate::memory::sealed_file(c"conductor", &binary)
}

/// Replaces the calling process by our own binary, run from [`sealed_binary`], with the same arguments.
///
/// Does nothing when the binary is sealed already, so a face that meets containers calls it first.
pub fn ensure_sealed() -> Result<()> {
    if is_sealed() {
        return Ok(());
    }
    let binary = sealed_binary()?;
    let strings = |words: Vec<&OsStr>| -> Vec<CString> {
        words.iter().filter_map(|word| CString::new(word.as_bytes()).ok()).collect()
    };
    let arguments: Vec<_> = std::env::args_os().collect();
    let arguments = strings(arguments.iter().map(AsRef::as_ref).collect());
    Err(exec_fd(&binary, &arguments, &environment()))
}

/// Replaces the calling process by our own binary, under other arguments. It returns only on failure.
///
/// The way over `/proc/self/exe` is closed inside a container that has another `/proc`, so the binary is reached by the
/// descriptor that [`keep_self`] has opened before.
pub fn execve_self(arguments: &[CString], environment: &[CString]) -> Error {
    match SELF.get() {
        Some(binary) => exec_fd(binary, arguments, environment),
        None => Error::new("execveat(self)", Errno::BADF),
    }
}

/// Opens our own binary for a later [`execve_self`].
pub fn keep_self() -> Result<()> {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    let binary =
        rustix::fs::open("/proc/self/exe", flags, rustix::fs::Mode::empty()).call(|| "open(/proc/self/exe)")?;
    // Opened already is as good.
    let _ = SELF.set(binary);
    Ok(())
}

static SELF: std::sync::OnceLock<OwnedFd> = std::sync::OnceLock::new();
