//! An entry in the compact form of the driver `local`: binary, as long as its line and 17 bytes more.
//!
//! ```text
//! length  flags  time                 line   length
//! u32     u8     i64, ns since 1970   ...    u32     (little-endian)
//! ```
//!
//! The length counts flags, time and line. It stands at both ends, so that one look at the end of a file tells whether its
//! last entry is whole. The newline of a line is a flag: most have one. The bytes are those that the container wrote.

use std::fs::File;
use std::os::unix::fs::FileExt;

use jiff::Timestamp;

use super::entry::{Entry, LONGEST, Stamp, Stream};

const STDERR: u8 = 1;
/// The line goes on in the next entry of its stream.
const PARTIAL: u8 = 2;

/// Flags and time.
const HEAD: usize = 9;
/// A length.
const MARK: usize = 4;

pub(super) fn encode(out: &mut Vec<u8>, line: &[u8], stamp: &Stamp) {
    let (line, partial) = match line.split_last() {
        Some((b'\n', line)) => (line, 0),
        _ => (line, PARTIAL),
    };
    let stream = if stamp.stream == Stream::Stderr { STDERR } else { 0 };
    // Lines are cut far below 4 GiB, and the time fits until the year 2262.
    let length = u32::try_from(HEAD + line.len()).unwrap_or(u32::MAX).to_le_bytes();
    let time = i64::try_from(stamp.time.as_nanosecond()).unwrap_or(i64::MAX);
    out.extend_from_slice(&length);
    out.push(stream | partial);
    out.extend_from_slice(&time.to_le_bytes());
    out.extend_from_slice(line);
    out.extend_from_slice(&length);
}

/// Reads the entry that bytes begin with, and tells its length; `None` where they do not hold a whole one.
pub(super) fn decode(bytes: &[u8]) -> Option<(Entry, usize)> {
    let whole = length(bytes)?;
    let (&flags, rest) = bytes[MARK..whole - MARK].split_first()?;
    let (time, line) = rest.split_first_chunk()?;
    let time = Timestamp::from_nanosecond(i64::from_le_bytes(*time).into()).ok()?;
    let stream = if flags & STDERR == 0 { Stream::Stdout } else { Stream::Stderr };
    let mut line = line.to_vec();
    if flags & PARTIAL == 0 {
        line.push(b'\n');
    }
    Some((Entry { stream, time, line }, whole))
}

/// Returns the length of the whole entry that bytes begin with.
fn length(bytes: &[u8]) -> Option<usize> {
    let inner = mark(bytes.get(..MARK)?)?;
    let whole = inner + 2 * MARK;
    (bytes.get(MARK + inner..whole)? == &bytes[..MARK]).then_some(whole)
}

/// Reads a length; `None` where it cannot be one.
fn mark(bytes: &[u8]) -> Option<usize> {
    let inner = u32::from_le_bytes(bytes.try_into().ok()?) as usize;
    (HEAD..=HEAD + LONGEST).contains(&inner).then_some(inner)
}

/// Returns how many of these bytes are whole entries.
pub(super) fn whole(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(length) = length(&bytes[at..]) {
        at += length;
    }
    at
}

/// Returns where the last whole entry of a file of this length ends.
pub(super) fn end(file: &File, length: u64) -> std::io::Result<u64> {
    if length == 0 || ends_whole(file, length)? {
        return Ok(length);
    }
    // After a crash, and so seldom: the entries are counted from the beginning on.
    let (mut counted, mut rest, mut block) = (0, Vec::new(), [0; 4096]);
    while rest.len() <= LONGEST + HEAD + 2 * MARK {
        match file.read_at(&mut block, counted + rest.len() as u64)? {
            0 => break,
            read => rest.extend_from_slice(&block[..read]),
        }
        let whole = whole(&rest);
        rest.drain(..whole);
        counted += whole as u64;
    }
    Ok(counted)
}

fn ends_whole(file: &File, length: u64) -> std::io::Result<bool> {
    let (mut first, mut last) = ([0; MARK], [0; MARK]);
    let Some(at) = length.checked_sub(MARK as u64) else { return Ok(false) };
    file.read_exact_at(&mut last, at)?;
    let Some(begin) = mark(&last).and_then(|inner| at.checked_sub((inner + MARK) as u64)) else { return Ok(false) };
    file.read_exact_at(&mut first, begin)?;
    Ok(first == last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(stream: Stream) -> Stamp {
        Stamp::of(stream, "2024-05-06T07:08:09.120000001Z".parse().unwrap())
    }

    #[test]
    fn whatever_is_written_reads_back() {
        let mut out = Vec::new();
        let long = [b'x'; LONGEST];
        for (line, stream) in [(&b"out\n"[..], Stream::Stdout), (b"\n", Stream::Stderr), (b"\xff\0", Stream::Stdout)] {
            encode(&mut out, line, &stamp(stream));
        }
        encode(&mut out, &long, &stamp(Stream::Stderr));
        let mut rest = out.as_slice();
        let mut lines = Vec::new();
        while let Some((entry, length)) = decode(rest) {
            assert_eq!(entry.time, stamp(Stream::Stdout).time);
            lines.push((entry.line, entry.stream));
            rest = &rest[length..];
        }
        assert_eq!(rest, b"");
        let lines: Vec<_> = lines.iter().map(|(line, stream)| (line.as_slice(), *stream)).collect();
        assert_eq!(
            lines,
            [
                (&b"out\n"[..], Stream::Stdout),
                (b"\n", Stream::Stderr),
                (b"\xff\0", Stream::Stdout),
                (&long, Stream::Stderr)
            ]
        );
    }

    #[test]
    fn a_torn_end_is_no_entry_and_hides_none() {
        let mut out = Vec::new();
        encode(&mut out, b"one\n", &stamp(Stream::Stdout));
        let first = out.len();
        encode(&mut out, b"two\n", &stamp(Stream::Stdout));
        for length in 0..out.len() {
            let expected = if length < first { 0 } else { first };
            assert_eq!(whole(&out[..length]), expected, "{length}");
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(&out[..length], 0).unwrap();
            assert_eq!(end(&file, length as u64).unwrap(), expected as u64, "{length}");
            // What a power cut leaves where the file's length was written and its bytes were not. Zeros may be right.
            file.set_len(length as u64 + 5000).unwrap();
            let mended = end(&file, length as u64 + 5000).unwrap();
            let all = [&out[..length], &[0; MARK]].concat();
            assert_eq!(mended, whole(&all) as u64, "{length}");
            assert!(out.starts_with(&all[..usize::try_from(mended).unwrap()]), "{length}");
        }
        assert_eq!(decode(&[0; 64]), None);
    }
}
