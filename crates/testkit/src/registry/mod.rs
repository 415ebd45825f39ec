//! Registries for tests: Debian's own as a process ([`Real`]), and one that does what a test tells it ([`Server`] with
//! [`Memory`] behind it): wrong bytes, broken connections, slowness, tokens of every kind.
//!
//! All of them listen on loopback, at ports that the kernel chooses, and end when they are dropped.

mod authority;
mod memory;
mod real;
mod server;
mod token;

pub use authority::{Authority, Pair};
pub use memory::Memory;
pub use real::{Real, RealOptions};
pub use server::{Fault, Reply, Request, Server};
pub use token::TokenServer;
