//! The store against the real kernel: full disks, killed writers, EROFS mounts and shared page cache. Needs root.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod archives;
mod erofs;
mod fixture;
mod images;
mod interruption;
mod views;
