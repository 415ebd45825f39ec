//! Every system call of Conductor, and all of its `unsafe`.
//!
//! One wrapper, one call. Descriptors are `BorrowedFd` and `OwnedFd`, failures are [`Error`]s that print as strace would.
//! What `rustix` wraps safely is used from there; the rest (clone3, mount_setattr, bpf, seccomp, ...) is made here over
//! `libc`. A path from outside is resolved below a [`path::Root`]; from there on a descriptor travels in its place.
//!
//! Start reading at [`process`] (how a container's first process comes to be) and [`mount`] (how its root is made).

#![allow(unsafe_code, reason = "this is its home: the other crates deny it")]

pub mod bpf;
pub mod copy;
pub mod credentials;
pub mod errno;
pub mod event;
pub mod file;
pub mod inet;
pub mod link;
pub mod loopdev;
pub mod memory;
pub mod mount;
pub mod namespace;
pub mod netlink;
pub mod path;
pub mod pipe;
pub mod process;
pub mod pty;
pub mod scheduling;
mod sealed;
pub mod seccomp;
pub mod signal;
pub mod socket;

pub use errno::{Calling, Errno, Error, Result};
