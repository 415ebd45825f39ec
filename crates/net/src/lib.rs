//! Networks: links, addresses, routes and the firewall, spoken in netlink, and the names that containers resolve.

pub mod names;
