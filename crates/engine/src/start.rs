//! `start` and `run`: a record becomes a running process with a monitor.
//!
//! The command decides and prepares everything; then it forks. The child makes the container, as its parent, opens the
//! gate and replaces itself by the monitor ([`begin`](crate::monitor::begin)), so that no part of the preparation stays in
//! memory, and the container's first process never changes its parent. The command waits for one message, which says
//! that the program runs or why it does not.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;

use cgroup::{CgroupPath, Hierarchies};
use oci::runtime::Spec;
use runtime::plan::{Lower, Overlay, RootSource};
use runtime::{ContainerPlan, Inputs};
use store::Image;
use store::overlay::RootAttributes;
use store::snapshot::{Hold, View};
use sys::Calling;
use sys::file::Durability;
use sys::signal::SignalFd;
use trace::{Explain, Step, quote};

use crate::client::{self, Connection, StartFailure};
use crate::create::Creation;
use crate::error::Doing;
use crate::layout::Layout;
use crate::ledger::{self, Claim};
use crate::monitor::begin::{Beginning, fork_monitor};
use crate::monitor::order::Restart;
use crate::network::{self, Acquired};
use crate::records::{Exit, Run};
use crate::session::Session;
use crate::spec::{self, Place, Wanted};
use crate::wire::{VERSION, Wishes};
use crate::{
    AttachOptions, AttachOutcome, Container, CreateRequest, Engine, Error, NetworkMode, RunOutcome, StartMode, files,
    logs, records, remove, volumes,
};

/// A container decided down to the last step.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) spec: Spec,
    pub(crate) plan: ContainerPlan,
    pub(crate) hierarchies: Hierarchies,
    /// The image's mount, for the monitor to hold.
    pub(crate) view: Rc<OwnedFd>,
    /// What keeps the directory behind it, where there is one, for the monitor to hold too.
    pub(crate) hold: Option<Hold>,
    /// What it has of networks.
    pub(crate) network: Option<Acquired>,
}

impl Prepared {
    /// Returns the ports that it publishes, in the words of `ps`.
    pub(crate) fn ports(&self) -> Vec<String> {
        self.network.as_ref().map_or_else(Vec::new, |network| network::port_words(&network.run))
    }
}

impl Engine {
    /// Creates a container and starts it, in one go.
    pub fn run(&self, request: CreateRequest, mode: StartMode) -> Result<RunOutcome, Error> {
        check_terminal(request.tty, &mode)?;
        self.sweep()?;
        self.meet_requirements(&request.requires, &mut Vec::new())?;
        let Creation { container, image, claim } = self.create_claimed(request)?;
        let (attached, warnings) = self.launch(&container, &image, claim, &mode)?;
        Ok(RunOutcome { container, warnings, attached })
    }

    /// Starts a container that was created, or has ended.
    pub fn start(&self, container: &Container, mode: StartMode) -> Result<Option<AttachOutcome>, Error> {
        check_terminal(container.request.tty, &mode)?;
        self.sweep()?;
        self.meet_requirements(&container.request.requires, &mut vec![container.id.to_string()])?;
        self.start_alone(container, mode)
    }

    /// Starts a container, whatever it requires.
    pub(crate) fn start_alone(&self, container: &Container, mode: StartMode) -> Result<Option<AttachOutcome>, Error> {
        let image = self.store().images().load(&container.image_id)?;
        let already = || Error::AlreadyRunning(container.name.to_string());
        let claim = self.claim_closed(container)?.ok_or_else(already)?;
        // It may have been removed since the caller found it.
        let container = &ledger::claimed_record(self.layout(), &container.id, container.name.as_str())?;
        let (attached, warnings) = self.launch(container, &image, claim, &mode)?;
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        Ok(attached)
    }

