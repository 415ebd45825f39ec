//! The records of the format, as bytes (fs/erofs/erofs_fs.h describes them; all numbers are little-endian).

use oci::Digest;

use super::crc32c::checksum;
use super::tree::{Body, Inode};
use crate::archive::{DeviceNumber, Time};

/// The block size: that of tar, so that every file's data starts at a block.
pub(super) const BLOCK_SIZE: usize = 512;
pub(super) const BLOCK_BITS: u8 = 9;
/// What the checksum covers starts here, after room for a boot sector.
pub(super) const SUPERBLOCK: usize = 1024;
const SUPERBLOCK_SIZE: usize = 128;
const SLOT_SIZE: usize = 128;
/// Inodes are numbered by where they stand, in units of the short form.
pub(super) const SLOT_BITS: u8 = 5;
pub(super) const COMPACT_SIZE: usize = 32;
pub(super) const EXTENDED_SIZE: usize = 64;
pub(super) const CHUNK_INDEX_SIZE: usize = 8;

const MAGIC: u32 = 0xe0f5_e1e2;
const COMPAT_CHECKSUM: u32 = 1;
const COMPAT_MTIME: u32 = 2;
const INCOMPAT_CHUNKED_FILE: u32 = 4;
const INCOMPAT_DEVICE_TABLE: u32 = 8;
/// In a chunk-based inode: chunk indexes (with devices) in place of plain block addresses.
pub(super) const CHUNK_INDEXES: u16 = 0x20;
/// The address of a hole.
pub(super) const HOLE: u32 = u32::MAX;

/// How an inode's data is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DataLayout {
    /// In blocks one after the other.
    Plain = 0,
    /// The same, but what is left over stands behind the inode.
    Inline = 2,
    /// In chunks, whose addresses stand behind the inode.
    Chunks = 4,
}

/// The head of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Superblock {
    pub(super) root: u16,
    pub(super) inodes: u64,
    pub(super) time: Time,
    pub(super) blocks: u32,
    pub(super) inode_block: u32,
    pub(super) xattr_block: u32,
    pub(super) uuid: [u8; 16],
    /// Digest and length of each layer.
    pub(super) devices: Vec<(Digest, u32)>,
}

impl Superblock {
    /// Returns how many blocks superblock and devices take.
    pub(super) fn size_in_blocks(devices: usize) -> usize {
        (SUPERBLOCK + SUPERBLOCK_SIZE + devices * SLOT_SIZE).div_ceil(BLOCK_SIZE)
    }

    /// Returns the file's bytes up to the inodes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; SUPERBLOCK + SUPERBLOCK_SIZE];
        let mut put = |at: usize, value: &[u8]| bytes[SUPERBLOCK + at..][..value.len()].copy_from_slice(value);
        let devices = u16::try_from(self.devices.len()).unwrap_or(u16::MAX);
        let table = if devices == 0 { 0 } else { INCOMPAT_DEVICE_TABLE };
        put(0, &MAGIC.to_le_bytes());
        put(8, &(COMPAT_CHECKSUM | COMPAT_MTIME).to_le_bytes());
        put(12, &[BLOCK_BITS]);
        put(14, &self.root.to_le_bytes());
        put(16, &self.inodes.to_le_bytes());
        put(24, &self.time.seconds.to_le_bytes());
        put(32, &self.time.nanos.to_le_bytes());
        put(36, &self.blocks.to_le_bytes());
        put(40, &self.inode_block.to_le_bytes());
        put(44, &self.xattr_block.to_le_bytes());
        put(48, &self.uuid);
        put(80, &(INCOMPAT_CHUNKED_FILE | table).to_le_bytes());
        put(86, &devices.to_le_bytes());
        put(88, &FIRST_SLOT.to_le_bytes());
        for (digest, blocks) in &self.devices {
            let mut slot = [0; SLOT_SIZE];
            slot[..64].copy_from_slice(digest.hex().as_bytes());
            slot[64..68].copy_from_slice(&blocks.to_le_bytes());
            bytes.extend(slot);
        }
        bytes.resize(Self::size_in_blocks(self.devices.len()) * BLOCK_SIZE, 0);
        let sum = checksum(&bytes[SUPERBLOCK..SUPERBLOCK + BLOCK_SIZE]);
        bytes[SUPERBLOCK + 4..SUPERBLOCK + 8].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads the superblock from its block (and not more of the file); says how many devices there are.
    pub(super) fn decode(block: &[u8; BLOCK_SIZE]) -> Result<(Self, u16), &'static str> {
        if u32_at(block, 0) != MAGIC {
            return Err("it is not an EROFS");
        }
        let mut masked = *block;
        masked[4..8].fill(0);
        if u32_at(block, 4) != checksum(&masked) {
            return Err("its superblock is damaged (the checksum is wrong)");
        }
        let features = u32_at(block, 80);
        if block[12] != BLOCK_BITS || features & !(INCOMPAT_CHUNKED_FILE | INCOMPAT_DEVICE_TABLE) != 0 {
            return Err("it is not one of ours");
        }
        let superblock = Self {
            root: u16_at(block, 14),
            inodes: u64_at(block, 16),
            time: Time { seconds: u64_at(block, 24).cast_signed(), nanos: u32_at(block, 32) },
            blocks: u32_at(block, 36),
            inode_block: u32_at(block, 40),
            xattr_block: u32_at(block, 44),
            uuid: std::array::from_fn(|index| block[48 + index]),
            devices: Vec::new(),
        };
        Ok((superblock, u16_at(block, 86)))
    }

    /// Returns where in the file the slot of a device is.
    pub(super) fn slot(device: u16) -> u64 {
        (SUPERBLOCK + SUPERBLOCK_SIZE + usize::from(device) * SLOT_SIZE) as u64
    }

    /// Reads a device's slot.
    pub(super) fn decode_slot(slot: &[u8; SLOT_SIZE]) -> Option<(Digest, u32)> {
        let hex = std::str::from_utf8(&slot[..64]).ok()?;
        Some((format!("sha256:{hex}").parse().ok()?, u32_at(slot, 64)))
    }
}

