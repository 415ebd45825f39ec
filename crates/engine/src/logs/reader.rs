//! The log of a container as it is read: from its oldest file to its newest, and on over the moment when that is put aside.
//!
//! The writer is not asked and never waits. It adds whole entries to one file, and once that has been put aside it adds
//! nothing more to it. So a reader keeps its file open whatever becomes of the name, and goes on to the next file when its
//! own is no longer the newest and has, after that was seen, been read to its end.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use flate2::read::MultiGzDecoder;

use super::entry::Entry;
use super::files::{Found, Key, LogFiles};
use super::format::{Decoded, Format};

/// So many files are held open before they are read: they may be removed while one that came before is still read.
const AHEAD: usize = 64;

/// So many bytes are read at once.
const BLOCK: usize = 64 * 1024;

/// A part of an entry that is longer than this is none.
const LONGEST_PART: usize = 1 << 20;

/// Reads the entries of a log in order.
#[derive(Debug)]
pub(super) struct Reader {
    files: LogFiles,
    current: Option<Open>,
    ahead: VecDeque<Open>,
    /// How often the current file had been read when files were last looked for.
    looked: u64,
    /// The file, and where in it, that was the end of the log when it was opened. It is the end of the reading too, until
    /// that is to go on: a container may write faster than we read.
    end: Option<(Key, u64)>,
}

/// An open file of a log.
#[derive(Debug)]
struct Open {
    key: Key,
    format: Format,
    source: Source,
    /// What was read and not yet understood, from `at` on.
    bytes: Vec<u8>,
    at: usize,
    /// How often it was read.
    reads: u64,
}

#[derive(Debug)]
enum Source {
    /// A file, and where its next bytes are read from.
    Plain(File, u64),
    Packed(Box<MultiGzDecoder<File>>),
}

impl Reader {
    /// Opens a log, to be read from its beginning to where it ends now.
    pub(super) fn open(files: LogFiles) -> io::Result<Self> {
        let mut reader = Self { files, current: None, ahead: VecDeque::new(), looked: 0, end: None };
        reader.look_ahead()?;
        if let Some(last) = reader.ahead.back().filter(|_| reader.ahead.len() < AHEAD) {
            reader.end = last.length()?.map(|length| (last.key, length));
        }
        Ok(reader)
    }

    /// Reads on behind the end that the log had when it was opened.
    pub(super) fn go_on(&mut self) {
        self.end = None;
    }

    /// Returns the next entry; `None` while there is none.
    pub(super) fn next(&mut self) -> io::Result<Option<Entry>> {
        loop {
            if let Some(current) = &mut self.current {
                let end = self.end.filter(|(key, _)| *key == current.key).map(|(_, end)| end);
                if let Some(entry) = current.next(end)? {
                    // Whoever writes faster than we read removes files that we have yet to read.
                    if std::mem::replace(&mut self.looked, current.reads) != current.reads {
                        self.look_ahead()?;
                    }
                    return Ok(Some(entry));
                }
                if end.is_some() || self.ahead.is_empty() && self.files.is_newest(current.key)? {
                    return Ok(None);
                }
                // It was put aside. What was added between the last look at it and that moment is all that it has left.
                if let Some(entry) = current.next(None)? {
                    return Ok(Some(entry));
                }
            }
            self.look_ahead()?;
            match self.ahead.pop_front() {
                Some(next) => self.current = Some(next),
                None => return Ok(None),
            }
        }
    }

    /// Opens the files that have come since the last look.
    fn look_ahead(&mut self) -> io::Result<()> {
        while self.ahead.len() < AHEAD {
            let last = self.ahead.back().or(self.current.as_ref()).map(|last| last.key);
            if let Some(last) = last
                && (self.end.is_some_and(|(end, _)| end == last) || self.files.is_newest(last)?)
            {
                break;
            }
            match open_after(&self.files, last)? {
                Some(next) => self.ahead.push_back(next),
                None => break,
            }
        }
        Ok(())
    }
}

