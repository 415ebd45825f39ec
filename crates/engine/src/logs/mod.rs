//! The log of a container as it is read: `logs`, with its tail, its times, and going on as the container writes.

pub(crate) mod writer;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::Deserialize;
use sys::Calling;

use crate::error::Doing;
use crate::{Container, Engine, Error, LogDriver, LogsRequest, client};
use writer::{Stream, numbered};

/// One entry of a log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Entry {
    log: String,
    stream: Stream,
    time: Timestamp,
}

/// Where the two streams of a log go.
struct Outputs<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    timestamps: bool,
}

impl Engine {
    /// Writes what a container said to `out` and `err`.
    pub fn logs(
        &self,
        container: &Container,
        request: &LogsRequest,
        out: &mut dyn Write,
        err: &mut dyn Write,
    ) -> Result<(), Error> {
        self.sweep()?;
        if container.request.log.driver == LogDriver::None {
            return Err(Error::NoLog(container.name.to_string()));
        }
        // Asked before the log is read: what is written after the reading is told of.
        let news = if request.follow { client::follow(self.layout(), &container.id)? } else { None };
        let mut outputs = Outputs { out, err, timestamps: request.timestamps };
        let mut reader = Reader::open(self.layout().log(&container.id), container.request.log.max_file);
        let done = match reader.replay(request, &mut outputs) {
            Ok(done) => done,
            Err(error) => return ignore_closed(error),
        };
        let Some(news) = news.filter(|_| !done) else { return Ok(()) };
        loop {
            let goes_on = client::wait_for_news(&news)?;
            match reader.catch_up(request, &mut outputs) {
                Ok(done) if done || !goes_on => return Ok(()),
                Ok(_) => {}
                Err(error) => return ignore_closed(error),
            }
        }
    }
}

/// A reader that has seen enough (`logs | head`) is no failure.
fn ignore_closed(error: std::io::Error) -> Result<(), Error> {
    if error.kind() == ErrorKind::BrokenPipe {
        return Ok(());
    }
    Err(error).call(|| "write()").doing(|| "show the log")
}

/// Reads a log from its oldest file to its newest, and on over the moment when the newest is put aside.
struct Reader {
    path: PathBuf,
    files: VecDeque<File>,
    current: Option<BufReader<File>>,
}

impl Reader {
    fn open(path: PathBuf, max_file: u32) -> Self {
        let files = (0..max_file).rev().filter_map(|age| File::open(numbered(&path, age)).ok()).collect();
        Self { path, files, current: None }
    }

    /// Writes what is there, the last lines alone where a tail is asked for; tells whether `until` was met.
    fn replay(&mut self, request: &LogsRequest, outputs: &mut Outputs<'_>) -> std::io::Result<bool> {
        let Some(tail) = request.tail else { return self.catch_up(request, outputs) };
        let mut last = VecDeque::with_capacity(tail.min(1024));
        let mut lines = 0;
        let mut done = false;
        while let Some(entry) = self.next() {
            if request.until.is_some_and(|until| entry.time >= until) {
                done = true;
                break;
            }
            if request.since.is_some_and(|since| entry.time < since) {
                continue;
            }
            lines += usize::from(entry.log.ends_with('\n'));
            last.push_back(entry);
            trim(&mut last, &mut lines, tail);
        }
        last.iter().try_for_each(|entry| outputs.write(entry))?;
        outputs.flush()?;
        Ok(done)
    }

    /// Writes all that has come since; tells whether `until` was met.
    fn catch_up(&mut self, request: &LogsRequest, outputs: &mut Outputs<'_>) -> std::io::Result<bool> {
        while let Some(entry) = self.next() {
            if request.until.is_some_and(|until| entry.time >= until) {
                return Ok(true);
            }
            if request.since.is_none_or(|since| entry.time >= since) {
                outputs.write(&entry)?;
            }
        }
        outputs.flush()?;
        Ok(false)
    }

    fn next(&mut self) -> Option<Entry> {
        let mut line = Vec::new();
        loop {
            let Some(current) = &mut self.current else {
                self.current = Some(BufReader::new(self.following()?));
                continue;
            };
            let length = current.read_until(b'\n', &mut line).unwrap_or(0);
            if line.ends_with(b"\n") {
                match serde_json::from_slice(&line) {
                    Ok(entry) => return Some(entry),
                    // A line that was cut off by a full disk says nothing.
                    Err(_) => line.clear(),
                }
            } else if length == 0 {
                let next = self.following()?;
                self.current = Some(BufReader::new(next));
                line.clear();
            }
        }
    }

