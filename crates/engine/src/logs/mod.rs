//! The log of a container: `logs`, with its tail, its times, and going on as the container writes.
//!
//! Writing begins at `writer`: the monitor gives it what the container says, and it goes to files (`append`) or to the
//! journal (`journald`). Reading is here: entries come from those files (`reader`) or from the journal (`journalctl`),
//! and while the container goes on its monitor tells that there are more (`follow`).

mod append;
mod entry;
mod files;
mod follow;
mod format;
mod frame;
mod journalctl;
pub(crate) mod journald;
mod json;
pub(crate) mod options;
pub mod pack;
mod reader;
pub(crate) mod tag;
pub(crate) mod writer;

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};

use sys::Calling;

pub(crate) use entry::Stream;

use crate::error::Doing;
use crate::layout::Layout;
use crate::{Container, Engine, Error, LogDriver, LogsRequest};
use entry::Entry;
use files::LogFiles;
use follow::Follower;
use format::Format;
use reader::Reader;
use writer::LogTarget;

/// Decides where a container's output is kept; a second run writes on, as in Docker.
pub(crate) fn target(engine: &Engine, container: &Container) -> Option<LogTarget> {
    match container.request.log.driver {
        LogDriver::JsonFile | LogDriver::Local => Some(LogTarget::Files(files(engine.layout(), container))),
        LogDriver::Journald => Some(LogTarget::Journal(journald::fields(engine, container))),
        LogDriver::None => None,
    }
}

fn files(layout: &Layout, container: &Container) -> LogFiles {
    let log = &container.request.log;
    let (format, path) = match log.driver {
        LogDriver::Local => (Format::Local, layout.local_log(&container.id)),
        _ => (Format::Json, layout.log(&container.id)),
    };
    let (max_size, max_file) = (log.max_size(), log.max_file());
    LogFiles { format, path, max_size, max_file, compress: log.compress() && max_file > 1 }
}

/// Where the two streams of a log go.
struct Outputs<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    timestamps: bool,
    last: Option<Stream>,
}

/// Whether there is more to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Show {
    More,
    /// The time is met that was asked for, or nobody reads any more.
    Done,
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
        let mut outputs = Outputs { out, err, timestamps: request.timestamps, last: None };
        match container.request.log.driver {
            LogDriver::JsonFile | LogDriver::Local => self.show_files(container, request, &mut outputs),
            LogDriver::Journald => journalctl::show(self, container, request, &mut outputs),
            LogDriver::None => Err(Error::NoLog(container.name.to_string())),
        }
    }

    fn show_files(&self, container: &Container, request: &LogsRequest, outputs: &mut Outputs<'_>) -> Result<(), Error> {
        // Asked before the log is read: what is written after the reading is told of.
        let mut follower = request.follow.then(|| Follower::new(self, container)).transpose()?;
        let mut reader = Reader::open(files(self.layout(), container)).call(|| "open(log)").doing(|| "read the log")?;
        let mut show = replay(&mut reader, request, outputs)?;
        reader.go_on();
        while show == Show::More
            && let Some(follower) = &mut follower
        {
            let goes_on = follower.wait()?;
            show = catch_up(&mut reader, request, outputs)?;
            if !goes_on {
                break;
            }
        }
        Ok(())
    }
}

/// Writes what is there, the last lines alone where a tail is asked for.
fn replay(reader: &mut Reader, request: &LogsRequest, outputs: &mut Outputs<'_>) -> Result<Show, Error> {
    let Some(tail) = request.tail else { return catch_up(reader, request, outputs) };
    let mut last = Tail::new(tail);
    let mut show = Show::More;
    while let Some(entry) = next(reader)? {
        match place(&entry, request) {
            Place::Before => {}
            Place::Within => last.take(entry),
            Place::Behind => {
                show = Show::Done;
                break;
            }
        }
    }
    let written = last.entries.iter().try_for_each(|entry| outputs.write(entry)).and_then(|()| outputs.flush());
    Ok(if is_read(written)? { show } else { Show::Done })
}

/// Writes all that has come since.
fn catch_up(reader: &mut Reader, request: &LogsRequest, outputs: &mut Outputs<'_>) -> Result<Show, Error> {
    let mut show = Show::More;
    while let Some(entry) = next(reader)? {
        match place(&entry, request) {
            Place::Before => {}
            Place::Within if is_read(outputs.write(&entry))? => {}
            Place::Within => return Ok(Show::Done),
            Place::Behind => {
                show = Show::Done;
                break;
            }
        }
    }
    Ok(if is_read(outputs.flush())? { show } else { Show::Done })
}

fn next(reader: &mut Reader) -> Result<Option<Entry>, Error> {
    reader.next().call(|| "read(log)").doing(|| "read the log")
}

/// Where an entry lies between the times that were asked for.
enum Place {
    Before,
    Within,
    Behind,
}

fn place(entry: &Entry, request: &LogsRequest) -> Place {
    if request.until.is_some_and(|until| entry.time >= until) {
        return Place::Behind;
    }
    if request.since.is_some_and(|since| entry.time < since) { Place::Before } else { Place::Within }
}

/// Tells whether somebody reads what was written: one that has seen enough (`logs | head`) is no failure.
fn is_read(written: io::Result<()>) -> Result<bool, Error> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        written => written.call(|| "write()").doing(|| "show the log").map(|()| true),
    }
}

/// The last entries of a log.
struct Tail {
    entries: VecDeque<Entry>,
    /// How many of them end a line.
    lines: usize,
    wanted: usize,
}

impl Tail {
    fn new(wanted: usize) -> Self {
        Self { entries: VecDeque::new(), lines: 0, wanted }
    }

    /// Keeps the last lines; an entry without a newline counts with the line that it begins.
    fn take(&mut self, entry: Entry) {
        let ends = |entry: &Entry| usize::from(entry.line.ends_with(b"\n"));
        self.lines += ends(&entry);
        self.entries.push_back(entry);
        let open = 1 - self.entries.back().map_or(0, ends);
        while self.lines + open > self.wanted
            && let Some(first) = self.entries.pop_front()
        {
            self.lines -= ends(&first);
        }
    }
}

impl Outputs<'_> {
    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        let (to, other) = match entry.stream {
            Stream::Stdout => (&mut *self.out, &mut *self.err),
            Stream::Stderr => (&mut *self.err, &mut *self.out),
        };
        // Both may lead to one terminal, where what was said first stands first.
        if self.last.replace(entry.stream).is_some_and(|last| last != entry.stream) {
            other.flush()?;
        }
        if self.timestamps {
            write!(to, "{:.9} ", entry.time)?;
        }
        to.write_all(&entry.line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.err.flush()
    }
}

#[cfg(test)]
mod tests;
