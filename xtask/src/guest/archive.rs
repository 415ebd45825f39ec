//! The archive that a kernel unpacks as its first root: cpio in the form called newc.

use std::path::Path;

/// An archive that grows by one entry at a time.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const END: &str = "TRAILER!!!";

impl Archive {
    /// Adds a directory; those above it come first.
    pub(super) fn directory(&mut self, path: &str) {
        self.entry(path, DIRECTORY, &[]);
    }

    /// Adds a file that may be executed.
    pub(super) fn program(&mut self, path: &str, content: &[u8]) {
        self.entry(path, PROGRAM, content);
    }

    /// Adds a program that is to lie at an absolute path in the guest, from where the first process puts it.
    pub(super) fn program_at(&mut self, path: &Path, content: &[u8]) {
        self.directory_at(path.parent().unwrap_or(path));
        self.program(&inside(path), content);
    }

    /// Adds a directory that is to be at an absolute path in the guest, and those above it.
    pub(super) fn directory_at(&mut self, path: &Path) {
        let mut above: Vec<_> = path.ancestors().filter(|above| above.parent().is_some()).collect();
        above.reverse();
        above.into_iter().for_each(|above| self.directory(&inside(above)));
    }

    /// Ends the archive and returns its bytes.
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.entry(END, 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let links = if mode == DIRECTORY { 2 } else { 1 };
        // inode, mode, owner, group, links, time, size, four device numbers, length of the name, no checksum
        let (size, name_size) = (content.len(), path.len() + 1);
        let numbers = [self.entries as usize, mode as usize, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for number in numbers {
            self.bytes.extend_from_slice(format!("{number:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

fn inside(path: &Path) -> String {
    format!("host{}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_begin_at_multiples_of_four() {
        let mut archive = Archive::default();
        archive.directory("dev");
        archive.program("init", b"#!/x\n");
        let bytes = archive.into_bytes();
        assert_eq!(bytes.len() % 4, 0);
        let starts: Vec<_> =
            bytes.windows(6).enumerate().filter(|(_, six)| six == b"070701").map(|(at, _)| at).collect();
        assert_eq!(starts, [0, 116, 240]);
        assert_eq!(&bytes[116 + 14..116 + 22], b"000081ed");
        assert_eq!(&bytes[116 + 110..116 + 115], b"init\0");
        assert_eq!(&bytes[116 + 116..116 + 124], b"#!/x\n\0\0\0");
    }
}
