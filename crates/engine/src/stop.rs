//! `stop`, `kill`, `wait` and `attach`: what is asked of a container that runs.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use sys::Calling;
use sys::event::{EventFlags, Poller};
use trace::Step;

use crate::client::{self, Connection};
use crate::error::{Chain, Doing};
use crate::layout::Layout;
use crate::ledger::{self, Claim};
use crate::wire::Wishes;
use crate::{
    AttachOptions, AttachOutcome, Container, ContainerId, Engine, Error, RestartPolicy, Signal, Status, StopOptions,
};

/// How long a container is given to end where nothing is said, as in Docker.
pub(crate) const GRACE: u32 = 10;

/// A container that is being stopped.
#[derive(Debug)]
struct Stopping<'a> {
    container: &'a Container,
    connection: Connection,
    signal: Signal,
    /// When it is killed.
    deadline: Option<Instant>,
}

impl Engine {
    /// Stops several containers at the same time; the answers come in their order. One that does not run is content.
    pub fn stop(&self, containers: &[Container], options: StopOptions) -> Vec<Result<(), Error>> {
        let begin = |container| self.begin_stop(container, options);
        let mut begun: Vec<Result<Option<Stopping<'_>>, Error>> = containers.iter().map(begin).collect();
        let waiting: Vec<&mut Stopping<'_>> =
            begun.iter_mut().filter_map(|begun| begun.as_mut().ok()?.as_mut()).collect();
        if let Err(error) = self.wait_for_all(waiting) {
            // None of them was seen to end, as far as anybody can tell now.
            let told = Chain::write(&error);
            for begun in begun.iter_mut().filter(|begun| matches!(begun, Ok(Some(_)))) {
                let doing = "see the container end".to_owned();
                *begun = Err(Error::Doing { doing, source: Chain::read(&told).into() });
            }
        }
        begun.into_iter().map(|begun| begun.map(drop)).collect()
    }

