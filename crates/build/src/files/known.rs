//! What was known of a directory's files when they were last read: an unchanged file is not read again.
//!
//! A file counts as unchanged if the kernel says so: the same inode on the same device, with the same length and the same times
//! of data and of inode. Whoever writes to a file changes the latter, and no program can set it. What was changed just before it
//! was read is not written down, as a change within the same tick of the clock would not show.

use std::collections::HashMap;
use std::path::Path;

use oci::{Digest, Hasher};
use rustix::fs::Stat;

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    words: [u64; 7],
}

impl Stamp {
    #[expect(clippy::cast_sign_loss, reason = "only compared")]
    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            words: [
                stat.st_dev,
                stat.st_ino,
                stat.st_size as u64,
                stat.st_mtime as u64,
                stat.st_mtime_nsec,
                stat.st_ctime as u64,
                stat.st_ctime_nsec,
            ],
        }
    }

    /// Tells whether the file was at rest for a while at `now`, in seconds since 1970.
    fn is_old(&self, now: f64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "a few milliseconds do not matter")]
        let changed = self.words[5] as f64 + self.words[6] as f64 / 1e9;
        changed + 0.05 < now
    }
}

/// Digests of files, by path.
#[derive(Debug, Default)]
pub(crate) struct Known {
    digests: HashMap<Vec<u8>, (Stamp, Digest)>,
    pub(crate) changed: bool,
}

/// What the file begins with; another version is another word.
const MAGIC: &[u8] = b"conductor files 1\n";

impl Known {
    /// Reads what was written down; whatever cannot be read is not known.
    pub(crate) fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap_or_default();
        Self { digests: decode(&bytes).unwrap_or_default(), changed: false }
    }

    pub(crate) fn get(&self, path: &[u8], stamp: &Stamp) -> Option<Digest> {
        self.digests.get(path).filter(|(known, _)| known == stamp).map(|(_, digest)| *digest)
    }

    pub(crate) fn put(&mut self, path: Vec<u8>, stamp: Stamp, digest: Digest) {
        self.digests.insert(path, (stamp, digest));
        self.changed = true;
    }

    /// Writes down what is known of the files that are there. What cannot be written is found out again.
    pub(crate) fn write(&self, path: &Path, is_there: impl Fn(&[u8]) -> bool) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut bytes = MAGIC.to_vec();
        for (path, (stamp, digest)) in &self.digests {
            if stamp.is_old(now) && is_there(path) {
                encode(&mut bytes, path, stamp, digest);
            }
        }
        let mut hasher = Hasher::default();
        hasher.update(&bytes);
        bytes.extend_from_slice(hasher.finish().as_bytes());
        if let Err(error) = sys::file::replace(path, &bytes, sys::file::Durability::Cached) {
            tracing::debug!(%error, "what is known of the context cannot be kept");
        }
    }
}

fn encode(bytes: &mut Vec<u8>, path: &[u8], stamp: &Stamp, digest: &Digest) {
    let Ok(length) = u16::try_from(path.len()) else { return };
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(path);
    stamp.words.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
    bytes.extend_from_slice(digest.as_bytes());
}

/// The digest at the end is for files that a power cut left empty or half written.
fn decode(bytes: &[u8]) -> Option<HashMap<Vec<u8>, (Stamp, Digest)>> {
    let (content, digest) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
    (Digest::of(content).as_bytes() == digest).then_some(())?;
    let mut rest = content.strip_prefix(MAGIC)?;
    let mut digests = HashMap::new();
    let mut take = |length: usize| -> Option<&[u8]> {
        let (taken, left) = rest.split_at_checked(length)?;
        rest = left;
        Some(taken)
    };
    while let Some(length) = take(2) {
        let path = take(u16::from_le_bytes(length.try_into().ok()?).into())?.to_vec();
        let mut words = [0; 7];
        for word in &mut words {
            *word = u64::from_le_bytes(take(8)?.try_into().ok()?);
        }
        let digest = Digest::from_sha256(take(32)?.try_into().ok()?);
        digests.insert(path, (Stamp { words }, digest));
    }
    Some(digests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_unless_it_is_damaged() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("known");
        let (stamp, digest) = (Stamp { words: [1, 2, 3, 4, 5, 6, 7] }, Digest::of(b"x"));
        let mut known = Known::default();
        known.put(b"a/b".to_vec(), stamp, digest);
        known.put(b"gone".to_vec(), stamp, digest);
        known.write(&path, |path| path != b"gone");
        let read = Known::read(&path);
        assert_eq!(read.get(b"a/b", &stamp), Some(digest));
        assert_eq!(read.get(b"gone", &stamp), None);
        assert_eq!(read.get(b"a/b", &Stamp { words: [1, 2, 3, 4, 5, 6, 8] }), None);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[30] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(Known::read(&path).get(b"a/b", &stamp), None);
    }

    #[test]
    fn what_has_just_changed_is_not_written_down() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("known");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let stamp = Stamp { words: [1, 2, 3, 4, 5, now.as_secs(), u64::from(now.subsec_nanos())] };
        let mut known = Known::default();
        known.put(b"a".to_vec(), stamp, Digest::of(b"x"));
        known.write(&path, |_| true);
        assert_eq!(Known::read(&path).get(b"a", &stamp), None);
    }
}
