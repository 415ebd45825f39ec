//! The runtime in the kernel, each test with namespaces, or a thread, of its own.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod seccomp;
