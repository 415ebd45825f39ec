//! Steps of builds: a command runs over a stack of layers, and what it changes stays with the caller.
//!
//! Such a container is nobody's but its caller's. Lists leave it out, it goes with its exit, and it ends when the caller
//! does: its monitor takes the end of the caller's connection for the order to kill. Its changes lie where the caller wants
//! them, so that they are still there when the container is gone.

use std::collections::BTreeSet;

use store::Image;

use crate::changes::unseen;
use crate::create::{Creation, check};
use crate::{AttachOptions, AttachOutcome, CreateRequest, Engine, Error, StartMode};

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepOutcome {
    /// The exit status of its command (128 and the signal's number for a killed one).
    pub code: u8,
    /// What the user should know, a line each.
    pub warnings: Vec<String>,
    /// The places of mounts, without a slash in front: what is there the command did not make.
    pub unseen: BTreeSet<Vec<u8>>,
}

impl Engine {
    /// Runs a command over an image that is perhaps on no record, and waits for its end; its output goes to the caller's.
    ///
    /// `request.scratch` says where its changes are taken: a directory on the file system of the store.
    pub fn run_step(&self, image: Image, request: CreateRequest, options: AttachOptions) -> Result<StepOutcome, Error> {
        check(&request)?;
        self.sweep()?;
        let request = CreateRequest { remove_on_exit: true, ..request };
        let Creation { container, image, claim } = self.create_of(image, request, None)?;
        let (attached, warnings) = self.launch(&container, &image, claim, &StartMode::Attached(options))?;
        let code = match attached {
            Some(AttachOutcome::Exited(code)) => code,
            Some(AttachOutcome::Detached) | None => return Err(Error::MonitorLost(container.name.to_string())),
        };
        Ok(StepOutcome { code, warnings, unseen: unseen(&container) })
    }
}