/// The device table follows the superblock; it is counted in slots from the start of the file.
const FIRST_SLOT: u16 = 9;
const _: () = assert!(FIRST_SLOT as usize * SLOT_SIZE == SUPERBLOCK + SUPERBLOCK_SIZE);

/// An inode's head, in whichever form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InodeHead {
    pub(super) extended: bool,
    pub(super) layout: DataLayout,
    pub(super) xattr_count: u16,
    /// Type and permissions.
    pub(super) mode: u16,
    pub(super) size: u64,
    /// A block, a device number or a chunk format, as kind and layout say.
    pub(super) union: u32,
    pub(super) number: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Time,
    pub(super) links: u32,
}

impl InodeHead {
    /// Says whether the short form can hold it, which has no time of its own.
    pub(super) fn needs_extended(inode: &Inode, size: u64, common: Time) -> bool {
        let wide = |value: u32| u16::try_from(value).is_err();
        inode.mtime != common || wide(inode.uid) || wide(inode.gid) || wide(inode.links) || u32::try_from(size).is_err()
    }

    /// Writes it, 32 or 64 bytes.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let format = u16::from(self.extended) | (self.layout as u16) << 1;
        // The short form is taken only for what fits it.
        let short = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
        out.extend(format.to_le_bytes());
        out.extend(self.xattr_count.to_le_bytes());
        out.extend(self.mode.to_le_bytes());
        if self.extended {
            out.extend([0; 2]);
            out.extend(self.size.to_le_bytes());
        } else {
            out.extend(short(self.links).to_le_bytes());
            out.extend(u32::try_from(self.size).unwrap_or(u32::MAX).to_le_bytes());
            out.extend([0; 4]);
        }
        out.extend(self.union.to_le_bytes());
        out.extend(self.number.to_le_bytes());
        if self.extended {
            out.extend(self.uid.to_le_bytes());
            out.extend(self.gid.to_le_bytes());
            out.extend(self.mtime.seconds.to_le_bytes());
            out.extend(self.mtime.nanos.to_le_bytes());
            out.extend(self.links.to_le_bytes());
            out.extend([0; 16]);
        } else {
            out.extend(short(self.uid).to_le_bytes());
            out.extend(short(self.gid).to_le_bytes());
            out.extend([0; 4]);
        }
    }

    /// Reads it; `bytes` are at least as many as the form has.
    pub(super) fn decode(bytes: &[u8; EXTENDED_SIZE], common: Time) -> Option<Self> {
        let format = u16_at(bytes, 0);
        let layout = match format >> 1 {
            0 => DataLayout::Plain,
            2 => DataLayout::Inline,
            4 => DataLayout::Chunks,
            _ => return None,
        };
        let (xattr_count, mode) = (u16_at(bytes, 2), u16_at(bytes, 4));
        let (union, number) = (u32_at(bytes, 16), u32_at(bytes, 20));
        Some(if format & 1 == 1 {
            Self {
                extended: true,
                size: u64_at(bytes, 8),
                uid: u32_at(bytes, 24),
                gid: u32_at(bytes, 28),
                mtime: Time { seconds: u64_at(bytes, 32).cast_signed(), nanos: u32_at(bytes, 40) },
                links: u32_at(bytes, 44),
                ..Self { layout, xattr_count, mode, union, number, ..Self::EMPTY }
            }
        } else {
            Self {
                size: u32_at(bytes, 8).into(),
                links: u16_at(bytes, 6).into(),
                uid: u16_at(bytes, 24).into(),
                gid: u16_at(bytes, 26).into(),
                mtime: common,
                ..Self { layout, xattr_count, mode, union, number, ..Self::EMPTY }
            }
        })
    }

    const EMPTY: Self = Self {
        extended: false,
        layout: DataLayout::Plain,
        xattr_count: 0,
        mode: 0,
        size: 0,
        union: 0,
        number: 0,
        uid: 0,
        gid: 0,
        mtime: Time { seconds: 0, nanos: 0 },
        links: 0,
    };
}

