//! Waiting for more of a log, until the container has ended for good.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::ledger::{self, Owner};
use crate::records::{self, Exit};
use crate::restart::{Ended, plan_restart};
use crate::{Container, Engine, Error, client};

/// How long a run is waited for that the policy of a container asks for after its monitor was killed: whoever settles the
/// old run has closed it, and is about to have the next one opened.
const PATIENCE: Duration = Duration::from_secs(3);

/// Hears from the monitors of a container's runs.
#[derive(Debug)]
pub(super) struct Follower<'a> {
    engine: &'a Engine,
    container: &'a Container,
    /// There is none when the container does not run.
    monitor: Option<OwnedFd>,
}

impl<'a> Follower<'a> {
    /// Connects to the monitor of a container, if it runs.
    pub(super) fn new(engine: &'a Engine, container: &'a Container) -> Result<Self, Error> {
        let mut follower = Self { engine, container, monitor: None };
        follower.monitor = follower.connect(Duration::ZERO)?;
        Ok(follower)
    }

    /// Returns the socket that tells when there may be more; there is none when the container does not go on.
    pub(super) fn monitor(&self) -> Option<BorrowedFd<'_>> {
        self.monitor.as_ref().map(|monitor| monitor.as_fd())
    }

    /// Waits until there may be more; tells whether the container goes on. One that is started again by its policy does.
    pub(super) fn wait(&mut self) -> Result<bool, Error> {
        let Some(monitor) = &self.monitor else { return Ok(false) };
        if client::wait_for_news(monitor)? {
            return Ok(true);
        }
        self.monitor = self.connect(PATIENCE)?;
        Ok(self.monitor.is_some())
    }

    /// Connects to the monitor of the run that goes on, or that is just being started.
    fn connect(&self, patience: Duration) -> Result<Option<OwnedFd>, Error> {
        let (layout, id) = (self.engine.layout(), &self.container.id);
        let until = Instant::now() + patience;
        loop {
            match ledger::owner(layout, id)? {
                Owner::Living => {
                    if let Some(monitor) = client::follow(layout, id)? {
                        return Ok(Some(monitor));
                    }
                }
                Owner::Dead => {
                    self.engine.settle(self.container)?;
                    if ledger::owner(layout, id)? == Owner::Dead {
                        return Ok(None);
                    }
                }
                Owner::None if Instant::now() < until && self.is_to_be_started()? => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Owner::None => return Ok(None),
            }
        }
    }

    /// Tells whether the policy asks for a run after the end that is on record.
    fn is_to_be_started(&self) -> Result<bool, Error> {
        let Some(exit) = records::read::<Exit>(&self.engine.layout().exit(&self.container.id))? else {
            return Ok(false);
        };
        let ended = Ended {
            code: exit.exit_code,
            stopped: exit.stopped,
            lasted: Duration::ZERO,
            restarts: exit.restarts,
            waited: Duration::ZERO,
        };
        Ok(plan_restart(self.container.request.restart, &ended).is_some())
    }
}
