//! A place on a bridge: a pair of links, an address and a default route, in as few messages as the kernel takes.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::bare::call;
use crate::owned;

const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
const REQUEST: u16 = 0x01;
const ACK: u16 = 0x04;
/// Make it, and refuse if it is there.
const CREATE: u16 = 0x400 | 0x200;
const ERROR: u16 = 2;
const UP: u32 = 1;
const INET: u8 = 2;
/// The kernel numbers the links of each namespace, and this one is there from its birth.
const LOOPBACK: u32 = 1;

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Place {
    /// The bridge, by its number.
    bridge: u32,
    address: Ipv4Addr,
    length: u8,
    router: Ipv4Addr,
    /// A socket about the namespace that the bridge is in.
    host: OwnedFd,
    /// What the port of the bridge is called. The kernel may still be taking the last one away, so each has its own name.
    port: String,
}

impl Place {
    /// Reads a bridge that exists, an address with the length of its subnet, and a router.
    pub(crate) fn parse(bridge: &str, address: &str, router: &str) -> io::Result<Self> {
        let wrong = |what: &str| io::Error::other(format!("{what} is no address"));
        let (number, length) = address.split_once('/').ok_or_else(|| wrong(address))?;
        Ok(Self {
            bridge: index(bridge)?,
            address: number.parse().map_err(|_| wrong(address))?,
            length: length.parse().map_err(|_| wrong(address))?,
            router: router.parse().map_err(|_| wrong(router))?,
            host: socket()?,
            port: format!("floor{}", std::process::id()),
        })
    }

    /// Makes the pair, one end of it a port of the bridge and the other in the namespace of a process, which the caller
    /// knows by this number.
    pub(crate) fn make(&self, process: usize) -> io::Result<()> {
        let mut pair = Batch::default();
        pair.message(NEW_LINK, CREATE, &link(0, UP), |body| {
            body.attribute(3, &zeroed(&self.port));
            body.attribute(10, &self.bridge.to_ne_bytes());
            body.nest(18, |info| {
                info.attribute(1, b"veth");
                info.nest(2, |data| {
                    data.nest(1, |peer| {
                        peer.0.extend_from_slice(&link(0, 0));
                        peer.attribute(3, &zeroed("eth0"));
                        peer.attribute(19, &(process as u32).to_ne_bytes());
                    });
                });
            });
        });
        pair.send(&self.host)
    }

    /// Brings up the end that is in our own namespace, and the loopback link.
    pub(crate) fn enter(&self) -> io::Result<()> {
        let far = index("eth0")?;
        let mut all = Batch::default();
        all.message(NEW_LINK, 0, &link(LOOPBACK, UP), |_| {});
        let head = [&[INET, self.length, 0, 0][..], &far.to_ne_bytes()].concat();
        all.message(NEW_ADDRESS, CREATE, &head, |body| {
            body.attribute(1, &self.address.octets());
            body.attribute(2, &self.address.octets());
        });
        all.message(NEW_LINK, 0, &link(far, UP), |_| {});
        // The main table, made at boot, anywhere, unicast.
        all.message(NEW_ROUTE, CREATE, &[INET, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0], |body| {
            body.attribute(5, &self.router.octets());
        });
        all.send(&socket()?)
    }
}

/// Messages that go in one call. The kernel tells of those that it refuses, and of the last in any case.
#[derive(Debug, Default)]
struct Batch {
    bytes: Body,
    /// Where the last message begins.
    last: usize,
    count: u32,
}

#[derive(Debug, Default)]
struct Body(Vec<u8>);

impl Batch {
    fn message(&mut self, kind: u16, flags: u16, fixed: &[u8], fill: impl FnOnce(&mut Body)) {
        self.last = self.bytes.0.len();
        self.count += 1;
        let Body(bytes) = &mut self.bytes;
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(flags | REQUEST).to_ne_bytes());
        bytes.extend_from_slice(&self.count.to_ne_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(fixed);
        fill(&mut self.bytes);
        let length = (self.bytes.0.len() - self.last) as u32;
        self.bytes.0[self.last..self.last + 4].copy_from_slice(&length.to_ne_bytes());
    }

    fn send(mut self, socket: &OwnedFd) -> io::Result<()> {
        let flags = &mut self.bytes.0[self.last + 6..self.last + 8];
        let with_ack = u16::from_ne_bytes([flags[0], flags[1]]) | ACK;
        flags.copy_from_slice(&with_ack.to_ne_bytes());
        let (socket, bytes) = (socket.as_raw_fd() as usize, &self.bytes.0);
        call(libc::SYS_sendto, &[socket, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0])?;
        loop {
            let mut answer = [0u8; 1024];
            let room = [answer.as_mut_ptr() as usize, answer.len()];
            call(libc::SYS_recvfrom, &[socket, room[0], room[1], 0, 0, 0])?;
            let word = |at: usize| u32::from_ne_bytes([answer[at], answer[at + 1], answer[at + 2], answer[at + 3]]);
            let (kind, number, errno) = (word(4) as u16, word(8), word(16).cast_signed());
            if kind == ERROR && errno != 0 {
                let error = io::Error::from_raw_os_error(-errno);
                return Err(io::Error::other(format!("netlink message {number}: {error}")));
            }
            if number == self.count {
                return Ok(());
            }
        }
    }
}

impl Body {
    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.nest(kind, |body| body.0.extend_from_slice(value));
    }

    fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.0.extend_from_slice(&[0, 0]);
        self.0.extend_from_slice(&kind.to_ne_bytes());
        fill(self);
        let length = (self.0.len() - start) as u16;
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}

/// The fixed part of a message about a link: `struct ifinfomsg`.
fn link(index: u32, up: u32) -> [u8; 16] {
    let mut fixed = [0; 16];
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    fixed[8..12].copy_from_slice(&up.to_ne_bytes());
    fixed[12..16].copy_from_slice(&up.to_ne_bytes());
    fixed
}

fn zeroed(name: &str) -> Vec<u8> {
    [name.as_bytes(), b"\0"].concat()
}

fn socket() -> io::Result<OwnedFd> {
    let kind = (libc::SOCK_RAW | libc::SOCK_CLOEXEC) as usize;
    owned(call(libc::SYS_socket, &[libc::AF_NETLINK as usize, kind, libc::NETLINK_ROUTE as usize])?)
}

/// Returns the number of a link of our own namespace.
fn index(name: &str) -> io::Result<u32> {
    let kind = (libc::SOCK_DGRAM | libc::SOCK_CLOEXEC) as usize;
    let socket = owned(call(libc::SYS_socket, &[libc::AF_INET as usize, kind, 0])?)?;
    // struct ifreq: sixteen bytes of name, then the number.
    let mut request = [0u8; 40];
    let room = request[..15].get_mut(..name.len()).ok_or_else(|| io::Error::other(format!("{name} is no link")))?;
    room.copy_from_slice(name.as_bytes());
    let words = [socket.as_raw_fd() as usize, libc::SIOCGIFINDEX as usize, request.as_mut_ptr() as usize];
    call(libc::SYS_ioctl, &words).map_err(|error| io::Error::other(format!("link {name}: {error}")))?;
    Ok(u32::from_ne_bytes([request[16], request[17], request[18], request[19]]))
}
