//! The log of a container as it is written: its output is cut into lines, and these are added to files or sent on.
//!
//! Lines are cut where Docker cuts them: at 16 KiB, so that one endless line costs no memory. What does not end in a
//! newline is part of a longer line, and is kept back until the rest has come or the container has ended.

use serde::{Deserialize, Serialize};

use super::append::Appender;
use super::entry::{LONGEST, Stamp, Stream, first};
use super::files::LogFiles;
use super::journald::Journal;

/// Where a container's output is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LogTarget {
    Files(LogFiles),
    /// The journal, and the fields that every entry has.
    Journal(Vec<(String, String)>),
}

/// Writes the log of one container.
#[derive(Debug)]
pub(crate) struct LogWriter {
    sink: Option<Sink>,
    /// What was kept back of each stream.
    partial: [Vec<u8>; 2],
}

#[derive(Debug)]
enum Sink {
    Files(Appender),
    Journal(Journal),
}

/// A buffer that is not larger than this is kept for the next time.
const SMALL: usize = 1024;

impl LogWriter {
    pub(crate) fn new(target: Option<LogTarget>) -> Self {
        let sink = target.map(|target| match target {
            LogTarget::Files(files) => Sink::Files(Appender::new(files)),
            LogTarget::Journal(fields) => Sink::Journal(Journal::new(&fields)),
        });
        Self { sink, partial: [Vec::new(), Vec::new()] }
    }

    /// Takes what a container wrote; tells whether any entry was written.
    pub(crate) fn take(&mut self, stream: Stream, mut bytes: &[u8]) -> bool {
        let Some(sink) = &mut self.sink else { return false };
        let held = &mut self.partial[stream as usize];
        let mut stamp = None;
        while !bytes.is_empty() {
            let Some(end) = end_of_entry(bytes, LONGEST - held.len()) else {
                held.extend_from_slice(bytes);
                break;
            };
            let (line, rest) = bytes.split_at(end);
            let stamp = stamp.get_or_insert_with(|| Stamp::now(stream));
            if held.is_empty() {
                sink.put(line, stamp);
            } else {
                held.extend_from_slice(line);
                sink.put(held, stamp);
                held.clear();
                held.shrink_to(SMALL);
            }
            bytes = rest;
        }
        sink.flush();
        stamp.is_some()
    }

    /// Lets go of memory that only much output needs.
    pub(crate) fn rest(&mut self) {
        if let Some(sink) = &mut self.sink {
            sink.rest();
        }
    }

    /// Writes what was kept back: the container has ended.
    pub(crate) fn finish(&mut self) {
        let Some(sink) = &mut self.sink else { return };
        for stream in [Stream::Stdout, Stream::Stderr] {
            let line = std::mem::take(&mut self.partial[stream as usize]);
            if !line.is_empty() {
                sink.put(&line, &Stamp::now(stream));
            }
        }
        sink.flush();
    }
}

impl Sink {
    fn put(&mut self, line: &[u8], stamp: &Stamp) {
        match self {
            Self::Files(files) => files.put(line, stamp),
            Self::Journal(journal) => journal.put(line, stamp),
        }
    }

    fn flush(&mut self) {
        match self {
            Self::Files(files) => files.flush(),
            // Each entry is sent at once.
            Self::Journal(_) => {}
        }
    }

    fn rest(&mut self) {
        match self {
            Self::Files(files) => files.rest(),
            Self::Journal(journal) => journal.rest(),
        }
    }
}

/// Returns where the entry ends that bytes begin with and that has so much room; `None` where it goes on behind them.
fn end_of_entry(bytes: &[u8], room: usize) -> Option<usize> {
    let within = &bytes[..bytes.len().min(room)];
    match first(within, |byte| byte == b'\n') {
        Some(at) => Some(at + 1),
        None if within.len() == room => Some(whole_characters(within)),
        None => None,
    }
}

/// Returns how many of these bytes stand before a character of UTF-8 that goes on behind them: none is cut in two.
fn whole_characters(bytes: &[u8]) -> usize {
    let is_head = |byte: &u8| byte & 0b1100_0000 != 0b1000_0000;
    let Some(back) = bytes.iter().rev().take(4).position(is_head) else { return bytes.len() };
    let head = bytes.len() - 1 - back;
    let length = match bytes[head] {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    if back + 1 < length { head } else { bytes.len() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::format::{Decoded, Format};

    fn write(max_size: u64, max_file: u32, parts: &[(Stream, &str)]) -> Vec<Vec<(Stream, String)>> {
        let dir = tempfile::tempdir().unwrap();
        let format = Format::Json;
        let files = LogFiles { format, path: dir.path().join("log"), max_size, max_file, compress: false };
        let mut writer = LogWriter::new(Some(LogTarget::Files(files.clone())));
        for (stream, text) in parts {
            writer.take(*stream, text.as_bytes());
        }
        writer.finish();
        files.list().unwrap().iter().map(|found| entries(&std::fs::read(&found.path).unwrap())).collect()
    }

    fn entries(mut bytes: &[u8]) -> Vec<(Stream, String)> {
        let mut entries = Vec::new();
        while let Decoded::Entry(entry, length) = Format::Json.decode(bytes) {
            entries.push((entry.stream, String::from_utf8(entry.line).unwrap()));
            bytes = &bytes[length..];
        }
        assert_eq!(bytes, b"");
        entries
    }

    #[test]
    fn a_line_is_put_together_from_its_parts() {
        let parts = [(Stream::Stdout, "a"), (Stream::Stderr, "x\n"), (Stream::Stdout, "b\nc")];
        let pair = |stream, log: &str| (stream, log.to_owned());
        let expected = [pair(Stream::Stderr, "x\n"), pair(Stream::Stdout, "ab\n"), pair(Stream::Stdout, "c")];
        assert_eq!(write(1 << 20, 1, &parts), [expected]);
    }

    #[test]
    fn an_endless_line_is_cut_at_16_kib() {
        let long = "x".repeat(LONGEST + 5);
        let files = write(1 << 20, 1, &[(Stream::Stdout, &long), (Stream::Stdout, "\n")]);
        assert_eq!(files[0].iter().map(|(_, line)| line.len()).collect::<Vec<_>>(), [LONGEST, 6]);
    }

    #[test]
    fn an_endless_line_is_cut_between_characters() {
        for character in ["x", "ü", "€", "\u{1f980}"] {
            for shift in 0..4 {
                let long = "y".repeat(shift) + &character.repeat(3 * LONGEST / character.len());
                let lines = write(1 << 20, 1, &[(Stream::Stdout, &long)]).remove(0);
                assert!(lines.len() >= 3 && lines.iter().all(|(_, line)| line.len() <= LONGEST));
                assert_eq!(lines.into_iter().map(|(_, line)| line).collect::<String>(), long);
            }
        }
        assert_eq!(whole_characters(b"\x80\x80\x80\x80\x80"), 5);
    }

    #[test]
    fn files_are_put_aside_by_size_and_the_oldest_goes() {
        let lines: Vec<String> = (0..10).map(|number| format!("line {number}\n")).collect();
        let parts: Vec<_> = lines.iter().map(|line| (Stream::Stdout, line.as_str())).collect();
        // Whether they come one by one or all at once.
        for parts in [parts, vec![(Stream::Stdout, lines.concat().as_str())]] {
            let files = write(100, 3, &parts);
            assert_eq!(files.len(), 3);
            assert_eq!(files.concat().iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>(), &lines[4..]);
        }
    }
}
