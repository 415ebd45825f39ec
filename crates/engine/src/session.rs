//! A client that stays with a container: it moves input and output between the caller and the monitor, hands on signals
//! and the window's size, and leaves by keys.
//!
//! It waits in one place and never in a write, so that a signal or a key gets through whatever the output does. What comes
//! in bulk comes and goes by pipes, from which the kernel moves it ([`flow`](crate::flow)); everything else by frames.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use sys::Errno;
use sys::event::{EventFlags, Poller};
use sys::pty::RawMode;
use sys::signal::SignalFd;

use crate::attach::DetachWatch;
use crate::client::{Connection, ENDING, SIGWINCH, window};
use crate::error::Doing;
use crate::flow::{Flow, broken};
use crate::wire::{BULK, CHUNK, FRAME, PIPES, ToClient, ToMonitor};
use crate::{AttachOptions, AttachOutcome, Error, client};

const SOCKET: u64 = 0;
const STDIN: u64 = 1;
const SIGNALS: u64 = 2;
/// Our own standard output and error, where they are full.
const SINKS: [u64; 2] = [3, 4];
/// The pipes that bring them.
const PIPED: [u64; 2] = [5, 6];
/// The pipe that takes our input.
const FEED: u64 = 7;

/// How many frames are heard, and how many full chunks are read in a row, before something else has its turn.
const TURN: usize = 8;

/// What a client attached to: a container's monitor.
#[derive(Debug)]
pub(crate) struct Session {
    connection: Connection,
    poller: Poller,
    /// What the poller tells of the socket; nothing at all where it is not in the poller.
    heard: Option<EventFlags>,
    stdin: Stdin,
    /// How many times in a row the input has filled a chunk.
    full_chunks: usize,
    signals: Option<SignalFd>,
    detach: Option<DetachWatch>,
    tty: bool,
    outputs: [Flow; 2],
    /// A frame that the monitor has not taken yet.
    pending: Vec<u8>,
    /// The window's size is to be told once that is gone.
    resized: bool,
    /// A frame of output that comes after what is in a pipe.
    waiting: Vec<u8>,
    end: Option<End>,
    _raw: Option<RawMode>,
}

/// How the caller's input is read.
#[derive(Debug)]
enum Stdin {
    /// When the poller says so.
    Waiting,
    /// At any time: a file is always ready, and the poller does not take it.
    Ready,
    /// Not while a frame is pending; then as before, when it was a thing to wait for.
    Paused,
    /// It flows into a pipe.
    Piped(Flow),
    /// No more.
    Closed,
}

/// How a session ends, once the output that belongs to it is written.
#[derive(Debug, Clone, Copy)]
enum End {
    Outcome(AttachOutcome),
    /// The monitor is gone without a word.
    Lost,
}

impl Session {
    /// Prepares the caller's terminal and descriptors.
    pub(crate) fn new(
        connection: Connection,
        options: &AttachOptions,
        tty: bool,
        signals: Option<SignalFd>,
    ) -> Result<Self, Error> {
        let doing = || "attach to the container";
        let poller = Poller::new().doing(doing)?;
        sys::file::set_nonblocking(&connection.socket, true).doing(doing)?;
        if let Some(signals) = &signals {
            poller.add(signals, SIGNALS, EventFlags::IN).doing(doing)?;
        }
        let [out, err] = SINKS;
        let raw_wanted = tty && options.stdin && sys::pty::is_terminal(std::io::stdin());
        let mut session = Self {
            outputs: [
                Flow::to_ours(std::io::stdout(), out, &poller).doing(doing)?,
                Flow::to_ours(std::io::stderr(), err, &poller).doing(doing)?,
            ],
            detach: tty.then(|| DetachWatch::new(&options.detach_keys)),
            _raw: raw_wanted.then(|| RawMode::enter(std::io::stdin())).transpose().doing(doing)?,
            stdin: Stdin::Closed,
            full_chunks: 0,
            pending: Vec::new(),
            resized: false,
            waiting: Vec::new(),
            heard: None,
            end: None,
            connection,
            poller,
            signals,
            tty,
        };
        if options.stdin {
            session.stdin = session.watch_stdin();
        }
        Ok(session)
    }

