//! `create`: a request and an image become a record with an id and a name.
//!
//! Everything that can be known to fail is asked first. Then the run's directory is opened, as the ledger demands, the
//! name is reserved by a link that must not exist, and the record is written. What was made goes again if a later step
//! fails.

use std::io::Read as _;
use std::path::Path;

use jiff::Timestamp;
use oci::image::Config;
use serde::Deserialize;
use store::Image;
use sys::Calling;
use sys::file::Durability;
use trace::{Explain, Step, quote};

use crate::error::Doing;
use crate::health::{self, HealthCheck, ImageHealth};
use crate::layout::Layout;
use crate::ledger::{self, Claim};
use crate::names;
use crate::network::{ExposedPort, PortRequest};
use crate::spec::{self, Host, SpecError};
use crate::{
    Container, ContainerId, ContainerName, CreateRequest, Engine, Error, MountRequest, MountSource, NetworkMode,
    RestartPolicy, Seccomp, name, records, remove,
};

/// A container that has just been created, with its image and the right to start it.
#[derive(Debug)]
pub(crate) struct Creation {
    pub(crate) container: Container,
    pub(crate) image: Image,
    pub(crate) claim: Claim,
}

impl Engine {
    /// Creates a container, to be started later; returns it with what the user should know.
    pub fn create(&self, request: CreateRequest) -> Result<(Container, Vec<String>), Error> {
        self.sweep()?;
        let Creation { container, claim, .. } = self.create_claimed(request)?;
        remove::remove_run(self.layout(), &container.id)?;
        drop(claim);
        Ok((container, Vec::new()))
    }

    /// Creates a container and keeps the right to start it.
    pub(crate) fn create_claimed(&self, request: CreateRequest) -> Result<Creation, Error> {
        check(&request)?;
        let image = self.image(&request.image)?;
        let of_image = self.health_of_image(&image)?;
        let health = health::plan_check(&request.health, of_image.as_ref())?;
        self.create_of(image, request, health)
    }

    /// Creates a container of an image, and keeps the right to start it.
    pub(crate) fn create_of(
        &self,
        image: Image,
        mut request: CreateRequest,
        health: Option<HealthCheck>,
    ) -> Result<Creation, Error> {
        let id = ContainerId::from_bytes(random()?);
        let (anonymous_volumes, args) = complete(&mut request, image.config.config().as_ref())?;
        request.ports = self.at_chosen_address(&request.ports);
        for network in &request.networks {
            self.network_for(&network.network)?;
        }
        let claim = self.claim_new(&id)?;
        let made = self.record(id.clone(), request, &image, args, anonymous_volumes, health);
        if made.is_err() {
            // The failure that matters is the one that is returned.
            let _ = remove::remove_files(self.layout(), &id, None, &[]);
            let _ = remove::remove_run(self.layout(), &id);
        }
        Ok(Creation { container: made?, image, claim })
    }

    /// Finds an image by its name or id, the one that is carried in the binary included.
    pub(crate) fn image(&self, asked: &str) -> Result<Image, Error> {
        Ok(image::resolve(self.store(), asked, self.recorder())?)
    }

    /// Reads the health check of an image: Docker has added it to the configuration, the specification does not know it.
    fn health_of_image(&self, image: &Image) -> Result<Option<ImageHealth>, Error> {
        #[derive(Deserialize)]
        struct Document {
            config: Option<Fields>,
        }
        #[derive(Deserialize)]
        struct Fields {
            #[serde(rename = "Healthcheck")]
            health: Option<ImageHealth>,
        }
        let bytes = self.store().images().document(&image.id)?;
        let document: Document = serde_json::from_slice(&bytes).doing(|| "read the image's configuration")?;
        Ok(document.config.and_then(|config| config.health))
    }

    fn claim_new(&self, id: &ContainerId) -> Result<Claim, Error> {
        let taken = || Error::AlreadyRunning(id.short().to_owned());
        ledger::claim(self.layout(), id, self.recorder())?.ok_or_else(taken)
    }

