//! A directory of the host as a tree, less what its patterns leave out.
//!
//! It is walked once, by descriptor and without following a link, and from then on it is what it was: a file that is another
//! one when its data is read is an error, and not a layer that nobody asked for.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::Read;
use std::ops::Bound;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use dockerfile::Ignore;
use oci::{Digest, Hasher};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use sys::Calling;
use sys::path::Root;

use super::known::{Known, Stamp};
use super::{Files, Info, Kind};
use crate::error::ContextError;
use crate::paths::join;

/// A directory that was walked.
#[derive(Debug)]
pub(crate) struct Directory {
    root: Root,
    entries: BTreeMap<Vec<u8>, (Info, Stamp)>,
    known: RefCell<Known>,
    /// Where what is known is kept.
    kept: PathBuf,
}

impl Directory {
    /// Walks a directory; `kept` is where what was known of it is, and will be.
    pub(crate) fn open(path: &Path, ignore: &Ignore, kept: PathBuf) -> Result<Self, ContextError> {
        let read = |source| ContextError::Read { path: path.display().to_string(), source };
        let root = Root::open(path).map_err(read)?;
        let top = rustix::fs::openat(&root, c".", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let top = top.call(|| format!("open({})", path.display())).map_err(read)?;
        let mut walk = Walk { ignore, ignores: !ignore.is_empty(), entries: BTreeMap::new() };
        let stat = rustix::fs::fstat(&top).call(|| "fstat").map_err(read)?;
        walk.entries.insert(Vec::new(), (info(&stat, Kind::Directory), Stamp::of(&stat)));
        walk.directory(&top, b"")?;
        let known = RefCell::new(Known::read(&kept));
        Ok(Self { root, entries: walk.entries, known, kept })
    }

    /// Writes down what is known of the files, for the next time.
    pub(crate) fn keep(&self) {
        let mut known = self.known.borrow_mut();
        if std::mem::take(&mut known.changed) {
            known.write(&self.kept, |path| self.entries.contains_key(path));
        }
    }

    fn entry(&self, path: &[u8]) -> Result<&(Info, Stamp), ContextError> {
        self.entries.get(path).ok_or_else(|| ContextError::Changed(lossy(path)))
    }

    /// Opens a file, and makes sure that it is still the one that was walked.
    fn open_same(&self, path: &[u8]) -> Result<(File, Stamp), ContextError> {
        open_same(&self.root, path, &self.entry(path)?.1)
    }
}

fn open_same(root: &Root, path: &[u8], stamp: &Stamp) -> Result<(File, Stamp), ContextError> {
    let read = |source| ContextError::Read { path: lossy(path), source };
    let file = root.open_file(Path::new(OsStr::from_bytes(path))).map_err(read)?;
    let stat = rustix::fs::fstat(&file).call(|| "fstat").map_err(read)?;
    let now = Stamp::of(&stat);
    if now == *stamp { Ok((file, now)) } else { Err(ContextError::Changed(lossy(path))) }
}

impl Files for Directory {
    fn info(&self, path: &[u8]) -> Option<Info> {
        self.entries.get(path).map(|(info, _)| info.clone())
    }

    fn below(&self, directory: &[u8]) -> Vec<Vec<u8>> {
        let prefix = join(directory, b"");
        let prefix = if prefix.is_empty() { prefix } else { [prefix.as_slice(), b"/"].concat() };
        let range = self.entries.range::<[u8], _>((Bound::Excluded(prefix.as_slice()), Bound::Unbounded));
        range.take_while(|(path, _)| path.starts_with(&prefix)).map(|(path, _)| path.clone()).collect()
    }

    fn digest(&self, path: &[u8]) -> Result<Digest, ContextError> {
        let (_, stamp) = self.entry(path)?;
        if let Some(digest) = self.known.borrow().get(path, stamp) {
            return Ok(digest);
        }
        let digest = hash(&self.root, path, stamp)?;
        self.known.borrow_mut().put(path.to_vec(), *stamp, digest);
        Ok(digest)
    }

    fn open(&self, path: &[u8]) -> Result<Box<dyn Read>, ContextError> {
        let (file, _) = self.open_same(path)?;
        Ok(Box::new(file))
    }

    /// Many files are read by several threads, which have ended when this returns.
    fn prepare(&self, paths: &[Vec<u8>]) -> Result<(), ContextError> {
        let unknown = {
            let known = self.known.borrow();
            let is_unknown = |path: &&Vec<u8>| {
                let entry = self.entries.get(path.as_slice());
                entry.is_some_and(|(info, stamp)| info.kind == Kind::File && known.get(path, stamp).is_none())
            };
            let stamped = |path: &Vec<u8>| Some((path.clone(), self.entries.get(path)?.1));
            paths.iter().filter(is_unknown).filter_map(stamped).collect::<Vec<_>>()
        };
        if unknown.len() < 64 {
            return Ok(());
        }
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(8);
        let root = &self.root;
        let part = |files: &[(Vec<u8>, Stamp)]| -> Vec<(Vec<u8>, Stamp, Digest)> {
            // What cannot be read is told by whoever asks for it.
            let hashed =
                files.iter().filter_map(|(path, stamp)| Some((path.clone(), *stamp, hash(root, path, stamp).ok()?)));
            hashed.collect()
        };
        let part = &part;
        let found = std::thread::scope(|scope| {
            let parts = unknown.chunks(unknown.len().div_ceil(threads));
            let running: Vec<_> = parts.map(|files| scope.spawn(move || part(files))).collect();
            running.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect::<Vec<_>>()
        });
        let mut known = self.known.borrow_mut();
        found.into_iter().for_each(|(path, stamp, digest)| known.put(path, stamp, digest));
        Ok(())
    }
}

fn hash(root: &Root, path: &[u8], stamp: &Stamp) -> Result<Digest, ContextError> {
    let read = |source| ContextError::Read { path: lossy(path), source };
    let (file, _) = open_same(root, path, stamp)?;
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match sys::file::read(&file, &mut buffer).map_err(read)? {
            0 => return Ok(hasher.finish()),
            length => hasher.update(&buffer[..length]),
        }
    }
}

