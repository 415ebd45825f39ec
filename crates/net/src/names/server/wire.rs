//! Messages over a stream: each with its length in front (RFC 1035, 4.2.2).

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};

/// A TCP connection that never waits and holds one message each way at most.
#[derive(Debug)]
pub(super) struct Wire {
    socket: TcpStream,
    sending: Vec<u8>,
    sent: usize,
    got: Vec<u8>,
}

/// What has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pulled {
    /// A whole message.
    Message(Vec<u8>),
    /// Not enough yet.
    NotYet,
    /// Nothing more will come, or nothing that makes sense.
    Over,
}

impl Wire {
    /// Takes a connection that does not block.
    pub(super) fn new(socket: TcpStream) -> Self {
        Self { socket, sending: Vec::new(), sent: 0, got: Vec::new() }
    }

    /// Puts a message up for sending, in place of what was there.
    pub(super) fn put(&mut self, message: &[u8]) {
        self.sending.clear();
        self.sent = 0;
        if let Ok(length) = u16::try_from(message.len()) {
            self.sending.extend(length.to_be_bytes());
            self.sending.extend(message);
        }
    }

    /// Sends what the kernel takes and tells whether all has gone.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        while let Some(rest) = self.sending.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.socket.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A connection that is still being made is "not connected".
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        self.sending = Vec::new();
        self.sent = 0;
        Ok(true)
    }

    /// Takes one message of `most` bytes at most; what follows it stays with the kernel.
    pub(super) fn pull(&mut self, most: usize) -> Pulled {
        loop {
            let wanted = match self.got.first_chunk::<2>() {
                None => 2,
                Some(length) => 2 + usize::from(u16::from_be_bytes(*length)),
            };
            if self.got.len() >= 2 && self.got.len() == wanted {
                let mut message = std::mem::take(&mut self.got);
                message.drain(..2);
                return Pulled::Message(message);
            }
            if wanted > most + 2 {
                return Pulled::Over;
            }
            let start = self.got.len();
            self.got.resize(wanted, 0);
            let read = self.socket.read(&mut self.got[start..]);
            self.got.truncate(start + read.as_ref().map_or(0, |count| *count));
            match read {
                Ok(0) => return Pulled::Over,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Pulled::NotYet,
                Err(_) => return Pulled::Over,
            }
        }
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn pair() -> (TcpStream, Wire) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        server.set_nonblocking(true).unwrap();
        (client, Wire::new(server))
    }

    fn wait_for(wire: &mut Wire, most: usize) -> Pulled {
        loop {
            match wire.pull(most) {
                Pulled::NotYet => std::thread::yield_now(),
                other => return other,
            }
        }
    }

    #[test]
    fn messages_come_one_by_one_however_they_are_cut() {
        let (mut client, mut wire) = pair();
        assert_eq!(wire.pull(100), Pulled::NotYet);
        client.write_all(&[0]).unwrap();
        client.write_all(&[3, b'a', b'b']).unwrap();
        client.write_all(&[b'c', 0, 0, 0, 1, b'd']).unwrap();
        assert_eq!(wait_for(&mut wire, 100), Pulled::Message(b"abc".to_vec()));
        assert_eq!(wait_for(&mut wire, 100), Pulled::Message(Vec::new()));
        assert_eq!(wait_for(&mut wire, 100), Pulled::Message(b"d".to_vec()));
        drop(client);
        assert_eq!(wait_for(&mut wire, 100), Pulled::Over);
    }

    #[test]
    fn a_message_beyond_the_bound_ends_the_connection() {
        let (mut client, mut wire) = pair();
        client.write_all(&[1, 0]).unwrap();
        assert_eq!(wait_for(&mut wire, 255), Pulled::Over);
    }
}
