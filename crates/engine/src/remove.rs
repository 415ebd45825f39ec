//! The end of a container: its record, its changes, its name, the volumes that were its own.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Instant;

use sys::Calling;
use trace::{Explain, Step, quote};

use crate::client;
use crate::error::Doing;
use crate::layout::{HEALTH, Layout, SOCKET, STOPPING};
use crate::ledger::{self, Claim, Owner};
use crate::names;
use crate::stop;
use crate::wire::Wishes;
use crate::{Container, ContainerId, ContainerName, Engine, Error, RemoveOptions, Signal};

impl Engine {
    /// Removes a container; with `force` it is killed first if it runs. Content when it is gone already.
    pub fn remove(&self, container: &Container, options: RemoveOptions) -> Result<(), Error> {
        self.sweep()?;
        let layout = self.layout();
        // From here on nobody can start it.
        let claim = self.claim_ended(container, options.force)?;
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
        let layout = self.layout();
        let deadline = Instant::now() + client::PATIENCE;
        loop {
            if ledger::owner(layout, &container.id)? == Owner::Living {
                match force {
                    true => self.end(container, Signal::KILL)?,
                    false if self.is_running(container)? => return Err(Error::Running(container.name.to_string())),
                    false => self.await_close(container)?,
                }
            }
            match ledger::claim(layout, &container.id, self.recorder())? {
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
            // One whose record is damaged is not removed without being asked for by name.
            let Ok(Some(container)) = crate::records::container(self.layout(), &id) else { continue };
            match self.remove(&container, RemoveOptions::default()) {
                Ok(()) => removed.push(container),
                Err(Error::Running(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(removed)
    }
}

/// Removes what a container has on the disk. The name goes first: what is half removed can be called no more.
pub(crate) fn remove_files(
    layout: &Layout,
    id: &ContainerId,
    name: Option<&ContainerName>,
    volumes: &[ContainerName],
) -> Result<(), Error> {
    match name {
        Some(name) => unlink(&layout.name(name)).doing(|| format!("give the name {name} back"))?,
        None => names::forget(layout, id)?,
    }
    for volume in volumes {
        remove_tree(&layout.volumes().join(volume.as_str())).doing(|| format!("remove volume {volume}"))?;
    }
    remove_tree(&layout.container(id)).doing(|| format!("remove the files of container {}", id.short()))
}

const RUN_FILES: [&str; 11] = [
    "state.json",
    "config.json",
    "exit.json",
    HEALTH,
    "rootfs",
    STOPPING,
    SOCKET,
    "hostname",
    "hosts",
    "resolv.conf",
    "lock",
];

/// Removes a run's directory, the lock last: while it is there, what remains can be found.
pub(crate) fn remove_run(layout: &Layout, id: &ContainerId) -> Result<(), Error> {
    let run = layout.run(id);
    let doing = || format!("close the run of container {}", id.short());
    for name in RUN_FILES {
        unlink(&run.join(name)).doing(doing)?;
    }
    match std::fs::remove_dir(&run) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        // Half written files of a process that died.
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => remove_tree(&run).doing(doing),
        answer => answer.call(|| format!("rmdir({run:?})")).doing(doing),
    }
}

pub(crate) fn unlink(path: &Path) -> sys::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        answer => answer.call(|| format!("unlink({path:?})")),
    }
}

fn remove_tree(path: &Path) -> sys::Result<()> {
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