    /// Returns the file after the one that was read to its end: an older one that waits, or the one that is written now.
    fn following(&mut self) -> Option<File> {
        if let Some(file) = self.files.pop_front() {
            return Some(file);
        }
        let newest = File::open(&self.path).ok()?;
        let same = |current: &BufReader<File>| is_same(current.get_ref(), &newest);
        if self.current.as_ref().is_some_and(same) {
            return None;
        }
        Some(newest)
    }
}

/// Keeps the last `tail` lines; an entry without a newline counts with the line that it begins.
fn trim(last: &mut VecDeque<Entry>, lines: &mut usize, tail: usize) {
    let open = usize::from(last.back().is_some_and(|entry| !entry.log.ends_with('\n')));
    while *lines + open > tail {
        match last.pop_front() {
            Some(entry) => *lines -= usize::from(entry.log.ends_with('\n')),
            None => break,
        }
    }
    if tail == 0 {
        last.clear();
    }
}

fn is_same(one: &File, other: &File) -> bool {
    match (one.metadata(), other.metadata()) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

impl Outputs<'_> {
    fn write(&mut self, entry: &Entry) -> std::io::Result<()> {
        let to = match entry.stream {
            Stream::Stdout => &mut self.out,
            Stream::Stderr => &mut self.err,
        };
        if self.timestamps {
            write!(to, "{:.9} ", entry.time)?;
        }
        to.write_all(entry.log.as_bytes())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()?;
        self.err.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use writer::{LogFile, LogWriter};

    fn show(lines: &[&str], request: &LogsRequest) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut writer = LogWriter::new(Some(LogFile { path: path.clone(), max_size: 120, max_file: 3 }));
        for line in lines {
            writer.take(Stream::Stdout, line.as_bytes());
        }
        writer.finish();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut outputs = Outputs { out: &mut out, err: &mut err, timestamps: request.timestamps };
        Reader::open(path, 3).replay(request, &mut outputs).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn all_files_are_read_from_the_oldest_on() {
        assert_eq!(show(&["a\n", "b\n", "c\n", "d\n", "e"], &LogsRequest::default()), "a\nb\nc\nd\ne");
    }

    #[test]
    fn a_tail_is_the_last_lines() {
        let tail = |tail| LogsRequest { tail: Some(tail), ..LogsRequest::default() };
        assert_eq!(show(&["a\n", "b\n", "c\n"], &tail(2)), "b\nc\n");
        assert_eq!(show(&["a\n", "b\n", "c"], &tail(2)), "b\nc");
        assert_eq!(show(&["a\n", "b\n"], &tail(0)), "");
        assert_eq!(show(&["a\n"], &tail(9)), "a\n");
    }

    #[test]
    fn times_bound_what_is_shown() {
        let (past, future) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
        let of = |since, until| LogsRequest { since, until, ..LogsRequest::default() };
        assert_eq!(show(&["a\n"], &of(Some(past), Some(future))), "a\n");
        assert_eq!(show(&["a\n"], &of(Some(future), None)), "");
        assert_eq!(show(&["a\n"], &of(None, Some(past))), "");
    }

    #[test]
    fn a_time_has_nine_digits_so_that_lines_stand_below_each_other() {
        let shown = show(&["a\n"], &LogsRequest { timestamps: true, ..LogsRequest::default() });
        let (time, line) = shown.split_once(' ').unwrap();
        assert_eq!((time.len(), line), ("2024-05-06T07:08:09.120000000Z".len(), "a\n"));
    }

    #[test]
    fn a_reader_goes_on_over_the_change_of_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut writer = LogWriter::new(Some(LogFile { path: path.clone(), max_size: 100, max_file: 3 }));
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut reader = Reader::open(path, 3);
        for number in 0..20 {
            writer.take(Stream::Stdout, format!("{number}\n").as_bytes());
            let mut outputs = Outputs { out: &mut out, err: &mut err, timestamps: false };
            reader.catch_up(&LogsRequest::default(), &mut outputs).unwrap();
        }
        let all: String = (0..20).map(|number| format!("{number}\n")).collect();
        assert_eq!(String::from_utf8(out).unwrap(), all);
    }
}