    /// Moves bytes both ways until the container ends or the caller leaves; `None` when the monitor is lost.
    pub(crate) fn run(mut self) -> Result<Option<AttachOutcome>, Error> {
        if self.tty {
            self.send_window()?;
        }
        loop {
            self.listen().doing(|| "wait for the container")?;
            let patience = self.is_input_ready().then_some(Duration::ZERO);
            for event in self.poller.wait(patience).doing(|| "wait for the container")? {
                let end = match event.token {
                    SOCKET => self.converse(event.flags)?,
                    STDIN | FEED => self.read_stdin()?,
                    SIGNALS => self.take_signals()?,
                    output => self.advance(usize::from(output == SINKS[1] || output == PIPED[1]))?,
                };
                match end {
                    None => {}
                    Some(End::Outcome(outcome)) => return Ok(Some(outcome)),
                    Some(End::Lost) => return Ok(None),
                }
            }
            if self.is_input_ready()
                && let Some(End::Outcome(outcome)) = self.read_stdin()?
            {
                return Ok(Some(outcome));
            }
            match self.end.filter(|_| self.outputs.iter().all(Flow::is_done)) {
                Some(End::Outcome(outcome)) => return Ok(Some(outcome)),
                Some(End::Lost) => return Ok(None),
                None => {}
            }
        }
    }

    /// Says what is waited for on the socket: frames, while our own streams take what comes.
    fn listen(&mut self) -> sys::Result<()> {
        let mut wanted = EventFlags::empty();
        wanted.set(EventFlags::IN, self.hears());
        wanted.set(EventFlags::OUT, !self.pending.is_empty() && self.end.is_none());
        // Out of the poller rather than asked for nothing: the end of a socket is told in any case, again and again.
        let wanted = Some(wanted).filter(|wanted| !wanted.is_empty());
        match (self.heard, wanted) {
            (before, after) if before == after => {}
            (None, Some(flags)) => self.poller.add(&self.connection.socket, SOCKET, flags)?,
            (Some(_), Some(flags)) => self.poller.change(&self.connection.socket, SOCKET, flags)?,
            (_, None) => self.poller.remove(self.connection.socket.as_fd())?,
        }
        self.heard = wanted;
        Ok(())
    }

    fn hears(&self) -> bool {
        self.end.is_none() && self.waiting.is_empty() && self.outputs.iter().all(Flow::is_free)
    }

    /// Sends the monitor what is pending, and takes what it sends.
    fn converse(&mut self, flags: EventFlags) -> Result<Option<End>, Error> {
        if flags.contains(EventFlags::OUT) {
            self.flush()?;
        }
        let mut frame = [0; FRAME];
        // A few frames at a time, so that output without end leaves time for input and signals.
        for _ in 0..TURN {
            if !self.hears() {
                break;
            }
            match sys::socket::receive(&self.connection.socket, &mut frame) {
                Ok((0, _)) => self.end = Some(End::Lost),
                Ok((length, descriptors)) => {
                    if let Err(error) = self.take_frame(&frame[..length], descriptors) {
                        return broken(error).map(End::Outcome).map(Some);
                    }
                }
                Err(error) if error.errno() == Errno::AGAIN => break,
                // It went before it had read all that we said. That is told once, before what it said itself.
                Err(error) if error.errno() == Errno::CONNRESET => {}
                Err(error) => return Err(error).doing(|| "hear from the monitor"),
            }
        }
        if self.end.is_some() {
            self.close_stdin();
        }
        Ok(None)
    }