    fn record(
        &self,
        id: ContainerId,
        request: CreateRequest,
        image: &Image,
        args: Vec<String>,
        anonymous_volumes: Vec<ContainerName>,
        health: Option<HealthCheck>,
    ) -> Result<Container, Error> {
        let layout = self.layout();
        let name = self.reserve_name(&id, request.name.as_ref())?;
        let container = Container {
            id,
            name,
            created: Timestamp::now(),
            image_id: image.id,
            args,
            anonymous_volumes,
            health,
            request,
        };
        self.recorder().record(&CreateStep::Record(layout, &container));
        let directory = layout.container(&container.id);
        ledger::create_directory(&directory).doing(|| "make the container's directory")?;
        // A container that goes with its exit needs no record that survives a power cut; of any other, the changes that
        // its processes synced would be lost with the record that leads to them.
        let durability = if container.request.remove_on_exit { Durability::Cached } else { Durability::Synced };
        records::write(&layout.record(&container.id), &container, durability)?;
        Ok(container)
    }

    /// Reserves the wanted name, or one that is made up.
    fn reserve_name(&self, id: &ContainerId, wanted: Option<&ContainerName>) -> Result<ContainerName, Error> {
        loop {
            let name = match wanted {
                Some(name) => name.clone(),
                None => name::invent(random()?),
            };
            match names::reserve(self.layout(), id, &name)? {
                None => {
                    self.recorder().record(&CreateStep::Name(self.layout(), id, &name));
                    return Ok(name);
                }
                Some(holder) if wanted.is_some() => return Err(Error::NameInUse { name, holder }),
                Some(_) => {}
            }
        }
    }
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    let source = "/dev/urandom";
    let read = std::fs::File::open(source).and_then(|mut file| file.read_exact(&mut bytes));
    read.call(|| format!("open({source:?})")).doing(|| "make an id")?;
    Ok(bytes)
}

