//! The 512 bytes before each member.

use std::ops::Range;

use super::fault::Fault;
use super::number::{parse_signed, parse_unsigned};

const NAME: Range<usize> = 0..100;
const MODE: Range<usize> = 100..108;
const UID: Range<usize> = 108..116;
const GID: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
const MTIME: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;
const TYPE: usize = 156;
const LINK: Range<usize> = 157..257;
const MAGIC: Range<usize> = 257..265;
const MAJOR: Range<usize> = 329..337;
const MINOR: Range<usize> = 337..345;
const PREFIX: Range<usize> = 345..500;
/// star keeps two times behind a shorter prefix, and signs at the end of the block.
const STAR_PREFIX: Range<usize> = 345..476;
const STAR_SIGN: Range<usize> = 508..512;
/// In GNU's own format, which has no prefix.
const GNU_SPARSE: Range<usize> = 386..482;
const GNU_EXTENDED: usize = 482;
const GNU_REAL_SIZE: Range<usize> = 483..495;

/// A block read as a header.
#[derive(Clone, Copy)]
pub(super) struct Header<'a>(pub(super) &'a [u8; 512]);

impl<'a> Header<'a> {
    /// Says whether this is the block of zeros that ends an archive.
    pub(super) fn is_end(self) -> bool {
        self.0.iter().all(|&byte| byte == 0)
    }

    /// Compares the checksum: the sum of all bytes, its own field taken as blanks.
    pub(super) fn check(self) -> Result<(), Fault> {
        let told = parse_unsigned(&self.0[CHECKSUM]).ok_or(Fault::Checksum)?;
        let own = &self.0[CHECKSUM];
        let blanks = 8 * u64::from(b' ');
        let unsigned = |bytes: &[u8]| bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>();
        if told == unsigned(self.0) - unsigned(own) + blanks {
            return Ok(());
        }
        // Old tars summed up signed characters.
        let signed = |bytes: &[u8]| bytes.iter().map(|&byte| i64::from(byte.cast_signed())).sum::<i64>();
        let sum = signed(self.0) - signed(own) + blanks.cast_signed();
        if i64::try_from(told) == Ok(sum) { Ok(()) } else { Err(Fault::Checksum) }
    }

    /// Returns the name, with the prefix of the formats that have one.
    pub(super) fn path(self) -> Vec<u8> {
        let name = text(&self.0[NAME]);
        let prefix = self.prefix();
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    fn prefix(self) -> &'a [u8] {
        // GNU's magic is "ustar  \0", and where the prefix stands it keeps other things.
        if !self.0[MAGIC].starts_with(b"ustar\0") {
            return &[];
        }
        text(&self.0[if self.0[STAR_SIGN] == *b"tar\0" { STAR_PREFIX } else { PREFIX }])
    }

    pub(super) fn link(self) -> &'a [u8] {
        text(&self.0[LINK])
    }

    pub(super) fn flag(self) -> u8 {
        self.0[TYPE]
    }

    pub(super) fn size(self) -> Result<u64, Fault> {
        self.unsigned(SIZE, "size")
    }

    /// Returns the permission bits; old tars keep the type bits beside them.
    pub(super) fn mode(self) -> Result<u16, Fault> {
        let bits = self.unsigned(MODE, "mode")? & 0o7777;
        u16::try_from(bits).map_err(|_| Fault::Number { field: "mode" })
    }

    pub(super) fn uid(self) -> Result<u64, Fault> {
        self.unsigned(UID, "owner")
    }

    pub(super) fn gid(self) -> Result<u64, Fault> {
        self.unsigned(GID, "group")
    }

    pub(super) fn mtime(self) -> Result<i64, Fault> {
        parse_signed(&self.0[MTIME]).ok_or(Fault::Number { field: "time" })
    }

    /// Returns the numbers of a device; before there was a standard, there was no place for them.
    pub(super) fn device(self) -> Result<(u64, u64), Fault> {
        if !self.0[MAGIC].starts_with(b"ustar") {
            return Ok((0, 0));
        }
        Ok((self.unsigned(MAJOR, "device number")?, self.unsigned(MINOR, "device number")?))
    }

    /// Says whether it is of GNU's own format, the only one that keeps a map of holes in the header.
    pub(super) fn is_gnu(self) -> bool {
        self.0[MAGIC] == *b"ustar  \0"
    }

    fn unsigned(self, range: Range<usize>, field: &'static str) -> Result<u64, Fault> {
        parse_unsigned(&self.0[range]).ok_or(Fault::Number { field })
    }

    /// Returns the size of an old GNU sparse file with its holes.
    pub(super) fn real_size(self) -> Result<u64, Fault> {
        self.unsigned(GNU_REAL_SIZE, "real size")
    }

    /// Returns the first entries of an old GNU sparse map.
    pub(super) fn sparse_entries(self) -> &'a [u8] {
        &self.0[GNU_SPARSE]
    }

    /// Says whether more blocks of the sparse map follow.
    pub(super) fn has_more_entries(self) -> bool {
        self.0[GNU_EXTENDED] != 0
    }
}

/// Text ends at its NUL, or with its field.
pub(super) fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    &field[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ustar(name: &[u8], prefix: &[u8]) -> [u8; 512] {
        let mut block = [0; 512];
        block[..name.len()].copy_from_slice(name);
        block[MAGIC].copy_from_slice(b"ustar\x0000");
        block[345..345 + prefix.len()].copy_from_slice(prefix);
        block
    }

    #[test]
    fn a_name_is_joined_with_its_prefix_where_the_format_has_one() {
        let mut block = ustar(b"name", b"some/where");
        assert_eq!(Header(&block).path(), b"some/where/name");
        block[STAR_SIGN].copy_from_slice(b"tar\0");
        block[476] = b'9';
        assert_eq!(Header(&block).path(), b"some/where/name");
        block[MAGIC].copy_from_slice(b"ustar  \0");
        assert_eq!(Header(&block).path(), b"name");
        assert_eq!(Header(&ustar(&[b'n'; 100], b"")).path(), [b'n'; 100]);
    }

    #[test]
    fn a_checksum_may_have_been_summed_up_signed() {
        let mut block = ustar(b"caf\xe9", b"");
        let sum = |block: &[u8; 512]| block.iter().map(|&byte| i64::from(byte.cast_signed())).sum::<i64>() + 8 * 32;
        let told = format!("{:06o}\0 ", sum(&block));
        block[CHECKSUM].copy_from_slice(told.as_bytes());
        assert!(Header(&block).check().is_ok());
        block[0] ^= 1;
        assert!(matches!(Header(&block).check(), Err(Fault::Checksum)));
    }
}
