//! Speaking netlink: messages as bytes ([`codec`]), and a socket that sends them in batches ([`socket`]).
//!
//! Both the links of [`link`](crate::link) and the firewall of [`firewall`](crate::firewall) are spoken over it.

pub(crate) mod codec;
pub(crate) mod socket;

pub(crate) use codec::{Answer, Request, Writer, attributes};
pub(crate) use socket::{Refused, Socket};
