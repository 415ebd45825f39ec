//! The two forms in which a file holds entries, and how a file is mended that ends in a part of one.

use std::fs::File;
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};

use super::entry::{Entry, Stamp, first};
use super::{frame, json};

/// How entries lie in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// Lines of JSON.
    Json,
    /// Compact frames.
    Local,
}

/// What bytes of a file begin with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    /// An entry, so many bytes long.
    Entry(Entry, usize),
    /// So many bytes that say nothing.
    Nothing(usize),
    /// A part of an entry.
    Part,
}

impl Format {
    pub(super) fn encode(self, out: &mut Vec<u8>, line: &[u8], stamp: &Stamp) {
        match self {
            Self::Json => json::encode(out, line, stamp),
            Self::Local => frame::encode(out, line, stamp),
        }
    }

    pub(super) fn decode(self, bytes: &[u8]) -> Decoded {
        match self {
            Self::Json => match first(bytes, |byte| byte == b'\n').map(|at| at + 1) {
                None => Decoded::Part,
                Some(end) => match json::decode(&bytes[..end]) {
                    Some(entry) => Decoded::Entry(entry, end),
                    None => Decoded::Nothing(end),
                },
            },
            Self::Local => frame::decode(bytes).map_or(Decoded::Part, |(entry, length)| Decoded::Entry(entry, length)),
        }
    }

    /// Returns how many of these bytes, which begin with an entry, are whole entries.
    pub(super) fn whole(self, bytes: &[u8]) -> usize {
        match self {
            Self::Json => bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1),
            Self::Local => frame::whole(bytes),
        }
    }

    /// Returns where the last whole entry of a file of this length ends: a crash may have left a part of one behind it.
    pub(super) fn end(self, file: &File, length: u64) -> std::io::Result<u64> {
        match self {
            Self::Json => end_of_lines(file, length),
            Self::Local => frame::end(file, length),
        }
    }
}

fn end_of_lines(file: &File, length: u64) -> std::io::Result<u64> {
    let mut block = [0; 4096];
    // The last byte alone tells in most cases.
    let (mut end, mut room) = (length, 1);
    while end > 0 {
        let size = usize::try_from(end).unwrap_or(room).min(room);
        let begin = end - size as u64;
        file.read_exact_at(&mut block[..size], begin)?;
        if let Some(at) = block[..size].iter().rposition(|byte| *byte == b'\n') {
            return Ok(begin + at as u64 + 1);
        }
        (end, room) = (begin, block.len());
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_where_the_last_newline_stands() {
        let long = "x".repeat(10_000);
        for (text, expected) in
            [(String::new(), 0), ("a\n".into(), 2), ("a\nb".into(), 2), ("a".into(), 0), (format!("a\n{long}"), 2)]
        {
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(text.as_bytes(), 0).unwrap();
            assert_eq!(Format::Json.end(&file, text.len() as u64).unwrap(), expected, "{}", text.len());
            assert_eq!(Format::Json.whole(text.as_bytes()) as u64, expected);
        }
    }
}
