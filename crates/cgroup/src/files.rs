//! Reading and writing the files of a cgroup, with errors that name file and value.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use sys::{Calling, Errno, Result};

/// Writes `value` in one call, as the kernel wants it. The file must exist: nothing can be created here.
pub(crate) fn write(file: &Path, value: &str) -> Result<()> {
    let mut open = open_for_writing(file)?;
    write_to(&mut open, file, value)
}

/// Opens a file of a cgroup for writing.
pub(crate) fn open_for_writing(file: &Path) -> Result<File> {
    OpenOptions::new().write(true).open(file).call(|| format!("open({}, O_WRONLY)", file.display()))
}

/// Writes `value` to an open file in one call.
pub(crate) fn write_to(open: &mut File, file: &Path, value: &str) -> Result<()> {
    open.write_all(value.as_bytes()).call(|| format!("write({}, {value:?})", file.display()))
}

/// Reads the whole file.
pub(crate) fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).call(|| format!("open({})", file.display()))
}

/// Reads the whole file; one that is not there has no answer.
pub(crate) fn read_if_there(file: &Path) -> Result<Option<String>> {
    match read(file) {
        Ok(text) => Ok(Some(text)),
        // A cgroup that is removed while it is read answers ENODEV.
        Err(error) if matches!(error.errno(), Errno::NOENT | Errno::NODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the number behind `key` in lines of keys and numbers, as in memory.events.
pub(crate) fn field(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Iterates over the directories in a cgroup's directory.
pub(crate) fn children(dir: &Path) -> impl Iterator<Item = std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path())
}
