//! Real links, addresses, routes and firewall rules: root is needed, and each test has network namespaces of its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod firewall;
mod foreign;
mod links;
mod reach;
mod sctp;
mod space;
mod talk;
mod told;
