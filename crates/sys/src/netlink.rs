//! Netlink sockets: how the kernel is spoken to about links, addresses, routes and the firewall (netlink(7)).
//!
//! The kernel handles a message while it is sent and has queued all answers when the call returns (a dump goes on with
//! each read). So the sockets are non-blocking: that nothing is there to read means that nothing will come.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::errno::check;
use crate::namespace::{self, NamespaceKind};
use crate::{Calling, Errno, Error, Result};

/// Whom a netlink socket speaks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Links, addresses and routes (rtnetlink(7)).
    Route,
    /// nf_tables and connection tracking.
    Netfilter,
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Self::Route => "NETLINK_ROUTE",
            Self::Netfilter => "NETLINK_NETFILTER",
        }
    }
}

/// Opens a socket that speaks about the calling thread's network namespace.
pub fn open(protocol: Protocol) -> Result<OwnedFd> {
    let number = match protocol {
        Protocol::Route => None,
        Protocol::Netfilter => Some(rustix::net::netlink::NETFILTER),
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, number)
        .call(|| format!("socket(AF_NETLINK, SOCK_RAW, {})", protocol.name()))?;
    // Words beside the error number, and no copy of the request in an answer.
    set(&socket, libc::NETLINK_EXT_ACK, "NETLINK_EXT_ACK")?;
    set(&socket, libc::NETLINK_CAP_ACK, "NETLINK_CAP_ACK")?;
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, 0)).call(|| "bind(AF_NETLINK)")?;
    Ok(socket)
}

/// Opens a socket that speaks about the network namespace behind `ns`, wherever the caller is.
///
/// A socket belongs to the namespace of the thread that opens it. A thread made for this enters `ns`, opens the socket
/// and ends, so that nothing can leave the caller's own thread in the wrong place.
pub fn open_in(ns: BorrowedFd<'_>, protocol: Protocol) -> Result<OwnedFd> {
    let opened = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(64 * 1024).spawn_scoped(scope, || {
            namespace::enter(ns, NamespaceKind::Network)?;
            open(protocol)
        });
        // The closure does not panic; a join that fails is told as what a thread lacks.
        thread.map(|thread| thread.join().unwrap_or_else(|_| Err(Error::new("pthread_join()", Errno::IO))))
    });
    opened.call(|| "clone(CLONE_THREAD)")?
}

/// Sends messages to the kernel, all of them at once.
pub fn send(socket: impl AsFd, bytes: &[u8]) -> Result<()> {
    let socket = socket.as_fd();
    let kernel = SocketAddrNetlink::new(0, 0);
    let sent = rustix::io::retry_on_intr(|| rustix::net::sendto(socket, bytes, SendFlags::empty(), &kernel));
    sent.call(|| format!("sendto({}, {} bytes)", socket.as_raw_fd(), bytes.len())).map(drop)
}

/// Receives the next of the kernel's answers; `None` when there is none.
///
/// An answer longer than `buffer` is `EMSGSIZE`, and one that the kernel had no room for is `ENOBUFS`.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Result<Option<usize>> {
    let socket = socket.as_fd();
    let call = |room: usize| format!("recv({}, {room} bytes)", socket.as_raw_fd());
    loop {
        match rustix::net::recv(socket, &mut *buffer, RecvFlags::TRUNC) {
            Ok((_, length)) if length > buffer.len() => return Err(Error::new(call(buffer.len()), Errno::MSGSIZE)),
            Ok((_, length)) => return Ok(Some(length)),
            Err(Errno::AGAIN) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::new(call(buffer.len()), errno)),
        }
    }
}

/// Lets a socket hold so many bytes of answers, for a batch of many messages; where that is beyond what the host grants
/// everybody, only for root.
pub fn set_receive_buffer(socket: impl AsFd, bytes: usize) -> Result<()> {
    use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
    let socket = socket.as_fd();
    set_socket_recv_buffer_size_force(socket, bytes)
        .or_else(|_| set_socket_recv_buffer_size(socket, bytes))
        .call(|| format!("setsockopt({}, SO_RCVBUF, {bytes})", socket.as_raw_fd()))
}

fn set(socket: &OwnedFd, option: libc::c_int, name: &'static str) -> Result<()> {
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on)).unwrap_or(4);
    // SAFETY: the kernel reads `length` bytes at the pointer, which is that many bytes of `on`, alive for the call.
    let ret = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_NETLINK, option, std::ptr::from_ref(&on).cast(), length)
    };
    check(ret.into(), || format!("setsockopt({}, SOL_NETLINK, {name})", socket.as_raw_fd())).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_was_asked_nothing_is_there() {
        let socket = open(Protocol::Route).unwrap();
        assert_eq!(receive(&socket, &mut [0; 64]).unwrap(), None);
    }

    #[test]
    fn a_socket_of_our_own_namespace_can_be_had_by_its_descriptor() {
        let own = namespace::open_of(0, NamespaceKind::Network).unwrap();
        match open_in(own.as_fd(), Protocol::Route) {
            Ok(_) => {}
            // Entering even one's own namespace takes a privilege.
            Err(error) => assert_eq!(error.errno(), Errno::PERM),
        }
    }
}
