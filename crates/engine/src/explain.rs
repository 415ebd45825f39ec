//! `explain`: the plan of a container, told and not carried out.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use crate::error::Doing;
use crate::start::{Prepared, hostname};
use crate::{Container, CreateRequest, Engine, Error, create};

impl Engine {
    /// Tells the steps that `run` would apply, and applies none.
    ///
    /// The image is mounted, attached nowhere, to look at its users: that leaves no trace.
    pub fn explain(&self, request: CreateRequest) -> Result<(), Error> {
        let (container, prepared) = self.imagine(request)?;
        create::explain_creation(self, &container);
        prepared.plan.steps().iter().for_each(|step| self.recorder().record(step));
        Ok(())
    }

    /// Returns a bash script that makes the same container on a machine without Conductor.
    pub fn script(&self, request: CreateRequest) -> Result<String, Error> {
        let (container, prepared) = self.imagine(request)?;
        let _ = &container;
        Ok(prepared.plan.steps().iter().map(|step| format!("# {}\n{}\n", step.what, step.shell)).collect())
    }

    fn imagine(&self, request: CreateRequest) -> Result<(Container, Prepared), Error> {
        let image = self.image(&request.image)?;
        let container = create::imagine(request, &image)?;
        let view: OwnedFd = store::snapshot::shared_view(&image, self.state_dir(), &trace::Recorder::silent())
            .doing(|| "mount the image")?
            .into();
        let name = hostname(&container, None);
        let files = [];
        let prepared = self.plan(&container, &image, Rc::new(view), &name, &files, None)?;
        Ok((container, prepared))
    }
}
