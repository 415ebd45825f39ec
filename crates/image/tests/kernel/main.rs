//! Images made on the real kernel: imported, bootstrapped, carried along. Needs root.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod bootstrap;
mod fixture;
mod hello;
mod import;
