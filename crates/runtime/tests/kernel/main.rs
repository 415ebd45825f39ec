//! Real containers from real bundles: root is needed, and nothing may be left behind.
//!
//! Every test is a process of its own, as nextest makes them: each first replaces itself by the same test binary on a
//! sealed mount (the runtime insists on that), moves into a mount namespace of its own, and runs containers whose output
//! comes back through pipes. Under plain `cargo test`, run one test at a time. What needs a newer kernel than the one
//! that runs says so.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on should say where, and why")]

mod confine;
mod errors;
mod exec;
mod harness;
mod hooks;
mod hostile;
mod life;
mod mounts;
mod namespaces;
mod overlay;
mod seccomp;
mod terminal;
