//! The resolver against real sockets and real clients, in network namespaces of the tests' own. Needs root.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test that cannot go on has failed")]

mod answers;
mod changes;
mod forwarding;
mod fuzz;
mod place;
mod redirect;
mod upstreams;
