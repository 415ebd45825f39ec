//! Real cgroups on the host that runs the tests, whichever kind it is: root is needed, and nothing is left behind.
//!
//! Each test has a cgroup of its own below `conductor-test-<pid>`, and compares what is there before and after.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod devices;
mod host;
mod life;
mod limits;
mod told;
