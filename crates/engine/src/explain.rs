//! `explain`: the plan of a container, told and not carried out.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use trace::{Explain, Recorder, Step};

use crate::error::Doing;
use crate::start::{Prepared, ScratchStep, hostname};
use crate::volumes::{self, VolumeStep};
use crate::{Container, CreateRequest, Engine, Error, create, files, script};

/// A container decided and not made.
struct Imagined {
    container: Container,
    prepared: Prepared,
    /// What is made for it before its cgroup.
    preparation: Vec<Step>,
}

impl Engine {
    /// Tells the steps that `run` would apply, and applies none.
    ///
    /// The image is mounted, attached nowhere, to look at its users: that leaves no trace.
    pub fn explain(&self, request: CreateRequest) -> Result<(), Error> {
        let imagined = self.imagine(request)?;
        create::explain_creation(self, &imagined.container);
        imagined.preparation.iter().for_each(|step| self.recorder().record(step));
        imagined.prepared.plan.steps().iter().for_each(|step| self.recorder().record(step));
        Ok(())
    }

    /// Returns a bash script that makes the same container on a machine without Conductor.
    pub fn script(&self, request: CreateRequest) -> Result<String, Error> {
        let Imagined { container, prepared, preparation } = self.imagine(request)?;
        let made = [self.layout().container(&container.id), self.layout().run(&container.id)];
        Ok(script::script(&container, &prepared.plan, &preparation, &made))
    }

    fn imagine(&self, request: CreateRequest) -> Result<Imagined, Error> {
        let image = self.image(&request.image)?;
        let container = create::imagine(request, &image)?;
        let view = store::snapshot::shared_view(&image, self.state_dir(), &Recorder::silent());
        let view: OwnedFd = view.doing(|| "mount the image")?.into();
        let other = self.network_of(&container)?;
        let (sharer, network) = other.map_or((None, None), |(other, pid)| (Some(other), Some(pid)));
        let name = hostname(&container, sharer.as_ref());
        let names = files::Names { hostname: &name, network: None, sharer: sharer.as_ref() };
        let seen = files::plan(self.layout(), &container, &names);
        let mut preparation = vec![self.scratch_step(&container)];
        preparation.extend(self.volume_steps(&container));
        preparation.extend(seen.iter().filter_map(files::Planned::step));
        let seen: Vec<_> = seen.into_iter().map(|file| (file.target, file.source)).collect();
        let prepared = self.plan(&container, &image, Rc::new(view), &name, &seen, network)?;
        Ok(Imagined { container, prepared, preparation })
    }

    fn scratch_step(&self, container: &Container) -> Step {
        let (upper, work) = (self.layout().upper(&container.id), self.layout().work(&container.id));
        ScratchStep { upper: &upper.to_string_lossy(), work: &work.to_string_lossy() }.explain()
    }

    fn volume_steps(&self, container: &Container) -> Vec<Step> {
        let missing = volumes::missing(self.layout(), container).into_iter();
        missing.map(|(_, name, path, _)| VolumeStep { name, path: &path }.explain()).collect()
    }
}
