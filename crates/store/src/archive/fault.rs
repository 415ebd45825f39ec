//! What can be wrong with an archive.

/// Why an archive cannot be read, and where.
#[derive(Debug, thiserror::Error)]
#[error("the archive is not readable at byte {offset}")]
pub struct ArchiveError {
    /// Where the faulty block starts.
    pub offset: u64,
    /// What is wrong there.
    #[source]
    pub fault: Fault,
}

/// What is wrong at a place in an archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The header's checksum does not match: damage, or not a tar at all.
    #[error("no tar header stands here (its checksum is wrong)")]
    Checksum,
    /// A number is neither octal nor base-256, or larger than its meaning allows.
    #[error("the {field} of the header is not a number in range")]
    Number {
        /// Which number.
        field: &'static str,
    },
    /// A kind of member that has no meaning here.
    #[error("members of type {:?} are not known", char::from(*flag))]
    Type {
        /// The type flag.
        flag: u8,
    },
    /// An extended header that nobody would write in good faith.
    #[error("the {what} is {size} bytes long, more than the {limit} that are taken")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// How long it says it is.
        size: u64,
        /// How long it may be.
        limit: u64,
    },
    /// An extended header that is not made of `length key=value` lines.
    #[error("the extended header is malformed: {why}")]
    Extension {
        /// What is wrong with it.
        why: &'static str,
    },
    /// A sparse map that does not describe a file.
    #[error("the map of the sparse file is malformed: {why}")]
    Sparse {
        /// What is wrong with it.
        why: &'static str,
    },
    /// An extended header with no member behind it.
    #[error("the archive ends after an extended header, before the member it describes")]
    Orphan,
    /// The archive ends too early.
    #[error("the archive ends here, inside {what}")]
    Truncated {
        /// What was being read.
        what: &'static str,
    },
    /// The bytes could not be read.
    #[error("cannot read the archive")]
    Read(#[source] std::io::Error),
}

impl Fault {
    /// Says where it is.
    pub(super) fn at(self, offset: u64) -> ArchiveError {
        ArchiveError { offset, fault: self }
    }
}