    /// Starts a container and stays with it where asked to.
    pub(crate) fn launch(
        &self,
        container: &Container,
        image: &Image,
        claim: Claim,
        mode: &StartMode,
    ) -> Result<(Option<AttachOutcome>, Vec<String>), Error> {
        let options = match mode {
            StartMode::Attached(options) => Some(options),
            StartMode::Detached => None,
        };
        let prepared = logs::journald::check(container).and_then(|()| self.prepare(container, image));
        let launched = prepared.and_then(|prepared| {
            let signals = options.map(|options| client::take_signals(options, container.request.tty)).transpose()?;
            let (connection, found) = self.fork(container, image, &claim, &prepared, options)?;
            let mut warnings = prepared.plan.warnings;
            // What the plan knew is found again when it is applied.
            let news: Vec<_> = found.into_iter().filter(|found| !warnings.contains(found)).collect();
            warnings.extend(news);
            Ok((warnings, connection, signals.flatten()))
        });
        let (warnings, connection, signals) = match launched {
            Ok(launched) => launched,
            Err(error) => return Err(self.clear_failed(container, error)),
        };
        // From here on the monitor alone holds the mark: it is gone when the monitor is.
        drop(claim);
        let Some(options) = options else { return Ok((None, warnings)) };
        let outcome = self.stay(container, connection, options, signals)?;
        Ok((Some(outcome), warnings))
    }

    /// Moves bytes until the container has ended or the caller leaves.
    pub(crate) fn stay(
        &self,
        container: &Container,
        connection: Connection,
        options: &AttachOptions,
        signals: Option<SignalFd>,
    ) -> Result<AttachOutcome, Error> {
        let session = Session::new(connection, options, container.request.tty, signals)?;
        match session.run()? {
            Some(outcome) => Ok(outcome),
            // The monitor was killed, and its container with it.
            None => {
                self.settle(container)?;
                let exit = records::read::<Exit>(&self.layout().exit(&container.id))?;
                match exit.filter(|exit| exit.error.is_empty()) {
                    Some(exit) => Ok(AttachOutcome::Exited(exit.exit_code)),
                    None => Err(Error::MonitorLost(container.name.to_string())),
                }
            }
        }
    }

    /// Decides and prepares everything that the first process will need.
    pub(crate) fn prepare(&self, container: &Container, image: &Image) -> Result<Prepared, Error> {
        let layout = self.layout();
        let view = self.snapshots().view(image, self.recorder());
        let view = view.doing(|| format!("mount the image of container {}", container.name))?;
        self.make_scratch(container, view.as_fd())?;
        volumes::ensure(layout, container, view.as_fd(), self.recorder())?;
        let other = self.network_of(container)?;
        let hostname = hostname(container, other.as_ref().map(|(other, _)| other));
        let sharer = other.as_ref().map(|(other, _)| other);
        if let Some(sharer) = sharer {
            mark_shared(layout, sharer)?;
        }
        let network = self.acquire_network(container)?;
        let run = network.as_ref().map(|acquired| &acquired.run);
        let names = files::Names { hostname: &hostname, network: run, sharer };
        let files = files::write(self, container, &names)?;
        let joined = other.as_ref().map(|(_, pid)| PathBuf::from(format!("/proc/{pid}/ns/net")));
        let prepared = self.plan(container, image, view, &hostname, &files, joined)?;
        let prepared = Prepared { network, ..prepared };
        if container.is_step() {
            // Its environment may hold what is to be written down nowhere.
            return Ok(prepared);
        }
        // A person who asks why the container is as it is can read it here.
        let config = serde_json::to_vec(&prepared.spec).doing(|| "write the container's spec")?;
        std::fs::write(layout.config(&container.id), config)
            .call(|| format!("write({:?})", layout.config(&container.id)))
            .doing(|| "write the container's spec")?;
        Ok(prepared)
    }

    /// Decides the container: its spec, and the steps that make it.
    pub(crate) fn plan(
        &self,
        container: &Container,
        image: &Image,
        view: View,
        hostname: &str,
        files: &[files::SeenFile],
        network: Option<PathBuf>,
    ) -> Result<Prepared, Error> {
        let layout = self.layout();
        let doing = || format!("plan container {}", container.name);
        let accounts = files::accounts(view.as_fd(), &container.upper(layout))?;
        let host = crate::create::look_at_host(&container.request)?;
        let profile = crate::create::read_profile(&container.request)?;
        let wanted = Wanted {
            request: &container.request,
            image: &image.config,
            accounts: &accounts,
            hostname,
            profile: profile.as_deref(),
            console: client::window(),
            place: Place {
                root: "rootfs".into(),
                volumes: layout.volumes(),
                files,
                network,
                cgroup: format!("/{}", Layout::cgroup(&container.id)),
            },
        };
        let spec = spec::generate(&wanted, &host).map_err(Error::Spec)?;
        let hierarchies = Hierarchies::detect().doing(doing)?;
        let (view, hold) = view.into_parts();
        let view = Rc::new(view);
        let cgroup: CgroupPath = Layout::cgroup(&container.id).parse().doing(doing)?;
        let inputs = Inputs {
            id: container.id.as_str(),
            bundle: &layout.run(&container.id),
            root: Some(self.root_source(container, image, &view, hold.as_ref())),
            cgroup: &cgroup,
            hierarchies: &hierarchies,
            init: container.request.init,
        };
        let plan = runtime::plan::container(&spec, &inputs).doing(doing)?;
        Ok(Prepared { spec, plan, hierarchies, view, hold, network: None })
    }

