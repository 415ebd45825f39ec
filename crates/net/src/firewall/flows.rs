//! Connections that the kernel tracks: finding those of an endpoint or a port, and forgetting them.
//!
//! A rule decides about the first packet of a connection, and connection tracking remembers. For UDP that is a trap: a
//! client that goes on sending to a port that was published, or was not, or is now another's, keeps its connection alive
//! and its packets going where they went before. So whoever publishes or withdraws a port forgets what was.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;

use sys::Errno;
use sys::netlink::Protocol;

use super::{FirewallError, Publication, Transport};
use crate::netlink::{Answer, Request, Socket, attributes};

const GET: u16 = 0x0101;
const DELETE: u16 = 0x0102;
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const FIXED_LENGTH: usize = 4;

/// A tracked connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// The protocol.
    pub transport: Transport,
    /// Who began it.
    pub from: SocketAddr,
    /// Whom it was meant for.
    pub to: SocketAddr,
    /// Who answers: another than [`to`](Self::to) if the destination was translated.
    pub answered_by: SocketAddr,
    /// The original direction as the kernel tells it, by which it takes it back.
    original: Vec<u8>,
}

impl Flow {
    /// Tells whether the connection came by the port that is published, wherever it was sent.
    pub fn came_by(&self, publication: &Publication) -> bool {
        let own = publication.address;
        let address = own.is_unspecified() && own.is_ipv4() == self.to.is_ipv4() || own == self.to.ip();
        address && self.to.port() == publication.port && self.transport == publication.transport
    }

    /// Tells whether an address is one of its ends.
    pub fn is_of(&self, address: IpAddr) -> bool {
        [self.from, self.to, self.answered_by].iter().any(|end| end.ip() == address)
    }
}

/// Makes the kernel forget the connections that `which` picks, in the calling thread's namespace or in the one behind
/// `namespace`, and returns how many there were.
pub fn forget(namespace: Option<BorrowedFd<'_>>, which: impl Fn(&Flow) -> bool) -> Result<usize, FirewallError> {
    let mut socket = Socket::open(Protocol::Netfilter, namespace).map_err(FirewallError::Socket)?;
    let all = Request::new(GET, 0, "IPCTNL_MSG_CT_GET(NLM_F_DUMP)".into(), |body| {
        body.raw(&[0; FIXED_LENGTH]);
    });
    let flows = socket.dump(&all, read).map_err(FirewallError::Read)?;
    let requests: Vec<_> = flows.iter().filter(|flow| which(flow)).map(delete).collect();
    let refused = socket.batch(&requests);
    // One that has ended by itself meanwhile is as good as forgotten.
    match refused.into_iter().find(|refused| refused.source.errno() != Errno::NOENT) {
        Some(refused) => {
            Err(FirewallError::Step { what: "forget a tracked connection".into(), source: refused.source })
        }
        None => Ok(requests.len()),
    }
}

fn delete(flow: &Flow) -> Request {
    let what = format!("IPCTNL_MSG_CT_DELETE({}, {} -> {})", flow.transport, flow.from, flow.to);
    let family = if flow.from.is_ipv4() { 2 } else { 10 };
    Request::new(DELETE, 0, what, |body| {
        body.raw(&[family, 0, 0, 0]).nest(ORIGINAL, |tuple| {
            tuple.raw(&flow.original);
        });
    })
}

fn read(answer: &Answer<'_>) -> Option<Flow> {
    let held = |wanted| answer.attributes(FIXED_LENGTH).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let original = held(ORIGINAL)?;
    let (transport, from, to) = direction(original)?;
    let (_, answered_by, _) = direction(held(REPLY)?)?;
    Some(Flow { transport, from, to, answered_by, original: original.to_vec() })
}

/// Reads one direction of a connection: protocol, source, destination. Protocols without ports are left out.
fn direction(tuple: &[u8]) -> Option<(Transport, SocketAddr, SocketAddr)> {
    let held = |bytes, wanted| attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let (addresses, protocol) = (held(tuple, 1)?, held(tuple, 2)?);
    let address = |v4, v6| match (held(addresses, v4), held(addresses, v6)) {
        (Some(bytes), _) => Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        (_, Some(bytes)) => Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => None,
    };
    let port = |kind| Some(u16::from_be_bytes(held(protocol, kind)?.try_into().ok()?));
    let transport = Transport::by_number(*held(protocol, 1)?.first()?)?;
    let end = |v4, v6, kind| Some(SocketAddr::new(address(v4, v6)?, port(kind)?));
    Some((transport, end(1, 3, 2)?, end(2, 4, 3)?))
}
