//! The client against Debian's registry, and against servers that misbehave: all on loopback. The package docker-registry
//! is needed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod answers;
mod blobs;
mod fixture;
mod lists;
mod logins;
mod mirrors;
mod real;
mod secrets;
mod tokens;
mod told;
mod uploads;
mod ways;
