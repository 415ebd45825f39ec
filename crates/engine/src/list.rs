//! `ps`, and finding a container by what people call it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use oci::Digest;
use store::Usage;
use sys::file::Durability;

use crate::client;
use crate::layout::Layout;
use crate::ledger::{self, Owner};
use crate::names::{self, named};
use crate::records::{self, Exit, Run};
use crate::recover;
use crate::wire::Wishes;
use crate::{Container, ContainerId, ContainerName, Engine, Error, State, Status, Summary};

impl Engine {
    /// Lists the containers that run, or `all`; the newest first.
    ///
    /// A running container costs six system calls: its lock asked for, its state read, its process asked for.
    pub fn list(&self, all: bool) -> Result<Vec<Summary>, Error> {
        let mut running = Vec::new();
        recover::recover_once(self.layout())?;
        ledger::clear_closed(self.layout());
        self.look_at_firewall();
        for id in ledger::runs(self.layout())? {
            match ledger::owner(self.layout(), &id)? {
                Owner::Dead => ledger::settle_or_warn(self.layout(), &id),
                Owner::Living => {
                    let run = self.running(&id).filter(|run| !run.step);
                    running.extend(run.map(|run| run.into_summary(id)));
                }
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
            match records::container(self.layout(), &id) {
                // It is just being created or removed.
                Ok(None) => {}
                Ok(Some(container)) if container.is_step() => {}
                Ok(Some(container)) => match self.state(&container) {
                    Ok(state) => list.push(container.summary(state)),
                    Err(Error::NoSuchContainer(_)) => {}
                    Err(error) => return Err(error),
                },
                Err(error) => list.push(dead(self.layout(), id, &error)),
            }
        }
        Ok(list)
    }

    /// Returns the run of a container whose command lives. Where the command has just ended, its monitor is waited for,
    /// until it has written down how: before that there is nothing true to say of it.
    fn running_or_recorded(&self, id: &ContainerId) -> Result<Option<Run>, Error> {
        let until = Instant::now() + client::PATIENCE;
        loop {
            if let Some(run) = self.running(id) {
                return Ok(Some(run));
            }
            let Ok(Some(run)) = records::read::<Run>(&self.layout().run_state(id)) else { return Ok(None) };
            let exits = [self.layout().exit(id), self.layout().unsaved_exit(id)];
            let of_this_run = |exit: Exit| exit.started_at == Some(run.started_at);
            let recorded = exits.iter().any(|path| records::read(path).is_ok_and(|exit| exit.is_some_and(of_this_run)));
            if recorded || ledger::owner(self.layout(), id)? != Owner::Living || Instant::now() >= until {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Returns the run of a container whose command lives at this moment.
    fn running(&self, id: &ContainerId) -> Option<Run> {
        let run = match records::read(&self.layout().run_state(id)) {
            Ok(run) => run,
            Err(error) => self.ask_monitor(id, &error),
        };
        // The monitor keeps the process ID from being used again, so the one that answers is the container's.
        let mut run = run.filter(|run: &Run| run.pause.is_some() || is_alive(run.pid))?;
        if run.has_health {
            run.health = records::read(&self.layout().health(id)).unwrap_or_default();
        }
        Some(run)
    }

    /// Asks the monitor which process is the container's, where the file that says so is damaged, and mends the file.
    fn ask_monitor(&self, id: &ContainerId, damage: &Error) -> Option<Run> {
        warn_of(id, damage);
        let connection = client::connect(self.layout(), id, Wishes::default()).ok()??;
        let pid = sys::process::pid_of(&connection.process?).ok()?;
        let container = records::container(self.layout(), id).ok()??;
        let begun = std::fs::metadata(self.layout().lock(id)).and_then(|lock| lock.modified()).ok();
        let begun = begun.and_then(|time| Timestamp::try_from(time).ok()).unwrap_or(container.created);
        let run = Run::of(&container, pid, begun);
        // Whoever looks next asks again where this fails.
        let _ = records::write(&self.layout().run_state(id), &run, Durability::Cached);
        Some(run)
    }

    /// Tells how a container fares.
    pub fn state(&self, container: &Container) -> Result<State, Error> {
        let id = &container.id;
        match ledger::owner(self.layout(), id)? {
            Owner::Living => {
                if let Some(run) = self.running_or_recorded(id)? {
                    return Ok(run.state());
                }
            }
            Owner::Dead => ledger::settle_or_warn(self.layout(), id),
            Owner::None => {}
        }
        for path in [self.layout().exit(id), self.layout().unsaved_exit(id)] {
            match records::read::<Exit>(&path) {
                Ok(Some(exit)) => return Ok(exit.state()),
                Ok(None) => {}
                Err(error) => return Ok(self.state_of_damaged_end(id, &error)),
            }
        }
        // Without an end on record it has not run yet, or it was removed while we looked.
        if !records::exists(&self.layout().record(id))? {
            return Err(Error::NoSuchContainer(container.name.to_string()));
        }
        self.state_without_end(id)
    }

    /// A container with a writable layer and without an end was running when the machine went down, or is just ending.
    fn state_without_end(&self, id: &ContainerId) -> Result<State, Error> {
        if !records::exists(&self.layout().upper(id))? || records::exists(&self.layout().run(id))? {
            return Ok(State::default());
        }
        let error = "the machine went down while the container ran".to_owned();
        Ok(State { status: Status::Exited, exit_code: 137, error, ..State::default() })
    }

    fn state_of_damaged_end(&self, id: &ContainerId, damage: &Error) -> State {
        warn_of(id, damage);
        State { status: Status::Exited, exit_code: 137, error: damage.to_string(), ..State::default() }
    }

    /// Finds a container by its id, its name, or the beginning of its id, in this order.
    pub fn find(&self, reference: &str) -> Result<Container, Error> {
        let unknown = || Error::NoSuchContainer(reference.to_owned());
        let word = reference.strip_prefix('/').unwrap_or(reference);
        let id = match (word.parse::<ContainerId>(), word.parse()) {
            (Ok(id), _) => Some(id),
            (_, Ok(name)) => match self.find_named(&name)? {
                Some(container) => return Ok(container),
                None => self.find_prefix(word)?,
            },
            _ => self.find_prefix(word)?,
        };
        records::container(self.layout(), &id.ok_or_else(unknown)?)?.ok_or_else(unknown)
    }

    /// Finds a container by its name. One that is just being created has its name before it has its record, and is waited
    /// for: whoever was told that the name is in use finds who uses it.
    fn find_named(&self, name: &ContainerName) -> Result<Option<Container>, Error> {
        let until = Instant::now() + client::PATIENCE;
        loop {
            let Some(id) = named(self.layout(), name)? else { return Ok(None) };
            if let Some(container) = records::container(self.layout(), &id)? {
                return Ok(Some(container));
            }
            if ledger::owner(self.layout(), &id)? != Owner::Living || Instant::now() >= until {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
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

    /// Returns the containers that were made from an image, by name. Where a record cannot be read nobody knows, and that is an
    /// error: what comes of the answer is a removal.
    pub fn users_of_image(&self, image: &Digest) -> Result<Vec<String>, Error> {
        let users = self.users(image)?;
        Ok(users.iter().map(|container| container.name.to_string()).collect())
    }

    /// Returns one user of an image, a running one if there is any, as the store asks for it before a removal. What cannot be
    /// found out is in use; `unknown` is told why.
    pub fn usage_of_image(&self, image: &Digest, unknown: impl FnOnce(Error)) -> Option<Usage> {
        let users = match self.users(image) {
            Ok(users) => users,
            Err(error) => {
                let usage = Usage { user: format!("whom nobody can tell ({error})"), running: true };
                unknown(error);
                return Some(usage);
            }
        };
        let usage = |container: Container| {
            let state = self.state(&container);
            let running = state.map_or(true, |state| matches!(state.status, Status::Running | Status::Restarting));
            Usage { user: format!("container {}", container.name), running }
        };
        let place = self.attached_image(image).into_iter().next();
        let mount = place.map(|place| Usage { user: format!("the mount at {}", place.display()), running: true });
        users.into_iter().map(usage).chain(mount).max_by_key(|usage| usage.running)
    }

    fn users(&self, image: &Digest) -> Result<Vec<Container>, Error> {
        let mut users = Vec::new();
        for id in ledger::identifiers(&self.layout().containers())? {
            match records::container(self.layout(), &id) {
                Ok(container) => users.extend(container.filter(|container| container.image_id == *image)),
                // It can only be removed any more, and needs no image for that.
                Err(error @ Error::Damaged { .. }) => warn_of(&id, &error),
                Err(error) => return Err(error),
            }
        }
        Ok(users)
    }

    pub(crate) fn containers(&self) -> Result<Vec<Container>, Error> {
        let layout: &Layout = self.layout();
        let ids = ledger::identifiers(&layout.containers())?;
        let readable = |id: &ContainerId| match records::container(layout, id) {
            Ok(container) => container,
            Err(error) => {
                warn_of(id, &error);
                None
            }
        };
        Ok(ids.iter().filter_map(readable).collect())
    }
}

/// What can be shown of a container whose record is damaged.
fn dead(layout: &Layout, id: ContainerId, damage: &Error) -> Summary {
    warn_of(&id, damage);
    let name = names::of(layout, &id).or_else(|| id.short().parse().ok());
    Summary {
        // The digits of an id are a name.
        name: name.unwrap_or_else(|| unreachable!("{} is a name", id.short())),
        image: String::new(),
        args: Vec::new(),
        created: Timestamp::UNIX_EPOCH,
        labels: BTreeMap::new(),
        ports: Vec::new(),
        state: State { status: Status::Dead, error: damage.to_string(), ..State::default() },
        id,
    }
}

fn warn_of(id: &ContainerId, damage: &Error) {
    let chain = crate::error::Chain::write(damage).replace('\n', ": ");
    tracing::warn!(container = id.short(), "{chain}");
}

/// Tells whether a process runs, a zombie not counting.
fn is_alive(pid: u32) -> bool {
    let Ok(pidfd) = sys::process::pidfd_open(pid) else { return false };
    // A pidfd becomes readable when its process ends.
    !sys::signal::wait_readable(&pidfd, Some(std::time::Duration::ZERO)).unwrap_or(true)
}