/// Encodes where a chunk is: device 0 is the index itself, 1 the first layer.
pub(super) fn chunk_index(device: u16, block: u32) -> [u8; CHUNK_INDEX_SIZE] {
    let ([d0, d1], [b0, b1, b2, b3]) = (device.to_le_bytes(), block.to_le_bytes());
    [0, 0, d0, d1, b0, b1, b2, b3]
}

/// Returns the type bits of an inode's mode.
pub(super) fn type_bits(body: &Body) -> u16 {
    match body {
        Body::Directory(_) => 0o040_000,
        Body::File(_) => 0o100_000,
        Body::Symlink(_) => 0o120_000,
        Body::CharDevice(_) => 0o020_000,
        Body::BlockDevice(_) => 0o060_000,
        Body::Fifo => 0o010_000,
    }
}

/// Returns how directory entries name the kind.
pub(super) fn file_kind(body: &Body) -> u8 {
    match body {
        Body::File(_) => 1,
        Body::Directory(_) => 2,
        Body::CharDevice(_) => 3,
        Body::BlockDevice(_) => 4,
        Body::Fifo => 5,
        Body::Symlink(_) => 7,
    }
}

/// Encodes a device number as the kernel does on disk: the minor number's upper part beyond the major number.
pub(super) fn encode_device(number: DeviceNumber) -> u32 {
    (number.minor & 0xff) | number.major << 8 | (number.minor & !0xff) << 12
}

/// Reads a device number back.
pub(super) fn decode_device(bits: u32) -> DeviceNumber {
    DeviceNumber { major: (bits >> 8) & 0xfff, minor: (bits & 0xff) | (bits >> 12) & !0xff }
}

fn at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    std::array::from_fn(|index| bytes[at + index])
}

pub(super) fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes(at(bytes, offset))
}

pub(super) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(at(bytes, offset))
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(at(bytes, offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_keep_all_their_bits() {
        for (major, minor) in [(1, 3), (8, 0x12345), (0xfff, 0xf_ffff), (0, 0)] {
            let number = DeviceNumber { major, minor };
            assert_eq!(decode_device(encode_device(number)), number);
        }
        assert_eq!(encode_device(DeviceNumber { major: 1, minor: 3 }), 0x103);
    }

    #[test]
    fn a_superblock_comes_back_and_damage_is_seen() {
        let superblock = Superblock {
            root: 36,
            inodes: 7,
            time: Time { seconds: -5, nanos: 6 },
            blocks: 99,
            inode_block: 3,
            xattr_block: 12,
            uuid: [9; 16],
            devices: vec![(Digest::of(b"layer"), 77)],
        };
        let bytes = superblock.encode();
        let mut block = *bytes[SUPERBLOCK..].first_chunk().unwrap();
        let (mut read, devices) = Superblock::decode(&block).unwrap();
        let slot = &bytes[usize::try_from(Superblock::slot(0)).unwrap()..];
        read.devices.push(Superblock::decode_slot(slot.first_chunk().unwrap()).unwrap());
        assert_eq!((read, devices), (superblock, 1));
        block[20] ^= 1;
        assert!(Superblock::decode(&block).is_err());
    }

    #[test]
    fn both_forms_of_an_inode_come_back() {
        let short = InodeHead {
            mode: 0o100_644,
            size: 5,
            uid: 65535,
            links: 2,
            layout: DataLayout::Chunks,
            ..InodeHead::EMPTY
        };
        let long =
            InodeHead { extended: true, size: 1 << 40, gid: 1 << 30, mtime: Time { seconds: -1, nanos: 5 }, ..short };
        for head in [short, long] {
            let mut bytes = Vec::new();
            head.encode(&mut bytes);
            assert_eq!(bytes.len(), if head.extended { 64 } else { 32 });
            bytes.resize(64, 0xff);
            assert_eq!(InodeHead::decode(bytes.first_chunk().unwrap(), Time::default()), Some(head));
        }
    }
}