/// Asks everything that needs no image.
pub(crate) fn check(request: &CreateRequest) -> Result<(), Error> {
    if request.remove_on_exit && request.restart != RestartPolicy::No {
        return Err(Error::Conflict("a container that is removed when it has ended (--rm) cannot be started again"));
    }
    if matches!(request.network, NetworkMode::Container(_)) && request.hostname.is_some() {
        return Err(Error::Conflict("a host name cannot be set where another container's network is joined"));
    }
    let publishes = !request.ports.is_empty() || request.publish_all;
    if matches!(request.network, NetworkMode::Container(_)) && publishes {
        return Err(Error::Conflict("ports are published by the container whose network is joined"));
    }
    // Asking costs a look at cgroup files, so only those who need to know ask.
    let ask = || std::thread::available_parallelism().ok().and_then(|number| u32::try_from(number.get()).ok());
    let processors = request.resources.nano_cpus.and_then(|_| ask()).unwrap_or(u32::MAX);
    request.resources.check(processors)?;
    spec::check_words(request).map_err(Error::Spec)?;
    read_profile(request)?;
    crate::devices::grant(&request.devices)?;
    for mount in &request.mounts {
        match &mount.source {
            MountSource::Bind { path, .. } if !path.exists() => {
                return Err(Error::MissingSource(path.display().to_string()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Completes a request by what the image says: names for anonymous volumes, the image's own volumes, the command.
fn complete(request: &mut CreateRequest, config: Option<&Config>) -> Result<(Vec<ContainerName>, Vec<String>), Error> {
    let args = spec::plan_args(request, config);
    if args.is_empty() {
        return Err(Error::Spec(SpecError::NoCommand));
    }
    let exposed = config.and_then(|config| config.exposed_ports().clone()).unwrap_or_default();
    for text in exposed {
        let ports = ExposedPort::parse(&text).doing(|| "read the image's ports")?;
        request.exposed.extend(ports.into_iter().filter(|port| !request.exposed.contains(port)).collect::<Vec<_>>());
    }
    if request.publish_all {
        let leads = |port: &ExposedPort, request: &PortRequest| {
            (request.container, request.transport) == (port.port, port.transport)
        };
        let left = request.exposed.iter().filter(|port| !request.ports.iter().any(|one| leads(port, one)));
        let any =
            left.map(|port| PortRequest { address: None, host: None, container: port.port, transport: port.transport });
        request.ports.extend(any.collect::<Vec<_>>());
    }
    let mut of_image = config.and_then(|config| config.volumes().clone()).unwrap_or_default();
    of_image.sort();
    for target in of_image {
        if !request.mounts.iter().any(|mount| mount.target == Path::new(&target)) {
            request.mounts.push(MountRequest::parse_volume(&target, Path::new("/"))?);
        }
    }
    let mut anonymous = Vec::new();
    for mount in &mut request.mounts {
        if let MountSource::Volume { name: name @ None, .. } = &mut mount.source {
            // 64 digits make a name, as an id does.
            let made: ContainerName = ContainerId::from_bytes(random()?).as_str().parse().doing(|| "name a volume")?;
            anonymous.push(made.clone());
            *name = Some(made);
        }
    }
    Ok((anonymous, args))
}

/// What `create` changes.
enum CreateStep<'a> {
    Name(&'a Layout, &'a ContainerId, &'a ContainerName),
    Record(&'a Layout, &'a Container),
}

impl Explain for CreateStep<'_> {
    fn explain(&self) -> Step {
        match self {
            Self::Name(layout, id, name) => {
                let link = layout.name(name);
                Step::host(
                    format!("reserve the name {name}"),
                    format!("ln -s ../containers/{id} {}", quote(&link.to_string_lossy())),
                )
            }
            Self::Record(layout, container) => {
                let directory = layout.container(&container.id);
                Step::host(
                    format!("make the directory and the record of container {}", container.name),
                    format!("mkdir -m 0700 {}", quote(&directory.to_string_lossy())),
                )
            }
        }
    }
}

/// Decides how a container is seen from inside: by its own name, or by that of whoever shares its network.
pub(crate) fn own_hostname(container: &Container) -> &str {
    container.request.hostname.as_deref().unwrap_or_else(|| container.id.short())
}

/// Tells the steps of a container that is only explained.
pub(crate) fn explain_creation(engine: &Engine, container: &Container) {
    engine.recorder().record(&CreateStep::Name(engine.layout(), &container.id, &container.name));
    engine.recorder().record(&CreateStep::Record(engine.layout(), container));
}

/// Returns the container that a request would become.
pub(crate) fn imagine(mut request: CreateRequest, image: &Image) -> Result<Container, Error> {
    check(&request)?;
    let (anonymous_volumes, args) = complete(&mut request, image.config.config().as_ref())?;
    let name = match &request.name {
        Some(name) => name.clone(),
        None => name::invent(random()?),
    };
    let id = ContainerId::from_bytes(random()?);
    let created = Timestamp::now();
    Ok(Container { id, name, created, image_id: image.id, args, anonymous_volumes, health: None, request })
}

/// Reads the seccomp profile that a request names.
pub(crate) fn read_profile(request: &CreateRequest) -> Result<Option<Vec<u8>>, Error> {
    let Seccomp::Profile(path) = &request.security.seccomp else { return Ok(None) };
    let read = std::fs::read(path).call(|| format!("open({path:?})"));
    read.map(Some).doing(|| format!("read the seccomp profile {}", path.display()))
}

/// Looks at the host.
pub(crate) fn look_at_host(request: &CreateRequest) -> Result<Host, Error> {
    let held = sys::credentials::capabilities().doing(|| "look at our own capabilities")?.permitted;
    let devices = if request.privileged { spec::host_devices() } else { Vec::new() };
    let kernel = match request.security.seccomp {
        Seccomp::Profile(_) => spec::kernel_version(),
        _ => (0, 0),
    };
    let granted = crate::devices::grant(&request.devices)?;
    Ok(Host { capabilities: spec::capabilities_of(held), devices, granted, kernel })
}
