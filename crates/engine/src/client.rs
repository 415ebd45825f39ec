//! The other side of a monitor's socket: attaching, waiting, following, sending signals.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use sys::Errno;
use sys::event::{EventFlags, Poller};
use sys::signal::SignalFd;

use crate::error::{Chain, Doing};
use crate::layout::{Layout, SOCKET};
use crate::ledger::{self, Owner};
use crate::wire::{FRAME, SOCKETS, ToClient, ToMonitor, VERSION, Wishes};
use crate::{AttachOptions, Container, ContainerId, Error};

/// A connection to the monitor of a running container.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: OwnedFd,
    /// The command's process, as the monitor holds it: a signal can reach no other. There is none while the container
    /// waits for its restart.
    pub(crate) process: Option<OwnedFd>,
    /// The version of the protocol that the monitor speaks.
    pub(crate) version: u8,
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
            let version = match ToClient::decode(&answer[..length]) {
                Some(ToClient::Welcome { version }) => version,
                _ => 1,
            };
            Ok(Attempt::Connected(Connection { socket, process, version }))
        }
        Err(error) if !matches!(error.errno(), Errno::PIPE | Errno::CONNRESET) => Err(error).doing(doing),
        _ => Ok(Attempt::Hung),
    }
}

/// Hands sockets to a container's monitor with a frame, and waits until it has done what that says.
///
/// The caller may hold what the monitor waits for once the container's first process, `process`, has ended: from then on
/// there is no answer to wait for.
pub(crate) fn hand_over(
    layout: &Layout,
    container: &Container,
    process: BorrowedFd<'_>,
    frame: ToMonitor<'_>,
    sockets: &[BorrowedFd<'_>],
) -> Result<(), Error> {
    let doing = || format!("speak with the monitor of container {}", container.name);
    let not_running = || Error::NotRunning(container.name.to_string());
    let run = sys::path::Root::open(&layout.run(&container.id)).map_err(|_| not_running())?;
    let socket = match sys::socket::connect_messages_at(&run, SOCKET) {
        Err(error) if matches!(error.errno(), Errno::NOENT | Errno::CONNREFUSED) => return Err(not_running()),
        socket => socket.doing(doing)?,
    };
    let ask = |frame: ToMonitor<'_>, sockets: &[BorrowedFd<'_>], is_meant: fn(&ToClient<'_>) -> Option<u8>| {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        sys::socket::send(&socket, &bytes, sockets)?;
        answer(&socket, process, is_meant)
    };
    let hello = ToMonitor::Hello { version: VERSION, wishes: Wishes::default() };
    let version =
        |answer: &ToClient<'_>| if let ToClient::Welcome { version } = answer { Some(*version) } else { None };
    match ask(hello, &[], version).doing(doing)? {
        None => return Err(not_running()),
        Some(version) if version < SOCKETS => return Err(Error::OldMonitor(container.name.to_string())),
        Some(_) => {}
    }
    let done = |answer: &ToClient<'_>| matches!(answer, ToClient::Done).then_some(0);
    // A message carries a few descriptors at most.
    let mut parts: Vec<_> = sockets.chunks(8).collect();
    if parts.is_empty() {
        parts.push(&[]);
    }
    for part in parts {
        ask(frame, part, done).doing(doing)?.ok_or_else(not_running)?;
    }
    Ok(())
}

/// Waits for the answer that is meant; `None` when the monitor, or the container's first process, is gone.
fn answer(
    socket: &OwnedFd,
    process: BorrowedFd<'_>,
    is_meant: fn(&ToClient<'_>) -> Option<u8>,
) -> sys::Result<Option<u8>> {
    const ANSWER: u64 = 0;
    const END: u64 = 1;
    let poller = Poller::new()?;
    poller.add(socket, ANSWER, EventFlags::IN)?;
    poller.add(process, END, EventFlags::IN)?;
    let mut frame = [0; FRAME];
    loop {
        if !poller.wait(None)?.iter().any(|event| event.token == ANSWER) {
            return Ok(None);
        }
        let length = match sys::socket::receive(socket, &mut frame) {
            Ok((length, _)) => length,
            Err(error) if matches!(error.errno(), Errno::CONNRESET | Errno::PIPE) => 0,
            Err(error) => return Err(error),
        };
        match ToClient::decode(&frame[..length]) {
            _ if length == 0 => return Ok(None),
            Some(answer) if let Some(meant) = is_meant(&answer) => return Ok(Some(meant)),
            _ => {}
        }
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
            // It went before it had read all that we said. That is told once, before what it said itself.
            Err(error) if error.errno() == Errno::CONNRESET => continue,
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
/// Those of them that would have ended the client itself, and end it where there is no container any more.
pub(crate) const ENDING: [i32; 7] = [1, 2, 3, 10, 12, 14, 15];
pub(crate) const SIGWINCH: i32 = 28;

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
