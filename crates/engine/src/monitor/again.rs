//! A container is started again by its policy.
//!
//! The monitor that has seen the end replaces itself by this face of the binary, which has room for all that a start
//! decides, and becomes the monitor of the next run. The run's lock and socket stay open all the while, so there is no
//! moment in which the container has no owner, and whoever connects meanwhile is answered afterwards.
//!
//! Where the monitor was killed, the command that settles its run starts this face, and does not wait for it.

use std::convert::Infallible;
use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use sys::file::Durability;
use sys::process as processes;
use trace::Recorder;

use super::begin::{Beginning, Failed, begin, execute, keep, ours, spawn_face};
use super::order::Restart;
use crate::layout::Layout;
use crate::ledger::{self, Claim};
use crate::records::{self, Exit, Run};
use crate::{Container, ContainerId, Engine, Error, remove};

/// The word that calls this face.
pub const FACE: &str = "monitor-again";

/// What is to be started again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Again {
    root: PathBuf,
    state: PathBuf,
    id: ContainerId,
    restart: Restart,
    /// The run's lock and its listening socket, where the last monitor handed them on.
    held: Option<(RawFd, RawFd)>,
}

impl Again {
    pub(crate) fn new(layout: &Layout, id: &ContainerId, restart: Restart) -> Self {
        let (root, state) = (layout.root().to_owned(), layout.state().to_owned());
        Self { root, state, id: id.clone(), restart, held: None }
    }

    /// Replaces the calling monitor, handing its lock and its socket on; returns why that failed.
    pub(super) fn replace_monitor(mut self, lock: &OwnedFd, listener: &OwnedFd) -> sys::Error {
        let held = (lock.as_raw_fd(), listener.as_raw_fd());
        self.held = Some(held);
        match keep(held.0).and_then(|()| keep(held.1)) {
            Ok(()) => execute(FACE, self.id.short(), &self.text()),
            Err(error) => error,
        }
    }

    /// Starts the face beside the calling process, which goes on.
    pub(crate) fn spawn(&self) -> sys::Result<()> {
        spawn_face(FACE, self.id.short(), &self.text()).map(drop)
    }

    fn text(&self) -> String {
        // Paths and numbers always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }

    fn start(self) -> Result<Infallible, Error> {
        let engine = Engine::open(&self.root, &self.state, Recorder::silent())?;
        let Some((claim, listener)) = self.claim(&engine)? else {
            return Err(Error::AlreadyRunning(self.id.to_string()));
        };
        // Not before the claim: until then it can be removed.
        let container = ledger::claimed_record(engine.layout(), &self.id, self.id.as_str())?;
        if records::exists(&engine.layout().stopping(&self.id))? {
            close_stopped(&engine, &self.id)?;
            processes::exit(0);
        }
        // The settings are not for us to read: the last run has its choice on record.
        let last = records::read::<Run>(&engine.layout().run_state(&self.id)).ok().flatten();
        let engine = engine.with_snapshotter(last.map(|run| run.snapshotter).unwrap_or_default());
        let begun = self.begin(&engine, &container, &claim, listener);
        begun.map_err(|(code, source)| {
            let name = container.name.to_string();
            engine.clear_failed(&container, Error::Start { name, code, source })
        })
    }

    fn claim(&self, engine: &Engine) -> Result<Option<(Claim, Option<OwnedFd>)>, Error> {
        let Some((lock, listener)) = self.held else {
            return Ok(ledger::claim(engine.layout(), &self.id, engine.recorder())?.map(|claim| (claim, None)));
        };
        let adopt =
            |number| processes::adopt_fd(number).and_then(|fd| processes::keep_over_exec(&fd, false).map(|()| fd));
        let adopted = adopt(lock).and_then(|lock| Ok((Claim { lock: lock.into() }, Some(adopt(listener)?))));
        adopted.map(Some).map_err(|error| Error::Doing { doing: "take the run over".to_owned(), source: error.into() })
    }

    fn begin(
        &self,
        engine: &Engine,
        container: &Container,
        claim: &Claim,
        listener: Option<OwnedFd>,
    ) -> Result<Infallible, Failed> {
        let image = engine.store().images().load(&container.image_id).map_err(ours)?;
        let prepared = engine.prepare(container, &image).map_err(ours)?;
        let beginning = Beginning {
            engine,
            container,
            chain: image.chain,
            prepared: &prepared,
            wishes: None,
            restart: self.restart,
        };
        begin(&beginning, claim, None, listener)
    }
}

/// Ends a run whose end was asked for in the moment in which its monitor was replaced.
fn close_stopped(engine: &Engine, id: &ContainerId) -> Result<(), Error> {
    let path = engine.layout().exit(id);
    if let Some(exit) = records::read::<Exit>(&path)? {
        records::write(&path, &Exit { stopped: true, ..exit }, Durability::Cached)?;
    }
    remove::remove_run(engine.layout(), id)
}

/// Starts a container again; `arguments` are those after the face's word: whom, for people, and the order.
#[inline(never)]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let again = arguments.into_iter().nth(1).and_then(|text| serde_json::from_str::<Again>(text.to_str()?).ok());
    // Nobody listens: what went wrong is on record with the container.
    if let Some(again) = again
        && processes::ensure_sealed().is_ok()
    {
        let Err(_) = again.start();
    }
    ExitCode::FAILURE
}
