//! Giving space back without keeping anybody waiting for it.
//!
//! A file's name goes at once; its blocks go with the last descriptor, and for a layer of 200 MB that takes the file system
//! 50 ms. So large files are opened before they are unlinked, and a child process that does nothing else closes them last.
//! If it is killed, or the power fails, the kernel frees the blocks all the same: it has the file on its list of orphans.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::pipe::{PipeFlags, pipe_with};
use sys::Calling;
use sys::process::{self, Fork};

use crate::StoreStep;

/// Below this a file is gone faster than a process is made.
const LARGE: u64 = 16 << 20;

/// Opens the large files that `steps` remove, unless they have another name.
pub(crate) fn hold(steps: &[StoreStep]) -> Vec<File> {
    let paths = steps.iter().filter_map(|step| match step {
        StoreStep::Unlink { path } => Some(path),
        _ => None,
    });
    paths.filter_map(|path| hold_one(path)).collect()
}

fn hold_one(path: &Path) -> Option<File> {
    let metadata = path.metadata().ok()?;
    (metadata.len() >= LARGE && metadata.nlink() == 1).then(|| File::open(path).ok()).flatten()
}

/// Lets the files go in the background. Where that cannot be done they go here and now.
pub(crate) fn release(files: Vec<File>) {
    if !files.is_empty()
        && let Err(error) = release_apart(files)
    {
        tracing::debug!(%error, "removed files were freed in the foreground");
    }
}

/// The child's child is nobody's zombie: our child ends at once and is reaped here, its own is adopted by init. It waits
/// until we and our child have closed the files, since whoever closes them last does the work.
fn release_apart(files: Vec<File>) -> sys::Result<()> {
    let (gate, opener) = pipe_with(PipeFlags::CLOEXEC).call(|| "pipe2(O_CLOEXEC)")?;
    let null = File::options().read(true).write(true).open("/dev/null").call(|| "open(/dev/null)")?;
    match process::clone_into(&[], None)? {
        Fork::Parent(child) => {
            process::wait(&child.pidfd)?;
            drop(files);
            drop(opener);
            Ok(())
        }
        Fork::Child => {
            if let Ok(Fork::Child) = process::clone_into(&[], None) {
                drop(opener);
                close_last(gate, &null);
            }
            process::exit(0)
        }
    }
}

/// Who reads our standard output to its end shall not have to wait for this process. Nothing here allocates, as another
/// thread may have held the allocator's lock when the process was copied.
fn close_last(gate: OwnedFd, null: &File) {
    for number in 0..3 {
        let _ = process::duplicate_to(null, number);
    }
    let _ = File::from(gate).read(&mut [0]);
}
