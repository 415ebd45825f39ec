//! Unix sockets: pairs, names below a directory, descriptors in messages (unix(7)).

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

use crate::{Calling, Errno, Error, Result};

/// Makes two connected sockets that keep the bounds of messages and tell when the other end is gone.
pub fn message_pair() -> Result<(OwnedFd, OwnedFd)> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .call(|| "socketpair(AF_UNIX, SOCK_SEQPACKET)")
}

/// Makes two connected sockets that carry a stream of bytes.
pub fn stream_pair() -> Result<(OwnedFd, OwnedFd)> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .call(|| "socketpair(AF_UNIX, SOCK_STREAM)")
}

/// Listens at `name` in the directory `dir`, whatever the length of the directory's own path.
pub fn listen_at(dir: impl AsFd, name: &str) -> Result<OwnedFd> {
    let address = address_at(dir.as_fd(), name)?;
    let socket = stream_socket()?;
    rustix::net::bind(&socket, &address).call(|| format!("bind({name:?})"))?;
    rustix::net::listen(&socket, 64).call(|| format!("listen({name:?})"))?;
    Ok(socket)
}

/// Connects to the socket `name` in the directory `dir`.
pub fn connect_at(dir: impl AsFd, name: &str) -> Result<OwnedFd> {
    let address = address_at(dir.as_fd(), name)?;
    let socket = stream_socket()?;
    rustix::net::connect(&socket, &address).call(|| format!("connect({name:?})"))?;
    Ok(socket)
}

/// Listens at `name` in the directory `dir` for connections that keep the bounds of messages.
pub fn listen_messages_at(dir: impl AsFd, name: &str) -> Result<OwnedFd> {
    let address = address_at(dir.as_fd(), name)?;
    let socket = message_socket()?;
    rustix::net::bind(&socket, &address).call(|| format!("bind({name:?})"))?;
    rustix::net::listen(&socket, 64).call(|| format!("listen({name:?})"))?;
    Ok(socket)
}

/// Connects to the socket `name` in the directory `dir`, which keeps the bounds of messages.
pub fn connect_messages_at(dir: impl AsFd, name: &str) -> Result<OwnedFd> {
    let address = address_at(dir.as_fd(), name)?;
    let socket = message_socket()?;
    rustix::net::connect(&socket, &address).call(|| format!("connect({name:?})"))?;
    Ok(socket)
}

fn message_socket() -> Result<OwnedFd> {
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .call(|| "socket(AF_UNIX, SOCK_SEQPACKET)")
}

/// Connects to a socket by its path, which must be shorter than 108 bytes.
pub fn connect(path: &std::path::Path) -> Result<OwnedFd> {
    let call = || format!("connect({path:?})");
    let address = SocketAddrUnix::new(path).call(call)?;
    let socket = stream_socket()?;
    rustix::net::connect(&socket, &address).call(call)?;
    Ok(socket)
}

fn stream_socket() -> Result<OwnedFd> {
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .call(|| "socket(AF_UNIX, SOCK_STREAM)")
}

/// A socket's address holds 107 bytes; the way over `/proc/self/fd` is short wherever the directory lies.
fn address_at(dir: BorrowedFd<'_>, name: &str) -> Result<SocketAddrUnix> {
    let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()));
    SocketAddrUnix::new(path).call(|| format!("sockaddr_un({name:?})"))
}

/// Takes a waiting connection; `None` when there is none.
pub fn accept(listener: impl AsFd) -> Result<Option<OwnedFd>> {
    match rustix::net::accept_with(listener.as_fd(), SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
        Ok(socket) => Ok(Some(socket)),
        Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => Ok(None),
        Err(errno) => Err(Error::new("accept4()", errno)),
    }
}

/// Sends one message with descriptors beside it. A reader that is gone is `EPIPE`, never a signal.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let call =
        || format!("sendmsg({}, {} bytes, {} descriptors)", socket.as_fd().as_raw_fd(), bytes.len(), descriptors.len());
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Error::new(call(), Errno::MSGSIZE));
    }
    loop {
        match rustix::net::sendmsg(socket.as_fd(), &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            answer => return answer.call(call),
        }
    }
}

/// Receives one message and the descriptors beside it; no bytes mean that the other end is gone.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let answer = loop {
        let mut slices = [IoSliceMut::new(buffer)];
        match rustix::net::recvmsg(socket.as_fd(), &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            answer => break answer.call(|| format!("recvmsg({})", socket.as_fd().as_raw_fd()))?,
        }
    };
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            descriptors.extend(fds);
        }
    }
    Ok((answer.bytes, descriptors))
}

/// Lets a socket hold so many bytes that its reader has not taken; where that is beyond what the host grants everybody,
/// only for root.
pub fn set_send_buffer(socket: impl AsFd, bytes: usize) -> Result<()> {
    use rustix::net::sockopt::{set_socket_send_buffer_size, set_socket_send_buffer_size_force};
    let socket = socket.as_fd();
    set_socket_send_buffer_size_force(socket, bytes)
        .or_else(|_| set_socket_send_buffer_size(socket, bytes))
        .call(|| format!("setsockopt({}, SO_SNDBUF, {bytes})", socket.as_raw_fd()))
}

/// How many descriptors one message can carry here; the kernel's own bound is 253.
const MAX_DESCRIPTORS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn a_message_carries_descriptors() {
        let (left, right) = message_pair().unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        send(&left, b"here", &[writer.as_fd()]).unwrap();
        drop(writer);
        let mut bytes = [0; 16];
        let (length, fds) = receive(&right, &mut bytes).unwrap();
        assert_eq!(&bytes[..length], b"here");
        rustix::io::write(&fds[0], b"through").unwrap();
        drop(fds);
        let mut text = String::new();
        (&reader).read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
    }

    #[test]
    fn a_socket_is_reached_below_a_long_path() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(200));
        std::fs::create_dir(&deep).unwrap();
        let root = crate::path::Root::open(&deep).unwrap();
        let listener = listen_at(&root, "monitor.sock").unwrap();
        let client = connect_at(&root, "monitor.sock").unwrap();
        let server = accept(&listener).unwrap().unwrap();
        send(&client, b"hello", &[]).unwrap();
        let mut bytes = [0; 16];
        assert_eq!(receive(&server, &mut bytes).unwrap().0, 5);
    }
}
