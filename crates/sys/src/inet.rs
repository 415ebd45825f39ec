//! Internet sockets that take a port, and links by their name (ip(7), netdevice(7)).

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto};

use crate::namespace::{self, NamespaceKind};
use crate::{Calling, Errno, Error, Result};

/// A protocol that has ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP, which not every kernel has.
    Sctp,
}

/// Takes a port for as long as the socket is open; nobody else can be bound to it meanwhile. Port 0 is one of the kernel's
/// choice. Returns the socket with its address.
///
/// A port on which connections of a server that has ended still linger (TIME_WAIT) is taken as servers take it: by
/// `SO_REUSEADDR`, and by listening, which is what makes it ours alone then.
pub fn take_port(at: SocketAddr, kind: Kind) -> Result<(OwnedFd, SocketAddr)> {
    match bind(at, kind, false) {
        Err(error) if error.errno() == Errno::ADDRINUSE && kind == Kind::Tcp => {
            let (socket, bound) = bind(at, kind, true)?;
            rustix::net::listen(&socket, 0).call(|| format!("listen({at})"))?;
            Ok((socket, bound))
        }
        taken => taken,
    }
}

fn bind(at: SocketAddr, kind: Kind, again: bool) -> Result<(OwnedFd, SocketAddr)> {
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let (kind, protocol) = match kind {
        Kind::Tcp => (SocketType::STREAM, None),
        Kind::Udp => (SocketType::DGRAM, None),
        Kind::Sctp => (SocketType::STREAM, Some(ipproto::SCTP)),
    };
    let socket =
        rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, protocol).call(|| format!("socket(for {at})"))?;
    if at.is_ipv6() {
        // The same port of IPv4 is another matter.
        rustix::net::sockopt::set_ipv6_v6only(&socket, true).call(|| "setsockopt(IPV6_V6ONLY, 1)")?;
    }
    if again {
        rustix::net::sockopt::set_socket_reuseaddr(&socket, true).call(|| "setsockopt(SO_REUSEADDR, 1)")?;
    }
    rustix::net::bind(&socket, &at).call(|| format!("bind({at})"))?;
    let bound = address(&socket)?;
    Ok((socket, bound))
}

/// Returns the address that a socket is bound to.
pub fn address(socket: impl AsFd) -> Result<SocketAddr> {
    let bound = rustix::net::getsockname(socket.as_fd()).call(|| "getsockname()")?;
    SocketAddr::try_from(bound).map_err(|_| Error::new("getsockname()", Errno::AFNOSUPPORT))
}

/// Returns the index of a link of the caller's network namespace; `None` when there is no such link.
pub fn link_index(name: &str) -> Result<Option<u32>> {
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .call(|| "socket(AF_UNIX, SOCK_DGRAM)")?;
    match rustix::net::netdevice::name_to_index(&socket, name) {
        Ok(index) => Ok(Some(index)),
        Err(Errno::NODEV) => Ok(None),
        Err(errno) => Err(Error::new(format!("ioctl({}, SIOCGIFINDEX, {name:?})", socket.as_raw_fd()), errno)),
    }
}

/// Does something in the network namespace behind `ns`, on a thread made for it: nothing can leave the caller's own thread in
/// the wrong place.
pub fn within<T: Send>(ns: BorrowedFd<'_>, act: impl FnOnce() -> T + Send) -> Result<T> {
    let ns = ns.as_fd();
    let done = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(128 * 1024).spawn_scoped(scope, || {
            namespace::enter(ns, NamespaceKind::Network)?;
            Ok(act())
        });
        // A thread that panics is told as what it lacks.
        thread.map(|thread| thread.join().unwrap_or_else(|_| Err(Error::new("pthread_join()", Errno::IO))))
    });
    done.call(|| "clone(CLONE_THREAD)")?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_taken_once() {
        for kind in [Kind::Tcp, Kind::Udp] {
            let (_socket, bound) = take_port("127.0.0.1:0".parse().unwrap(), kind).unwrap();
            assert_ne!(bound.port(), 0);
            assert_eq!(take_port(bound, kind).unwrap_err().errno(), Errno::ADDRINUSE);
            let everywhere = SocketAddr::new("0.0.0.0".parse().unwrap(), bound.port());
            assert_eq!(take_port(everywhere, kind).unwrap_err().errno(), Errno::ADDRINUSE);
        }
    }

    #[test]
    fn a_port_with_lingering_connections_can_be_taken() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = server.local_addr().unwrap();
        let client = std::net::TcpStream::connect(at).unwrap();
        let (connection, _) = server.accept().unwrap();
        // Who closes first is left with the connection in TIME_WAIT.
        drop((server, connection));
        drop(client);
        let (_socket, _) = take_port(at, Kind::Tcp).unwrap();
        assert_eq!(take_port(at, Kind::Tcp).unwrap_err().errno(), Errno::ADDRINUSE);
        assert_eq!(std::net::TcpListener::bind(at).unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
    }

    #[test]
    fn the_loopback_link_has_a_number() {
        assert_eq!(link_index("lo").unwrap(), Some(1));
        assert_eq!(link_index("conductor-no").unwrap(), None);
    }
}