    fn root_source(&self, container: &Container, image: &Image, view: &Rc<OwnedFd>, hold: Option<&Hold>) -> RootSource {
        let shell = match hold {
            Some(hold) => format!("mount -o bind,ro {} \"$lower\"", quote(&hold.directory().to_string_lossy())),
            None => mount_command(image),
        };
        RootSource::Overlay(Overlay {
            lowers: vec![Lower::Mount { mount: Rc::clone(view), shell }],
            upper: container.upper(self.layout()),
            work: container.work(self.layout()),
            volatile: container.request.remove_on_exit,
        })
    }

    /// Makes the directories that take the container's changes; the root directory gets the image's owner and mode.
    fn make_scratch(&self, container: &Container, view: BorrowedFd<'_>) -> Result<(), Error> {
        let (upper, work) = (container.upper(self.layout()), container.work(self.layout()));
        let step = ScratchStep { upper: &upper.to_string_lossy(), work: &work.to_string_lossy() };
        match ledger::create_directory(&upper) {
            Err(error) if error.errno() == sys::Errno::EXIST => return self.renew_scratch(container),
            made => {
                self.recorder().record(&step);
                made.and_then(|()| ledger::create_directory(&work)).doing(|| "make the container's writable layer")?;
            }
        }
        let root = RootAttributes::of(view).doing(|| "look at the image's root")?;
        let set = || -> sys::Result<()> {
            use std::os::unix::fs::{PermissionsExt, chown};
            std::fs::set_permissions(&upper, std::fs::Permissions::from_mode(root.mode))
                .call(|| format!("chmod({upper:?}, {:o})", root.mode))?;
            if (root.uid, root.gid) == (0, 0) {
                return Ok(());
            }
            chown(&upper, Some(root.uid), Some(root.gid)).call(|| format!("chown({upper:?})"))
        };
        set().doing(|| "make the container's writable layer")
    }

