//! What the tests stand on: sandboxes, fixtures, a real terminal, and counters of what is left behind.
//!
//! A test that meets the kernel begins with a [`Sandbox`]: namespaces, cgroups and directories of its own, so that it can
//! neither harm the host nor be disturbed by another test, and so that whatever it leaves can be counted
//! ([`Sandbox::assert_clean`]). [`Conductor`] runs the program in it, [`Terminal`] runs it on a real terminal,
//! [`fixture`] makes what it is fed with, [`archives`] what no sane program would be fed with, [`registry`] is where it pulls from,
//! [`signing`] signs what lies there.
//!
//! Everything here panics on failure, with what was expected and what came: it is called by tests alone.

mod cgroups;
mod leaks;
mod networks;
mod program;
mod sandbox;
mod terminal;
mod web;

pub mod archives;
pub mod fixture;
pub mod registry;
pub mod seccomp;
pub mod signing;
pub mod world;

pub use leaks::Census;
pub use program::{Conductor, Ran};
pub use sandbox::Sandbox;
pub use terminal::Terminal;
pub use web::{Web, web};
pub use world::World;

use std::time::{Duration, Instant};

/// How long anything that must happen may take before the test gives up. Only a failing test waits as long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until the answer is `Some`, and gives up with what was waited for after [`PATIENCE`].
///
/// It is for what the kernel or another process does by itself and tells nobody about; whatever can be waited for by a
/// descriptor is waited for by that.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}
