//! The store against the real kernel: full disks, killed writers, EROFS mounts and shared page cache. Needs root.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod archives;
mod cache;
mod compressed;
#[macro_use]
mod contract;
mod directories;
mod fixture;
mod images;
mod interruption;
mod trees;
mod views;
