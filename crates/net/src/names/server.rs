//! An endpoint's resolver: sockets in the endpoint's network, questions answered or passed on to the host's servers.
//!
//! It lives in a loop that is not its own: the loop's poller holds its descriptors under numbers that it [owns], and the
//! loop calls [`Server::ready`] for them, [`Server::tick`] when [`Server::patience`] is over, and [`Server::rest`] when
//! nothing has happened for a while. It never waits, does a bounded amount of work in each call, and holds a bounded number
//! of questions and connections, whatever comes.
//!
//! [owns]: Server::owns

mod asked;
mod clients;
mod wire;

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sys::event::{EventFlags, Poller};

use super::message::{self, Answer, Query, Refused, STREAM_LIMIT};
use super::setup::{Names, Verdict};
use super::upstream::HostFiles;
use asked::{Asked, Asker, Progress};
use clients::Clients;

/// The most questions that are on their way at a time.
const MOST_ASKED: usize = 128;
/// The most datagrams and connections that are taken in one call: the loop has others to serve.
const AT_ONCE: usize = 32;
/// How long a server that did not answer is asked last.
const DISTRUST: Duration = Duration::from_secs(30);
/// How long no connection is taken when there is no descriptor for it.
const BREATH: Duration = Duration::from_millis(500);

/// The numbers of descriptors, counted from the server's first.
const DATAGRAMS: u64 = 0;
const LISTENER: u64 = 1;
const FIRST_ASKED: u64 = 2;
const FIRST_CLIENT: u64 = FIRST_ASKED + MOST_ASKED as u64;

/// The sockets on which an endpoint's resolver listens.
#[derive(Debug)]
pub struct Sockets {
    datagrams: UdpSocket,
    listener: TcpListener,
}

/// An endpoint's resolver.
#[derive(Debug)]
pub struct Server {
    sockets: Sockets,
    names: Names,
    first_token: u64,
    asked: Vec<Option<Asked>>,
    clients: Clients,
    /// A server that answered when those before it did not, and until when it is asked first.
    preferred: Option<(SocketAddr, Instant)>,
    /// Until when no connection is taken.
    breath: Option<Instant>,
    buffer: Vec<u8>,
}

/// What becomes of a message that came.
enum Outcome {
    Reply(Vec<u8>),
    Waiting,
    Nothing,
}

impl Sockets {
    /// Listens in the caller's network at `address`, on UDP and TCP.
    ///
    /// While port 53 is taken on any address, a program of the endpoint cannot take it on all of them: where endpoints may
    /// serve names themselves, this is a port of the kernel's choice (0), and port 53 of the resolver's address is led to it.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let datagrams = UdpSocket::bind(address)?;
        // Port 0 chooses one, and both have to have the same.
        let listener = TcpListener::bind(datagrams.local_addr()?)?;
        Self { datagrams, listener }.unblocked()
    }

    /// Takes sockets that have been opened elsewhere: UDP and bound, TCP and listening.
    pub fn adopt(datagrams: OwnedFd, listener: OwnedFd) -> io::Result<Self> {
        Self { datagrams: datagrams.into(), listener: listener.into() }.unblocked()
    }

    /// Returns the descriptors, UDP and TCP, to be handed to another process.
    pub fn into_fds(self) -> (OwnedFd, OwnedFd) {
        (self.datagrams.into(), self.listener.into())
    }

    /// Returns where they listen.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.datagrams.local_addr()
    }

    fn unblocked(self) -> io::Result<Self> {
        self.datagrams.set_nonblocking(true)?;
        self.listener.set_nonblocking(true)?;
        Ok(self)
    }
}

impl Server {
    /// How many numbers a server owns, from its first one on.
    pub const TOKENS: u64 = FIRST_CLIENT + clients::MOST as u64;

    /// Begins to serve: what it may tell is in the file `setup`; its descriptors have numbers from `first_token` on.
    pub fn new(
        sockets: Sockets,
        setup: PathBuf,
        host: HostFiles,
        poller: &Poller,
        first_token: u64,
    ) -> sys::Result<Self> {
        poller.add(&sockets.datagrams, first_token + DATAGRAMS, EventFlags::IN)?;
        poller.add(&sockets.listener, first_token + LISTENER, EventFlags::IN)?;
        Ok(Self {
            sockets,
            names: Names::new(setup, host),
            first_token,
            asked: Vec::new(),
            clients: Clients::new(first_token + FIRST_CLIENT),
            preferred: None,
            breath: None,
            buffer: Vec::new(),
        })
    }

