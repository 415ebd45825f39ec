//! Files on their way into a directory of the user's: they are made whole beside, in it, and then take their names.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sys::Calling;

/// A directory within another one for what has no name there yet. It is locked for as long as its maker lives, so those of the
/// dead are known, and go when the next one is made.
#[derive(Debug)]
pub(super) struct Beside {
    path: PathBuf,
    lock: File,
}

/// How its name begins; a number follows.
const PREFIX: &str = ".conductor-build-";

impl Beside {
    pub(super) fn make(directory: &Path) -> sys::Result<Self> {
        clear(directory)?;
        let mut number = std::process::id();
        loop {
            let path = directory.join(format!("{PREFIX}{number}"));
            match std::fs::create_dir(&path) {
                // Somebody's of another PID namespace.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number = number.wrapping_add(1),
                made => {
                    made.call(|| format!("mkdir({})", path.display()))?;
                    // Between its making and its lock, somebody may have taken it for a dead one's.
                    if let Some(lock) = claim(&path)? {
                        return Ok(Self { path, lock });
                    }
                }
            }
        }
    }

    pub(super) fn fd(&self) -> &File {
        &self.lock
    }

    /// Moves what is in it to where it is; directories that both have are joined.
    pub(super) fn take_names(&self) -> sys::Result<()> {
        take_names(&self.path, self.path.parent().unwrap_or(Path::new("/")))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // What cannot be removed is the next one's.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Removes what the dead have left.
fn clear(directory: &Path) -> sys::Result<()> {
    let entries = std::fs::read_dir(directory).call(|| format!("opendir({})", directory.display()))?;
    for entry in entries {
        let entry = entry.call(|| "getdents64")?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let is_ours = number.is_some_and(|number| number.parse::<u32>().is_ok());
        if !is_ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        // What is another user's to remove is in nobody's way.
        if let Ok(Some(_lock)) = claim(&entry.path()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

/// Locks a directory, unless somebody has it locked or it is gone.
fn claim(path: &Path) -> sys::Result<Option<File>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.call(|| format!("open({})", path.display()))?,
    };
    if !sys::file::try_lock(&file)? {
        return Ok(None);
    }
    let identity = |found: std::fs::Metadata| (found.dev(), found.ino());
    let is_there = path.symlink_metadata().ok().map(identity) == file.metadata().ok().map(identity);
    Ok(is_there.then_some(file))
}

fn take_names(from: &Path, to: &Path) -> sys::Result<()> {
    let entries = std::fs::read_dir(from).call(|| format!("opendir({})", from.display()))?;
    for entry in entries {
        let entry = entry.call(|| "getdents64")?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let is_directory = entry.file_type().call(|| "stat")?.is_dir();
        let old = target.symlink_metadata().ok();
        match old {
            Some(old) if is_directory && old.is_dir() => take_names(&source, &target)?,
            Some(old) if old.is_dir() => {
                return Err(sys::Error::new(format!("rename({})", target.display()), sys::Errno::ISDIR));
            }
            Some(_) if is_directory => {
                return Err(sys::Error::new(format!("rename({})", target.display()), sys::Errno::NOTDIR));
            }
            _ => std::fs::rename(&source, &target).call(|| format!("rename({})", target.display()))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_dead_have_left_goes_and_what_the_living_have_stays() {
        let directory = tempfile::tempdir().unwrap();
        let names = || {
            let entries = std::fs::read_dir(directory.path()).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        let dead = format!("{PREFIX}1");
        std::fs::create_dir(directory.path().join(&dead)).unwrap();
        std::fs::write(directory.path().join(&dead).join("half"), "x").unwrap();
        let theirs = [format!("{PREFIX}notes"), "kept".to_owned()];
        theirs.iter().for_each(|name| std::fs::create_dir(directory.path().join(name)).unwrap());
        let one = Beside::make(directory.path()).unwrap();
        let other = Beside::make(directory.path()).unwrap();
        let ours = [&one, &other].map(|made| made.path.file_name().unwrap().to_str().unwrap().to_owned());
        let mut expected = [ours.as_slice(), &theirs].concat();
        expected.sort();
        assert_eq!(names(), expected);
        std::fs::write(one.path.join("kept-too"), "y").unwrap();
        one.take_names().unwrap();
        drop((one, other));
        assert_eq!(names(), [theirs[0].as_str(), "kept", "kept-too"]);
    }
}
