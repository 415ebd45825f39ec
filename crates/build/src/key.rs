//! Keys of the cache: a digest of all that decides what a step makes. Of no file's time, and of no path of the host.

use oci::{Digest, Hasher};

/// A key in the making. Every part goes in with its length, so that no two lists of parts run together.
#[derive(Debug)]
pub(crate) struct Key(Hasher);

/// Another version makes other layers of the same step.
const VERSION: &str = "conductor build 1";

impl Key {
    /// Begins the key of one kind of step.
    pub(crate) fn of(kind: &str) -> Self {
        let mut key = Self(Hasher::default());
        key.text(VERSION);
        key.text(kind);
        key
    }

    pub(crate) fn bytes(&mut self, part: &[u8]) {
        self.0.update(&(part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    pub(crate) fn text(&mut self, part: &str) {
        self.bytes(part.as_bytes());
    }

    pub(crate) fn number(&mut self, part: impl Into<u64>) {
        self.0.update(&part.into().to_le_bytes());
    }

    pub(crate) fn flag(&mut self, part: bool) {
        self.number(u8::from(part));
    }

    pub(crate) fn optional(&mut self, part: Option<&str>) {
        self.flag(part.is_some());
        self.text(part.unwrap_or_default());
    }

    pub(crate) fn list<S: AsRef<str>>(&mut self, parts: &[S]) {
        self.number(parts.len() as u64);
        parts.iter().for_each(|part| self.text(part.as_ref()));
    }

    pub(crate) fn digest(&mut self, part: &Digest) {
        self.0.update(part.as_bytes());
    }

    pub(crate) fn finish(self) -> Digest {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        let key = |parts: &[&str]| {
            let mut key = Key::of("test");
            key.list(parts);
            key.finish()
        };
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_ne!(key(&["a", ""]), key(&["a"]));
        assert_eq!(key(&["a"]), key(&["a"]));
    }
}
