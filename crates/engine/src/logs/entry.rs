//! One entry of a log: a line of a container's output, or a part of one, with its time.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The longest part of a line that one entry holds.
pub(crate) const LONGEST: usize = 16 * 1024;

/// Which of its two outputs a container wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    /// Returns Docker's word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// An entry as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) stream: Stream,
    pub(crate) time: Timestamp,
    /// With its newline; without one it is a part of a longer line.
    pub(crate) line: Vec<u8>,
}

/// What the entries of one chunk of output have in common, made once for all of them.
#[derive(Debug)]
pub(crate) struct Stamp {
    pub(crate) stream: Stream,
    pub(crate) time: Timestamp,
    /// The time as a JSON entry has it.
    pub(crate) text: String,
}

impl Stamp {
    /// Stamps output of now.
    pub(crate) fn now(stream: Stream) -> Self {
        Self::of(stream, Timestamp::now())
    }

    pub(crate) fn of(stream: Stream, time: Timestamp) -> Self {
        Self { stream, time, text: time.to_string() }
    }
}

/// Returns where the first byte is that is looked for. Blocks are asked as a whole, which the compiler turns into a few
/// instructions for each.
pub(crate) fn first(bytes: &[u8], is: impl Fn(u8) -> bool + Copy) -> Option<usize> {
    let (blocks, rest) = bytes.as_chunks::<32>();
    let before = blocks.iter().take_while(|block| !block.iter().fold(false, |any, byte| any | is(*byte))).count() * 32;
    let found = |bytes: &[u8]| bytes.iter().position(|byte| is(*byte));
    match before < bytes.len() - rest.len() {
        true => found(&bytes[before..]).map(|at| before + at),
        false => found(rest).map(|at| before + at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_found_wherever_it_stands() {
        for length in 0..100 {
            let mut bytes = vec![b'x'; length];
            assert_eq!(first(&bytes, |byte| byte == b'\n'), None);
            for at in 0..length {
                bytes[at] = b'\n';
                assert_eq!(first(&bytes, |byte| byte == b'\n'), Some(at), "{length}");
                bytes[at] = b'x';
            }
        }
    }
}
