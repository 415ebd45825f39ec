//! Networks: links, addresses, routes and the firewall, spoken in netlink, and the names that containers resolve.
//!
//! No tool is run: what `ip` and `nft` would do is said to the kernel directly, in few messages, and every step can tell
//! the command that does the same. This crate knows endpoints and network namespaces, and has never heard of a container.
//!
//! Start reading at [`link`] (bridges, pairs, addresses, routes) and [`firewall`] (who reaches whom);
//! [`names`] is the resolver that runs beside a container.

pub mod firewall;
pub mod link;
pub mod names;
mod netlink;
