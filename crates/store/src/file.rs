//! Files that last: written beside, synced, and only then given their name.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sys::Calling;

/// Makes a directory that only its owner enters, and is content when it is there.
pub(crate) fn ensure_directory(path: &Path) -> sys::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        result => result.call(|| format!("mkdir({}, 0700)", path.display())),
    }
}

/// Makes a file that must not exist yet.
pub(crate) fn create(path: &Path) -> sys::Result<File> {
    let opened = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path);
    opened.call(|| format!("open({}, O_RDWR|O_CREAT|O_EXCL, 0600)", path.display()))
}

/// Writes a file that must not exist yet; it is on the disk on return if `durable`.
pub(crate) fn write_new(path: &Path, bytes: &[u8], durable: bool) -> sys::Result<()> {
    let mut file = create(path)?;
    file.write_all(bytes).call(|| format!("write({})", path.display()))?;
    if durable { sync(&file, path) } else { Ok(()) }
}

/// Waits until a file's data is on the disk.
pub(crate) fn sync(file: &File, path: &Path) -> sys::Result<()> {
    file.sync_all().call(|| format!("fsync({})", path.display()))
}

/// Waits until the entries of a directory are on the disk.
pub(crate) fn sync_directory(path: &Path) -> sys::Result<()> {
    let directory = File::open(path).call(|| format!("open({})", path.display()))?;
    sync(&directory, path)
}

/// Gives a file its name, replacing what had it.
pub(crate) fn rename(from: &Path, to: &Path) -> sys::Result<()> {
    fs::rename(from, to).call(|| format!("rename({}, {})", from.display(), to.display()))
}

/// Gives a file its name unless a file of the same length has it. Content under a digest is never replaced, as somebody may have
/// it mounted; what an interrupted disk left too short is.
pub(crate) fn place(from: &Path, to: &Path) -> sys::Result<()> {
    let length = |path: &Path| path.metadata().map(|metadata| metadata.len()).ok();
    if length(to).is_some() && length(to) == length(from) { Ok(()) } else { rename(from, to) }
}

/// Takes a file away, and is content when it is gone already.
pub(crate) fn unlink(path: &Path) -> sys::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result.call(|| format!("unlink({})", path.display())),
    }
}

/// Reads where a link leads; nothing where there is none, or something else.
pub(crate) fn link(path: &Path) -> sys::Result<Option<PathBuf>> {
    match fs::read_link(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => Ok(None),
        result => result.map(Some).call(|| format!("readlink({})", path.display())),
    }
}

/// Lists the names in a directory; a directory that is not there has none. Names that are not UTF-8 are none of ours.
pub(crate) fn names(path: &Path) -> sys::Result<Vec<String>> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result.call(|| format!("opendir({})", path.display()))?,
    };
    let name = |entry: std::io::Result<fs::DirEntry>| entry.map(|entry| entry.file_name().into_string().ok());
    let names: std::io::Result<Vec<_>> = entries.map(name).collect();
    Ok(names.call(|| format!("getdents64({})", path.display()))?.into_iter().flatten().collect())
}
