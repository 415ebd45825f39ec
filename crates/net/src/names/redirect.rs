//! Port 53 of the resolver's address, led to a port of the kernel's choice.
//!
//! While the resolver itself had port 53 of `127.0.0.11`, no program of its endpoint could listen on port 53 of all
//! addresses, which is what name servers do. So the resolver listens on some other port there ([`listen`]), and one small
//! table in the endpoint's own network ([`lead`]) leads to it what is sent to port 53. The kernel translates the answers
//! back, so that they come from where they were asked for.
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
const CHAIN: Chain = Chain { name: "output", kind: "nat", hook: Hook::Output, priority: -100, rules: &[] };
const TRANSPORTS: [(&str, u8); 2] = [("udp", 17), ("tcp", 6)];
/// The register for a port beside an address of either family.
const PORT_REGISTER: u32 = REGISTER + 4;
/// How often another port is tried where the one of the kernel's choice is taken for the other protocol.
const TRIES: usize = 16;

/// Listens at the resolver's address, on a port of the kernel's choice, in the network behind `namespace`, whose loopback
/// link must be on.
pub fn listen(namespace: BorrowedFd<'_>) -> io::Result<Sockets> {
    let bind = || {
        let address = SocketAddr::new(ADDRESS.into(), 0);
        let mut bound = Sockets::bind(address);
        for _ in 1..TRIES {
            match bound {
                Err(error) if error.kind() == ErrorKind::AddrInUse => bound = Sockets::bind(address),
                bound => return bound,
            }
        }
        bound
    };
    sys::inet::within(namespace, bind).map_err(|error| io::Error::from(error.errno()))?
}

/// Leads what is sent to port 53 of the address `to`, in the network behind `namespace`, to the port `to`, all of it or
/// nothing. What was led elsewhere before is led there from now on. `path` is the namespace's file, for those who read on.
pub fn lead(namespace: BorrowedFd<'_>, path: &Path, to: SocketAddr, recorder: &Recorder) -> Result<(), FirewallError> {
    let step = Lead { path, to };
    recorder.record(&step);
    let mut socket = Socket::open(Protocol::Netfilter, Some(namespace)).map_err(FirewallError::Socket)?;
    let mut done = socket.transaction(&make(to, wire::EXCLUSIVE), None);
    if done.as_ref().is_err_and(|refused| refused.iter().any(|one| one.source.errno() == Errno::EXIST)) {
        let mut requests = wire::remove_table(family(to).number(), TABLE).to_vec();
        requests.extend(make(to, 0));
        done = socket.transaction(&requests, None);
    }
    done.map_err(|refused| {
        let first = refused.into_iter().next().map(|Refused { source, .. }| source);
        let source = first.unwrap_or_else(|| sys::Error::new("NFNL_MSG_BATCH()", Errno::IO));
        FirewallError::Step { what: step.explain().what, source }
    })
}

fn make(to: SocketAddr, flags: u16) -> Vec<Request> {
    let family = family(to);
    let mut requests = vec![
        wire::about_table(family.number(), wire::NEW_TABLE, wire::CREATE | flags, TABLE),
        wire::make_chain(family.number(), TABLE, &CHAIN),
    ];
    requests.extend(
        TRANSPORTS.map(|(_, transport)| {
            wire::make_rule(family.number(), TABLE, CHAIN.name, |list| rule(list, transport, to))
        }),
    );
    requests
}

fn rule(list: &mut Writer, transport: u8, to: SocketAddr) {
    let address = match to.ip() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let mut is = |what, value: &[u8]| {
        wire::load(list, what, REGISTER);
        wire::compare(list, true, value);
    };
    is(Load::Destination(family(to)), &address);
    is(Load::Protocol, &[transport]);
    is(Load::Port, &PORT.to_be_bytes());
    wire::immediate(list, REGISTER, &address);
    wire::immediate(list, PORT_REGISTER, &to.port().to_be_bytes());
    wire::translate(list, family(to), PORT_REGISTER);
}

fn family(to: SocketAddr) -> Family {
    if to.is_ipv4() { Family::V4 } else { Family::V6 }
}

/// The making of the table.
struct Lead<'a> {
    path: &'a Path,
    to: SocketAddr,
}

impl Explain for Lead<'_> {
    fn explain(&self) -> Step {
        let Self { path, to } = self;
        let family = if to.is_ipv4() { "ip" } else { "ip6" };
        let Chain { name, kind, hook, priority, .. } = CHAIN;
        let rules = TRANSPORTS
            .map(|(transport, _)| format!("    {family} daddr {} {transport} dport {PORT} dnat to {to}\n", to.ip()));
        let script = format!(
            "add table {family} {TABLE}\ndelete table {family} {TABLE}\ntable {family} {TABLE} {{\n  chain {name} {{\n    \
             type {kind} hook {} priority {priority}; policy accept;\n{}  }}\n}}",
            hook.name(),
            rules.concat()
        );
        let path = path.to_string_lossy();
        Step::host(
            format!("lead port {PORT} of {} to the resolver at {to}, in the network namespace {path}", to.ip()),
            format!("nsenter --net={} nft {}", quote(&path), quote(&script)),
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
              delete table ip conductor_names
              table ip conductor_names {
                chain output {
                  type nat hook output priority -100; policy accept;
                  ip daddr 127.0.0.11 udp dport 53 dnat to 127.0.0.11:40001
                  ip daddr 127.0.0.11 tcp dport 53 dnat to 127.0.0.11:40001
                }
              }'
        ");
    }
}