    /// A container that ran before keeps its changes. Its end is no longer its state.
    fn renew_scratch(&self, container: &Container) -> Result<(), Error> {
        let exit = self.layout().exit(&container.id);
        match std::fs::remove_file(&exit) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).call(|| format!("unlink({exit:?})")).doing(|| "forget the end of the last run")
            }
            _ => Ok(()),
        }
    }

    /// Finds the container whose network is joined, and its first process.
    pub(crate) fn network_of(&self, container: &Container) -> Result<Option<(Container, u32)>, Error> {
        let NetworkMode::Container(other) = &container.request.network else { return Ok(None) };
        let other = self.find(other)?;
        let pid = self.state(&other)?.pid.and_then(|pid| u32::try_from(pid).ok());
        let pid = pid.ok_or_else(|| Error::NotRunning(other.name.to_string()))?;
        Ok(Some((other, pid)))
    }

    /// Forks the process that makes the container and becomes its monitor; returns when the program runs.
    fn fork(
        &self,
        container: &Container,
        image: &Image,
        claim: &Claim,
        prepared: &Prepared,
        options: Option<&AttachOptions>,
    ) -> Result<(Connection, Vec<String>), Error> {
        let wishes = options.map(|options| Wishes {
            stdin: options.stdin && container.request.open_stdin,
            output: options.output,
            news: false,
            pipes: true,
        });
        let restart = Restart { policy: container.request.restart, ..Restart::default() };
        let beginning = Beginning { engine: self, container, chain: image.chain, prepared, wishes, restart };
        let socket = fork_monitor(&beginning, claim).doing(|| format!("start a monitor for {}", container.name))?;
        let failed = |code, source| Error::Start { name: container.name.to_string(), code, source };
        match client::wait_for_start(&socket) {
            Ok((process, warnings)) => Ok((Connection { socket, process: Some(process), version: VERSION }, warnings)),
            Err(StartFailure::Told(code, chain)) => Err(failed(code, chain.into())),
            Err(StartFailure::Silent(error)) => Err(failed(125, error.into())),
        }
    }

    /// Clears away what a start that failed has left, while its claim is still held; what went wrong stays on record.
    pub(crate) fn clear_failed(&self, container: &Container, error: Error) -> Error {
        let layout = self.layout();
        let clear = || -> Result<(), Error> {
            ledger::kill_and_remove_cgroup(&container.id)?;
            // What cannot be given back on a full disk keeps its place in the ledger, and stops nothing else.
            let released = network::release(layout, &container.id);
            if container.request.remove_on_exit {
                remove::remove_files(layout, &container.id, Some(&container.name), &container.anonymous_volumes)?;
            } else {
                let told = crate::error::Chain::write(&error).replace('\n', ": ");
                let restarts = records::read::<Run>(&layout.run_state(&container.id)).ok().flatten();
                let restarts = restarts.map_or(0, |run| run.restarts);
                let exit = Exit { restarts, ..Exit::failed(error.exit_code(), told) };
                records::write(&layout.exit(&container.id), &exit, Durability::Cached)?;
            }
            released?;
            remove::remove_run(layout, &container.id)
        };
        if let Err(second) = clear() {
            tracing::warn!(container = container.id.short(), error = %second, "the failed start left something behind");
        }
        error
    }
}

/// Returns the shell command that mounts an image on `$lower`.
///
/// mount(8) puts a loop device before every file, which the kernel needs no longer and some machines do not have; so
/// perl, which every Debian has, makes the plain system call, and mount(8) is asked where that fails.
fn mount_command(image: &Image) -> String {
    let devices: Vec<_> = image.layers.iter().map(|layer| format!("device={}", layer.path.display())).collect();
    let (devices, index) = (devices.join(","), image.index.to_string_lossy());
    let (options, index) = (quote(&devices), quote(&index));
    format!(
        "perl -e 'my %mount = (x86_64 => 165, aarch64 => 40, riscv64 => 40); chomp(my $machine = `uname -m`); my $kind = \"erofs\";\n\
         exit syscall($mount{{$machine}}, $ARGV[0], $ARGV[1], $kind, 1, $ARGV[2]) != 0;' {index} \"$lower\" {options} \\\n\
         || mount -t erofs -o ro,{options} {index} \"$lower\""
    )
}

/// A terminal that takes no typing is no terminal: it must be one on our side too.
fn check_terminal(tty: bool, mode: &StartMode) -> Result<(), Error> {
    match mode {
        StartMode::Attached(options) if tty && options.stdin && !sys::pty::is_terminal(std::io::stdin()) => {
            Err(Error::NotATerminal)
        }
        _ => Ok(()),
    }
}

/// Notes that others live in a container's network, which so outlives it.
fn mark_shared(layout: &Layout, sharer: &Container) -> Result<(), Error> {
    let mark = layout.shared_network(&sharer.id);
    std::fs::write(&mark, "").call(|| format!("open({mark:?}, O_CREAT)")).doing(|| "note that a network is shared")
}

/// Decides the host name inside.
pub(crate) fn hostname(container: &Container, other: Option<&Container>) -> String {
    let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned());
    match (&container.request.network, other) {
        (NetworkMode::Host, _) if container.request.hostname.is_none() => {
            host().unwrap_or_else(|_| container.id.short().to_owned())
        }
        (_, Some(other)) => crate::create::own_hostname(other).to_owned(),
        _ => crate::create::own_hostname(container).to_owned(),
    }
}

/// Makes the writable layer.
pub(crate) struct ScratchStep<'a> {
    pub(crate) upper: &'a str,
    pub(crate) work: &'a str,
}

impl Explain for ScratchStep<'_> {
    fn explain(&self) -> Step {
        let (upper, work) = (quote(self.upper), quote(self.work));
        Step::host("make the directories that take the container's changes", format!("mkdir -p {upper} {work}"))
    }
}
