//! A directory tree as a tar stream: sorted, and the same tree gives the same bytes.
//!
//! The tree was made by others (debootstrap and the packages' scripts), so it is walked by descriptor and no link is
//! followed. Names go out as the archives of images have them: `etc/passwd`, with `./` for the root.

mod cleaning;
pub(crate) mod entry;
mod overlay;

use std::collections::{BTreeSet, HashMap};
use std::ffi::{CStr, CString};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use sys::Calling;

pub use cleaning::Cleaning;
use cleaning::Verdict;
use entry::{Entry, Kind};
pub(crate) use overlay::{is_opaque, is_whiteout};

/// Why a tree could not be written as a tar.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// Something in the tree could not be read.
    #[error("cannot read /{path} of the tree")]
    Read {
        /// Its path.
        path: String,
        /// The call that failed.
        source: sys::Error,
    },
    /// The tar could not be written.
    #[error("cannot write the tar")]
    Write(#[source] sys::Error),
    /// Something has a property that no tar can tell.
    #[error("/{path} of the tree cannot be told in a tar")]
    Entry {
        /// Its path.
        path: String,
        /// What is wrong.
        source: io::Error,
    },
}

/// Writes the tree below `root` to `out`, with what `cleaning` leaves of it, and the two empty blocks at the end.
pub fn write_tree(root: BorrowedFd<'_>, cleaning: &Cleaning, out: &mut impl Write) -> Result<(), TreeError> {
    write(root, &Selection::Cleaned(cleaning), out)
}

/// Writes the changes below an overlay's `upper` directory as the layer of an image (image-spec, layer.md): those at `paths` and
/// no others. What is gone is told by whiteouts. Times later than `latest` (seconds since 1970) are set back to it.
pub fn write_changes(
    upper: BorrowedFd<'_>,
    paths: &BTreeSet<Vec<u8>>,
    latest: Option<u64>,
    out: &mut impl Write,
) -> Result<(), TreeError> {
    write(upper, &Selection::Changes(paths, latest), out)
}

fn write(root: BorrowedFd<'_>, selection: &Selection<'_>, out: &mut impl Write) -> Result<(), TreeError> {
    let mut writer = TreeWriter { selection, out, links: HashMap::new(), buffer: vec![0; 256 * 1024] };
    let top = open(root, c".", OFlags::DIRECTORY).map_err(|source| TreeError::Read { path: String::new(), source })?;
    if selection.judge(b"") == Verdict::Keep {
        writer.entry(&top, c".", b"./")?;
    }
    writer.children(&top, b"")?;
    writer.emit(&[0; 1024])
}

/// What of a tree is written, and how it is read.
enum Selection<'a> {
    /// A tree as it is, less what does not belong into an image.
    Cleaned(&'a Cleaning),
    /// The upper directory of an overlay, with overlay's own marks.
    Changes(&'a BTreeSet<Vec<u8>>, Option<u64>),
}

impl Selection<'_> {
    fn judge(&self, path: &[u8]) -> Verdict {
        match self {
            Self::Cleaned(cleaning) => cleaning.judge(path),
            Self::Changes(paths, _) if paths.contains(path) => Verdict::Keep,
            Self::Changes(..) => Verdict::Drop,
        }
    }

    fn strips(&self, path: &[u8], attribute: &str) -> bool {
        match self {
            Self::Cleaned(cleaning) => cleaning.strips(path, attribute),
            Self::Changes(..) => overlay::is_mark(attribute),
        }
    }

    fn cleaning(&self) -> Option<&Cleaning> {
        match self {
            Self::Cleaned(cleaning) => Some(cleaning),
            Self::Changes(..) => None,
        }
    }

    fn clamp(&self, seconds: i64) -> u64 {
        let own = u64::try_from(seconds).unwrap_or_default();
        match self {
            Self::Cleaned(cleaning) => cleaning.clamp(seconds),
            Self::Changes(_, latest) => latest.map_or(own, |latest| own.min(latest)),
        }
    }
}

struct TreeWriter<'a, W> {
    selection: &'a Selection<'a>,
    out: &'a mut W,
    /// The first name of each file that has several, by device and inode.
    links: HashMap<(u64, u64), Vec<u8>>,
    buffer: Vec<u8>,
}

