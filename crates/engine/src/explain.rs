//! `explain`: the plan of a container, told and not carried out.

use std::path::PathBuf;

use trace::{Explain, Recorder, Step};

use crate::error::Doing;
use crate::network::ImaginedNetwork;
use crate::script::Outside;
use crate::start::{Prepared, ScratchStep, hostname};
use crate::volumes::{self, VolumeStep};
use crate::{Container, CreateRequest, Engine, Error, create, files, script};

/// A container decided and not made.
struct Imagined {
    container: Container,
    prepared: Prepared,
    /// What is made for it before its cgroup.
    preparation: Vec<Step>,
    network: Option<ImaginedNetwork>,
}

/// For whom a container is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// For whoever wants to know what a run does.
    Run,
    /// For a shell.
    Script,
}

/// How the network namespace of a container that is not made is called, among its steps.
const NAMESPACE: &str = "/proc/PID/ns/net";

impl Engine {
    /// Tells the steps that `run` would apply, and applies none.
    ///
    /// The image is mounted, attached nowhere, to look at its users: that leaves no trace, but for a store that keeps images
    /// unpacked, which then has this one.
    pub fn explain(&self, request: CreateRequest) -> Result<(), Error> {
        let imagined = self.imagine(request, Way::Run)?;
        create::explain_creation(self, &imagined.container);
        imagined.preparation.iter().for_each(|step| self.recorder().record(step));
        imagined.prepared.plan.steps().iter().for_each(|step| self.recorder().record(step));
        imagined.network.iter().flat_map(|network| &network.steps).for_each(|step| self.recorder().record(step));
        Ok(())
    }

    /// Returns a bash script that makes the same container on a machine without Conductor.
    pub fn script(&self, request: CreateRequest) -> Result<String, Error> {
        let Imagined { container, prepared, preparation, network } = self.imagine(request, Way::Script)?;
        let made = [self.layout().container(&container.id), self.layout().run(&container.id)];
        let outside = Outside {
            made: &made,
            preparation: &preparation,
            network: network.as_ref().map(|network| (container.id.short(), network)),
        };
        Ok(script::script(&container, &prepared.plan, &outside))
    }

    fn imagine(&self, request: CreateRequest, way: Way) -> Result<Imagined, Error> {
        let image = self.image(&request.image)?;
        let container = create::imagine(request, &image)?;
        let view = self.snapshots().view(&image, &Recorder::silent()).doing(|| "mount the image")?;
        let other = self.network_of(&container)?;
        let (sharer, joined) = other.map_or((None, None), |(other, pid)| (Some(other), Some(pid)));
        let joined = joined.map(|pid| PathBuf::from(format!("/proc/{pid}/ns/net")));
        // A script makes the namespace first and by name, as ip(8) does.
        let (namespace, answers) = match way {
            Way::Run => (PathBuf::from(NAMESPACE), true),
            Way::Script => (PathBuf::from(format!("/run/netns/{}", container.id.short())), false),
        };
        let network = self.imagine_network(&container, &namespace)?.map(|mut network| {
            network.run.answers &= answers;
            network
        });
        let own = network.as_ref().filter(|_| way == Way::Script).map(|_| namespace);
        let name = hostname(&container, sharer.as_ref());
        let run = network.as_ref().map(|network| &network.run);
        let names = files::Names { hostname: &name, network: run, sharer: sharer.as_ref() };
        let seen = files::plan(self.layout(), &container, &names);
        let mut preparation = vec![self.scratch_step(&container)];
        preparation.extend(self.volume_steps(&container));
        preparation.extend(seen.iter().filter_map(files::Planned::step));
        let seen: Vec<_> = seen.into_iter().map(|file| (file.target, file.source)).collect();
        let prepared = self.plan(&container, &image, view, &name, &seen, joined.or(own))?;
        Ok(Imagined { container, prepared, preparation, network })
    }

    fn scratch_step(&self, container: &Container) -> Step {
        let (upper, work) = (container.upper(self.layout()), container.work(self.layout()));
        ScratchStep { upper: &upper.to_string_lossy(), work: &work.to_string_lossy() }.explain()
    }

    fn volume_steps(&self, container: &Container) -> Vec<Step> {
        let missing = volumes::missing(self.layout(), container).into_iter();
        missing.map(|(_, name, path, _)| VolumeStep { name, path: &path }.explain()).collect()
    }
}