    /// Fails where nobody takes the output.
    fn take_frame(&mut self, frame: &[u8], descriptors: Vec<OwnedFd>) -> sys::Result<()> {
        let (output, bytes) = match ToClient::decode(frame) {
            Some(ToClient::Stdout(bytes)) => (0, bytes),
            Some(ToClient::Stderr(bytes)) => (1, bytes),
            Some(ToClient::Pipe { error }) => {
                let Some(pipe) = descriptors.into_iter().next() else { return Ok(()) };
                let output = usize::from(error);
                return self.outputs[output].follow(pipe, PIPED[output], &self.poller);
            }
            Some(ToClient::Lost { bytes }) => {
                let end = if self.tty { "\r\n" } else { "\n" };
                let told = format!("[{bytes} bytes left out: this client was too slow; see logs]{end}");
                return self.outputs[1].push(told.as_bytes(), &self.poller);
            }
            Some(ToClient::Exited { code }) => {
                self.end = Some(End::Outcome(AttachOutcome::Exited(code)));
                return Ok(());
            }
            _ => return Ok(()),
        };
        if self.outputs[output].has_source() {
            self.waiting = frame.to_vec();
            return Ok(());
        }
        self.outputs[output].push(bytes, &self.poller)
    }

    /// Writes output that waits, and what a pipe brings.
    fn advance(&mut self, output: usize) -> Result<Option<End>, Error> {
        let flow = &mut self.outputs[output];
        let mut moved = flow.advance(&self.poller);
        if !flow.has_source() && !self.waiting.is_empty() {
            let frame = std::mem::take(&mut self.waiting);
            moved = moved.and_then(|()| self.take_frame(&frame, Vec::new()));
        }
        match moved {
            Ok(()) => Ok(None),
            Err(error) => broken(error).map(End::Outcome).map(Some),
        }
    }

    fn is_input_ready(&self) -> bool {
        match &self.stdin {
            Stdin::Ready => self.pending.is_empty(),
            Stdin::Piped(flow) => flow.is_ready(),
            _ => false,
        }
    }

    fn read_stdin(&mut self) -> Result<Option<End>, Error> {
        if let Stdin::Piped(flow) = &mut self.stdin {
            // The end of the input, or nobody who takes more of it: the pipe's end tells the monitor.
            if flow.advance(&self.poller).is_err() || flow.is_done() {
                self.close_stdin();
            }
            return Ok(None);
        }
        // Told of before it was closed, or before a frame had to wait.
        if matches!(self.stdin, Stdin::Closed) || !self.pending.is_empty() {
            return Ok(None);
        }
        let mut typed = [0; CHUNK];
        let length = match sys::file::read(std::io::stdin(), &mut typed) {
            Ok(length) => length,
            Err(error) if error.errno() == Errno::AGAIN => return Ok(None),
            // A terminal that has gone away has nothing more to say.
            Err(_) => 0,
        };
        if length == 0 {
            self.close_stdin();
            if !self.tty {
                self.send(&ToMonitor::EndOfStdin)?;
            }
            return Ok(None);
        }
        let Some(watch) = &mut self.detach else {
            self.send(&ToMonitor::Stdin(&typed[..length]))?;
            self.full_chunks = if length == CHUNK { self.full_chunks + 1 } else { 0 };
            if self.full_chunks >= TURN && self.pending.is_empty() && self.connection.version >= PIPES {
                self.pipe_stdin().doing(|| "send input by a pipe")?;
            }
            return Ok(None);
        };
        let mut passed = Vec::with_capacity(length);
        let detached = watch.feed(&typed[..length], &mut passed);
        if !passed.is_empty() {
            self.send(&ToMonitor::Stdin(&passed))?;
        }
        Ok(detached.then_some(End::Outcome(AttachOutcome::Detached)))
    }

