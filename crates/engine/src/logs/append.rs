//! Entries are added to the files of a log: many with one write, none of them torn, none lost when a file is put aside.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::entry::Stamp;
use super::files::LogFiles;
use super::format::Format;
use super::pack;

/// So many bytes of entries are written at once.
const BATCH: usize = 32 * 1024;

/// The files of one log as they are written.
///
/// A file is opened with the first entry: a container that says nothing has no log to make and to remove.
#[derive(Debug)]
pub(super) struct Appender {
    files: LogFiles,
    open: Option<Open>,
    /// Whole entries that are about to be written.
    batch: Vec<u8>,
}

/// The file that is written.
#[derive(Debug)]
struct Open {
    file: File,
    size: u64,
}

impl Appender {
    pub(super) fn new(files: LogFiles) -> Self {
        Self { files, open: None, batch: Vec::new() }
    }

    /// Adds an entry, to be written with the next [`flush`](Self::flush) or before.
    ///
    /// What cannot be written (to a full disk) is lost, and the container goes on.
    pub(super) fn put(&mut self, line: &[u8], stamp: &Stamp) {
        let Some(size) = self.size() else { return };
        if size + self.batch.len() as u64 >= self.files.max_size {
            self.flush();
            self.put_aside();
        }
        self.files.format.encode(&mut self.batch, line, stamp);
        if self.batch.len() >= BATCH {
            self.flush();
        }
    }

    /// Writes what was added.
    pub(super) fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        // A full disk may have let no file be opened.
        if self.size().is_some()
            && let Some(open) = &mut self.open
            && open.write(&self.batch, self.files.format).is_err()
        {
            // It is opened anew for the next entry, and mended.
            self.open = None;
        }
        self.batch.clear();
    }

    /// Lets go of memory that only much output needs.
    pub(super) fn rest(&mut self) {
        self.batch = Vec::new();
    }

    /// Returns the size of the file that is written, and opens it where that is still to do.
    fn size(&mut self) -> Option<u64> {
        if self.open.is_none() {
            let path = self.files.newest().ok()?;
            self.open = Open::new(path, self.files.format).ok();
        }
        self.open.as_ref().map(|open| open.size)
    }

    /// Begins a new file. What cannot be put aside is written on: too long a log is better than none.
    fn put_aside(&mut self) {
        if let Ok(next) = self.files.put_aside() {
            self.open = Open::new(next, self.files.format).ok();
            if self.files.compress {
                pack::begin(&self.files);
            }
        }
    }
}

impl Open {
    fn new(path: PathBuf, format: Format) -> io::Result<Self> {
        let file = match open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound && format == Format::Local => {
                let directory = path.parent().unwrap_or(Path::new("/"));
                DirBuilder::new().mode(0o700).create(directory)?;
                open(&path)?
            }
            file => file?,
        };
        let length = file.metadata()?.len();
        // The last one to write here may have been killed in the middle of an entry.
        let size = format.end(&file, length)?;
        if size < length {
            file.set_len(size)?;
        }
        Ok(Self { file, size })
    }

    /// Writes whole entries, as many as there is room for. No part of one stays behind; that it does is the one failure.
    fn write(&mut self, batch: &[u8], format: Format) -> io::Result<()> {
        let mut written = 0;
        while written < batch.len() {
            match self.file.write(&batch[written..]) {
                Ok(length @ 1..) => written += length,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
            }
        }
        let whole = if written == batch.len() { written } else { format.whole(&batch[..written]) };
        self.size += whole as u64;
        if written > whole {
            // Somebody else may have made the file shorter, so its own length counts.
            let length = self.file.metadata()?.len();
            self.file.set_len(length.saturating_sub((written - whole) as u64))?;
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::entry::Stream;

    #[test]
    fn a_torn_end_is_mended_before_the_next_entry() {
        for format in [Format::Json, Format::Local] {
            let dir = tempfile::tempdir().unwrap();
            let files = LogFiles {
                format,
                path: if format == Format::Json { dir.path().join("log") } else { dir.path().to_owned() },
                max_size: u64::MAX,
                max_file: 1,
                compress: false,
            };
            let write = |line: &str| {
                let mut appender = Appender::new(files.clone());
                appender.put(line.as_bytes(), &Stamp::now(Stream::Stdout));
                appender.flush();
            };
            write("one\n");
            let path = files.newest().unwrap();
            let first = std::fs::metadata(&path).unwrap().len();
            for torn in 1..first {
                write("two\n");
                OpenOptions::new().write(true).open(&path).unwrap().set_len(first + torn).unwrap();
                write("three\n");
                let text = std::fs::read(&path).unwrap();
                assert_eq!(format.whole(&text), text.len(), "{format:?} {torn}");
                OpenOptions::new().write(true).open(&path).unwrap().set_len(first).unwrap();
            }
        }
    }
}
