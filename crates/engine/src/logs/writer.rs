//! The log of a container as it is written: JSON lines with Docker's field names, in files that are put aside by size.
//!
//! Lines are cut where Docker cuts them: at 16 KiB, so that one endless line costs no memory. What does not end in a
//! newline is part of a longer line, and is kept back until the rest has come or the container has ended.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

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

/// Where lines go, and when a file is put aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogFile {
    pub(crate) path: PathBuf,
    pub(crate) max_size: u64,
    pub(crate) max_file: u32,
}

/// Writes the log of one container.
///
/// The file is opened with the first line: a container that says nothing has no log to make and to remove.
#[derive(Debug)]
pub(crate) struct LogWriter {
    log: Option<LogFile>,
    file: Option<File>,
    size: u64,
    partial: [Vec<u8>; 2],
    entry: Vec<u8>,
}

impl LogWriter {
    pub(crate) fn new(log: Option<LogFile>) -> Self {
        Self { log, file: None, size: 0, partial: [Vec::new(), Vec::new()], entry: Vec::new() }
    }

    /// Takes what a container wrote; tells whether any entry was written.
    pub(crate) fn take(&mut self, stream: Stream, mut bytes: &[u8]) -> bool {
        if self.log.is_none() {
            return false;
        }
        let mut wrote = false;
        while !bytes.is_empty() {
            let held = self.partial[stream as usize].len();
            let room = LONGEST - held;
            let end = bytes.iter().take(room).position(|byte| *byte == b'\n').map(|at| at + 1);
            let (now, whole) = match end {
                Some(end) => (end, true),
                None if bytes.len() >= room => (room, true),
                None => (bytes.len(), false),
            };
            match (whole, held) {
                (true, 0) => self.write(stream, &bytes[..now]),
                (true, _) => {
                    let mut line = std::mem::take(&mut self.partial[stream as usize]);
                    line.extend_from_slice(&bytes[..now]);
                    self.write(stream, &line);
                    line.clear();
                    self.partial[stream as usize] = line;
                }
                (false, _) => self.partial[stream as usize].extend_from_slice(&bytes[..now]),
            }
            wrote |= whole;
            bytes = &bytes[now..];
        }
        wrote
    }

    /// Writes what was kept back: the container has ended.
    pub(crate) fn finish(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let line = std::mem::take(&mut self.partial[stream as usize]);
            if !line.is_empty() {
                self.write(stream, &line);
            }
        }
    }

    /// A line that cannot be written (a full disk) is lost, and the container goes on.
    fn write(&mut self, stream: Stream, line: &[u8]) {
        self.entry.clear();
        render(&mut self.entry, stream, line, Timestamp::now());
        let Some(log) = &self.log else { return };
        if self.size >= log.max_size {
            put_aside(log);
            self.file = None;
        }
        if self.file.is_none() {
            (self.file, self.size) = open(&log.path);
        }
        if let Some(file) = &mut self.file
            && file.write_all(&self.entry).is_ok()
        {
            self.size += self.entry.len() as u64;
        }
    }
}

fn open(path: &Path) -> (Option<File>, u64) {
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path).ok();
    let size = file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |metadata| metadata.len());
    (file, size)
}

/// Renames log to log.1, log.1 to log.2 and so on; the oldest goes.
fn put_aside(log: &LogFile) {
    // What cannot be renamed is written on: too long a log is better than none.
    if log.max_file == 1 {
        let _ = std::fs::remove_file(&log.path);
        return;
    }
    for number in (1..log.max_file).rev() {
        let _ = std::fs::rename(numbered(&log.path, number - 1), numbered(&log.path, number));
    }
}

/// Returns the path of a log file by its age: 0 is the one that is written.
pub(crate) fn numbered(path: &Path, age: u32) -> PathBuf {
    if age == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{age}"));
    name.into()
}

/// Writes one entry: `{"log":"...","stream":"stdout","time":"..."}`.
fn render(out: &mut Vec<u8>, stream: Stream, line: &[u8], time: Timestamp) {
    let name = match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    };
    out.extend_from_slice(b"{\"log\":");
    // Bytes that are no UTF-8 become U+FFFD, as in Docker. Writing to a Vec cannot fail, and text always serialises.
    let _ = serde_json::to_writer(&mut *out, &String::from_utf8_lossy(line));
    let _ = writeln!(out, ",\"stream\":\"{name}\",\"time\":\"{time}\"}}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(max_size: u64, max_file: u32, parts: &[(Stream, &str)]) -> (tempfile::TempDir, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut writer = LogWriter::new(Some(LogFile { path: path.clone(), max_size, max_file }));
        for (stream, text) in parts {
            writer.take(*stream, text.as_bytes());
        }
        writer.finish();
        let files = (0..9).map(|age| std::fs::read_to_string(numbered(&path, age)).unwrap_or_default());
        let files = files.take_while(|text| !text.is_empty()).collect();
        (dir, files)
    }

    fn logs(text: &str) -> Vec<(String, String)> {
        let field = |line: &str, name: &str| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()[name].as_str().unwrap().to_owned()
        };
        text.lines().map(|line| (field(line, "stream"), field(line, "log"))).collect()
    }

    #[test]
    fn an_entry_is_a_line_with_docker_s_field_names() {
        let mut out = Vec::new();
        let time = "2024-05-06T07:08:09.120000000Z".parse().unwrap();
        render(&mut out, Stream::Stdout, b"say \"hi\"\xff\n", time);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "{\"log\":\"say \\\"hi\\\"\u{fffd}\\n\",\"stream\":\"stdout\",\"time\":\"2024-05-06T07:08:09.12Z\"}\n"
        );
    }

    #[test]
    fn a_line_is_put_together_from_its_parts() {
        let (_dir, files) =
            write(1 << 20, 1, &[(Stream::Stdout, "a"), (Stream::Stderr, "x\n"), (Stream::Stdout, "b\nc")]);
        let pair = |stream: &str, log: &str| (stream.to_owned(), log.to_owned());
        assert_eq!(logs(&files[0]), [pair("stderr", "x\n"), pair("stdout", "ab\n"), pair("stdout", "c")]);
    }

    #[test]
    fn an_endless_line_is_cut_at_16_kib() {
        let long = "x".repeat(LONGEST + 5);
        let (_dir, files) = write(1 << 20, 1, &[(Stream::Stdout, &long), (Stream::Stdout, "\n")]);
        let lengths: Vec<usize> = logs(&files[0]).iter().map(|(_, log)| log.len()).collect();
        assert_eq!(lengths, [LONGEST, 6]);
    }

    #[test]
    fn files_are_put_aside_by_size_and_the_oldest_goes() {
        let lines: Vec<String> = (0..10).map(|number| format!("line {number}\n")).collect();
        let parts: Vec<_> = lines.iter().map(|line| (Stream::Stdout, line.as_str())).collect();
        let (_dir, files) = write(100, 3, &parts);
        assert_eq!(files.len(), 3);
        assert_eq!(logs(&files[0]).last().unwrap().1, "line 9\n");
        assert_eq!(logs(&files[2])[0].1, "line 4\n");
    }
}
