//! Links, addresses and routes.
//!
//! A change is a [`LinkStep`]: typed, told as an `ip` command, made by plain functions ([`plan`]) and carried out by
//! [`Links::apply`], which sends what it can in one message batch for each network namespace. [`Network::read`] tells what
//! a namespace has: which subnets are taken, and which link leads out.
//!
//! A new pair of links gets its far end straight into the container's namespace, with name, MAC address and MTU, so that
//! no link ever has to be moved or renamed. A step inside another namespace goes over a socket that was opened there
//! ([`sys::netlink::open_in`]); the calling thread never leaves its own.

mod apply;
mod mac;
mod network;
pub mod plan;
mod request;
mod step;

pub use apply::{LinkError, Links};
pub use mac::{Mac, MacError};
pub use network::{Address, Link, Network, RouteEntry};
pub use step::{Far, IpvlanMode, LinkChange, LinkKind, LinkStep, MacvlanMode, NewLink, Route, Within};
