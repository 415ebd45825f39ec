//! The other side of a monitor's socket: attaching, waiting, following, sending signals.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use sys::Errno;
use sys::event::{EventFlags, Poller};
use sys::pty::RawMode;
use sys::signal::SignalFd;

use crate::attach::DetachWatch;
use crate::error::{Chain, Doing};
use crate::layout::{Layout, SOCKET};
use crate::ledger::{self, Owner};
use crate::wire::{CHUNK, FRAME, ToClient, ToMonitor, VERSION, Wishes};
use crate::{AttachOptions, AttachOutcome, ContainerId, Error};

/// A connection to the monitor of a running container.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: OwnedFd,
    /// The command's process, as the monitor holds it: a signal can reach no other. There is none while the container
    /// waits for its restart.
    pub(crate) process: Option<OwnedFd>,
}

impl Connection {
    /// Sends a signal to the command; content when that has just ended.
    pub(crate) fn signal(&self, signal: i32) -> sys::Result<()> {
        let Some(process) = &self.process else { return Ok(()) };
        match sys::process::pidfd_send_signal(process, signal) {
            Err(error) if error.errno() == Errno::SRCH => Ok(()),
            sent => sent,
        }
    }
}

/// How long a container may take to be started, or started again, until its monitor must answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Connects to a container's monitor; `None` when it does not run. A monitor that is just replaced is waited for.
pub(crate) fn connect(layout: &Layout, id: &ContainerId, wishes: Wishes) -> Result<Option<Connection>, Error> {
    let until = Instant::now() + PATIENCE;
    loop {
        match try_connect(layout, id, wishes)? {
            Attempt::Connected(connection) => return Ok(Some(connection)),
            Attempt::Gone => return Ok(None),
            Attempt::Hung if Instant::now() >= until => return Ok(None),
            Attempt::Hung => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Connects to the monitor of a container that has an owner, and waits for one that is still being started.
pub(crate) fn connect_to_owner(layout: &Layout, id: &ContainerId, wishes: Wishes) -> Result<Option<Connection>, Error> {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(connection) = connect(layout, id, wishes)? {
            return Ok(Some(connection));
        }
        if ledger::owner(layout, id)? != Owner::Living || Instant::now() >= until {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What came of connecting.
enum Attempt {
    Connected(Connection),
    /// There is no monitor.
    Gone,
    /// There was one, and it went away without an answer.
    Hung,
}

fn try_connect(layout: &Layout, id: &ContainerId, wishes: Wishes) -> Result<Attempt, Error> {
    let doing = || format!("reach the monitor of container {}", id.short());
    let Ok(run) = sys::path::Root::open(&layout.run(id)) else { return Ok(Attempt::Gone) };
    let socket = match sys::socket::connect_messages_at(&run, SOCKET) {
        // It is gone, or just going.
        Err(error) if matches!(error.errno(), Errno::NOENT | Errno::CONNREFUSED) => return Ok(Attempt::Gone),
        socket => socket.doing(doing)?,
    };
    let mut frame = Vec::new();
    ToMonitor::Hello { version: VERSION, wishes }.encode(&mut frame);
    let mut answer = [0; FRAME];
    let heard = sys::socket::send(&socket, &frame, &[]).and_then(|_| sys::socket::receive(&socket, &mut answer));
    match heard {
        Ok((length, descriptors)) if length > 0 => {
            let process = descriptors.into_iter().next();
            Ok(Attempt::Connected(Connection { socket, process }))
        }
        Err(error) if !matches!(error.errno(), Errno::PIPE | Errno::CONNRESET) => Err(error).doing(doing),
        _ => Ok(Attempt::Hung),
    }
}

/// Asks a container's monitor to tell when the log has grown; `None` when it does not run.
pub(crate) fn follow(layout: &Layout, id: &ContainerId) -> Result<Option<OwnedFd>, Error> {
    let wishes = Wishes { news: true, ..Wishes::default() };
    let Some(connection) = connect_to_owner(layout, id, wishes)? else { return Ok(None) };
    sys::file::set_nonblocking(&connection.socket, true).doing(|| "follow the log")?;
    Ok(Some(connection.socket))
}

/// Waits for the log to grow; tells whether the run goes on. All news that wait are taken at once: they say the same.
pub(crate) fn wait_for_news(socket: &OwnedFd) -> Result<bool, Error> {
    let doing = || "follow the log";
    let (mut frame, mut heard) = ([0; 64], false);
    loop {
        let length = match sys::socket::receive(socket, &mut frame) {
            Ok((length, _)) => length,
            Err(error) if error.errno() == Errno::AGAIN && heard => return Ok(true),
            Err(error) if error.errno() == Errno::AGAIN => {
                sys::signal::wait_readable(socket, None).doing(doing)?;
                continue;
            }
            Err(error) if error.errno() == Errno::CONNRESET => 0,
            Err(error) => return Err(error).doing(doing),
        };
        match ToClient::decode(&frame[..length]) {
            Some(ToClient::Exited { .. }) => return Ok(false),
            None if length == 0 => return Ok(false),
            _ => heard = true,
        }
    }
}

/// Waits for the container to end; `None` when its monitor died without a word.
pub(crate) fn wait_for_end(socket: &OwnedFd) -> Result<Option<u8>, Error> {
    let mut frame = [0; FRAME];
    loop {
        let length = match sys::socket::receive(socket, &mut frame) {
            Ok((length, _)) => length,
            // It went before it had read all that we said.
            Err(error) if error.errno() == Errno::CONNRESET => return Ok(None),
            Err(error) => return Err(error).doing(|| "wait for the container"),
        };
        match ToClient::decode(&frame[..length]) {
            Some(ToClient::Exited { code }) => return Ok(Some(code)),
            None if length == 0 => return Ok(None),
            _ => {}
        }
    }
}

/// Waits until the command runs: returns its process, and what could not be enforced.
pub(crate) fn wait_for_start(socket: &OwnedFd) -> Result<(OwnedFd, Vec<String>), StartFailure> {
    let mut frame = [0; FRAME];
    let (length, descriptors) = sys::socket::receive(socket, &mut frame).map_err(StartFailure::Silent)?;
    match (ToClient::decode(&frame[..length]), descriptors.into_iter().next()) {
        (Some(ToClient::Started { warnings, .. }), Some(process)) => {
            Ok((process, warnings.lines().map(str::to_owned).collect()))
        }
        (Some(ToClient::Failed { code, chain }), _) => Err(StartFailure::Told(code, Chain::read(chain))),
        _ => Err(StartFailure::Silent(sys::Error::new("recvmsg(monitor)", Errno::CONNRESET))),
    }
}

/// Why a command does not run.
#[derive(Debug)]
pub(crate) enum StartFailure {
    /// The exit code and the chain of causes.
    Told(u8, Chain),
    /// The process that was to start it died.
    Silent(sys::Error),
}

/// The signals that a client hands on to the container's command.
const PROXIED: [i32; 8] = [1, 2, 3, 10, 12, 14, 15, 18];
const SIGWINCH: i32 = 28;

/// Takes the signals that are handed on, from now on.
pub(crate) fn take_signals(options: &AttachOptions, tty: bool) -> Result<Option<SignalFd>, Error> {
    let mut signals = if options.proxy_signals { PROXIED.to_vec() } else { Vec::new() };
    if tty {
        signals.push(SIGWINCH);
    }
    if signals.is_empty() {
        return Ok(None);
    }
    SignalFd::blocking(&signals).map(Some).doing(|| "take signals")
}

/// Returns rows and columns of the caller's terminal, if it has one.
pub(crate) fn window() -> Option<(u16, u16)> {
    let size = sys::pty::size(std::io::stdin()).or_else(|_| sys::pty::size(std::io::stdout())).ok()?;
    Some((size.ws_row, size.ws_col))
}

const SOCKET_TOKEN: u64 = 0;
const STDIN_TOKEN: u64 = 1;
const SIGNAL_TOKEN: u64 = 2;

/// What a client attached to: a container's monitor.
#[derive(Debug)]
pub(crate) struct Session {
    connection: Connection,
    poller: Poller,
    stdin: Stdin,
    signals: Option<SignalFd>,
    detach: Option<DetachWatch>,
    tty: bool,
    out: File,
    err: File,
    /// A frame that the monitor has not taken yet.
    pending: Vec<u8>,
    _raw: Option<RawMode>,
}

/// How the caller's input is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stdin {
    /// When the poller says so.
    Waiting,
    /// At any time: a file is always ready, and the poller does not take it.
    Ready,
    /// Not while a frame is pending; then as before, when it was a thing to wait for.
    Paused,
    /// No more.
    Closed,
}

/// What a round of the session came to.
enum Step {
    GoOn,
    End(AttachOutcome),
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
        poller.add(&connection.socket, SOCKET_TOKEN, EventFlags::IN).doing(doing)?;
        if let Some(signals) = &signals {
            poller.add(signals, SIGNAL_TOKEN, EventFlags::IN).doing(doing)?;
        }
        let own = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().map(File::from).doing(doing);
        let raw_wanted = tty && options.stdin && sys::pty::is_terminal(std::io::stdin());
        let mut session = Self {
            out: own(std::io::stdout().as_fd())?,
            err: own(std::io::stderr().as_fd())?,
            detach: tty.then(|| DetachWatch::new(&options.detach_keys)),
            _raw: raw_wanted.then(|| RawMode::enter(std::io::stdin())).transpose().doing(doing)?,
            stdin: Stdin::Closed,
            pending: Vec::new(),
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
            let patience = (self.stdin == Stdin::Ready && self.pending.is_empty()).then_some(std::time::Duration::ZERO);
            for event in self.poller.wait(patience).doing(|| "wait for the container")? {
                let step = match event.token {
                    SOCKET_TOKEN => self.hear(event.flags)?,
                    STDIN_TOKEN => self.read_stdin()?,
                    _ => self.take_signal()?,
                };
                match step {
                    Step::GoOn => {}
                    Step::End(outcome) => return Ok(Some(outcome)),
                    Step::Lost => return Ok(None),
                }
            }
            if self.stdin == Stdin::Ready
                && self.pending.is_empty()
                && let Step::End(outcome) = self.read_stdin()?
            {
                return Ok(Some(outcome));
            }
        }
    }

    /// Takes what the monitor sends, and sends it what is pending.
    fn hear(&mut self, flags: EventFlags) -> Result<Step, Error> {
        if flags.contains(EventFlags::OUT) {
            self.flush()?;
        }
        let mut frame = [0; FRAME];
        loop {
            let length = match sys::socket::receive(&self.connection.socket, &mut frame) {
                Ok((0, _)) => return Ok(Step::Lost),
                Ok((length, _)) => length,
                Err(error) if error.errno() == Errno::AGAIN => return Ok(Step::GoOn),
                Err(error) if error.errno() == Errno::CONNRESET => return Ok(Step::Lost),
                Err(error) => return Err(error).doing(|| "hear from the monitor"),
            };
            let written = match ToClient::decode(&frame[..length]) {
                Some(ToClient::Stdout(bytes)) => self.out.write_all(bytes),
                Some(ToClient::Stderr(bytes)) => self.err.write_all(bytes),
                Some(ToClient::Lost { bytes }) => {
                    let end = if self.tty { "\r\n" } else { "\n" };
                    write!(self.err, "[{bytes} bytes left out: this client was too slow; see logs]{end}")
                }
                Some(ToClient::Exited { code }) => return Ok(Step::End(AttachOutcome::Exited(code))),
                _ => Ok(()),
            };
            if written.is_err() {
                // Whoever read our output is gone. A program would have died of SIGPIPE; so do we, and the container runs on.
                return Ok(Step::End(AttachOutcome::Exited(128 + 13)));
            }
        }
    }

    fn read_stdin(&mut self) -> Result<Step, Error> {
        let mut typed = [0; CHUNK];
        let length = match sys::file::read(std::io::stdin(), &mut typed) {
            Ok(length) => length,
            Err(error) if error.errno() == Errno::AGAIN => return Ok(Step::GoOn),
            // A terminal that has gone away has nothing more to say.
            Err(_) => 0,
        };
        if length == 0 {
            self.unwatch_stdin();
            self.stdin = Stdin::Closed;
            if !self.tty {
                self.send(&ToMonitor::EndOfStdin)?;
            }
            return Ok(Step::GoOn);
        }
        let Some(watch) = &mut self.detach else {
            self.send(&ToMonitor::Stdin(&typed[..length]))?;
            return Ok(Step::GoOn);
        };
        let mut passed = Vec::with_capacity(length);
        let detached = watch.feed(&typed[..length], &mut passed);
        if !passed.is_empty() {
            self.send(&ToMonitor::Stdin(&passed))?;
        }
        Ok(if detached { Step::End(AttachOutcome::Detached) } else { Step::GoOn })
    }

    fn take_signal(&mut self) -> Result<Step, Error> {
        while let Some(received) = self.signals.as_ref().and_then(|signals| signals.next().ok().flatten()) {
            if received.signal == SIGWINCH {
                self.send_window()?;
            } else {
                // A signal that cannot be handed on is no reason to leave.
                let _ = self.connection.signal(received.signal);
            }
        }
        Ok(Step::GoOn)
    }

    fn send_window(&mut self) -> Result<(), Error> {
        match window() {
            Some((rows, columns)) => self.send(&ToMonitor::Resize { rows, columns }),
            None => Ok(()),
        }
    }

    /// Sends a frame, or keeps it until the monitor takes it; meanwhile no input is read.
    fn send(&mut self, frame: &ToMonitor<'_>) -> Result<(), Error> {
        if !self.pending.is_empty() {
            // A window's size that came while input is pending: the next one will do.
            return Ok(());
        }
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        self.pending = bytes;
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Error> {
        let doing = || "send to the monitor";
        if self.pending.is_empty() {
            return Ok(());
        }
        match sys::socket::send(&self.connection.socket, &self.pending, &[]) {
            Err(error) if error.errno() == Errno::AGAIN => {
                if self.stdin == Stdin::Waiting {
                    self.unwatch_stdin();
                    self.stdin = Stdin::Paused;
                }
                let flags = EventFlags::IN | EventFlags::OUT;
                return self.poller.change(&self.connection.socket, SOCKET_TOKEN, flags).doing(doing);
            }
            // What it last said is still to be read.
            Err(error) if matches!(error.errno(), Errno::PIPE | Errno::CONNRESET) => {}
            sent => drop(sent.doing(doing)?),
        }
        self.pending.clear();
        if self.stdin == Stdin::Paused {
            self.stdin = self.watch_stdin();
        }
        self.poller.change(&self.connection.socket, SOCKET_TOKEN, EventFlags::IN).doing(doing)
    }

    fn watch_stdin(&self) -> Stdin {
        match self.poller.add(std::io::stdin(), STDIN_TOKEN, EventFlags::IN) {
            Ok(()) => Stdin::Waiting,
            Err(error) if error.errno() == Errno::PERM => Stdin::Ready,
            Err(_) => Stdin::Closed,
        }
    }

    fn unwatch_stdin(&self) {
        if self.stdin == Stdin::Waiting {
            // It was added, and taking it out of the poller cannot fail in a way that matters.
            let _ = self.poller.remove(std::io::stdin().as_fd());
        }
    }
}
