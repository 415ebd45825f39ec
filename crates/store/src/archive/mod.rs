//! Tar archives, read for what they hold and where it lies; nothing is ever unpacked.
//!
//! A layer is a tar and stays one. What the rest of the house needs of it is a list of [`Member`]s: name, kind, owner,
//! times, extended attributes, and the place of the data inside the archive. [`Parser`] makes that list from bytes as
//! they come (so a layer is read while it is being downloaded and written), [`scan`] from a file, where it seeks over
//! the data. Both take ustar, V7, star, GNU (long names, base-256 numbers, old sparse files) and PAX (1.0 sparse files
//! and their ancestors, `SCHILY.xattr.` attributes) as GNU tar and Go's `archive/tar` do.
//!
//! It does not know what a whiteout is, and names are as the archive spells them: both are `erofs::Tree`'s business.
//!
//! Start reading at [`Member`], then [`Parser::push`]; [`SparseFile`] tells how holes are kept.

mod extension;
mod fault;
mod header;
mod member;
mod number;
mod parser;
mod scan;
mod sparse;

pub use fault::{ArchiveError, Fault};
pub use member::{Content, DeviceNumber, Member, MemberKind, Time, Xattr};
pub use parser::Parser;
pub use scan::scan;
pub use sparse::{Chunk, Extent, SparseFile};

/// The unit of tar: headers are one block, data starts at one and is padded to the next.
pub const BLOCK: u64 = 512;
