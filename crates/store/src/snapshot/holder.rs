//! Who holds which view, and how another process gets a copy of it.
//!
//! ```text
//! <state>/mounts/<chain, hex>/<pid>      {"pid":4121,"identity":8812345,"fd":7}
//! ```
//!
//! A record is a hint and not a right: whoever follows it makes sure that the process is the one that wrote it (by its pidfd's
//! inode number or its start time), that the descriptor is an EROFS mount, and that its UUID is that of the index. Whatever fails, the answer is a mount of
//! one's own. Records of the dead are removed by the one who meets them, and by whoever settles what a crash left.

use std::fs::{self, File};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use rustix::fs::RawDir;
use serde::{Deserialize, Serialize};
use sys::{Calling, mount, process};
use trace::{Explain, Recorder, Step};

use crate::image::EROFS_MAGIC;
use crate::{ChainId, Image, file};

/// A view announced: others may take copies of it while the process lives and keeps the descriptor.
#[derive(Debug)]
pub struct Holder {
    path: PathBuf,
}

/// What a holder writes down.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    pid: u32,
    identity: u64,
    fd: RawFd,
}

impl Holder {
    /// Announces that the calling process holds the view `mount` of `chain` and will keep the descriptor open.
    pub fn announce(state: &Path, chain: &ChainId, mount: BorrowedFd<'_>) -> sys::Result<Self> {
        let pid = process::id();
        let record = Record { pid, identity: identity(&process::pidfd_open(pid)?, pid)?, fd: mount.as_raw_fd() };
        let directory = directory(state, chain);
        let path = directory.join(pid.to_string());
        // Written beside, as a reader may come at any time; the suffix is no number, so nobody takes it for a record.
        let beside = directory.join(format!("{pid}.new"));
        let text = serde_json::to_string(&record).unwrap_or_default();
        let made = Self::write(state, &directory, &beside, &text).and_then(|()| file::rename(&beside, &path));
        if made.is_err() {
            let _ = fs::remove_file(&beside);
        }
        made.map(|()| Self { path })
    }

    fn write(state: &Path, directory: &Path, beside: &Path, text: &str) -> sys::Result<()> {
        if fs::write(beside, text).is_err() {
            // The first holder of an image meets no directory yet.
            for path in [state, &state.join("mounts"), directory] {
                file::ensure_directory(path)?;
            }
            fs::write(beside, text).call(|| format!("write({})", beside.display()))?;
        }
        Ok(())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // A record that stays is recognised as stale by the next reader, and goes with the next sweep.
        let _ = fs::remove_file(&self.path);
        if let Some(directory) = self.path.parent() {
            let _ = fs::remove_dir(directory);
        }
    }
}

/// Takes a copy of the view of an image from any living holder.
pub(super) fn take(state: &Path, image: &Image, recorder: &Recorder) -> Option<OwnedFd> {
    let directory = directory(state, &image.chain);
    // Few names at a time: the first is mostly the right one, and there may be hundreds.
    let mut buffer = [MaybeUninit::uninit(); 512];
    let mut names = RawDir::new(File::open(&directory).ok()?, &mut buffer);
    let uuid = image.index_uuid()?;
    while let Some(Ok(entry)) = names.next() {
        let Some(name) = entry.file_name().to_str().ok().filter(|name| name.parse::<u32>().is_ok()) else { continue };
        let path = directory.join(name);
        let Some(record) = read(&path) else { continue };
        match take_from(&record, uuid, recorder) {
            Ok(mount) => return Some(mount),
            Err(error) => {
                tracing::debug!(path = %path.display(), %error, "no view to be had from this holder");
                forget_if_dead(&path, &record);
            }
        }
    }
    None
}

/// Removes what dead holders have left: their records, and those that were only half written.
pub fn forget_dead(state: &Path) {
    let mounts = state.join("mounts");
    for directory in file::names(&mounts).unwrap_or_default().iter().map(|chain| mounts.join(chain)) {
        for name in file::names(&directory).unwrap_or_default() {
            let path = directory.join(&name);
            let pid = name.strip_suffix(".new").unwrap_or(&name).parse::<u32>();
            match (pid, read(&path)) {
                (Ok(_), Some(record)) => forget_if_dead(&path, &record),
                // Cut short by a crash, or just being written by one that lives.
                (Ok(pid), None) if living(pid).is_none() => drop(fs::remove_file(&path)),
                _ => {}
            }
        }
        // Refused while others hold the image.
        let _ = fs::remove_dir(&directory);
    }
}