    /// Tells whether a number of the poller is one of this server's.
    pub fn owns(&self, token: u64) -> bool {
        token.checked_sub(self.first_token).is_some_and(|own| own < Self::TOKENS)
    }

    /// Serves the descriptor of this number, which is ready.
    pub fn ready(&mut self, poller: &Poller, token: u64) {
        let Some(own) = token.checked_sub(self.first_token) else { return };
        let place = |first: u64| usize::try_from(own - first).unwrap_or(usize::MAX);
        match own {
            DATAGRAMS => self.take_datagrams(poller),
            LISTENER => self.welcome(poller),
            FIRST_CLIENT.. => self.serve(poller, place(FIRST_CLIENT)),
            FIRST_ASKED.. => self.hear(poller, place(FIRST_ASKED)),
        }
    }

    /// Returns after how long [`Self::tick`] has to be called; `None` when nothing waits.
    pub fn patience(&self) -> Option<Duration> {
        let asked = self.asked.iter().flatten().map(|asked| asked.deadline);
        let next = asked.chain(self.clients.deadline()).chain(self.breath).min()?;
        // Rounded up: a poller that wakes a moment too early would be asked again and again.
        Some(next.saturating_duration_since(Instant::now()) + Duration::from_millis(1))
    }

    /// Does what time demands: the next server for a question that waits too long, and an end to silent connections.
    pub fn tick(&mut self, poller: &Poller) {
        let now = Instant::now();
        for place in 0..self.asked.len() {
            let late = self.asked.get_mut(place).and_then(Option::as_mut).filter(|asked| asked.deadline <= now);
            if let Some(asked) = late {
                asked.was_late = true;
                let progress = asked.pass(poller);
                self.settle(poller, place, progress);
            }
        }
        self.clients.tick(now);
        if self.breath.is_some_and(|until| until <= now)
            && poller.add(&self.sockets.listener, self.first_token + LISTENER, EventFlags::IN).is_ok()
        {
            self.breath = None;
        }
    }

    /// Tells whether there is memory that [`Self::rest`] would give back.
    pub fn is_large(&self) -> bool {
        self.buffer.capacity() > 0
    }

    /// Gives back the memory that only questions need; the next one finds everything again.
    pub fn rest(&mut self) {
        self.buffer = Vec::new();
        self.names.forget();
        if self.asked.iter().all(Option::is_none) {
            self.asked = Vec::new();
        }
        if self.clients.is_empty() {
            self.clients = Clients::new(self.first_token + FIRST_CLIENT);
        }
    }

