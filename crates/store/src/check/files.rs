//! The files of a store, read to their end.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use oci::{Digest, Hasher};
use rustix::fs::{MemfdFlags, memfd_create};
use sys::Calling;

use crate::error::Doing;
use crate::{Layer, StoreError, index};

/// What became of content under a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It is what its name says.
    Whole,
    /// It was removed while we looked.
    Gone,
    /// It is something else, with this digest; nothing when it cannot be read.
    Other(Option<Digest>),
}

/// Reads a file and holds it against its digest; returns its length too.
pub(super) fn read(path: &Path, digest: &Digest) -> (State, u64) {
    let mut hasher = Hasher::default();
    let mut length = 0;
    let read = File::open(path).and_then(|mut file| {
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(()),
                more => {
                    hasher.update(&buffer[..more]);
                    length += more as u64;
                }
            }
        }
    });
    let state = match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => State::Gone,
        Err(_) => State::Other(None),
        Ok(()) => match hasher.finish() {
            actual if actual == *digest => State::Whole,
            actual => State::Other(Some(actual)),
        },
    };
    (state, length)
}

/// Tells whether a file is the index that these layers make: the same layers give the same bytes.
pub(super) fn is_index_of(path: &Path, layers: &[Layer]) -> Result<bool, StoreError> {
    let Ok(own) = File::open(path) else { return Ok(false) };
    let fault = |error: io::Error| StoreError::Index(Box::new(error));
    let made = memfd_create("index", MemfdFlags::CLOEXEC).call(|| "memfd_create(index, MFD_CLOEXEC)");
    let made = File::from(made.doing(|| "make an index again")?);
    index::build(layers, &made)?;
    let length = made.metadata().map_err(fault)?.len();
    if own.metadata().map_err(fault)?.len() != length {
        return Ok(false);
    }
    let (mut one, mut two) = (vec![0; 256 * 1024], vec![0; 256 * 1024]);
    let mut at = 0;
    while at < length {
        let most = usize::try_from(length - at).map_or(one.len(), |left| left.min(one.len()));
        if own.read_exact_at(&mut one[..most], at).is_err() {
            return Ok(false);
        }
        made.read_exact_at(&mut two[..most], at).map_err(fault)?;
        if one[..most] != two[..most] {
            return Ok(false);
        }
        at += most as u64;
    }
    Ok(true)
}
