//! What a command is given: the face it was called by, the global options, and the engine.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use engine::{Engine, Settings};
use store::Store;
use trace::Recorder;

use crate::cli::globals::Globals;
use crate::error::Failure;
use crate::personality::Face;
use crate::settings;

const ROOT: &str = "/var/lib/conductor";
const STATE: &str = "/run/conductor";

/// Tells whether we run as root.
pub(crate) fn is_root() -> bool {
    sys::credentials::effective_user() == 0
}

/// What a command is given.
#[derive(Debug)]
pub(crate) struct Context {
    /// The face the program was called by.
    pub(crate) face: Face,
    /// The global options.
    pub(crate) globals: Globals,
}

impl Context {
    /// Makes the context of one command.
    pub(crate) fn new(face: Face, globals: Globals) -> Self {
        Self { face, globals }
    }

    /// Opens the engine over the directories that the options name.
    pub(crate) fn engine(&self) -> Result<Engine, Failure> {
        self.engine_telling(self.recorder()?)
    }

    /// Opens the engine for a command that starts processes in containers, which must run from a sealed binary: where
    /// it does not yet, the command begins anew from one (docs/decisions/0002).
    pub(crate) fn starting_engine(&self) -> Result<Engine, Failure> {
        sys::process::ensure_sealed()
            .map_err(|error| Failure::new(error).doing("cannot run from a binary that nobody can change"))?;
        self.engine()
    }

    /// Opens the engine with a recorder of the command's own.
    pub(crate) fn engine_telling(&self, recorder: Recorder) -> Result<Engine, Failure> {
        Ok(Engine::open(&self.root()?, &self.state()?, recorder)?.with_settings(self.settings()?))
    }

    /// Reads what the host's administrator has chosen.
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        settings::read(self.face)
    }

    /// Reads what this machine and its user say about registries; `verify` is what the command line says of all of them.
    pub(crate) fn registries(&self, verify: Option<bool>) -> Result<registry::Settings, Failure> {
        let mut settings = registry::Settings::from_environment(None)?;
        settings.hosts.verify = verify;
        Ok(settings)
    }

    /// Reads whose signatures images must have, as this machine and its user say.
    pub(crate) fn policy(&self) -> Result<trust::Policy, Failure> {
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        Ok(trust::Policy::read(home.as_deref())?)
    }

    /// Opens the store of images.
    pub(crate) fn store(&self) -> Result<Store, Failure> {
        let largest = self.settings()?.largest_layer.unwrap_or(store::LARGEST_LAYER);
        Ok(Store::open(&self.root()?).with_largest_layer(largest))
    }

    /// Returns the directory of images and containers.
    pub(crate) fn root(&self) -> Result<PathBuf, Failure> {
        absolute(self.globals.root.as_deref().unwrap_or(Path::new(ROOT)))
    }

    /// Returns the directory of what runs.
    pub(crate) fn state(&self) -> Result<PathBuf, Failure> {
        absolute(self.globals.state.as_deref().unwrap_or(Path::new(STATE)))
    }

    /// Returns where the steps of this command are told: nowhere, or on stderr.
    pub(crate) fn recorder(&self) -> Result<Recorder, Failure> {
        let Some(format) = self.globals.explain else { return Ok(Recorder::silent()) };
        let sink = std::io::stderr().as_fd().try_clone_to_owned();
        sink.map(|sink| Recorder::writing(sink, format))
            .map_err(|error| Failure::new(error).doing("cannot explain on stderr"))
    }
}

/// The monitor lives on in another directory, so a relative path would mean another place there.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::new(error).doing("cannot find the current directory"))
}