    fn begin_stop<'a>(&self, container: &'a Container, options: StopOptions) -> Result<Option<Stopping<'a>>, Error> {
        self.sweep()?;
        self.settle(container)?;
        self.mark_stopping(container)?;
        let Some(connection) = client::connect_to_owner(self.layout(), &container.id, Wishes::default())? else {
            return Ok(None);
        };
        let signal = options.signal.unwrap_or_else(|| self.stop_signal(container));
        let seconds = options.timeout.or(container.request.stop_timeout).unwrap_or(GRACE);
        let deadline = Instant::now().checked_add(Duration::from_secs(seconds.into()));
        let stopping = Stopping { container, connection, signal, deadline };
        self.signal(&stopping, signal)?;
        Ok(Some(stopping))
    }

    /// Returns the signal that asks a container to stop: its own, its image's, or SIGTERM.
    pub(crate) fn stop_signal(&self, container: &Container) -> Signal {
        let own = container.request.stop_signal;
        own.or_else(|| self.stop_signal_of_image(container)).unwrap_or(Signal::TERM)
    }

    fn stop_signal_of_image(&self, container: &Container) -> Option<Signal> {
        let image = self.store().images().load(&container.image_id).ok()?;
        image.config.config().as_ref()?.stop_signal().as_ref()?.parse().ok()
    }

    fn signal(&self, stopping: &Stopping<'_>, signal: Signal) -> Result<(), Error> {
        let name = &stopping.container.name;
        self.recorder().record(&signal_step(stopping.container, signal));
        stopping.connection.signal(signal.number()).doing(|| format!("send {signal} to container {name}"))
    }

    /// Writes down that the end of a run is asked for, where that decides what follows.
    fn mark_stopping(&self, container: &Container) -> Result<(), Error> {
        if container.request.restart == RestartPolicy::No { Ok(()) } else { mark(self.layout(), &container.id) }
    }

    /// Waits until all have ended, and kills each whose time is over.
    fn wait_for_all(&self, mut waiting: Vec<&mut Stopping<'_>>) -> Result<(), Error> {
        let doing = || "wait for the containers to end";
        let poller = Poller::new().doing(doing)?;
        for (token, stopping) in (0..).zip(&waiting) {
            poller.add(&stopping.connection.socket, token, EventFlags::IN).doing(doing)?;
        }
        let mut left = waiting.len();
        while left > 0 {
            let next = waiting.iter().filter_map(|stopping| stopping.deadline).min();
            let patience = next.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            for event in poller.wait(patience).doing(doing)? {
                let Some(stopping) = usize::try_from(event.token).ok().and_then(|at| waiting.get_mut(at)) else {
                    continue;
                };
                // The monitor says that all is cleared away; or it has died, and then the next sweep does it; or it
                // has handed the run on to the next one, which is asked again.
                let told = client::wait_for_end(&stopping.connection.socket)?;
                poller.remove(stopping.connection.socket.as_fd()).doing(doing)?;
                if told.is_none() && self.reach_again(stopping)? {
                    poller.add(&stopping.connection.socket, event.token, EventFlags::IN).doing(doing)?;
                    continue;
                }
                if told.is_none() {
                    self.settle(stopping.container)?;
                }
                stopping.deadline = None;
                left -= 1;
            }
            let now = Instant::now();
            for stopping in waiting.iter_mut().filter(|stopping| stopping.deadline.is_some_and(|at| at <= now)) {
                stopping.deadline = None;
                self.signal(stopping, Signal::KILL)?;
            }
        }
        Ok(())
    }

    /// Asks the next monitor of a run, where there is one.
    fn reach_again(&self, stopping: &mut Stopping<'_>) -> Result<bool, Error> {
        let id = &stopping.container.id;
        let Some(connection) = client::connect_to_owner(self.layout(), id, Wishes::default())? else {
            return Ok(false);
        };
        stopping.connection = connection;
        self.signal(stopping, stopping.signal)?;
        Ok(true)
    }

    /// Ends a container by a signal, and returns when all of its run is cleared away.
    pub(crate) fn end(&self, container: &Container, signal: Signal) -> Result<(), Error> {
        self.mark_stopping(container)?;
        let Some(connection) = client::connect_to_owner(self.layout(), &container.id, Wishes::default())? else {
            return self.settle(container);
        };
        let mut stopping = Stopping { container, connection, signal, deadline: None };
        self.signal(&stopping, stopping.signal)?;
        self.wait_for_all(vec![&mut stopping])
    }

    /// Tells whether a container runs, or is about to run again.
    pub(crate) fn is_running(&self, container: &Container) -> Result<bool, Error> {
        Ok(matches!(self.state(container)?.status, Status::Running | Status::Restarting))
    }

    /// Waits until the run of a container whose command has ended is cleared away: its end can be seen a moment before.
    /// Returns false, at once, when the container runs or is just being started.
    fn await_close(&self, container: &Container) -> Result<bool, Error> {
        if self.is_running(container)? {
            return Ok(false);
        }
        if let Some(connection) = client::connect_to_owner(self.layout(), &container.id, Wishes::default())? {
            // What had an owner and did not run may have been about to: when the monitor answers, it does.
            if self.is_running(container)? {
                return Ok(false);
            }
            client::wait_for_end(&connection.socket)?;
        }
        self.settle(container)?;
        Ok(true)
    }

    /// Claims a container that does not run; `None` when it does. Whoever else has a claim on it, and does not start it, is
    /// waited for: a removal is none of the reasons to say that it runs.
    pub(crate) fn claim_closed(&self, container: &Container) -> Result<Option<Claim>, Error> {
        let deadline = Instant::now() + client::PATIENCE;
        loop {
            if let Some(claim) = ledger::claim(self.layout(), &container.id, self.recorder())? {
                return Ok(Some(claim));
            }
            if !self.await_close(container)? || Instant::now() >= deadline {
                return Ok(None);
            }
        }
    }

    /// Sends a signal to a container's command.
    pub fn kill(&self, container: &Container, signal: Signal) -> Result<(), Error> {
        self.sweep()?;
        // A signal that ends most programs is meant to end this one; others, such as SIGHUP, ask for something else.
        let stop_signal = container.request.stop_signal.unwrap_or(Signal::TERM);
        if [Signal::KILL, Signal::TERM, Signal::INT, Signal::QUIT, stop_signal].contains(&signal) {
            self.mark_stopping(container)?;
        }
        let connection = self.reach(container, Wishes::default())?;
        let stopping = Stopping { container, connection, signal, deadline: None };
        self.signal(&stopping, signal)?;
        // As in Docker, a container that was killed is gone when the command returns.
        if signal == Signal::KILL { client::wait_for_end(&stopping.connection.socket).map(drop) } else { Ok(()) }
    }

    /// Waits for a container to end and returns its status; that of the last run where it does not run.
    pub fn wait(&self, container: &Container) -> Result<u8, Error> {
        self.sweep()?;
        while let Some(connection) = client::connect(self.layout(), &container.id, Wishes::default())? {
            match client::wait_for_end(&connection.socket)? {
                Some(code) => return Ok(code),
                // Its monitor died, or was replaced by that of the next run: the wait goes on with that one.
                None => self.settle(container)?,
            }
        }
        let state = self.state(container)?;
        Ok(u8::try_from(state.exit_code).unwrap_or(u8::MAX))
    }

    /// Attaches to a running container.
    pub fn attach(&self, container: &Container, options: &AttachOptions) -> Result<AttachOutcome, Error> {
        self.sweep()?;
        if container.request.tty && options.stdin && !sys::pty::is_terminal(std::io::stdin()) {
            return Err(Error::NotATerminal);
        }
        let signals = client::take_signals(options, container.request.tty)?;
        let stdin = options.stdin && container.request.open_stdin;
        let connection = self.reach(container, Wishes { stdin, output: options.output, ..Wishes::default() })?;
        self.stay(container, connection, options, signals)
    }

    fn reach(&self, container: &Container, wishes: Wishes) -> Result<Connection, Error> {
        let not_running = || Error::NotRunning(container.name.to_string());
        if !self.is_running(container)? {
            return Err(not_running());
        }
        client::connect(self.layout(), &container.id, wishes)?.ok_or_else(not_running)
    }
}

/// Marks a run as one whose end is asked for; content when there is no run.
pub(crate) fn mark(layout: &Layout, id: &ContainerId) -> Result<(), Error> {
    let path = layout.stopping(id);
    match std::fs::File::create(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        made => made.map(drop).call(|| format!("open({path:?}, O_CREAT)")).doing(|| "mark the run as stopped"),
    }
}

fn signal_step(container: &Container, signal: Signal) -> Step {
    let number = signal.number();
    Step::host(
        format!("send {signal} to the first process of container {}", container.name),
        format!("kill -{number} PID"),
    )
}