/// Where an entry's data comes from.
enum Source {
    File(OwnedFd, u64),
    Bytes(Vec<u8>),
}

impl Source {
    fn size(&self) -> u64 {
        match self {
            Self::File(_, size) => *size,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }
}

impl<W: Write> TreeWriter<'_, W> {
    /// Writes what is in a directory, in the order of the names' bytes.
    fn children(&mut self, directory: &OwnedFd, prefix: &[u8]) -> Result<(), TreeError> {
        for name in names(directory).map_err(|source| TreeError::Read { path: lossy(prefix), source })? {
            let path = [prefix, name.to_bytes()].concat();
            match self.selection.judge(&path) {
                Verdict::Drop => {}
                Verdict::Keep => self.child(directory, &name, path)?,
            }
        }
        Ok(())
    }

    fn child(&mut self, parent: &OwnedFd, name: &CStr, mut path: Vec<u8>) -> Result<(), TreeError> {
        if self.entry(parent, name, &path)? != FileType::Directory {
            return Ok(());
        }
        let read = |source| TreeError::Read { path: lossy(&path), source };
        let directory = open(parent.as_fd(), name, OFlags::DIRECTORY).map_err(read)?;
        let hides = matches!(self.selection, Selection::Changes(..)) && is_opaque(&directory).map_err(read)?;
        path.push(b'/');
        if hides {
            self.header(&overlay::opaque_marker(&path))?;
        }
        self.children(&directory, &path)
    }

    /// Writes one entry with its data, and tells what it was.
    fn entry(&mut self, parent: &OwnedFd, name: &CStr, path: &[u8]) -> Result<FileType, TreeError> {
        let read = |source| TreeError::Read { path: lossy(path), source };
        let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
        let stat = stat.call(|| format!("fstatat({name:?}, AT_SYMLINK_NOFOLLOW)")).map_err(read)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Socket {
            // A tar cannot hold a socket, and one without its process is of no use.
            return Ok(kind);
        }
        if matches!(self.selection, Selection::Changes(..)) && is_whiteout(&stat) {
            self.header(&overlay::whiteout(path))?;
            return Ok(kind);
        }
        let (entry, data) = self.describe(parent, name, path, &stat)?;
        self.header(&entry)?;
        match data {
            Source::File(file, size) => self.data(file, size, path)?,
            Source::Bytes(bytes) => {
                self.emit(&bytes)?;
                self.pad(bytes.len() as u64)?;
            }
        }
        Ok(kind)
    }

    fn header(&mut self, entry: &Entry) -> Result<(), TreeError> {
        let header = entry.encode().map_err(|source| TreeError::Entry { path: lossy(&entry.path), source })?;
        self.emit(&header)
    }

    fn describe(
        &mut self,
        parent: &OwnedFd,
        name: &CStr,
        path: &[u8],
        stat: &Stat,
    ) -> Result<(Entry, Source), TreeError> {
        let read = |source| TreeError::Read { path: lossy(path), source };
        let kind = self.kind(parent, name, path, stat).map_err(read)?;
        let flags = match kind {
            Kind::File => Some(OFlags::empty()),
            Kind::Directory => Some(OFlags::DIRECTORY),
            _ => None,
        };
        let file = flags.map(|flags| open(parent.as_fd(), name, flags)).transpose().map_err(read)?;
        let mut attributes = file.as_ref().map(extended_attributes).transpose().map_err(read)?.unwrap_or_default();
        attributes.retain(|(name, _)| !self.selection.strips(path, name));
        let data = match file {
            Some(file) if kind == Kind::File => self.source(file, path, stat)?,
            _ => Source::Bytes(Vec::new()),
        };
        let entry = Entry {
            path: path.to_vec(),
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid.into(),
            gid: stat.st_gid.into(),
            size: data.size(),
            modified: self.selection.clamp(stat.st_mtime),
            attributes,
        };
        Ok((entry, data))
    }

    fn source(&self, file: OwnedFd, path: &[u8], stat: &Stat) -> Result<Source, TreeError> {
        let cleaning = self.selection.cleaning().filter(|cleaning| cleaning.rewrites(path));
        let Some(cleaning) = cleaning else {
            return Ok(Source::File(file, u64::try_from(stat.st_size).unwrap_or_default()));
        };
        let mut bytes = Vec::new();
        let read = std::fs::File::from(file).read_to_end(&mut bytes).call(|| "read");
        read.map_err(|source| TreeError::Read { path: lossy(path), source })?;
        Ok(Source::Bytes(cleaning.rewrite(path, &bytes)))
    }

