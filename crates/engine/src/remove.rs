//! The end of a container: its record, its changes, its name, the volumes that were its own.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Instant;

use sys::Calling;
use trace::{Explain, Step, quote};

use crate::client;
use crate::error::Doing;
use crate::layout::{HEALTH, Layout, NAMES, NETWORK, SHARED, SOCKET, STOPPING};
use crate::ledger::{self, Claim, Owner};
use crate::names;
use crate::stop;
use crate::wire::Wishes;
use crate::{Container, ContainerId, ContainerName, Engine, Error, RemoveOptions, Signal};

impl Engine {
    /// Removes a container; with `force` it is killed first if it runs, and all is well if somebody else has removed it.
    pub fn remove(&self, container: &Container, options: RemoveOptions) -> Result<(), Error> {
        self.sweep()?;
        match self.remove_living(container, options) {
            Err(Error::NoSuchContainer(_)) if options.force => Ok(()),
            removed => removed,
        }
    }

    fn remove_living(&self, container: &Container, options: RemoveOptions) -> Result<(), Error> {
        let layout = self.layout();
        // From here on nobody can start it.
        let claim = self.claim_ended(container, options.force)?;
        ledger::claimed_record(layout, &container.id, container.name.as_str())?;
        self.recorder().record(&RemoveStep { layout, container });
        let volumes: &[ContainerName] = if options.volumes { &container.anonymous_volumes } else { &[] };
        remove_files(layout, &container.id, Some(&container.name), volumes)?;
        remove_run(layout, &container.id)?;
        drop(claim);
        Ok(())
    }

    /// Claims a container for good; with `force` it is killed first if it runs, and killed again when its policy or somebody
    /// else was faster than the claim.
    fn claim_ended(&self, container: &Container, force: bool) -> Result<Claim, Error> {
        let deadline = Instant::now() + client::PATIENCE;
        loop {
            if force && ledger::owner(self.layout(), &container.id)? == Owner::Living {
                self.end(container, Signal::KILL)?;
            }
            match self.claim_closed(container)? {
                Some(claim) => return Ok(claim),
                None if force && Instant::now() < deadline => {}
                None => return Err(Error::Running(container.name.to_string())),
            }
        }
    }

    /// Removes a container whose record is damaged, running or not. Its volumes stay: the record knew which were its own.
    pub fn remove_damaged(&self, id: &ContainerId) -> Result<(), Error> {
        self.sweep()?;
        let layout = self.layout();
        stop::mark(layout, id)?;
        if let Some(connection) = client::connect_to_owner(layout, id, Wishes::default())? {
            connection.signal(Signal::KILL.number()).doing(|| format!("kill container {}", id.short()))?;
            client::wait_for_end(&connection.socket)?;
        }
        let Some(claim) = ledger::claim(layout, id, self.recorder())? else {
            return Err(Error::Running(id.short().to_owned()));
        };
        remove_files(layout, id, None, &[])?;
        remove_run(layout, id)?;
        drop(claim);
        Ok(())
    }

    /// Removes all containers that do not run; returns them.
    pub fn prune(&self) -> Result<Vec<Container>, Error> {
        let mut removed = Vec::new();
        for id in ledger::identifiers(&self.layout().containers())? {
            let container = match crate::records::container(self.layout(), &id) {
                Ok(Some(container)) => container,
                // One whose record is damaged is not removed without being asked for by name.
                Ok(None) | Err(Error::Damaged { .. }) => continue,
                Err(error) => return Err(error),
            };
            match self.remove(&container, RemoveOptions::default()) {
                Ok(()) => removed.push(container),
                Err(Error::Running(_) | Error::NoSuchContainer(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(removed)
    }
}

/// Removes what a container has on the disk. The name goes first: what is half removed can be called no more. The rest goes
/// at once, by a rename, and is then removed at leisure.
pub(crate) fn remove_files(
    layout: &Layout,
    id: &ContainerId,
    name: Option<&ContainerName>,
    volumes: &[ContainerName],
) -> Result<(), Error> {
    match name {
        Some(name) => names::release(layout, name, id)?,
        None => names::forget(layout, id)?,
    }
    for volume in volumes {
        remove_tree(&layout.volumes().join(volume.as_str())).doing(|| format!("remove volume {volume}"))?;
    }
    let doing = || format!("remove the files of container {}", id.short());
    let (files, removed) = (layout.container(id), layout.removed_container(id));
    match renamed(&files, &removed) {
        Ok(_) => remove_tree(&removed).doing(doing),
        // A full disk may refuse the rename of what is to make room.
        Err(_) => remove_tree(&files).doing(doing),
    }
}

/// Renames a directory that is to be removed; tells whether it was there. Something of the new name was left by a process of our
/// number that was killed here, and is removed.
fn renamed(from: &Path, to: &Path) -> sys::Result<bool> {
    loop {
        match std::fs::rename(from, to) {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {
                remove_tree(to)?;
            }
            answer => return answer.call(|| format!("rename({from:?}, {to:?})")).map(|()| true),
        }
    }
}

const RUN_FILES: [&str; 14] = [
    "state.json",
    "config.json",
    "exit.json",
    HEALTH,
    "rootfs",
    STOPPING,
    SOCKET,
    NETWORK,
    NAMES,
    SHARED,
    "hostname",
    "hosts",
    "resolv.conf",
    "lock",
];

/// Closes a run, which the caller has claimed.
///
/// Its directory is renamed first: whoever claims the container next makes another one, and nobody ever sees half a run.
pub(crate) fn remove_run(layout: &Layout, id: &ContainerId) -> Result<(), Error> {
    let (run, closed) = (layout.run(id), layout.closed_run(id));
    let doing = || format!("close the run of container {}", id.short());
    match renamed(&run, &closed).doing(doing)? {
        true => remove_closed(&closed).doing(doing),
        false => Ok(()),
    }
}

/// Removes the directory of a run that is closed; the lock goes last, so that a sweep leaves alone what is being removed.
pub(crate) fn remove_closed(closed: &Path) -> sys::Result<()> {
    for name in RUN_FILES {
        unlink(&closed.join(name))?;
    }
    match std::fs::remove_dir(closed) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        // Half written files of a process that died.
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => remove_tree(closed),
        answer => answer.call(|| format!("rmdir({closed:?})")),
    }
}

pub(crate) fn unlink(path: &Path) -> sys::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        answer => answer.call(|| format!("unlink({path:?})")),
    }
}

pub(crate) fn remove_tree(path: &Path) -> sys::Result<()> {
    let mut patience = 100;
    loop {
        match std::fs::remove_dir_all(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            // A process that packs the log has just made a file in there; the next one it cannot make.
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty && patience > 0 => patience -= 1,
            answer => return answer.call(|| format!("unlinkat({path:?})")),
        }
    }
}

struct RemoveStep<'a> {
    layout: &'a Layout,
    container: &'a Container,
}

impl Explain for RemoveStep<'_> {
    fn explain(&self) -> Step {
        let (directory, name) = (self.layout.container(&self.container.id), self.layout.name(&self.container.name));
        let (directory, name) = (directory.to_string_lossy(), name.to_string_lossy());
        let words = format!("remove container {}: its name, record, changes and log", self.container.name);
        Step::host(words, format!("rm -rf {} {}", quote(&name), quote(&directory)))
    }
}
