//! One entry of a tar: a ustar header, and before it a PAX header for what ustar cannot tell. Pure.

use std::io;

use tar::{EntryType, Header};

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file, whose data follows.
    File,
    /// A directory.
    Directory,
    /// A symbolic link with its target.
    Symlink(Vec<u8>),
    /// One more name of the file at this path of the archive.
    HardLink(Vec<u8>),
    /// A character device with its numbers.
    CharacterDevice((u32, u32)),
    /// A block device with its numbers.
    BlockDevice((u32, u32)),
    /// A named pipe.
    Fifo,
}

/// One entry, less its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path, without a slash in front.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Its permissions, with set-user-id, set-group-id and sticky bit.
    pub mode: u32,
    /// Its owner.
    pub uid: u64,
    /// Its group.
    pub gid: u64,
    /// The length of its data.
    pub size: u64,
    /// When it was changed, in seconds since 1970.
    pub modified: u64,
    /// Its extended attributes.
    pub attributes: Vec<(String, Vec<u8>)>,
}

/// The longest name that the header's own field holds.
const NAME_MAX: usize = 100;
/// The greatest number that an eight-byte field holds in octal digits.
const SHORT_MAX: u64 = 0o777_7777;
/// The greatest number that a twelve-byte field holds in octal digits.
const LONG_MAX: u64 = 0o777_7777_7777;

impl Entry {
    /// Returns the blocks that stand before the entry's data.
    pub fn encode(&self) -> io::Result<Vec<u8>> {
        let records = self.records();
        let mut blocks = Vec::with_capacity(512);
        if !records.is_empty() {
            let mut header = Header::new_ustar();
            header.set_entry_type(EntryType::XHeader);
            set_bytes(&mut header.as_mut_bytes()[..NAME_MAX], b"PaxHeaders/0");
            header.set_mode(0o644);
            header.set_size(records.len() as u64);
            header.set_cksum();
            blocks.extend_from_slice(header.as_bytes());
            blocks.extend_from_slice(&records);
            blocks.resize(blocks.len().next_multiple_of(512), 0);
        }
        blocks.extend_from_slice(self.header()?.as_bytes());
        Ok(blocks)
    }

    fn header(&self) -> io::Result<Header> {
        let mut header = Header::new_ustar();
        let name = self.name();
        set_bytes(&mut header.as_mut_bytes()[..NAME_MAX], &name);
        if let Some(target) = self.target() {
            set_bytes(&mut header.as_mut_bytes()[157..257], target);
        }
        header.set_mode(self.mode);
        header.set_uid(self.uid.min(SHORT_MAX));
        header.set_gid(self.gid.min(SHORT_MAX));
        header.set_size(self.size.min(LONG_MAX));
        header.set_mtime(self.modified.min(LONG_MAX));
        let (kind, (major, minor)) = match &self.kind {
            Kind::File => (EntryType::Regular, (0, 0)),
            Kind::Directory => (EntryType::Directory, (0, 0)),
            Kind::Symlink(_) => (EntryType::Symlink, (0, 0)),
            Kind::HardLink(_) => (EntryType::Link, (0, 0)),
            Kind::CharacterDevice(device) => (EntryType::Char, *device),
            Kind::BlockDevice(device) => (EntryType::Block, *device),
            Kind::Fifo => (EntryType::Fifo, (0, 0)),
        };
        header.set_entry_type(kind);
        header.set_device_major(major)?;
        header.set_device_minor(minor)?;
        header.set_cksum();
        Ok(header)
    }

    /// Directories end in a slash, as every archiver writes them.
    fn name(&self) -> Vec<u8> {
        let mut name = self.path.clone();
        if self.kind == Kind::Directory && !name.ends_with(b"/") {
            name.push(b'/');
        }
        name
    }

    fn target(&self) -> Option<&[u8]> {
        match &self.kind {
            Kind::Symlink(target) | Kind::HardLink(target) => Some(target),
            _ => None,
        }
    }

    /// The PAX records: attributes, and what does not fit its field.
    fn records(&self) -> Vec<u8> {
        let mut records = Vec::new();
        let name = self.name();
        if name.len() > NAME_MAX {
            record(&mut records, "path", &name);
        }
        if let Some(target) = self.target().filter(|target| target.len() > NAME_MAX) {
            record(&mut records, "linkpath", target);
        }
        for (key, number, max) in [
            ("uid", self.uid, SHORT_MAX),
            ("gid", self.gid, SHORT_MAX),
            ("size", self.size, LONG_MAX),
            ("mtime", self.modified, LONG_MAX),
        ] {
            if number > max {
                record(&mut records, key, number.to_string().as_bytes());
            }
        }
        for (name, value) in &self.attributes {
            record(&mut records, &format!("SCHILY.xattr.{name}"), value);
        }
        records
    }
}

/// Appends `LENGTH KEY=VALUE\n`, where the length counts itself.
fn record(records: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(format!("{length} {key}=").as_bytes());
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// What is too long is cut here and told whole in a PAX record.
fn set_bytes(field: &mut [u8], bytes: &[u8]) {
    let length = bytes.len().min(field.len());
    field[..length].copy_from_slice(&bytes[..length]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &[u8], kind: Kind) -> Entry {
        Entry {
            path: path.to_vec(),
            kind,
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: 0,
            modified: 1_700_000_000,
            attributes: Vec::new(),
        }
    }

    #[test]
    fn a_record_counts_its_own_length() {
        let mut records = Vec::new();
        record(&mut records, "path", b"abc");
        assert_eq!(records, b"12 path=abc\n");
        for length in [1, 89, 90, 91, 92, 989, 990, 991] {
            let mut records = Vec::new();
            record(&mut records, "path", &vec![b'x'; length]);
            let text = String::from_utf8(records).unwrap();
            assert_eq!(text.split(' ').next().unwrap().parse(), Ok(text.len()));
        }
    }

    #[test]
    fn a_plain_entry_is_one_block() {
        assert_eq!(entry(b"etc/passwd", Kind::File).encode().unwrap().len(), 512);
    }

    #[test]
    fn what_does_not_fit_is_read_back_whole() {
        let long = b"a/".repeat(150);
        let mut big = entry(&[long.clone(), b"file".to_vec()].concat(), Kind::Symlink(vec![b't'; 300]));
        big.uid = 4_000_000_000;
        big.attributes = vec![("security.capability".into(), vec![1, 0, 0, 2])];
        let mut bytes = big.encode().unwrap();
        bytes.extend_from_slice(&[0; 1024]);
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut entries = archive.entries().unwrap();
        let mut read = entries.next().unwrap().unwrap();
        assert_eq!(read.path_bytes(), big.path);
        assert_eq!(read.link_name_bytes().unwrap(), vec![b't'; 300]);
        let extensions: Vec<_> = read.pax_extensions().unwrap().unwrap().map(Result::unwrap).collect();
        let found =
            |key: &str| extensions.iter().find(|record| record.key() == Ok(key)).map(|r| r.value_bytes().to_vec());
        assert_eq!(found("uid").unwrap(), b"4000000000");
        assert_eq!(found("SCHILY.xattr.security.capability").unwrap(), [1, 0, 0, 2]);
    }
}