    fn kind(&mut self, parent: &OwnedFd, name: &CStr, path: &[u8], stat: &Stat) -> sys::Result<Kind> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        let device = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        if kind != FileType::Directory && stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino)) {
                return Ok(Kind::HardLink(first.clone()));
            }
            self.links.insert((stat.st_dev, stat.st_ino), path.to_vec());
        }
        Ok(match kind {
            FileType::Directory => Kind::Directory,
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(parent, name, Vec::new());
                Kind::Symlink(target.call(|| format!("readlinkat({name:?})"))?.into_bytes())
            }
            FileType::CharacterDevice => Kind::CharacterDevice(device),
            FileType::BlockDevice => Kind::BlockDevice(device),
            FileType::Fifo => Kind::Fifo,
            _ => Kind::File,
        })
    }

    fn data(&mut self, file: OwnedFd, size: u64, path: &[u8]) -> Result<(), TreeError> {
        let mut file = std::fs::File::from(file).take(size);
        let mut left = size;
        while left > 0 {
            let length = file.read(&mut self.buffer).call(|| "read").and_then(|length| match length {
                // The tree is at rest, so a file that ends early is a fault of the disk.
                0 => Err(sys::Error::new("read: the file ended early", sys::Errno::IO)),
                length => Ok(length),
            });
            let length = length.map_err(|source| TreeError::Read { path: lossy(path), source })?;
            self.out.write_all(&self.buffer[..length]).call(|| "write(tar)").map_err(TreeError::Write)?;
            left -= length as u64;
        }
        self.pad(size)
    }

    /// Fills the last block of an entry's data.
    fn pad(&mut self, size: u64) -> Result<(), TreeError> {
        let padding = size.next_multiple_of(512) - size;
        self.emit(&[0; 512][..usize::try_from(padding).unwrap_or_default()])
    }

    fn emit(&mut self, bytes: &[u8]) -> Result<(), TreeError> {
        self.out.write_all(bytes).call(|| "write(tar)").map_err(TreeError::Write)
    }
}

pub(crate) fn open(parent: BorrowedFd<'_>, name: &CStr, kind: OFlags) -> sys::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | kind;
    rustix::fs::openat(parent, name, flags, Mode::empty()).call(|| format!("openat({name:?}, O_NOFOLLOW)"))
}

pub(crate) fn names(directory: &OwnedFd) -> sys::Result<Vec<CString>> {
    let entries = Dir::read_from(directory).call(|| "openat(\".\")")?;
    let names: Result<Vec<CString>, _> = entries.map(|entry| entry.map(|entry| entry.file_name().to_owned())).collect();
    let mut names = names.call(|| "getdents64")?;
    names.retain(|name| !matches!(name.to_bytes(), b"." | b".."));
    names.sort();
    Ok(names)
}

/// Reads the attributes that belong to the file. The host's SELinux labels do not.
fn extended_attributes(file: &OwnedFd) -> sys::Result<Vec<(String, Vec<u8>)>> {
    let mut list = vec![0; 4096];
    let length = match rustix::fs::flistxattr(file, &mut list) {
        Err(sys::Errno::OPNOTSUPP) | Ok(0) => return Ok(Vec::new()),
        // Only a name list longer than most kernels allow for; the largest there can be is 64 KiB.
        Err(sys::Errno::RANGE) => {
            list.resize(65536, 0);
            rustix::fs::flistxattr(file, &mut list).call(|| "flistxattr")?
        }
        result => result.call(|| "flistxattr")?,
    };
    let mut attributes = Vec::new();
    for name in list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if name == b"security.selinux" {
            continue;
        }
        let mut value = vec![0; 65536];
        let length = rustix::fs::fgetxattr(file, name, &mut value).call(|| format!("fgetxattr({})", lossy(name)))?;
        value.truncate(length);
        attributes.push((String::from_utf8_lossy(name).into_owned(), value));
    }
    attributes.sort();
    Ok(attributes)
}

pub(crate) fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