/// Opens the file that follows another one, or the oldest of all; `None` where there is none yet.
fn open_after(files: &LogFiles, key: Option<Key>) -> io::Result<Option<Open>> {
    loop {
        let found = files.list()?;
        let last = key.and_then(|key| found.iter().position(|found| found.key == key));
        let next = match (last, key) {
            (Some(last), _) => found.get(last + 1),
            // Whoever is so slow that its file was removed goes on with the oldest that is left.
            (None, Some(Key::Number(last))) => found.iter().find(|found| found.number() > last),
            (None, _) => found.first(),
        };
        let Some(next) = next else { return Ok(None) };
        if let Some(file) = LogFiles::open(next)?
            && (is_still_before(last.map(|last| &found[last]), next)? || files.list()? == found)
        {
            return Ok(Some(Open::new(file, next, files.format)));
        }
        // Files were renamed between the look and the opening.
    }
}

/// Tells whether a file has its name yet, and the next one stands right behind it. An older file is renamed before a newer
/// one, so the newer one had its name as well.
fn is_still_before(last: Option<&Found>, next: &Found) -> io::Result<bool> {
    match last {
        Some(last) if last.age == next.age + 1 => last.is_there(),
        _ => Ok(false),
    }
}

impl Open {
    fn new(file: File, found: &Found, format: Format) -> Self {
        let source = match found.is_packed() {
            true => Source::Packed(Box::new(MultiGzDecoder::new(file))),
            false => Source::Plain(file, 0),
        };
        Self { key: found.key, format, source, bytes: Vec::new(), at: 0, reads: 0 }
    }

    /// Returns the length of a file that may yet grow.
    fn length(&self) -> io::Result<Option<u64>> {
        match &self.source {
            Source::Plain(file, _) => file.metadata().map(|metadata| Some(metadata.len())),
            Source::Packed(_) => Ok(None),
        }
    }

    /// Returns the next entry before `end`; `None` while there is none.
    fn next(&mut self, end: Option<u64>) -> io::Result<Option<Entry>> {
        loop {
            match self.format.decode(&self.bytes[self.at..]) {
                Decoded::Entry(entry, length) => {
                    self.at += length;
                    return Ok(Some(entry));
                }
                Decoded::Nothing(length) => self.at += length,
                Decoded::Part => {
                    if !self.read_on(end)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Reads more bytes behind those that are not understood yet; tells whether there were any.
    fn read_on(&mut self, end: Option<u64>) -> io::Result<bool> {
        self.bytes.drain(..self.at);
        self.at = 0;
        if self.bytes.len() > LONGEST_PART {
            self.bytes.clear();
        }
        let held = self.bytes.len();
        self.bytes.resize(held + BLOCK, 0);
        let read = self.source.read(&mut self.bytes[held..], end);
        self.bytes.truncate(held + *read.as_ref().unwrap_or(&0));
        self.reads += 1;
        if read? > 0 {
            return Ok(true);
        }
        // A part of an entry may yet be taken back by its writer, so it is read again with what follows it.
        self.source.go_back(held as u64)?;
        self.bytes = Vec::new();
        Ok(false)
    }
}

impl Source {
    fn read(&mut self, buffer: &mut [u8], end: Option<u64>) -> io::Result<usize> {
        loop {
            let read = match self {
                Self::Plain(file, at) => {
                    let left = usize::try_from(end.unwrap_or(u64::MAX).saturating_sub(*at)).unwrap_or(usize::MAX);
                    let room = buffer.len().min(left);
                    file.read_at(&mut buffer[..room], *at).inspect(|length| *at += *length as u64)
                }
                Self::Packed(packed) => packed.read(buffer),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    /// Goes back at the end of a file. One that somebody has emptied meanwhile is read from its beginning.
    fn go_back(&mut self, by: u64) -> io::Result<()> {
        if let Self::Plain(file, at) = self {
            *at -= by;
            if file.metadata()?.len() < *at {
                *at = 0;
            }
        }
        Ok(())
    }
}
