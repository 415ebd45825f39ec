//! Unpacking: a merged tree becomes directories and files of the host, for kernels and users that cannot mount an index.
//!
//! ```text
//!  layer tars ──▶ erofs::Tree ──plan──▶ Step, Step, Step, ...      the parent: reads archives, decides, allocates
//!                                          │
//!                                      clone3 ──▶ worker            its own mount, PID, IPC and (empty) network namespace;
//!                                                  apply            its root is the directory to be filled; open are the
//!                                                                   tars, for reading, and a pipe; six or so capabilities;
//!                                                                   a filter of two dozen calls
//! ```
//!
//! Whiteouts, links on the way, repeated names and what climbs out of the root have been dealt with in the tree, as for an
//! index: what is left are single names below directories that the worker has just made. Each is made once, on the
//! descriptor of its directory, and no path of the image is ever given to the kernel. A file of several names is made
//! aside, under a number, and linked from there. One directory is open at a time, whatever the depth; the way back is
//! `..`, which must lead to the very directory that was left.
//!
//! Start reading at [`plan`], then `apply`.

mod apply;
mod error;
mod plan;
mod worker;

use std::os::fd::AsFd;

pub use error::UnpackError;
pub(crate) use plan::{Ability, plan};

/// The directory that is filled, within the one that is given.
pub(crate) const TREE: &str = "tree";
/// Where files of several names are made, beside it.
const ASIDE: &str = "aside";

/// Fills `directory` with the tree, as [`TREE`], by way of a worker that can reach nothing else; `tars` are the layers.
pub(crate) fn unpack(plan: &plan::Plan<'_>, tars: &[std::fs::File], directory: impl AsFd) -> Result<(), UnpackError> {
    worker::employ(plan, tars, directory.as_fd())
}
