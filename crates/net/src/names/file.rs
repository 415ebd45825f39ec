//! Small files that others replace while we read them.
//!
//! A writer puts the new text beside the old one and renames it over; a reader looks, before each use, whether the path
//! still leads to the file that it has read. So a change is seen with the next question, and nobody sends messages.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// More than any of these files has; what is longer is not one of them.
const LONGEST: u64 = 16 << 20;

/// A file and what was read from it, as long as it is the same file.
#[derive(Debug)]
pub struct Watched<T> {
    path: PathBuf,
    held: Option<Held<T>>,
}

#[derive(Debug)]
struct Held<T> {
    stamp: Stamp,
    /// Nothing where the text made no sense.
    value: Option<T>,
    /// An open file's inode number is given to no other file: the number alone would lie when a file is replaced twice
    /// between two looks.
    _file: File,
}

#[derive(Debug, PartialEq, Eq)]
struct Stamp([i64; 4], [u64; 3]);

/// What a file says at this moment.
#[derive(Debug, PartialEq, Eq)]
pub enum Content<'a, T> {
    /// This.
    Is(&'a T),
    /// There is no such file.
    Missing,
    /// It cannot be read, or makes no sense.
    Unreadable,
}

impl<T> Watched<T> {
    /// Names the file; it is read when it is first asked for.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), held: None }
    }

    /// Returns the path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns what the file says now; `parse` is called if it has changed since the last time.
    pub fn look(&mut self, parse: impl FnOnce(&[u8]) -> Option<T>) -> Content<'_, T> {
        match std::fs::metadata(&self.path) {
            Ok(now) if self.held.as_ref().is_some_and(|held| held.stamp == Stamp::of(&now)) => {}
            Ok(_) => match read(&self.path) {
                Ok((file, stamp, text)) => self.held = Some(Held { stamp, value: parse(&text), _file: file }),
                Err(error) => return self.lost(&error),
            },
            Err(error) => return self.lost(&error),
        }
        match self.held.as_ref().and_then(|held| held.value.as_ref()) {
            Some(value) => Content::Is(value),
            None => Content::Unreadable,
        }
    }

    /// Returns what the last look has found.
    pub fn last(&self) -> Option<&T> {
        self.held.as_ref()?.value.as_ref()
    }

    /// Forgets what was read, to be small.
    pub fn forget(&mut self) {
        self.held = None;
    }

    fn lost(&mut self, error: &io::Error) -> Content<'_, T> {
        self.held = None;
        if error.kind() == io::ErrorKind::NotFound { Content::Missing } else { Content::Unreadable }
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
        Self(times, [metadata.dev(), metadata.ino(), metadata.size()])
    }
}

/// Replaces a file by a new text, whole at every moment.
///
/// Two writers at a time are kept apart by whatever lock guards what the file tells. A writer that dies leaves `.new`,
/// which the next one writes over.
pub fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let replaced = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path));
    if replaced.is_err() {
        // Half of it would hold the room that others need on a full disk.
        let _ = std::fs::remove_file(&beside);
    }
    replaced
}

fn read(path: &Path) -> io::Result<(File, Stamp, Vec<u8>)> {
    let mut file = File::open(path)?;
    let stamp = Stamp::of(&file.metadata()?);
    let mut text = Vec::new();
    file.by_ref().take(LONGEST).read_to_end(&mut text)?;
    Ok((file, stamp, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> Option<String> {
        String::from_utf8(bytes.to_vec()).ok()
    }

    #[test]
    fn a_change_is_seen_with_the_next_look_and_only_then_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("zone");
        let mut watched = Watched::new(&path);
        assert_eq!(watched.look(text), Content::Missing);
        for round in 0..1000 {
            // All of the same length, and far quicker than the clock of the file system.
            let now = format!("{round:04}");
            replace(&path, now.as_bytes()).unwrap();
            assert_eq!(watched.look(text), Content::Is(&now));
            assert_eq!(watched.look(|_| panic!("read again")), Content::Is(&now));
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(watched.look(text), Content::Missing);
        assert_eq!(watched.last(), None);
    }

    #[test]
    fn a_text_without_sense_is_not_a_missing_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("zone");
        replace(&path, b"\xff").unwrap();
        assert_eq!(Watched::new(&path).look(text), Content::Unreadable);
    }
}