fn read(path: &Path) -> Option<Record> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn take_from(record: &Record, uuid: [u8; 16], recorder: &Recorder) -> sys::Result<OwnedFd> {
    let pidfd = process::pidfd_open(record.pid)?;
    // Read after the pidfd was opened: from here on the number cannot come to mean another process.
    if identity(&pidfd, record.pid)? != record.identity {
        return Err(sys::Error::new(format!("pidfd_open({})", record.pid), sys::Errno::SRCH));
    }
    let theirs = process::pidfd_getfd(&pidfd, record.fd)?;
    check_view(&theirs, uuid)?;
    recorder.record(record);
    mount::clone_tree(&theirs, false)
}

/// A descriptor may have been closed and its number used again, so what came is looked at.
fn check_view(mount: &OwnedFd, uuid: [u8; 16]) -> sys::Result<()> {
    let wrong = || sys::Error::new("fstatfs(view of another process)", sys::Errno::STALE);
    let kind = rustix::fs::fstatfs(mount).call(|| "fstatfs(view of another process)")?;
    let identity = rustix::fs::fstatvfs(mount).call(|| "fstatvfs(view of another process)")?;
    let is_erofs = u64::try_from(kind.f_type).is_ok_and(|magic| magic == u64::from(EROFS_MAGIC));
    if is_erofs && identity.f_fsid == folded(uuid) { Ok(()) } else { Err(wrong()) }
}

/// Folds a UUID into the number that statfs(2) tells, as the kernel does (`uuid_to_fsid`).
fn folded(uuid: [u8; 16]) -> u64 {
    let uuid = u128::from_le_bytes(uuid);
    #[allow(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
    let halves = (uuid as u64, (uuid >> 64) as u64);
    halves.0 ^ halves.1
}

fn forget_if_dead(path: &Path, record: &Record) {
    let now = living(record.pid).and_then(|pidfd| identity(&pidfd, record.pid).ok());
    if now != Some(record.identity) {
        let _ = fs::remove_file(path);
    }
}

/// Returns the process of this number if it runs. One that has ended and is not reaped yet has closed what it held.
fn living(pid: u32) -> Option<OwnedFd> {
    let pidfd = process::pidfd_open(pid).ok()?;
    // A pidfd becomes readable when its process ends.
    let ended = sys::signal::wait_readable(&pidfd, Some(std::time::Duration::ZERO)).unwrap_or(false);
    (!ended).then_some(pidfd)
}

fn directory(state: &Path, chain: &ChainId) -> PathBuf {
    state.join("mounts").join(chain.digest().hex())
}

/// Returns a number that no other process has had since boot: the inode of its pidfd (Linux 6.9), or when it started.
fn identity(pidfd: &OwnedFd, pid: u32) -> sys::Result<u64> {
    let kind = rustix::fs::fstatfs(pidfd).call(|| "fstatfs(pidfd)")?;
    if u64::try_from(kind.f_type).is_ok_and(|magic| magic == PIDFS_MAGIC) {
        return Ok(rustix::fs::fstat(pidfd).call(|| "fstat(pidfd)")?.st_ino);
    }
    start_time(pid)
}

/// What statfs(2) tells of the file system of pidfds (`PID_FS_MAGIC`); before it all of them shared one inode.
const PIDFS_MAGIC: u64 = 0x5049_4446;

/// Returns when a process started, in clock ticks since boot: field 22 of `/proc/PID/stat`.
fn start_time(pid: u32) -> sys::Result<u64> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).call(|| format!("open({path})"))?;
    parse_start_time(&stat).ok_or_else(|| sys::Error::new(format!("read({path})"), sys::Errno::INVAL))
}

/// The second field is the program's name in parentheses and may hold anything, so counting begins after the last one.
fn parse_start_time(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

impl Explain for Record {
    fn explain(&self) -> Step {
        Step::host(
            format!("take the image's mount from process {}, which holds it as descriptor {}", self.pid, self.fd),
            "",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_program_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 8812345 10000 500";
        assert_eq!(parse_start_time(stat), Some(8_812_345));
        assert_eq!(parse_start_time("nonsense"), None);
    }

    #[test]
    fn our_own_start_time_is_known_to_the_kernel() {
        assert!(start_time(process::id()).unwrap() > 0);
    }
}
