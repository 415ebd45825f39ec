//! A tree of files, told in words.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{major, minor};

/// What there is to say of a file, by what it is about.
pub(super) type Facts = BTreeMap<String, String>;
/// Everything below a root, which itself is called "".
pub(super) type Listing = BTreeMap<PathBuf, Facts>;

/// As much of a file is compared.
const MOST: u64 = 1 << 20;
/// What happened at most so many seconds ago happened just now.
const NOW: i64 = 24 * 3600;

/// Looks at all there is below `root`. What is deep down has a path too long to be opened by, so each file is reached from
/// its directory, which stays open for as long.
pub(super) fn list(root: &Path) -> Listing {
    let mut found = Listing::new();
    let opened = File::open(root).unwrap_or_else(|error| panic!("{root:?}: {error}"));
    let root = Rc::new(opened);
    let mut todo = vec![(root, OsString::from("."), PathBuf::new())];
    while let Some((directory, name, path)) = todo.pop() {
        let reached = place(&directory).join(name);
        let stat = match fs::symlink_metadata(&reached) {
            Ok(stat) => stat,
            // A file system may name what it then does not find.
            Err(error) => {
                found.insert(path, Facts::from([("kind".to_owned(), format!("a name alone: {error}"))]));
                continue;
            }
        };
        found.insert(path.clone(), facts(&stat, &reached));
        if stat.is_dir() {
            let directory = Rc::new(File::open(&reached).unwrap());
            let names = fs::read_dir(place(&directory)).unwrap().map(|entry| entry.unwrap().file_name());
            todo.extend(names.map(|name| (Rc::clone(&directory), name.clone(), path.join(name))));
        }
    }
    let mut first = BTreeMap::new();
    for (path, facts) in &mut found {
        if let Some(inode) = facts.remove("inode") {
            let first = first.entry(inode).or_insert_with(|| path.clone());
            facts.insert("same file as".to_owned(), first.as_os_str().as_bytes().escape_ascii().to_string());
        }
    }
    found
}

fn place(directory: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()))
}

fn facts(stat: &fs::Metadata, reached: &Path) -> Facts {
    let kind = match stat.mode() & 0o170_000 {
        0o040_000 => "directory",
        0o100_000 => "file",
        0o120_000 => "symbolic link",
        0o020_000 => "character device",
        0o060_000 => "block device",
        0o010_000 => "pipe",
        _ => "other",
    };
    let mut facts = Facts::new();
    let mut say = |about: &str, what: String| facts.insert(about.to_owned(), what);
    say("kind", kind.to_owned());
    say("mode", format!("{:04o}", stat.mode() & 0o7777));
    say("owner", format!("{}:{}", stat.uid(), stat.gid()));
    say("time", time(stat));
    match kind {
        "file" => {
            say("size", stat.size().to_string());
            say("content", content(reached));
        }
        "symbolic link" => {
            say("target", fs::read_link(reached).unwrap().as_os_str().as_bytes().escape_ascii().to_string());
        }
        "character device" | "block device" => {
            say("device", format!("{}:{}", major(stat.rdev()), minor(stat.rdev())));
        }
        _ => {}
    }
    if kind != "directory" && stat.nlink() > 1 {
        say("inode", stat.ino().to_string());
    }
    for (name, value) in attributes(reached) {
        say(&format!("attribute {}", name.escape_ascii()), short(&value));
    }
    facts
}

fn time(stat: &fs::Metadata) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
    match now.checked_sub(stat.mtime()) {
        Some(0..NOW) => "just now".to_owned(),
        _ => format!("{}.{:09}", stat.mtime(), stat.mtime_nsec()),
    }
}

fn content(path: &Path) -> String {
    let mut bytes = Vec::new();
    let opened = File::open(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    opened.take(MOST).read_to_end(&mut bytes).unwrap();
    short(&bytes)
}

fn short(bytes: &[u8]) -> String {
    if bytes.len() <= 40 {
        return bytes.escape_ascii().to_string();
    }
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    format!("{} bytes, {:016x}", bytes.len(), hasher.finish())
}

fn attributes(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 1 << 16];
    let length = rustix::fs::llistxattr(path, &mut names).unwrap();
    let names = names[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = vec![0; 1 << 16];
        match rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value) {
            Ok(length) => value.truncate(length),
            Err(error) => value = format!("unreadable: {error}").into_bytes(),
        }
        (name.to_vec(), value)
    };
    names.map(value).collect()
}
