//! The index of an image: one EROFS file over all its layer tars, which the kernel mounts straight from the file.
//!
//! ```text
//!  layer tars                     Tree                          index
//!  (files, one a layer)           (all layers merged)           (names, modes, links, xattrs, chunk addresses)
//!  tar 0 ──archive::Parser──▶ add_layer ┐
//!  tar 1 ──archive::Parser──▶ add_layer ┼─▶ Layout::plan ─▶ write ─▶ superblock | devices | inodes | xattrs | blocks
//!  tar 2 ──archive::Parser──▶ add_layer ┘
//! ```
//!
//! The index holds no file data: a regular file is a *chunk-based inode* whose chunk addresses name a device (the layer,
//! counted from 1) and a block of 512 bytes in it, the unit in which tars are laid out. The tars are given to the mount
//! as its extra devices, in the order of the layers; the device table says which digest is expected where. Only what tars
//! store off their block grid (odd pieces of sparse files) is copied into the index.
//!
//! The same layers give the same bytes: nothing of the host or the hour goes in, the UUID comes from the digests, and the
//! time that short inodes share is the one most files have.
//!
//! The kernel wants Linux 6.12 to mount from files, 5.16 for extra devices; 4.19 knows the rest of the format.
//!
//! Start reading at [`Tree`] (how layers merge) and [`Layout`] (what goes where); [`Index`] reads an index back.

mod crc32c;
mod directory;
mod disk;
mod layout;
mod merge;
mod name;
mod place;
mod prune;
mod reader;
mod resolve;
mod tree;
mod writer;
mod xattr;

pub use layout::{Layout, LayoutError};
pub use merge::{LayerBuilder, LayerError, LayerSummary, MergeError};
pub use reader::{Entry, Index, IndexError, Origin, Piece, ReadAt};
pub use resolve::ResolveError;
pub use tree::{Body, Data, Directory, Inode, InodeId, Node, Tree};
pub use writer::{Summary, WriteError, write};
pub(crate) use xattr::escape as escaped_xattr;
