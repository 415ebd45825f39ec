//! A question on its way to the host's name servers.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use sys::event::{EventFlags, Poller};

use super::super::message::{self, Query, STREAM_LIMIT};
use super::wire::{Pulled, Wire};

/// How often the list of servers is gone through.
const ROUNDS: usize = 2;
/// The most requests for one question, however many servers there are.
const MOST_TRIES: usize = 6;
/// The most datagrams that are looked at when a socket is ready: a flood of false answers must not keep us.
const AT_ONCE: usize = 8;

/// Who waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// One who sent a datagram from here.
    Datagram(SocketAddr),
    /// A connection, by its number.
    Stream(u64),
}

/// A question on its way.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) asker: Asker,
    /// The question as it came.
    pub(super) question: Vec<u8>,
    /// The number by which the server knows it.
    id: u16,
    servers: Vec<SocketAddr>,
    /// The number of requests that went before; it tells whose turn it is.
    tries: usize,
    first: usize,
    patience: Duration,
    pub(super) deadline: Instant,
    /// A server has not answered in time.
    pub(super) was_late: bool,
    way: Option<Way>,
    token: u64,
    /// An answer that was refused, or was cut short: better than none.
    second_best: Option<Vec<u8>>,
}

#[derive(Debug)]
enum Way {
    /// Connected, so that the kernel drops what comes from elsewhere; a socket a question, so that each has another port.
    Datagram(UdpSocket),
    Stream(Wire),
}

/// What has become of it.
#[derive(Debug)]
pub(super) enum Progress {
    /// Still on its way.
    Waiting,
    /// Answered.
    Answered(Vec<u8>),
    /// Nobody has an answer; or this one, which is no good.
    Failed(Option<Vec<u8>>),
}

impl Asked {
    /// Prepares a question for these servers, beginning with the one of the place `first`.
    pub(super) fn new(
        asker: Asker,
        question: &[u8],
        servers: Vec<SocketAddr>,
        first: usize,
        patience: Duration,
        token: u64,
    ) -> io::Result<Self> {
        let mut random = [0; 2];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
        Ok(Self {
            asker,
            question: question.to_vec(),
            id: u16::from_ne_bytes(random),
            servers,
            tries: 0,
            first,
            patience,
            deadline: Instant::now(),
            was_late: false,
            way: None,
            token,
            second_best: None,
        })
    }

    /// Sends the question to the server whose turn it is, and on to the next where that fails at once.
    pub(super) fn send(&mut self, poller: &Poller) -> Progress {
        let most = (self.servers.len() * ROUNDS).clamp(1, MOST_TRIES);
        while self.tries < most {
            let sent = match self.asker {
                Asker::Datagram(_) => self.send_datagram(poller),
                Asker::Stream(_) => self.send_stream(poller),
            };
            if sent.is_ok() {
                self.deadline = Instant::now() + self.patience;
                return Progress::Waiting;
            }
            self.tries += 1;
        }
        self.way = None;
        Progress::Failed(self.second_best.take())
    }

    /// Gives up waiting for the server whose turn it was.
    pub(super) fn pass(&mut self, poller: &Poller) -> Progress {
        self.tries += 1;
        self.send(poller)
    }

    /// Takes what has come, when the socket is ready.
    pub(super) fn ready(&mut self, poller: &Poller, buffer: &mut [u8]) -> Progress {
        match &self.way {
            Some(Way::Datagram(_)) => self.take_datagrams(poller, buffer),
            Some(Way::Stream(_)) => self.take_stream(poller),
            None => Progress::Waiting,
        }
    }

    /// Returns the server whose turn it is.
    pub(super) fn server(&self) -> SocketAddr {
        let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
        let place = (self.first + self.tries) % self.servers.len().max(1);
        self.servers.get(place).copied().unwrap_or(unspecified)
    }

