//! `ps`, and finding a container by what people call it.

use std::path::PathBuf;

use oci::Digest;
use store::Usage;

use crate::create::named;
use crate::layout::Layout;
use crate::ledger::{self, Owner};
use crate::records::{self, Exit, Run};
use crate::{Container, ContainerId, Engine, Error, State, Status, Summary};

impl Engine {
    /// Lists the containers that run, or `all`; the newest first.
    ///
    /// A running container costs six system calls: its lock asked for, its state read, its process asked for.
    pub fn list(&self, all: bool) -> Result<Vec<Summary>, Error> {
        let mut running = Vec::new();
        for id in ledger::runs(self.layout())? {
            match ledger::owner(self.layout(), &id)? {
                Owner::Dead => ledger::settle_or_warn(self.layout(), &id),
                Owner::Living => running.extend(self.running(&id)?.map(|run| run.into_summary(id))),
                Owner::None => {}
            }
        }
        let mut list = if all { self.list_all(running)? } else { running };
        list.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
        Ok(list)
    }

    fn list_all(&self, running: Vec<Summary>) -> Result<Vec<Summary>, Error> {
        let mut list = running;
        let known: std::collections::HashSet<ContainerId> = list.iter().map(|summary| summary.id.clone()).collect();
        for id in ledger::identifiers(&self.layout().containers())? {
            if known.contains(&id) {
                continue;
            }
            // One that is just being created or removed has no record.
            if let Some(container) = records::container(self.layout(), &id)? {
                let state = self.state(&container)?;
                list.push(container.summary(state));
            }
        }
        Ok(list)
    }

    /// Returns the run of a container whose command lives at this moment.
    fn running(&self, id: &ContainerId) -> Result<Option<Run>, Error> {
        let run: Option<Run> = records::read(&self.layout().run_state(id))?;
        // The monitor keeps the process ID from being used again, so the one that answers is the container's.
        Ok(run.filter(|run| is_alive(run.pid)))
    }

    /// Tells how a container fares.
    pub fn state(&self, container: &Container) -> Result<State, Error> {
        let id = &container.id;
        match ledger::owner(self.layout(), id)? {
            Owner::Living => {
                if let Some(run) = self.running(id)? {
                    return Ok(run.state());
                }
            }
            Owner::Dead => ledger::settle_or_warn(self.layout(), id),
            Owner::None => {}
        }
        for path in [self.layout().exit(id), self.layout().unsaved_exit(id)] {
            if let Some(exit) = records::read::<Exit>(&path)? {
                return Ok(exit.state());
            }
        }
        Ok(self.state_without_end(id))
    }

    /// A container with a writable layer and without an end was running when the machine went down, or is just ending.
    fn state_without_end(&self, id: &ContainerId) -> State {
        if !self.layout().upper(id).exists() || self.layout().run(id).exists() {
            return State::default();
        }
        let error = "the machine went down while the container ran".to_owned();
        State { status: Status::Exited, exit_code: 137, error, ..State::default() }
    }

    /// Finds a container by its id, its name, or the beginning of its id, in this order.
    pub fn find(&self, reference: &str) -> Result<Container, Error> {
        let unknown = || Error::NoSuchContainer(reference.to_owned());
        let word = reference.strip_prefix('/').unwrap_or(reference);
        let id = match (word.parse::<ContainerId>(), word.parse()) {
            (Ok(id), _) => Some(id),
            (_, Ok(name)) => named(self.layout(), &name).map_or_else(|| self.find_prefix(word), |id| Ok(Some(id)))?,
            _ => self.find_prefix(word)?,
        };
        records::container(self.layout(), &id.ok_or_else(unknown)?)?.ok_or_else(unknown)
    }

    fn find_prefix(&self, prefix: &str) -> Result<Option<ContainerId>, Error> {
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
            return Ok(None);
        }
        let mut ids = ledger::identifiers(&self.layout().containers())?;
        ids.retain(|id| id.as_str().starts_with(prefix));
        match ids.len() {
            0 | 1 => Ok(ids.pop()),
            count => Err(Error::Ambiguous { prefix: prefix.to_owned(), count }),
        }
    }

    /// Returns the link that leads into a container's root while it runs.
    pub fn rootfs_link(&self, container: &Container) -> Result<PathBuf, Error> {
        Ok(self.layout().rootfs(&container.id))
    }

    /// Returns the containers that were made from an image, by name.
    pub fn users_of_image(&self, image: &Digest) -> Result<Vec<String>, Error> {
        let users = self.containers()?.into_iter().filter(|container| container.image_id == *image);
        Ok(users.map(|container| container.name.to_string()).collect())
    }

    /// Returns one user of an image, a running one if there is any, as the store asks for it before a removal.
    pub fn usage_of_image(&self, image: &Digest) -> Option<Usage> {
        let users = self.containers().ok()?.into_iter().filter(|container| container.image_id == *image);
        let usage = |container: Container| {
            let running = self.state(&container).is_ok_and(|state| state.status == Status::Running);
            Usage { container: container.name.to_string(), running }
        };
        users.map(usage).max_by_key(|usage| usage.running)
    }

    fn containers(&self) -> Result<Vec<Container>, Error> {
        let layout: &Layout = self.layout();
        let ids = ledger::identifiers(&layout.containers())?;
        ids.iter().filter_map(|id| records::container(layout, id).transpose()).collect()
    }
}

/// Tells whether a process runs, a zombie not counting.
fn is_alive(pid: u32) -> bool {
    let Ok(pidfd) = sys::process::pidfd_open(pid) else { return false };
    // A pidfd becomes readable when its process ends.
    !sys::signal::wait_readable(&pidfd, Some(std::time::Duration::ZERO)).unwrap_or(true)
}
