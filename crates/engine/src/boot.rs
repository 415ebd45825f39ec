//! After a reboot: what ran before is put on record, and what its policy asks for is started.
//!
//! The state directory is in memory and has gone with the machine; what is left is the records on the disk. Containers
//! that run already are left alone, so doing it twice does no harm.

use jiff::Timestamp;
use sys::file::Durability;

use crate::ledger::{self, Owner};
use crate::records::{self, Exit};
use crate::{Container, Engine, Error, RemoveOptions, StartMode};

/// What has become of one container after a reboot.
#[derive(Debug)]
pub struct Booted {
    /// The container.
    pub container: Container,
    /// What was done.
    pub outcome: Result<BootOutcome, Error>,
}

/// What was done with a container after a reboot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootOutcome {
    /// Its policy asked for a start.
    Started,
    /// It was to go with its end, and the end of the machine was that.
    Removed,
}

/// What is to be done with a container after a reboot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    Leave,
    /// It ran when the machine went down.
    Record,
    Start,
    Remove,
}

impl Engine {
    /// Starts what restart policies ask for; returns the containers with which something was done.
    pub fn boot(&self) -> Result<Vec<Booted>, Error> {
        self.sweep()?;
        let mut done = Vec::new();
        for container in self.containers()? {
            let outcome = match self.decide(&container)? {
                Decision::Leave => continue,
                Decision::Record => {
                    self.record_power_cut(&container)?;
                    continue;
                }
                Decision::Start => self.start(&container, StartMode::Detached).map(|_| BootOutcome::Started),
                Decision::Remove => {
                    let options = RemoveOptions { force: false, volumes: true };
                    self.remove(&container, options).map(|()| BootOutcome::Removed)
                }
            };
            match outcome {
                // Somebody else was quicker.
                Err(Error::AlreadyRunning(_) | Error::Running(_)) => {}
                outcome => done.push(Booted { container, outcome }),
            }
        }
        Ok(done)
    }

    fn decide(&self, container: &Container) -> Result<Decision, Error> {
        let layout = self.layout();
        let runs = ledger::owner(layout, &container.id)? != Owner::None;
        let has_run = records::exists(&layout.upper(&container.id))?;
        // An end that cannot be read is one that nobody has asked for.
        let exit = records::read::<Exit>(&layout.exit(&container.id)).unwrap_or_default();
        Ok(decide(container, runs, has_run, exit.as_ref()))
    }

    fn record_power_cut(&self, container: &Container) -> Result<(), Error> {
        let exit = Exit::unseen("the machine went down while the container ran", None, Timestamp::now());
        records::write(&self.layout().exit(&container.id), &exit, Durability::Synced)
    }
}

fn decide(container: &Container, runs: bool, has_run: bool, exit: Option<&Exit>) -> Decision {
    let request = &container.request;
    match has_run {
        _ if runs => Decision::Leave,
        // A container that was never started waits for its first start.
        false => Decision::Leave,
        true if request.remove_on_exit => Decision::Remove,
        true if request.restart.outlives_the_machine(exit.is_some_and(|exit| exit.stopped)) => Decision::Start,
        true if exit.is_none() => Decision::Record,
        true => Decision::Leave,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ContainerId, CreateRequest, RestartPolicy};

    fn container(restart: RestartPolicy, remove_on_exit: bool) -> Container {
        Container {
            id: ContainerId::from_bytes([1; 32]),
            name: "eg".parse().unwrap(),
            created: Timestamp::UNIX_EPOCH,
            image_id: oci::Digest::of(b"image"),
            args: Vec::new(),
            anonymous_volumes: Vec::new(),
            health: None,
            request: CreateRequest { restart, remove_on_exit, ..CreateRequest::default() },
        }
    }

    #[test]
    fn each_container_gets_what_its_policy_asks_for() {
        let ended = |stopped| Exit { stopped, ..Exit::failed(0, String::new()) };
        let after =
            |policy, has_run, exit: Option<Exit>| decide(&container(policy, false), false, has_run, exit.as_ref());
        assert_eq!(after(RestartPolicy::Always, true, None), Decision::Start);
        assert_eq!(after(RestartPolicy::Always, true, Some(ended(true))), Decision::Start);
        assert_eq!(after(RestartPolicy::UnlessStopped, true, None), Decision::Start);
        assert_eq!(after(RestartPolicy::UnlessStopped, true, Some(ended(true))), Decision::Leave);
        assert_eq!(after(RestartPolicy::OnFailure(None), true, None), Decision::Record);
        assert_eq!(after(RestartPolicy::No, true, None), Decision::Record);
        assert_eq!(after(RestartPolicy::No, true, Some(ended(false))), Decision::Leave);
        assert_eq!(after(RestartPolicy::Always, false, None), Decision::Leave);
        assert_eq!(decide(&container(RestartPolicy::No, true), false, true, None), Decision::Remove);
        assert_eq!(decide(&container(RestartPolicy::Always, false), true, true, None), Decision::Leave);
    }
}
