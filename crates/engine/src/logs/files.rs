//! The files of one log: what they are called, which there are, and how the one that is written is put aside.
//!
//! JSON lies where Docker's lies and is rotated as there, since other programs read it as well:
//!
//! ```text
//! <id>-json.log        the one that is written
//! <id>-json.log.1      the one before; then .2 and so on
//! ```
//!
//! What only we read has names that never change, so that a reader finds the next file whatever happens meanwhile:
//!
//! ```text
//! local-logs/7.log     the one that is written
//! local-logs/6.log     the one before, while it is packed
//! local-logs/5.log.gz  packed
//! ```

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::format::Format;

/// Where entries go, and when a file is put aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogFiles {
    pub(crate) format: Format,
    /// The file of JSON that is written, or the directory of the compact files.
    pub(crate) path: PathBuf,
    /// The size in bytes at which a file is put aside.
    pub(crate) max_size: u64,
    /// How many files are kept, the newest included.
    pub(crate) max_file: u32,
    /// Whether files that were put aside are packed.
    pub(crate) compress: bool,
}

/// Which file it is, whatever it is called now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// A number is given again when a file is gone; the time of birth, where the file system knows it, is not.
    Inode {
        device: u64,
        inode: u64,
        born: Option<SystemTime>,
    },
    Number(u64),
}

/// A file that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) key: Key,
    pub(super) path: PathBuf,
    /// How old it is: 0 is the newest where names are shifted, and the number from above where they stay.
    pub(super) age: u64,
}

impl Found {
    /// Returns the number of a file whose name stays.
    pub(super) fn number(&self) -> u64 {
        u64::MAX - self.age
    }

    /// Tells whether the file still has this name.
    pub(super) fn is_there(&self) -> io::Result<bool> {
        match (self.key, std::fs::metadata(&self.path)) {
            // These names do not change.
            (Key::Number(_), _) => Ok(true),
            (_, Err(error)) if error.kind() == ErrorKind::NotFound => Ok(false),
            (key, metadata) => Ok(Key::of(&metadata?) == key),
        }
    }

    pub(super) fn is_packed(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension == "gz")
    }
}

impl Key {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self::Inode { device: metadata.dev(), inode: metadata.ino(), born: metadata.created().ok() }
    }
}

impl LogFiles {
    /// Returns the files that there are, the oldest first. Names may change meanwhile: two equal answers are true.
    pub(super) fn list(&self) -> io::Result<Vec<Found>> {
        let directory = match self.format {
            Format::Json => self.path.parent().unwrap_or(Path::new("/")),
            Format::Local => &self.path,
        };
        let entries = match std::fs::read_dir(directory) {
            // Nothing was said yet, or the container has been removed.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry?.path();
            found.extend(match self.format {
                Format::Json => self.shifted(path)?,
                Format::Local => numbered(path),
            });
        }
        found.sort_by(|one, other| other.age.cmp(&one.age).then_with(|| one.path.cmp(&other.path)));
        // One that was just packed may be there in both forms.
        found.dedup_by_key(|found| found.age);
        Ok(found)
    }

