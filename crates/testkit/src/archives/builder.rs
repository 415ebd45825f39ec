//! Members of archives, field by field.

use std::ops::Range;

/// Where the fields of a header stand (POSIX.1-1988, "tar.h"; GNU tar's manual, "Basic Tar Format").
pub(super) const NAME: Range<usize> = 0..100;
pub(super) const MODE: Range<usize> = 100..108;
pub(super) const UID: Range<usize> = 108..116;
pub(super) const GID: Range<usize> = 116..124;
pub(super) const SIZE: Range<usize> = 124..136;
pub(super) const MTIME: Range<usize> = 136..148;
pub(super) const SUM: Range<usize> = 148..156;
pub(super) const TYPE: usize = 156;
pub(super) const LINK: Range<usize> = 157..257;
pub(super) const MAGIC: Range<usize> = 257..265;
pub(super) const USER: Range<usize> = 265..297;
pub(super) const MAJOR: Range<usize> = 329..337;
pub(super) const MINOR: Range<usize> = 337..345;
pub(super) const PREFIX: Range<usize> = 345..500;
const BLOCK: usize = 512;

/// The time of every member that says nothing else.
const TIME: u64 = 1_500_000_000;

/// What stands in the field that tells the formats apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Magic {
    /// Nothing, as before there was a standard.
    V7,
    /// POSIX's.
    Ustar,
    /// GNU tar's, which never was a standard.
    Gnu,
    /// star's, which is POSIX's with a sign at the block's end.
    Star,
}

/// A header with its data, or bytes in the place of both.
#[derive(Debug, Clone)]
pub struct Member {
    header: Vec<u8>,
    data: Vec<u8>,
    name: Vec<u8>,
    /// The checksum is made when the archive is.
    summed: bool,
}

impl Member {
    /// Starts a member of a type, with a plain name.
    pub fn new(flag: u8, name: impl AsRef<[u8]>) -> Self {
        let mut member = Self { header: vec![0; BLOCK], data: Vec::new(), name: Vec::new(), summed: true };
        member.header[TYPE] = flag;
        member
            .magic(Magic::Ustar)
            .text(NAME, name.as_ref())
            .octal(MODE, 0o644)
            .octal(UID, 12)
            .octal(GID, 34)
            .octal(SIZE, 0)
            .octal(MTIME, TIME)
            .named(name)
    }

    /// A regular file.
    pub fn file(name: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Self {
        Self::new(b'0', name).data(data)
    }

    /// A directory.
    pub fn directory(name: impl AsRef<[u8]>) -> Self {
        Self::new(b'5', name).octal(MODE, 0o750)
    }

    /// A symbolic link.
    pub fn symlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self::new(b'2', name).octal(MODE, 0o777).text(LINK, target.as_ref())
    }

    /// A hard link.
    pub fn hard_link(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self::new(b'1', name).text(LINK, target.as_ref())
    }

    /// A named pipe.
    pub fn fifo(name: impl AsRef<[u8]>) -> Self {
        Self::new(b'6', name)
    }

    /// A device, character or block by its flag.
    pub fn device(flag: u8, name: impl AsRef<[u8]>, major: u64, minor: u64) -> Self {
        Self::new(flag, name).octal(MAJOR, major).octal(MINOR, minor)
    }

    /// A whiteout or an opaque marker.
    pub fn whiteout(name: impl AsRef<[u8]>) -> Self {
        Self::file(name, b"")
    }

    /// A PAX header for the next member.
    pub fn pax(records: &[(&str, &[u8])]) -> Self {
        Self::extended(b'x', &records.iter().flat_map(|(key, value)| record(key, value)).collect::<Vec<_>>())
    }

    /// A PAX header for all members that follow.
    pub fn global(records: &[(&str, &[u8])]) -> Self {
        Self::extended(b'g', &records.iter().flat_map(|(key, value)| record(key, value)).collect::<Vec<_>>())
    }

    /// An extended header of a type, with any body.
    pub fn extended(flag: u8, body: &[u8]) -> Self {
        Self::new(flag, "PaxHeaders/x").data(body).named("")
    }

    /// GNU's long name (`L`) or long link (`K`) for the next member.
    pub fn long(flag: u8, text: &[u8]) -> Self {
        Self::new(flag, "././@LongLink").magic(Magic::Gnu).data([text, b"\0"].concat()).named("")
    }

