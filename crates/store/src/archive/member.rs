//! One member of an archive, as a noun.

use super::sparse::SparseFile;

/// What one header (with the extended headers before it) says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Where the header stands in the archive.
    pub offset: u64,
    /// The name as the archive spells it.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: MemberKind,
    /// Permissions with set-uid, set-gid and sticky bit; no type bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of the last change.
    pub mtime: Time,
    /// Extended attributes, each name once.
    pub xattrs: Vec<Xattr>,
}

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberKind {
    /// A directory.
    Directory,
    /// A regular file.
    File(Content),
    /// Another name of the file that the given path names.
    HardLink(Vec<u8>),
    /// A symbolic link with its target.
    Symlink(Vec<u8>),
    /// A character device.
    CharDevice(DeviceNumber),
    /// A block device.
    BlockDevice(DeviceNumber),
    /// A named pipe.
    Fifo,
}

/// Where the bytes of a regular file are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// In one run.
    Whole {
        /// How many bytes.
        size: u64,
        /// Where they start in the archive: a multiple of 512.
        offset: u64,
    },
    /// In pieces, with holes between.
    Sparse(Box<SparseFile>),
}

impl Content {
    /// Returns the size of the file.
    pub fn size(&self) -> u64 {
        match self {
            Self::Whole { size, .. } => *size,
            Self::Sparse(file) => file.size(),
        }
    }
}

/// A device's major and minor number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceNumber {
    /// Which driver: 12 bits in the kernel.
    pub major: u32,
    /// Which of its devices: 20 bits in the kernel.
    pub minor: u32,
}

/// A moment: seconds since 1970, negative before, and nanoseconds after that second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Whole seconds, rounded down.
    pub seconds: i64,
    /// The rest, below 1,000,000,000.
    pub nanos: u32,
}

/// An extended attribute.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Xattr {
    /// The whole name, such as `security.capability`.
    pub name: Vec<u8>,
    /// The value, any bytes.
    pub value: Vec<u8>,
}