struct Walk<'a> {
    ignore: &'a Ignore,
    ignores: bool,
    entries: BTreeMap<Vec<u8>, (Info, Stamp)>,
}

impl Walk<'_> {
    fn directory(&mut self, directory: &OwnedFd, prefix: &[u8]) -> Result<(), ContextError> {
        let read = |source| ContextError::Read { path: lossy(prefix), source };
        let entries = Dir::read_from(directory).call(|| "openat(\".\")").map_err(read)?;
        for entry in entries {
            let entry = entry.call(|| "getdents64").map_err(read)?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                self.child(directory, entry.file_name(), join(prefix, entry.file_name().to_bytes()))?;
            }
        }
        Ok(())
    }

    fn child(&mut self, parent: &OwnedFd, name: &CStr, path: Vec<u8>) -> Result<(), ContextError> {
        let excluded = self.ignores && self.ignore.is_excluded(&lossy(&path));
        let read = |source| ContextError::Read { path: lossy(&path), source };
        let stat = match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            // Somebody works in there; what is gone is not there.
            Err(sys::Errno::NOENT) => return Ok(()),
            stat => stat.call(|| format!("fstatat({name:?}, AT_SYMLINK_NOFOLLOW)")).map_err(read)?,
        };
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if excluded && !(is_directory && self.ignore.may_include_below(&lossy(&path))) {
            return Ok(());
        }
        let Some(kind) = kind(parent, name, &stat).map_err(read)? else { return Ok(()) };
        let entry = (info(&stat, kind), Stamp::of(&stat));
        if !is_directory {
            self.entries.insert(path, entry);
            return Ok(());
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let below = rustix::fs::openat(parent.as_fd(), name, flags, Mode::empty());
        let below = below.call(|| format!("openat({name:?}, O_DIRECTORY)")).map_err(read)?;
        let count = self.entries.len();
        self.directory(&below, &path)?;
        // A directory that is left out is there for what is not.
        if !excluded || self.entries.len() > count {
            self.entries.insert(path, entry);
        }
        Ok(())
    }
}

/// Tells what a file is; a socket is nothing that could be copied.
fn kind(parent: &OwnedFd, name: &CStr, stat: &Stat) -> sys::Result<Option<Kind>> {
    let device = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    Ok(Some(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Kind::Directory,
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(parent, name, Vec::new());
            Kind::Symlink(target.call(|| format!("readlinkat({name:?})"))?.into_bytes())
        }
        FileType::CharacterDevice => Kind::CharacterDevice(device),
        FileType::BlockDevice => Kind::BlockDevice(device),
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => return Ok(None),
        _ => Kind::File,
    }))
}

/// Whoever owns a file of the context, in the image it is root's.
fn info(stat: &Stat, kind: Kind) -> Info {
    let size = if kind == Kind::File { u64::try_from(stat.st_size).unwrap_or_default() } else { 0 };
    Info { kind, mode: stat.st_mode & 0o7777, uid: 0, gid: 0, size, modified: None, identity: None }
}

fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn walked(patterns: &str) -> (tempfile::TempDir, Directory) {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().join("context");
        std::fs::create_dir_all(at.join("a/b")).unwrap();
        std::fs::create_dir_all(at.join("node/x")).unwrap();
        std::fs::write(at.join("a/b/c"), "c").unwrap();
        std::fs::write(at.join("a-b"), "d").unwrap();
        std::fs::write(at.join("node/x/keep"), "k").unwrap();
        std::fs::write(at.join("node/x/drop"), "k").unwrap();
        symlink("a/b", at.join("link")).unwrap();
        let ignore = Ignore::parse(patterns.as_bytes()).unwrap();
        let files = Directory::open(&at, &ignore, directory.path().join("known")).unwrap();
        (directory, files)
    }

    fn paths(files: &Directory, at: &str) -> Vec<String> {
        files.below(at.as_bytes()).iter().map(|path| lossy(path)).collect()
    }

    #[test]
    fn a_directory_is_walked_whole_and_links_are_links() {
        let (_directory, files) = walked("");
        let all = ["a", "a-b", "a/b", "a/b/c", "link", "node", "node/x", "node/x/drop", "node/x/keep"];
        assert_eq!(paths(&files, ""), all);
        assert_eq!(paths(&files, "a"), ["a/b", "a/b/c"]);
        assert_eq!(files.info(b"link").unwrap().kind, Kind::Symlink(b"a/b".to_vec()));
        assert_eq!(super::super::resolve(&files, b"link/c").unwrap(), b"a/b/c");
        assert_eq!(files.digest(b"a/b/c").unwrap(), Digest::of(b"c"));
    }

    #[test]
    fn a_file_that_has_changed_is_refused() {
        let (directory, files) = walked("");
        std::fs::write(directory.path().join("context/a/b/c"), "other").unwrap();
        assert!(matches!(files.digest(b"a/b/c"), Err(ContextError::Changed(_))));
    }
}