    fn take_datagrams(&mut self, poller: &Poller) {
        let mut buffer = self.take_buffer();
        for _ in 0..AT_ONCE {
            match self.sockets.datagrams.recv_from(&mut buffer) {
                Ok((length, from)) => {
                    let outcome = self.consider(poller, &buffer[..length], Asker::Datagram(from));
                    if let Outcome::Reply(reply) = outcome {
                        self.reply(poller, Asker::Datagram(from), Some(&reply));
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.buffer = buffer;
    }

    fn welcome(&mut self, poller: &Poller) {
        for _ in 0..AT_ONCE {
            match self.sockets.listener.accept() {
                Ok((socket, _)) => self.clients.admit(poller, socket),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                // No descriptor, no memory: the listener stays ready, and the loop would turn for nothing.
                Err(_) => {
                    if poller.remove(std::os::fd::AsFd::as_fd(&self.sockets.listener)).is_ok() {
                        self.breath = Some(Instant::now() + BREATH);
                    }
                    break;
                }
            }
        }
    }

    fn serve(&mut self, poller: &Poller, place: usize) {
        let Some((number, question)) = self.clients.ready(poller, place) else { return };
        match self.consider(poller, &question, Asker::Stream(number)) {
            Outcome::Reply(reply) => self.clients.answer(poller, number, Some(&reply)),
            Outcome::Waiting => {}
            Outcome::Nothing => self.clients.answer(poller, number, None),
        }
    }

    fn hear(&mut self, poller: &Poller, place: usize) {
        let mut buffer = self.take_buffer();
        if let Some(Some(asked)) = self.asked.get_mut(place) {
            let progress = asked.ready(poller, &mut buffer);
            self.settle(poller, place, progress);
        }
        self.buffer = buffer;
    }

    /// Answers a question, or sends it on its way.
    fn consider(&mut self, poller: &Poller, bytes: &[u8], asker: Asker) -> Outcome {
        let query = match Query::read(bytes) {
            Ok(query) => query,
            Err(Refused::Silently) => return Outcome::Nothing,
            Err(Refused::Reply(reply)) => return Outcome::Reply(reply),
        };
        let limit = match asker {
            Asker::Datagram(_) => query.datagram_limit(),
            Asker::Stream(_) => STREAM_LIMIT,
        };
        match self.names.judge(&query) {
            Verdict::Answer(answer) => Outcome::Reply(query.reply(&answer, limit)),
            // An asker that repeats itself is told once.
            Verdict::Ask(..) if self.is_asked(asker, bytes) => Outcome::Waiting,
            Verdict::Ask(servers, patience) => match self.ask(poller, bytes, asker, servers, patience) {
                Some(()) => Outcome::Waiting,
                None => Outcome::Reply(query.reply(&Answer::Failure, limit)),
            },
        }
    }

    fn is_asked(&self, asker: Asker, bytes: &[u8]) -> bool {
        self.asked.iter().flatten().any(|asked| asked.asker == asker && asked.question == bytes)
    }

    /// Sends a question on its way; `None` when there is no room, or no way.
    fn ask(
        &mut self,
        poller: &Poller,
        bytes: &[u8],
        asker: Asker,
        servers: Vec<SocketAddr>,
        patience: Duration,
    ) -> Option<()> {
        let free = self.asked.iter().position(Option::is_none).unwrap_or(self.asked.len());
        if free >= MOST_ASKED {
            return None;
        }
        let now = Instant::now();
        let preferred = self.preferred.filter(|(_, until)| *until > now);
        let first = preferred.and_then(|(server, _)| servers.iter().position(|one| *one == server)).unwrap_or(0);
        let token = self.first_token + FIRST_ASKED + free as u64;
        let mut asked = Asked::new(asker, bytes, servers, first, patience, token).ok()?;
        let Progress::Waiting = asked.send(poller) else { return None };
        if free == self.asked.len() {
            self.asked.push(None);
        }
        *self.asked.get_mut(free)? = Some(asked);
        Some(())
    }

    /// Does what the progress of a question demands.
    fn settle(&mut self, poller: &Poller, place: usize, progress: Progress) {
        let (answer, is_good) = match progress {
            Progress::Waiting => return,
            Progress::Answered(answer) => (Some(answer), true),
            Progress::Failed(answer) => (answer, false),
        };
        let Some(asked) = self.asked.get_mut(place).and_then(Option::take) else { return };
        if asked.was_late && is_good {
            self.preferred = Some((asked.server(), Instant::now() + DISTRUST));
        }
        let reply = fit(&asked, answer);
        self.reply(poller, asked.asker, reply.as_deref());
    }

    fn reply(&mut self, poller: &Poller, asker: Asker, reply: Option<&[u8]>) {
        match asker {
            Asker::Datagram(to) => {
                // What the kernel does not take is lost, as datagrams may be; the asker asks again.
                let _ = reply.map(|reply| self.sockets.datagrams.send_to(reply, to));
            }
            Asker::Stream(number) => self.clients.answer(poller, number, reply),
        }
    }

    /// Returns room for any message there can be.
    fn take_buffer(&mut self) -> Vec<u8> {
        let mut buffer = std::mem::take(&mut self.buffer);
        if buffer.is_empty() {
            // Zeroed by the kernel: only the pages that a message reaches become ours.
            buffer = vec![0; STREAM_LIMIT];
        }
        buffer
    }
}

/// Makes a server's answer, or its absence, what the asker can take.
fn fit(asked: &Asked, answer: Option<Vec<u8>>) -> Option<Vec<u8>> {
    let query = Query::read(&asked.question).ok()?;
    let limit = match asked.asker {
        Asker::Datagram(_) => query.datagram_limit(),
        Asker::Stream(_) => STREAM_LIMIT,
    };
    Some(match answer {
        None => query.reply(&Answer::Failure, limit),
        Some(answer) if answer.len() > limit => match asked.cut_short().filter(|cut| cut.len() <= limit) {
            // The server's own choice of what fits, for those that cannot ask again over a stream.
            Some(cut) => numbered(cut.to_vec(), &query),
            None => query.truncated(),
        },
        Some(answer) => numbered(answer, &query),
    })
}

fn numbered(mut answer: Vec<u8>, query: &Query<'_>) -> Vec<u8> {
    message::set_id(&mut answer, query.id());
    answer
}
