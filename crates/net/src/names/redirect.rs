//! Port 53 of the resolver's address, led to a port of the kernel's choice.
//!
//! While the resolver itself had port 53 of `127.0.0.11`, no program of its endpoint could listen on port 53 of all
//! addresses, which is what name servers do. So the resolver listens on some other port there ([`listen`]), and one small
//! table in the endpoint's own network ([`lead`]) writes that port into what is sent to port 53, and 53 into the answers.
//!
//! The kernel could translate by itself, but only where it tracks connections, and it would track all of the endpoint's,
//! at a tenth of the time that a small packet takes from one endpoint to another. Where the endpoint has connections
//! tracked for ends of its own, tracking stands between the two chains, and so sees the resolver's own port both ways.
//!
//! An endpoint that may change its own firewall can remove the table, and then has no names until it is led anew. It can do
//! so to itself alone.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::path::Path;

use sys::Errno;
use sys::netlink::Protocol;
use trace::{Explain, Recorder, Step, quote};

use super::server::Sockets;
use crate::firewall::FirewallError;
use crate::firewall::table::{Chain, Family, Hook, Load};
use crate::firewall::wire::{self, REGISTER};
use crate::netlink::{Refused, Request, Socket, Writer};

/// The resolver's address in every endpoint.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
/// The port at which an address is asked for names.
const PORT: u16 = 53;
/// The name of the table, of the address's family.
const TABLE: &str = "conductor_names";
/// How often another port is tried where the one of the kernel's choice is taken for the other protocol.
const TRIES: usize = 16;

/// One of the two ways between those who ask and the resolver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

/// A protocol in which names are asked for.
#[derive(Debug, Clone, Copy)]
struct Transport {
    name: &'static str,
    number: u8,
    /// Where the checksum is in its header.
    checksum_at: u32,
}

const TRANSPORTS: [Transport; 2] =
    [Transport { name: "udp", number: 17, checksum_at: 6 }, Transport { name: "tcp", number: 6, checksum_at: 16 }];

/// Listens at the resolver's address, on a port of the kernel's choice, in the network behind `namespace`, whose loopback
/// link must be on.
pub fn listen(namespace: BorrowedFd<'_>) -> io::Result<Sockets> {
    let bind = || {
        let mut again = 1..TRIES;
        loop {
            match Sockets::bind(SocketAddr::new(ADDRESS.into(), 0)) {
                Err(error) if error.kind() == ErrorKind::AddrInUse && again.next().is_some() => {}
                bound => return bound,
            }
        }
    };
    sys::inet::within(namespace, bind).map_err(|error| io::Error::from(error.errno()))?
}

/// Leads what is sent to port 53 of the address `to`, in the network behind `namespace`, to the port `to`, all of it or
/// nothing. What was led elsewhere before is led there from now on. `path` is the namespace's file, for those who read on.
pub fn lead(namespace: BorrowedFd<'_>, path: &Path, to: SocketAddr, recorder: &Recorder) -> Result<(), FirewallError> {
    let step = Lead { path, to };
    recorder.record(&step);
    let mut socket = Socket::open(Protocol::Netfilter, Some(namespace)).map_err(FirewallError::Socket)?;
    socket.transaction(&requests(to), None).map_err(|refused| {
        let first = refused.into_iter().next().map(|refused: Refused| refused.source);
        let source = first.unwrap_or_else(|| sys::Error::new("NFNL_MSG_BATCH()", Errno::IO));
        FirewallError::Step { what: step.explain().what, source }
    })
}

/// Makes what is not there yet, and the rules anew.
fn requests(to: SocketAddr) -> Vec<Request> {
    let family = family(to).number();
    let mut requests = vec![wire::about_table(family, wire::NEW_TABLE, wire::CREATE, TABLE)];
    for way in [Way::There, Way::Back] {
        let chain = way.chain();
        requests.push(wire::make_chain(family, TABLE, &chain));
        requests.push(wire::flush_chain(family, TABLE, chain.name));
        let rule = |transport| wire::make_rule(family, TABLE, chain.name, |list| rule(list, way, transport, to));
        requests.extend(TRANSPORTS.map(rule));
    }
    requests
}

