//! The firewall: one nf_tables table of our own, `inet conductor`, whose rules never change.
//!
//! A network, an endpoint, a published port or a pair of peers is nothing but elements of sets and maps ([`NetworkRules`],
//! [`Publication`], [`Peers`] give them), so that adding the 500th costs what the first did, and a change is one
//! transaction: all of it holds, or nothing of it ([`FirewallStep::Change`]). What is looked up is hashed, except for the
//! few subnets of networks.
//!
//! | set or map | key | leads to | what it says |
//! |---|---|---|---|
//! | `inside` | link | | the host's end of a network: a bridge, or a link that stands alone |
//! | `closed` | link | | who comes from here goes nowhere else (internal networks; endpoints without a way out) |
//! | `joined` | link . link | | who comes from the one may go to the other; a bridge to itself, too |
//! | `peers4`, `peers6` | source . destination | | these two addresses may talk, whatever the rest says |
//! | `masquerade4`, `6` | subnet | | leaves with the host's address as its source |
//! | `hairpin4`, `6` | subnet . link | | a translated connection from this subnet back to its own link |
//! | `published4`, `6` | address . protocol . port | address . port | a port published on one address of the host |
//! | `ports4`, `6` | protocol . port | address . port | a port published on all addresses of the host |
//! | `loopback4` | address . protocol . port | address | the source of a connection from loopback to a published port |
//! | `loopback_ports4`, `loopback6` | protocol . port | address | the same, where it is published on all, and on `::1` |
//!
//! # The way in
//!
//! `prerouting` translates the destination of what comes from outside and from containers, `output` that of what the
//! host itself sends. The source stays as it is, so a server sees its client's own address. There is one exception: a
//! *hairpin*, a connection that leaves by the network it came from. The server would answer its client directly, past
//! the translation (and a container that talks to itself would refuse a packet from its own address), so these get the
//! bridge's address as their source.
//!
//! # Loopback
//!
//! A connection to `127.0.0.1:8080` has the source `127.0.0.1`, and the kernel neither routes such a packet to a bridge
//! nor takes the answer from there, unless `route_localnet` is set, which opens the host's loopback services to whoever is
//! on that link (CVE-2020-8558), and which IPv6 does not have at all. So the source is changed before connection tracking
//! sees the packet: `loopback_out` writes the gateway's address into it. From then on it is a connection from the gateway,
//! which may be translated and routed like any other. The answer comes to the gateway's address; once the kernel has
//! translated its source back to `127.0.0.1:8080`, which happens behind the routing decision, `loopback_in` writes the
//! client's `127.0.0.1` back in. Nobody on the wire can forge such an answer: a packet with a loopback source that comes
//! from a link other than `lo` is dropped before it gets there. Nor can a neighbour reach a port of loopback by sending to
//! the loopback address: `prerouting` drops that before it translates. `::1` goes the same way.
//!
//! # Who may talk to whom
//!
//! `forward` lets pass, in this order: what belongs to a connection that stands; what is joined; peers. Then it drops what
//! comes from a closed link; lets pass what was translated to one of our links, which is what ports are published for; and
//! drops all else that would go to one of our links. What remains goes outside, or is not ours, and other tables decide:
//! a table can only forbid what others allow. So those that forbid by habit are told to let our links pass
//! ([`Firewall::admit`]). Connections that stand end with their endpoints, not with an element, unless they are forgotten
//! ([`forget`]).
//!
//! # Being one of several
//!
//! Any other tool may flush the whole ruleset, and then our table is gone: [`Firewall::state`] tells, and a
//! [`FirewallStep::Rebuild`] with the elements that are known from records makes all of it anew in one transaction.
//! [`Firewall::withdraw`] takes back all that there is of us.

mod apply;
mod flows;
mod foreign;
mod message;
mod rules;
mod set;
mod step;
pub(crate) mod table;
pub(crate) mod wire;

pub use apply::{Firewall, FirewallError, State};
pub use flows::{Flow, forget};
pub use rules::{NetworkRules, Peers, Publication};
pub use set::{Element, Part, Set, Transport};
pub use step::FirewallStep;
