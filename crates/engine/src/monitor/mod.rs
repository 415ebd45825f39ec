//! The monitor: the one process of ours that stays with a running container.
//!
//! It is the parent of the container's first process, owns its standard streams or terminal, writes its log, serves those
//! who attach, and clears away what the run leaves. It has one thread and waits in one place; it starts with what it
//! needs open (`order`) and keeps nothing else in memory.
//!
//! Start reading at [`main`], then `Monitor::watch`; `streams` moves bytes, `clients` talks, `finish` ends the run.

pub mod again;
pub(crate) mod begin;
mod clients;
mod finish;
mod health;
mod network;
pub(crate) mod order;
pub mod probe;
mod streams;

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;

use net::names::server::Server;
use store::snapshot::Holder;
use sys::event::{EventFlags, Poller, Ready};
use sys::process::ExitStatus;

use crate::layout::Layout;
use crate::logs::Stream;
use crate::logs::writer::LogWriter;
use crate::wire::Wishes;
use clients::{Client, Feed};
use health::HealthWatch;
use order::{Descriptors, Order};
use streams::{Input, Output};

/// What became ready, as a number of the poller.
const PROCESS: u64 = 0;
const STDOUT: u64 = 1;
const STDERR: u64 = 2;
const STDIN: u64 = 3;
const LISTENER: u64 = 4;
const PROBE: u64 = 5;
/// The pipes by which the client that started the container gets output and errors, where they are full.
const TAPS: [u64; 2] = [6, 7];
/// Clients, and their pipes.
const FIRST_CLIENT: u64 = 8;

/// The numbers of the resolver, far beyond those of clients.
const RESOLVER: u64 = 1 << 40;

/// How long nothing must happen until the monitor makes itself small, and the container's mount of the image is offered to
/// others: those that only come and go are spared the work.
const SETTLED: Duration = Duration::from_millis(20);

/// Runs the monitor; `arguments` are those after `monitor`: the container's name, for whoever lists processes, and the
/// order.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let order = arguments.into_iter().nth(1).and_then(|text| serde_json::from_str(text.to_str()?).ok());
    let watched = order.map(|order: Order| {
        let fds = order.fds.clone().adopt()?;
        Monitor::new(order, fds)?.watch()
    });
    match watched {
        Some(Ok(())) => ExitCode::SUCCESS,
        // Nobody listens; the next command settles the run.
        _ => ExitCode::FAILURE,
    }
}

/// A monitor at work.
#[derive(Debug)]
struct Monitor {
    order: Order,
    layout: Layout,
    poller: Poller,
    process: OwnedFd,
    /// The process has been reaped: nobody can be given its descriptor any more.
    reaped: bool,
    listener: OwnedFd,
    /// Held open for its mark, and for others to copy.
    lock: OwnedFd,
    view: Option<OwnedFd>,
    outputs: [Option<Output>; 2],
    input: Option<Input>,
    clients: Vec<Client>,
    feeds: Vec<Feed>,
    next_token: u64,
    log: LogWriter,
    health: Option<HealthWatch>,
    /// Answers the container's questions about names.
    names: Option<Server>,
    /// Sockets that take the ports which the container publishes, and the hold on the image's directory.
    kept: Vec<OwnedFd>,
    /// Room for what is read and what is heard, while there is much of it.
    buffer: Vec<u8>,
}

impl Monitor {
    fn new(order: Order, fds: Descriptors<OwnedFd>) -> sys::Result<Self> {
        let poller = Poller::new()?;
        poller.add(&fds.process, PROCESS, EventFlags::IN)?;
        poller.add(&fds.listener, LISTENER, EventFlags::IN)?;
        let (outputs, input) = streams::open(&poller, fds.stdin, fds.stdout, fds.stderr, fds.terminal)?;
        let layout = Layout::new(order.root.clone(), order.state.clone());
        let names = fds.resolver.and_then(|sockets| network::answer(&layout, &order.id, &poller, sockets));
        let mut monitor = Self {
            layout,
            names,
            kept: fds.kept,
            log: LogWriter::new(order.log.clone()),
            health: order.health.clone().map(HealthWatch::new),
            poller,
            process: fds.process,
            reaped: false,
            listener: fds.listener,
            lock: fds.lock,
            view: fds.view,
            outputs,
            input,
            clients: Vec::new(),
            feeds: Vec::new(),
            next_token: FIRST_CLIENT,
            buffer: Vec::new(),
            order,
        };
        if let Some(client) = fds.client {
            let wishes = Wishes::from_bits(monitor.order.wishes.unwrap_or_default());
            monitor.admit(client, wishes, true)?;
        }
        Ok(monitor)
    }

    /// Serves the container until it has ended, and clears away what is left of the run.
    fn watch(mut self) -> sys::Result<()> {
        let (mut holder, mut settled, mut shrunk) = (None, false, false);
        let status = loop {
            let is_large = !settled || self.is_large();
            let names = self.names.as_ref().and_then(Server::patience);
            let patience = [is_large.then_some(SETTLED), self.health_patience(), names];
            let patience = patience.into_iter().flatten().min();
            let ready = if shrunk { self.poller.wait_lightly(patience) } else { self.poller.wait(patience) }?;
            shrunk = ready.is_empty() && is_large;
            if shrunk {
                holder = if settled { holder } else { self.offer_view() };
                settled = true;
                self.shrink();
            }
            let mut ended = false;
            for event in ready {
                ended |= event.token == PROCESS;
                self.attend(event);
            }
            self.tend_health();
            self.tend_names();
            if ended && let Some(status) = sys::process::peek(&self.process)? {
                break status;
            }
        };
        drop(holder);
        self.finish(status)
    }

    /// Attends to what became ready. What that needs of the stack is not needed while we wait.
    #[inline(never)]
    fn attend(&mut self, event: Ready) {
        match event.token {
            PROCESS => {}
            STDOUT => self.pump(Stream::Stdout),
            STDERR => self.pump(Stream::Stderr),
            STDIN => self.feed(),
            LISTENER => self.welcome(),
            PROBE => self.take_probe(),
            token if token >= RESOLVER => self.answer_names(token),
            token if TAPS.contains(&token) => self.resume_tap(token),
            token => self.serve(token, event.flags),
        }
    }

    /// Offers the mount of the image to others, once the container has lived for a while.
    fn offer_view(&self) -> Option<Holder> {
        let offer = |chain| {
            // Others mount the image anew where they cannot copy ours: worse, but right.
            Holder::announce(self.layout.state(), chain, self.view.as_ref()?.as_fd()).ok()
        };
        self.order.chain.as_ref().and_then(offer)
    }

    /// Lets go of the memory that only the beginning, or a moment with much to do, needed.
    fn shrink(&mut self) {
        self.shrink_buffers();
        self.log.rest();
        if let Some(names) = &mut self.names {
            names.rest();
        }
        sys::memory::release_heap();
        sys::memory::release_stack();
    }
}

/// Returns a status as a shell shows it.
fn code(status: ExitStatus) -> u8 {
    u8::try_from(status.code() & 0xff).unwrap_or(255)
}
