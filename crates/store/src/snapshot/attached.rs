//! Views that somebody had attached to a directory, found in the mount table: nothing else knows of them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::{ChainId, Layout};

/// The mounts that this process sees (proc_pid_mountinfo(5)).
const TABLE: &str = "/proc/thread-self/mountinfo";

/// Where views of images are attached, as far as this process sees it.
#[derive(Debug, Default)]
pub struct Attached {
    /// The file name of an index or a tree, and where it is attached.
    places: Vec<(String, PathBuf)>,
}

impl Attached {
    /// Reads the mount table.
    pub fn read(layout: &Layout) -> sys::Result<Self> {
        use sys::Calling;
        let table = std::fs::read(TABLE).call(|| format!("open({TABLE:?})"))?;
        Ok(Self::parse(&table, layout, backing_file))
    }

    /// Returns where the views of the image with this chain are attached, in the order of the mounts.
    pub fn of(&self, chain: &ChainId) -> impl Iterator<Item = &Path> {
        let hex = chain.digest().hex();
        let own = self.places.iter().filter(move |(name, _)| name.strip_suffix(".erofs").unwrap_or(name) == hex);
        own.map(|(_, place)| place.as_path())
    }

    /// Returns all places, in the order of the mounts.
    pub fn places(&self) -> impl Iterator<Item = &Path> {
        self.places.iter().map(|(_, place)| place.as_path())
    }

    fn parse(table: &[u8], layout: &Layout, backing: impl Fn(&Path) -> Option<PathBuf>) -> Self {
        let (indexes, trees) = (layout.indexes(), layout.trees());
        let place = |line: &[u8]| {
            let fields: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
            let (root, place) = (unescaped(fields.get(3)?), unescaped(fields.get(4)?));
            let behind = fields.iter().position(|field| *field == b"-")?;
            let source = unescaped(fields.get(behind + 2)?);
            let source = backing(&source).unwrap_or(source);
            let index = (*fields.get(behind + 1)? == b"erofs" && source.parent() == Some(&indexes)).then_some(source);
            // The root is told from the top of its file system, which need not be that of the store's path.
            let tree =
                || root.parent().is_some_and(|parent| trees.ends_with(parent.strip_prefix("/").unwrap_or(parent)));
            let found = index.or_else(|| tree().then(|| root.clone()))?;
            Some((found.file_name()?.to_str()?.to_owned(), place))
        };
        Self { places: table.split(|b| *b == b'\n').filter_map(place).collect() }
    }
}

/// Returns the file behind a loop device.
fn backing_file(device: &Path) -> Option<PathBuf> {
    let name = device.strip_prefix("/dev").ok()?.to_str()?;
    let told = std::fs::read(format!("/sys/block/{name}/loop/backing_file")).ok()?;
    Some(Path::new(OsStr::from_bytes(told.trim_ascii_end())).to_owned())
}

/// Takes back what the table writes for spaces, tabs, line ends and backslashes: three octal digits.
fn unescaped(field: &[u8]) -> PathBuf {
    let (mut bytes, mut rest) = (Vec::with_capacity(field.len()), field);
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|digits| *first == b'\\' && digits.iter().all(|b| (b'0'..b'8').contains(b)));
        if let Some(digits) = digits {
            bytes.push(digits.iter().fold(0, |value: u8, digit| (value << 3) | (digit - b'0')));
            rest = &after[3..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    Path::new(OsStr::from_bytes(&bytes)).to_owned()
}

#[cfg(test)]
mod tests {
    use oci::Digest;

    use super::*;

    #[test]
    fn views_are_known_by_what_they_are_mounted_from() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let (one, other) = (ChainId::of([&a]), ChainId::of([&b]));
        let table = format!(
            "30 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
             60 30 0:50 / /mnt/with\\040space ro,relatime shared:1 - erofs /var/lib/c/indexes/{0}.erofs ro\n\
             61 30 0:51 / /mnt/loop ro - erofs /dev/loop7 ro\n\
             62 30 254:0 /lib/c/trees/{1} /mnt/tree ro - ext4 /dev/vdb rw\n\
             63 30 0:52 / /mnt/others ro - erofs /var/lib/others/indexes/{0}.erofs ro\n\
             64 30 nonsense",
            a.hex(),
            b.hex(),
        );
        let backing =
            |path: &Path| path.ends_with("loop7").then(|| format!("/var/lib/c/indexes/{}.erofs", b.hex()).into());
        let attached = Attached::parse(table.as_bytes(), &Layout::new("/var/lib/c"), backing);
        let places = |chain: &ChainId| attached.of(chain).map(|path| path.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!(places(&one), ["/mnt/with space"]);
        assert_eq!(places(&other), ["/mnt/loop", "/mnt/tree"]);
    }
}
