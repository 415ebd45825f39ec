//! What a stage's process and the one that made it tell each other: one JSON message each, on a socket that keeps them apart.

use std::os::fd::OwnedFd;

use oci::Digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A layer, as it is known from process to process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) diff_id: Digest,
    pub(crate) size: u64,
}

/// From a stage's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum News {
    Started {
        step: usize,
    },
    Cached {
        step: usize,
        key: Digest,
        layer: Known,
    },
    Done {
        step: usize,
        key: Digest,
        layer: Known,
        millis: u64,
    },
    /// The step failed; with `shell` the process waits for the terminal.
    Failed {
        step: usize,
        millis: u64,
        message: String,
        code: Option<u8>,
        shell: bool,
    },
    /// All steps are done. The process keeps its layers until it is told that somebody else does.
    Finished,
}

/// To a stage's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Word {
    /// A stage is done.
    Stage { stage: usize, layers: Vec<Known> },
    /// The terminal is yours.
    Shell,
    /// Your layers are kept.
    Close,
}

/// The longest message: a stage of a few thousand layers.
const LONGEST: usize = 1 << 20;

pub(crate) fn send(socket: &OwnedFd, message: &impl Serialize) -> sys::Result<()> {
    let bytes = serde_json::to_vec(message).unwrap_or_default();
    sys::socket::send(socket, &bytes, &[]).map(drop)
}

/// Waits for a message; `None` when the other side is gone.
pub(crate) fn receive<T: DeserializeOwned>(socket: &OwnedFd) -> sys::Result<Option<T>> {
    let mut buffer = vec![0; LONGEST];
    let (length, _) = match sys::socket::receive(socket, &mut buffer) {
        Err(error) if error.errno() == sys::Errno::CONNRESET => return Ok(None),
        received => received?,
    };
    Ok(serde_json::from_slice(&buffer[..length]).ok())
}