    /// Bytes that are no member, or half of one.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { header: Vec::new(), data: bytes.into(), name: Vec::new(), summed: false }
    }

    /// Sets the magic.
    #[must_use]
    pub fn magic(mut self, magic: Magic) -> Self {
        self.header[MAGIC].copy_from_slice(match magic {
            Magic::V7 => &[0; 8],
            Magic::Ustar | Magic::Star => b"ustar\x0000",
            Magic::Gnu => b"ustar  \0",
        });
        if magic == Magic::Star {
            self.header[508..].copy_from_slice(b"tar\0");
        }
        self
    }

    /// Gives it data, and the size that belongs to it.
    #[must_use]
    pub fn data(mut self, data: impl AsRef<[u8]>) -> Self {
        self.data = data.as_ref().to_vec();
        let size = self.data.len() as u64;
        self.octal(SIZE, size)
    }

    /// Writes text into a field, and zeros behind it; what does not fit is cut.
    #[must_use]
    pub fn text(mut self, field: Range<usize>, text: &[u8]) -> Self {
        let length = text.len().min(field.len());
        self.header[field.clone()].fill(0);
        self.header[field.start..field.start + length].copy_from_slice(&text[..length]);
        self
    }

    /// Writes a number in octal, as wide as the field and with a NUL.
    #[must_use]
    pub fn octal(self, field: Range<usize>, number: u64) -> Self {
        let text = format!("{number:0width$o}\0", width = field.len() - 1);
        self.text(field, text.as_bytes())
    }

    /// Writes a number in GNU's base-256.
    #[must_use]
    pub fn base256(self, field: Range<usize>, number: i128) -> Self {
        let bytes = number.to_be_bytes();
        let mut bytes = bytes[bytes.len() - field.len()..].to_vec();
        bytes[0] |= 0x80;
        self.text(field, &bytes)
    }

    /// Sets the permissions.
    #[must_use]
    pub fn mode(self, mode: u64) -> Self {
        self.octal(MODE, mode)
    }

    /// Remembers the name that the headers before this one give it.
    #[must_use]
    pub fn named(mut self, name: impl AsRef<[u8]>) -> Self {
        self.name = name.as_ref().to_vec();
        self
    }

    /// Leaves the checksum as it is set by `change`.
    #[must_use]
    pub fn sum(mut self, change: impl FnOnce(&mut [u8])) -> Self {
        self.sum_up();
        self.summed = false;
        change(&mut self.header);
        self
    }

    /// Returns its name if that is a mark for the layers below.
    pub(super) fn mark(&self) -> Option<Vec<u8>> {
        let name = self.name.strip_suffix(b"/").unwrap_or(&self.name);
        let last = name.rsplit(|&byte| byte == b'/').next()?;
        last.starts_with(b".wh.").then(|| name.to_vec())
    }

    /// Returns header and data, padded to blocks.
    pub fn bytes(mut self) -> Vec<u8> {
        if self.summed {
            self.sum_up();
        }
        let mut bytes = self.header;
        bytes.extend(&self.data);
        // What is raw stands as it is.
        if !bytes.is_empty() && self.data.len() + BLOCK == bytes.len() {
            bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        }
        bytes
    }

    fn sum_up(&mut self) {
        let sum = sum(&self.header);
        self.header[SUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}

/// Returns the checksum of a header: the sum of its bytes, its own field taken as blanks.
pub(super) fn sum(header: &[u8]) -> u64 {
    let own: u64 = header[SUM].iter().map(|&byte| u64::from(byte)).sum();
    header.iter().map(|&byte| u64::from(byte)).sum::<u64>() - own + 8 * u64::from(b' ')
}

/// A record of a PAX header; its length counts itself.
pub(super) fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
    let mut length = rest.len() + 1;
    while rest.len() + length.to_string().len() != length {
        length += 1;
    }
    [length.to_string().as_bytes(), &rest].concat()
}

/// Makes an archive of members, with the two blocks of zeros that end it.
pub fn tar(members: impl IntoIterator<Item = Member>) -> Vec<u8> {
    let mut bytes: Vec<u8> = members.into_iter().flat_map(Member::bytes).collect();
    bytes.resize(bytes.len() + 2 * BLOCK, 0);
    bytes
}
