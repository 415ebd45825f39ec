//! Loop devices: block devices over files, for kernels and file systems that cannot be mounted from a file (loop(4)).

use std::fs::{File, OpenOptions};
use std::os::fd::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};

use crate::errno::check;
use crate::{Calling, Errno, Result};

/// Asks `/dev/loop-control` for a device that is free.
const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4C82;
/// Sets file, flags and block size of a device in one step (Linux 5.8).
const LOOP_CONFIGURE: libc::Ioctl = 0x4C0A;
/// The device cannot be written to.
const LO_FLAGS_READ_ONLY: u32 = 1;
/// The device lets go of its file when the last user is gone.
const LO_FLAGS_AUTOCLEAR: u32 = 4;
/// Free devices are offered to everybody at once, so the one offered may be taken by the time it is opened.
const ATTEMPTS: u32 = 64;

/// A read-only loop device. It lets go of its file when neither this nor a mount uses it any more.
#[derive(Debug)]
pub struct LoopDevice {
    path: PathBuf,
    _device: File,
}

/// `struct loop_info64` of `linux/loop.h`.
#[repr(C)]
#[derive(Debug)]
struct LoopInfo {
    numbers: [u64; 5],
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    names: [u8; 128],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config` of `linux/loop.h`.
#[repr(C)]
#[derive(Debug)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

impl LoopDevice {
    /// Puts a free loop device over a file.
    pub fn attach_read_only(path: &Path) -> Result<Self> {
        let file = File::open(path).call(|| format!("open({})", path.display()))?;
        let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control");
        let control = control.call(|| "open(/dev/loop-control)")?;
        let mut attempt = 0;
        loop {
            attempt += 1;
            match Self::try_attach(&control, &file) {
                Err(error) if error.errno() == Errno::BUSY && attempt < ATTEMPTS => {}
                result => return result,
            }
        }
    }

    /// Returns the device's node.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn try_attach(control: &File, file: &File) -> Result<Self> {
        let path = PathBuf::from(format!("/dev/loop{}", free_device(control.as_raw_fd())?));
        let device = File::open(&path).call(|| format!("open({})", path.display()))?;
        configure(device.as_raw_fd(), file.as_raw_fd())?;
        Ok(Self { path, _device: device })
    }
}

fn free_device(control: RawFd) -> Result<libc::c_long> {
    // SAFETY: this request takes no argument and answers with a number; `control` is open for the whole call.
    let ret = unsafe { libc::ioctl(control, LOOP_CTL_GET_FREE) };
    check(ret.into(), || "ioctl(/dev/loop-control, LOOP_CTL_GET_FREE)")
}

fn configure(device: RawFd, file: RawFd) -> Result<()> {
    let info = LoopInfo {
        numbers: [0; 5],
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR,
        names: [0; 128],
        encrypt_key: [0; 32],
        init: [0; 2],
    };
    // Our indexes count in blocks of 512 bytes, and a device with larger ones could not be mounted.
    let config = LoopConfig { fd: file.unsigned_abs(), block_size: 512, info, reserved: [0; 8] };
    // SAFETY: the kernel reads one `loop_config` through the pointer, which is to a live value with that layout.
    let ret = unsafe { libc::ioctl(device, LOOP_CONFIGURE, &raw const config) };
    check(ret.into(), || "ioctl(loop device, LOOP_CONFIGURE)").map(drop)
}