    /// Returns the answer that the server itself had cut short for a datagram, where there is one.
    pub(super) fn cut_short(&self) -> Option<&[u8]> {
        self.second_best.as_deref().filter(|answer| message::is_truncated(answer))
    }

    fn send_datagram(&mut self, poller: &Poller) -> io::Result<()> {
        let server = self.server();
        // Asked once more, the same server may answer the first request now: it is heard on the same socket.
        let same = match self.way.take() {
            Some(Way::Datagram(socket)) if socket.peer_addr().is_ok_and(|peer| peer == server) => Some(socket),
            _ => None,
        };
        let socket = match same {
            Some(socket) => socket,
            None => {
                let any: IpAddr =
                    if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
                let socket = UdpSocket::bind((any, 0))?;
                socket.set_nonblocking(true)?;
                socket.connect(server)?;
                poller.add(&socket, self.token, EventFlags::IN).map_err(|error| io::Error::from(error.errno()))?;
                socket
            }
        };
        socket.send(&self.numbered())?;
        self.way = Some(Way::Datagram(socket));
        Ok(())
    }

    fn send_stream(&mut self, poller: &Poller) -> io::Result<()> {
        self.way = None;
        let server = self.server();
        let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        match rustix::net::connect(&socket, &server) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(errno) => return Err(errno.into()),
        }
        let mut wire = Wire::new(TcpStream::from(socket));
        wire.put(&self.numbered());
        poller.add(&wire, self.token, EventFlags::OUT).map_err(|error| io::Error::from(error.errno()))?;
        self.way = Some(Way::Stream(wire));
        Ok(())
    }

    fn numbered(&self) -> Vec<u8> {
        let mut question = self.question.clone();
        message::set_id(&mut question, self.id);
        question
    }

    fn take_datagrams(&mut self, poller: &Poller, buffer: &mut [u8]) -> Progress {
        for _ in 0..AT_ONCE {
            let Some(Way::Datagram(socket)) = &self.way else { return Progress::Waiting };
            match socket.recv(buffer) {
                Ok(length) => {
                    let answer = &buffer[..length];
                    if !self.is_answer(answer) {
                        continue;
                    }
                    if message::is_truncated(answer) {
                        self.second_best = Some(answer.to_vec());
                        return match self.send_stream(poller) {
                            Ok(()) => {
                                self.deadline = Instant::now() + self.patience;
                                Progress::Waiting
                            }
                            Err(_) => self.pass(poller),
                        };
                    }
                    return self.take_answer(poller, answer.to_vec());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Nobody listens there, or there is no way to it.
                Err(_) => return self.pass(poller),
            }
        }
        Progress::Waiting
    }

    fn take_stream(&mut self, poller: &Poller) -> Progress {
        let Some(Way::Stream(wire)) = &mut self.way else { return Progress::Waiting };
        match wire.flush() {
            Ok(true) => {}
            Ok(false) => return Progress::Waiting,
            Err(_) => return self.pass(poller),
        }
        let pulled = wire.pull(STREAM_LIMIT);
        if pulled == Pulled::NotYet {
            return match poller.change(&*wire, self.token, EventFlags::IN) {
                Ok(()) => Progress::Waiting,
                Err(_) => self.pass(poller),
            };
        }
        match pulled {
            Pulled::Message(answer) if self.is_answer(&answer) => self.take_answer(poller, answer),
            _ => self.pass(poller),
        }
    }

    /// A server that could not answer is no reason not to ask the next; but where none can, its word is what there is.
    fn take_answer(&mut self, poller: &Poller, answer: Vec<u8>) -> Progress {
        if message::is_failure(&answer) && self.servers.len() > 1 {
            self.second_best = Some(answer);
            return self.pass(poller);
        }
        Progress::Answered(answer)
    }

    fn is_answer(&self, bytes: &[u8]) -> bool {
        Query::read(&self.question).is_ok_and(|query| query.is_answered_by(bytes, self.id))
    }
}