fn rule(list: &mut Writer, way: Way, transport: Transport, to: SocketAddr) {
    let address = match to.ip() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let (end, offset) = match way {
        Way::There => (Load::Destination(family(to)), 2),
        Way::Back => (Load::Source(family(to)), 0),
    };
    let (before, after) = way.ports(to);
    wire::load(list, end, REGISTER);
    wire::compare(list, true, &address);
    wire::load(list, Load::Protocol, REGISTER);
    wire::compare(list, true, &[transport.number]);
    wire::payload(list, Load::TRANSPORT, offset, 2, REGISTER);
    wire::compare(list, true, &before.to_be_bytes());
    wire::immediate(list, REGISTER, &after.to_be_bytes());
    wire::write_port(list, offset, transport.checksum_at);
}

impl Way {
    /// The chain whose rules it has. Both see what is sent: before connections are tracked, and after.
    fn chain(self) -> Chain {
        let (name, priority) = match self {
            Self::There => ("there", -300),
            Self::Back => ("back", -150),
        };
        Chain { name, kind: "filter", hook: Hook::Output, priority, rules: &[] }
    }

    /// Returns the port that a packet has, and the one that it gets.
    fn ports(self, to: SocketAddr) -> (u16, u16) {
        match self {
            Self::There => (PORT, to.port()),
            Self::Back => (to.port(), PORT),
        }
    }
}

fn family(to: SocketAddr) -> Family {
    if to.is_ipv4() { Family::V4 } else { Family::V6 }
}

/// The making of the table.
struct Lead<'a> {
    path: &'a Path,
    to: SocketAddr,
}

impl Lead<'_> {
    /// Returns the lines that do the same, for nft.
    fn lines(&self) -> Vec<String> {
        let family = if self.to.is_ipv4() { "ip" } else { "ip6" };
        let mut lines = vec![format!("add table {family} {TABLE}")];
        for way in [Way::There, Way::Back] {
            let Chain { name, kind, hook, priority, .. } = way.chain();
            let chain = format!("{family} {TABLE} {name}");
            let place = format!("type {kind} hook {} priority {priority}; policy accept;", hook.name());
            lines.push(format!("add chain {chain} {{ {place} }}"));
            lines.push(format!("flush chain {chain}"));
            let (end, port) = if way == Way::There { ("daddr", "dport") } else { ("saddr", "sport") };
            let (before, after) = way.ports(self.to);
            lines.extend(TRANSPORTS.map(|Transport { name, .. }| {
                let which = format!("{family} {end} {} {name} {port} {before}", self.to.ip());
                format!("add rule {chain} {which} {name} {port} set {after}")
            }));
        }
        lines
    }
}

impl Explain for Lead<'_> {
    fn explain(&self) -> Step {
        let Self { path, to } = self;
        let path = path.to_string_lossy();
        Step::host(
            format!("lead port {PORT} of {} to the resolver at {to}, in the network namespace {path}", to.ip()),
            format!("nsenter --net={} nft {}", quote(&path), quote(&self.lines().join("\n"))),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_told_as_a_command() {
        let step = Lead { path: Path::new("/proc/7/ns/net"), to: "127.0.0.11:40001".parse().unwrap() };
        insta::assert_snapshot!(step.explain(), @r"
        + lead port 53 of 127.0.0.11 to the resolver at 127.0.0.11:40001, in the network namespace /proc/7/ns/net
              nsenter --net=/proc/7/ns/net nft 'add table ip conductor_names
              add chain ip conductor_names there { type filter hook output priority -300; policy accept; }
              flush chain ip conductor_names there
              add rule ip conductor_names there ip daddr 127.0.0.11 udp dport 53 udp dport set 40001
              add rule ip conductor_names there ip daddr 127.0.0.11 tcp dport 53 tcp dport set 40001
              add chain ip conductor_names back { type filter hook output priority -150; policy accept; }
              flush chain ip conductor_names back
              add rule ip conductor_names back ip saddr 127.0.0.11 udp sport 40001 udp sport set 53
              add rule ip conductor_names back ip saddr 127.0.0.11 tcp sport 40001 tcp sport set 53'
        ");
    }
}