    /// Lets the rest of the input, which has come in bulk so far, flow into a pipe.
    fn pipe_stdin(&mut self) -> sys::Result<()> {
        self.full_chunks = 0;
        let (theirs, ours) = sys::pipe::open()?;
        // What a pipe holds anyway is less, and right.
        let _ = sys::pipe::set_size(&ours, BULK);
        let mut frame = Vec::new();
        ToMonitor::Pipe.encode(&mut frame);
        if sys::socket::send(&self.connection.socket, &frame, &[theirs.as_fd()]).is_err() {
            // It takes no more now, or is gone: frames go on, and find out.
            return Ok(());
        }
        self.unwatch_stdin();
        let mut flow = Flow::to_nonblocking(ours, FEED);
        flow.follow_ours(std::io::stdin(), STDIN, &self.poller)?;
        self.stdin = Stdin::Piped(flow);
        Ok(())
    }

    fn take_signals(&mut self) -> Result<Option<End>, Error> {
        while let Some(received) = self.signals.as_ref().and_then(|signals| signals.next().ok().flatten()) {
            if received.signal == SIGWINCH {
                self.send_window()?;
            } else if ENDING.contains(&received.signal) && self.has_ended()? {
                return self.give_up().map(Some);
            } else {
                // A signal that cannot be handed on is no reason to leave.
                let _ = self.connection.signal(received.signal);
            }
        }
        Ok(None)
    }

    /// Tells whether the container has ended. Its monitor's word for that may stand behind output that nobody reads.
    fn has_ended(&self) -> Result<bool, Error> {
        let Some(process) = self.connection.process.as_ref().filter(|_| self.end.is_none()) else {
            return Ok(self.end.is_some());
        };
        sys::signal::wait_readable(process, Some(Duration::ZERO)).doing(|| "look at the container's process")
    }

    /// Leaves the rest of the output: somebody does not want to wait until it has been read.
    fn give_up(&self) -> Result<End, Error> {
        if let Some(end) = self.end {
            return Ok(end);
        }
        let socket = &self.connection.socket;
        sys::file::set_nonblocking(socket, false).doing(|| "hear from the monitor")?;
        let code = client::wait_for_end(socket)?;
        Ok(code.map_or(End::Lost, |code| End::Outcome(AttachOutcome::Exited(code))))
    }

    fn send_window(&mut self) -> Result<(), Error> {
        self.resized = !self.pending.is_empty();
        match window().filter(|_| !self.resized) {
            Some((rows, columns)) => self.send(&ToMonitor::Resize { rows, columns }),
            None => Ok(()),
        }
    }

    /// Sends a frame, or keeps it until the monitor takes it; meanwhile there is no other.
    fn send(&mut self, frame: &ToMonitor<'_>) -> Result<(), Error> {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        self.pending = bytes;
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        match sys::socket::send(&self.connection.socket, &self.pending, &[]) {
            Err(error) if error.errno() == Errno::AGAIN => {
                if matches!(self.stdin, Stdin::Waiting) {
                    self.unwatch_stdin();
                    self.stdin = Stdin::Paused;
                }
                return Ok(());
            }
            // What it last said is still to be read.
            Err(error) if matches!(error.errno(), Errno::PIPE | Errno::CONNRESET) => {}
            sent => drop(sent.doing(|| "send to the monitor")?),
        }
        self.pending.clear();
        if matches!(self.stdin, Stdin::Paused) {
            self.stdin = self.watch_stdin();
        }
        if self.resized { self.send_window() } else { Ok(()) }
    }

    fn watch_stdin(&self) -> Stdin {
        match self.poller.add(std::io::stdin(), STDIN, EventFlags::IN) {
            Ok(()) => Stdin::Waiting,
            Err(error) if error.errno() == Errno::PERM => Stdin::Ready,
            Err(_) => Stdin::Closed,
        }
    }

    fn unwatch_stdin(&self) {
        if matches!(self.stdin, Stdin::Waiting) {
            // It was added, and taking it out of the poller cannot fail in a way that matters.
            let _ = self.poller.remove(std::io::stdin().as_fd());
        }
    }

    fn close_stdin(&mut self) {
        self.unwatch_stdin();
        if let Stdin::Piped(flow) = &mut self.stdin {
            flow.cut(&self.poller);
        }
        self.stdin = Stdin::Closed;
    }
}