    fn shifted(&self, path: PathBuf) -> io::Result<Option<Found>> {
        let (Some(name), Some(base)) = (path.file_name().and_then(|name| name.to_str()), self.path.file_name()) else {
            return Ok(None);
        };
        let age = match base.to_str().and_then(|base| name.strip_prefix(base)) {
            Some("") => 0,
            Some(rest) => match rest.strip_prefix('.').and_then(|digits| digits.parse().ok()) {
                Some(age) => age,
                None => return Ok(None),
            },
            None => return Ok(None),
        };
        match std::fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            metadata => Ok(Some(Found { key: Key::of(&metadata?), path, age })),
        }
    }

    /// Tells whether a file is the one that is written, as far as is known.
    pub(super) fn is_newest(&self, key: Key) -> io::Result<bool> {
        match key {
            Key::Inode { .. } => match std::fs::metadata(&self.path) {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
                metadata => Ok(Key::of(&metadata?) == key),
            },
            Key::Number(_) => Ok(self.list()?.last().is_some_and(|newest| newest.key == key)),
        }
    }

    /// Returns the file that is written: where one is there already it is written on.
    pub(super) fn newest(&self) -> io::Result<PathBuf> {
        match self.format {
            Format::Json => Ok(self.path.clone()),
            Format::Local => match self.list()?.pop() {
                Some(newest) if newest.is_packed() => self.next(),
                Some(newest) => Ok(newest.path),
                None => self.next(),
            },
        }
    }

    /// Puts the file that is written aside and lets the oldest go; returns the one to be written from now on.
    pub(super) fn put_aside(&self) -> io::Result<PathBuf> {
        match self.format {
            Format::Json => self.shift().map(|()| self.path.clone()),
            Format::Local => {
                let next = self.next()?;
                self.prune(1)?;
                Ok(next)
            }
        }
    }

    /// Renames log to log.1, log.1 to log.2 and so on, as far as a name is free or the last one is reached.
    fn shift(&self) -> io::Result<()> {
        let free = (1..self.max_file).find(|age| !self.aged(*age).exists());
        let end = free.unwrap_or(self.max_file - 1);
        if free.is_none() {
            // Were it replaced by a rename, ext4 would write the file to the disk that takes its place, while the container
            // waits. Whoever reads it has it open, and reads it to its end.
            std::fs::remove_file(self.aged(end))?;
        }
        // A name that cannot be given stops all: what is newer would take the place of what is older.
        (1..=end).rev().try_for_each(|age| std::fs::rename(self.aged(age - 1), self.aged(age)))
    }

    /// Returns the path of a file of JSON by its age: 0 is the one that is written.
    fn aged(&self, age: u32) -> PathBuf {
        if age == 0 {
            return self.path.clone();
        }
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{age}"));
        name.into()
    }

    /// Returns the next file of those whose names stay.
    fn next(&self) -> io::Result<PathBuf> {
        let last = self.list()?.pop().map_or(0, |newest| newest.number());
        Ok(self.path.join(format!("{}.log", last + 1)))
    }

    /// Removes the files that are too many, the oldest first, where so many more are about to be made.
    pub(super) fn prune(&self, more: usize) -> io::Result<()> {
        let found = self.list()?;
        let many = (found.len() + more).saturating_sub(self.max_file.max(1) as usize);
        for old in &found[..many.min(found.len())] {
            for ending in ["log", "log.gz"] {
                match std::fs::remove_file(self.path.join(format!("{}.{ending}", old.number()))) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Opens a file that was found; `None` where it has been renamed or removed since.
    pub(super) fn open(found: &Found) -> io::Result<Option<File>> {
        let file = match File::open(&found.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let same = matches!(found.key, Key::Number(_)) || Key::of(&file.metadata()?) == found.key;
        Ok(same.then_some(file))
    }
}

/// Reads a name that stays: `7.log` or `7.log.gz`.
fn numbered(path: PathBuf) -> Option<Found> {
    let (number, ending) = path.file_name()?.to_str()?.split_once('.')?;
    let number = number.parse().ok().filter(|_| matches!(ending, "log" | "log.gz"))?;
    Some(Found { key: Key::Number(number), path, age: u64::MAX - number })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(dir: &Path, format: Format, max_file: u32) -> LogFiles {
        let path = if format == Format::Json { dir.join("a-json.log") } else { dir.to_owned() };
        LogFiles { format, path, max_size: 1, max_file, compress: false }
    }

    fn names(files: &LogFiles) -> Vec<String> {
        let name = |found: Found| found.path.file_name().unwrap().to_str().unwrap().to_owned();
        files.list().unwrap().into_iter().map(name).collect()
    }

    #[test]
    fn files_of_json_are_shifted_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path(), Format::Json, 3);
        for other in ["a-json.log.x", "a-json.logs", "b-json.log", "container.json"] {
            std::fs::write(dir.path().join(other), "").unwrap();
        }
        for number in 0..5 {
            std::fs::write(files.newest().unwrap(), number.to_string()).unwrap();
            assert_eq!(files.put_aside().unwrap(), files.path);
        }
        std::fs::write(&files.path, "5").unwrap();
        assert_eq!(names(&files), ["a-json.log.2", "a-json.log.1", "a-json.log"]);
        let read = |found: &Found| std::fs::read_to_string(&found.path).unwrap();
        assert_eq!(files.list().unwrap().iter().map(read).collect::<Vec<_>>(), ["3", "4", "5"]);
    }

    #[test]
    fn a_name_that_a_crash_left_free_is_taken_before_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path(), Format::Json, 4);
        for (name, text) in [("a-json.log", "4"), ("a-json.log.2", "3"), ("a-json.log.3", "2")] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        files.put_aside().unwrap();
        assert_eq!(names(&files), ["a-json.log.3", "a-json.log.2", "a-json.log.1"]);
        assert_eq!(std::fs::read_to_string(dir.path().join("a-json.log.1")).unwrap(), "4");
    }

    #[test]
    fn compact_files_keep_their_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path(), Format::Local, 3);
        assert_eq!(files.newest().unwrap(), dir.path().join("1.log"));
        for name in ["9.log", "10.log.gz", "10.log", "11.log.gz", "12.log.gz.new", "x.log"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(names(&files), ["9.log", "10.log", "11.log.gz"]);
        assert_eq!(files.newest().unwrap(), dir.path().join("12.log"));
        std::fs::write(dir.path().join("12.log"), "").unwrap();
        assert_eq!(files.put_aside().unwrap(), dir.path().join("13.log"));
        assert_eq!(names(&files), ["11.log.gz", "12.log"]);
    }
}
