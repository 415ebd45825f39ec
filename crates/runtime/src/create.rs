//! Making a container: its cgroup, its first process, and what the two sides tell each other until the program runs.

use std::os::fd::{AsFd, OwnedFd};

use cgroup::{Cgroup, Entry};
use oci::runtime::{Hooks, Spec};
use sys::namespace::{self, NamespaceKind};
use sys::process::{self as processes, Child, ExitStatus, Fork};
use trace::Recorder;

use crate::error::{CreateError, Failure};
use crate::init::rootfs::Prepared;
use crate::init::{self, Gate, Init, InitHooks, Stdio};
use crate::listener::Agent;
use crate::plan::{ContainerPlan, IdMapping, ServiceStep};
use crate::state::State;
use crate::sync::{Channel, FromInit, ToInit};

/// What a container is made from, beside its plan.
#[derive(Debug)]
pub struct CreateOptions<'c> {
    /// The spec, for its hooks and annotations.
    pub spec: &'c Spec,
    /// The bundle's directory, as hooks are told it.
    pub bundle: &'c std::path::Path,
    /// Standard input, output and error of the program; `None` keeps the caller's. Unused with a terminal.
    pub stdio: Stdio<'c>,
    /// What holds the program back.
    pub gate: StartGate<'c>,
    /// Whether the kernel kills the first process when the calling process ends (prctl(2), `PR_SET_PDEATHSIG`).
    pub dies_with_creator: bool,
    /// How many descriptors from 3 on the program inherits.
    pub preserve_fds: u32,
    /// Where steps are told.
    pub recorder: &'c Recorder,
}

/// What holds the program back until the container is started.
#[derive(Debug, Clone, Copy)]
pub enum StartGate<'g> {
    /// The caller stays and calls [`Created::start`].
    Caller,
    /// A fifo, open for reading: whoever writes to it starts the container, and the caller may leave.
    Fifo(&'g OwnedFd),
}

/// A container that stands and waits at the gate. Dropped before it is started or kept, it is taken down.
#[derive(Debug)]
pub struct Created {
    container: Option<Standing>,
}

#[derive(Debug)]
struct Standing {
    child: Child,
    channel: Channel,
    cgroup: Cgroup,
    terminal: Option<OwnedFd>,
}

/// A process of a container.
#[derive(Debug)]
pub struct Process {
    /// The process ID as the caller sees it.
    pub pid: u32,
    /// The descriptor that stands for the process.
    pub pidfd: OwnedFd,
    /// The terminal's master, if the process has a terminal.
    pub terminal: Option<OwnedFd>,
}

/// A container whose first process is there, in its namespaces, and makes the rest. Dropped, it is taken down.
#[derive(Debug)]
pub struct Creating<'c> {
    created: Created,
    plan: &'c ContainerPlan,
    options: &'c CreateOptions<'c>,
}

impl Creating<'_> {
    /// Returns the ID of the first process.
    pub fn pid(&self) -> u32 {
        self.created.pid()
    }

    /// Waits until the container stands at the gate.
    pub fn finish(self) -> Result<Created, CreateError> {
        let Self { mut created, plan, options } = self;
        created.await_ready(plan, options)?;
        Ok(created)
    }
}

/// Makes a container as planned, up to the gate.
///
/// The caller has one thread and runs from a sealed binary ([`sys::process::ensure_sealed`]).
pub fn create(plan: &ContainerPlan, options: &CreateOptions<'_>) -> Result<Created, CreateError> {
    begin(plan, options)?.finish()
}

/// Begins to make a container as planned: the caller has something to do meanwhile in its namespaces.
pub fn begin<'c>(plan: &'c ContainerPlan, options: &'c CreateOptions<'c>) -> Result<Creating<'c>, CreateError> {
    if !processes::is_sealed() {
        return Err(CreateError::NotSealed);
    }
    if plan.process.init {
        processes::keep_self().map_err(CreateError::sys("open our own binary"))?;
    }
    let cgroup = Cgroup::create(&plan.cgroup, options.recorder)?;
    let entry = cgroup.entry()?;
    let prepared = Prepared::make(&plan.init, plan.namespaces.has_users())
        .map_err(CreateError::sys("prepare the mounts of the container"))?;
    let state = || State::creating(plan, options.spec, options.bundle, 0);
    let agent = Agent::connect(plan.process.seccomp.as_ref(), state)
        .map_err(CreateError::sys("connect to the agent of the system call filter"))?;
    let (channel, theirs) = Channel::pair().map_err(CreateError::sys("make a socket pair"))?;
    options.recorder.record(&plan.clone_step());
    match spawn(plan, &entry)? {
        Fork::Child => {
            drop(channel);
            be_init(plan, options, &entry, &prepared, agent, &theirs)
        }
        Fork::Parent(child) => {
            drop(theirs);
            let standing = Standing { child, channel, cgroup, terminal: None };
            Ok(Creating { created: Created { container: Some(standing) }, plan, options })
        }
    }
}

fn be_init(
    plan: &ContainerPlan,
    options: &CreateOptions<'_>,
    entry: &Entry,
    prepared: &Prepared,
    agent: Option<Agent>,
    channel: &Channel,
) -> ! {
    let hooks = options.spec.hooks().as_ref();
    let list = |hooks: Option<&'_ Option<Vec<_>>>| hooks.and_then(|hooks| hooks.clone()).unwrap_or_default();
    let create_container = list(hooks.map(Hooks::create_container));
    let start_container = list(hooks.map(Hooks::start_container));
    let state = State::creating(plan, options.spec, options.bundle, processes::id()).to_json();
    let init = Init {
        plan,
        channel,
        recorder: options.recorder,
        entry,
        prepared,
        agent,
        stdio: options.stdio,
        gate: match options.gate {
            StartGate::Caller => Gate::Message,
            StartGate::Fifo(fifo) => Gate::Fifo(fifo),
        },
        dies_with_creator: options.dies_with_creator,
        hooks: InitHooks {
            create_container: &create_container,
            start_container: &start_container,
            runtime: !runtime_hooks(options.spec).is_empty(),
            state: &state,
        },
        preserve_fds: options.preserve_fds,
    };
    init::run(init)
}

/// The hooks that run outside once the namespaces stand; `prestart` is the older name of the same point.
fn runtime_hooks(spec: &Spec) -> Vec<oci::runtime::Hook> {
    let hooks = spec.hooks().as_ref();
    let prestart = hooks.and_then(|hooks| hooks.prestart().clone()).unwrap_or_default();
    let create_runtime = hooks.and_then(|hooks| hooks.create_runtime().clone()).unwrap_or_default();
    prestart.into_iter().chain(create_runtime).collect()
}

/// Clones the first process.
fn spawn(plan: &ContainerPlan, entry: &Entry) -> Result<Fork, CreateError> {
    let namespaces = &plan.namespaces;
    if namespaces.has_users() && !namespaces.join.is_empty() {
        return spawn_through_joined(plan, entry);
    }
    let clone = || processes::clone_into(&namespaces.at_clone(), entry.clone_fd());
    match namespaces.joined(NamespaceKind::Pid) {
        None => clone(),
        Some(path) => namespace::open(path).and_then(|ns| in_pid_namespace(&ns, clone)),
    }
    .map_err(CreateError::sys("start the first process"))
}

/// Lets the children of the calling process be born in another PID namespace for the length of a clone.
pub(crate) fn in_pid_namespace(joined: &OwnedFd, clone: impl FnOnce() -> sys::Result<Fork>) -> sys::Result<Fork> {
    let own = namespace::open_of(0, NamespaceKind::Pid)?;
    namespace::enter(joined.as_fd(), NamespaceKind::Pid)?;
    let fork = clone();
    if matches!(fork, Ok(Fork::Child)) {
        return fork;
    }
    let back = namespace::enter(own.as_fd(), NamespaceKind::Pid);
    match (fork, back) {
        (Ok(Fork::Parent(child)), Err(error)) => {
            end(&child);
            Err(error)
        }
        (fork, _) => fork,
    }
}

/// Joins namespaces beside a user namespace, which must be done by another process: a joined user namespace cannot be
/// left again, and joining others needs rights that a new one takes away. That process then clones our first process as
/// its sibling, so that it is our own child.
fn spawn_through_joined(plan: &ContainerPlan, entry: &Entry) -> Result<Fork, CreateError> {
    let failed = CreateError::sys("start a process that joins namespaces");
    let (ours, theirs) = Channel::pair().map_err(CreateError::sys("make a socket pair"))?;
    match processes::clone_into(&[], None).map_err(failed)? {
        Fork::Child => {
            drop(ours);
            match clone_and_tell(plan, entry, &theirs) {
                Some(first) => Ok(first),
                None => processes::exit(0),
            }
        }
        Fork::Parent(between) => {
            drop(theirs);
            let told = ours.receive::<Result<u32, Failure>>();
            processes::wait(&between.pidfd).map_err(CreateError::sys("wait for the process that joins namespaces"))?;
            match told.map_err(CreateError::sys("hear from the process that joins namespaces"))? {
                Some((Ok(pid), Some(pidfd))) => Ok(Fork::Parent(Child { pid, pidfd })),
                Some((Err(failure), _)) => Err(failure.into()),
                _ => Err(CreateError::Died("while it joined namespaces".to_owned())),
            }
        }
    }
}

/// Goes on as the first process, or tells what came of it and returns nothing: this process must not become a second
/// creator.
fn clone_and_tell(plan: &ContainerPlan, entry: &Entry, creator: &Channel) -> Option<Fork> {
    let sent = match join_and_clone(plan, entry) {
        Ok(Fork::Child) => return Some(Fork::Child),
        Ok(Fork::Parent(child)) => {
            let sent = creator.send(&Ok::<_, Failure>(child.pid), Some(child.pidfd.as_fd()));
            if sent.is_err() {
                let _ = processes::pidfd_send_signal(&child.pidfd, SIGKILL);
            }
            sent
        }
        Err(error) => creator.send(&Err::<u32, _>(Failure::new("join the namespaces of the spec", &error)), None),
    };
    // Without a creator there is nobody to tell.
    drop(sent);
    None
}

fn join_and_clone(plan: &ContainerPlan, entry: &Entry) -> sys::Result<Fork> {
    let open = |(kind, path): &(NamespaceKind, std::path::PathBuf)| namespace::open(path).map(|ns| (*kind, ns));
    let joined: Vec<_> = plan.namespaces.join.iter().map(open).collect::<sys::Result<_>>()?;
    let enter = |(kind, ns): &(NamespaceKind, OwnedFd)| namespace::enter(ns.as_fd(), *kind);
    let (users, others): (Vec<_>, Vec<_>) = joined.iter().partition(|(kind, _)| *kind == NamespaceKind::User);
    // Some belong to us and are joined with the rights we have, others to the user namespace and are joined with its.
    let mut left = Vec::new();
    for namespace in others {
        match enter(namespace) {
            Err(error) if error.errno() == sys::Errno::PERM && !users.is_empty() => left.push(namespace),
            done => done?,
        }
    }
    users.into_iter().chain(left).try_for_each(enter)?;
    processes::clone_sibling_into(&plan.namespaces.at_clone(), entry.clone_fd())
}

impl Created {
    fn await_ready(&mut self, plan: &ContainerPlan, options: &CreateOptions<'_>) -> Result<(), CreateError> {
        let Some(standing) = &mut self.container else { return Ok(()) };
        serve(standing.child.pid, plan, options)?;
        if plan.namespaces.makes(NamespaceKind::User) {
            map_ids(standing.child.pid, plan)?;
            standing.channel.send(&ToInit::Mapped, None).map_err(CreateError::sys("tell the first process"))?;
        }
        loop {
            match standing.receive()? {
                (FromInit::Ready, _) => return Ok(()),
                (FromInit::Terminal, fd) => standing.terminal = fd,
                (FromInit::RuntimeHooks, _) => {
                    let state = State::creating(plan, options.spec, options.bundle, standing.child.pid).to_json();
                    crate::hooks::run("createRuntime", &runtime_hooks(options.spec), &state)?;
                    standing
                        .channel
                        .send(&ToInit::HooksDone, None)
                        .map_err(CreateError::sys("tell the first process"))?;
                }
                (FromInit::Failed(failure), _) => return Err(failure.into()),
                (FromInit::Executing, _) => return Ok(()),
            }
        }
    }

    /// Returns the process ID of the first process.
    pub fn pid(&self) -> u32 {
        self.container.as_ref().map_or(0, |standing| standing.child.pid)
    }

    /// Returns the container's cgroup.
    pub fn cgroup(&self) -> Option<&Cgroup> {
        self.container.as_ref().map(|standing| &standing.cgroup)
    }

    /// Returns the terminal's master, if there is one.
    pub fn terminal(&self) -> Option<&OwnedFd> {
        self.container.as_ref().and_then(|standing| standing.terminal.as_ref())
    }

    /// Opens the gate and waits until the program runs.
    pub fn start(mut self) -> Result<(Process, Cgroup), CreateError> {
        let standing = self.container.as_mut().ok_or(CreateError::Died("gone".to_owned()))?;
        standing.channel.send(&ToInit::Start, None).map_err(CreateError::sys("tell the first process"))?;
        await_exec(&standing.channel, &standing.child).map_err(|error| standing.explained(error))?;
        self.take()
    }

    /// Leaves the container at its gate, for somebody else to open. Until here, the first process ends with its creator.
    pub fn keep(self) -> Result<(Process, Cgroup), CreateError> {
        if let Some(standing) = &self.container {
            standing.channel.send(&ToInit::Kept, None).map_err(CreateError::sys("tell the first process"))?;
        }
        self.take()
    }

    fn take(mut self) -> Result<(Process, Cgroup), CreateError> {
        let standing = self.container.take().ok_or(CreateError::Died("gone".to_owned()))?;
        let process = Process { pid: standing.child.pid, pidfd: standing.child.pidfd, terminal: standing.terminal };
        Ok((process, standing.cgroup.keep()))
    }
}

impl Standing {
    fn receive(&self) -> Result<(FromInit, Option<OwnedFd>), CreateError> {
        receive(&self.channel, &self.child).map_err(|error| self.explained(error))
    }

    /// Says why the first process died without a word, where the kernel has counted it.
    fn explained(&self, error: CreateError) -> CreateError {
        match error {
            CreateError::Died(_) if self.cgroup.oom_kills().is_ok_and(|kills| kills > 0) => CreateError::OutOfMemory,
            other => other,
        }
    }
}

impl Drop for Created {
    fn drop(&mut self) {
        let Some(standing) = self.container.take() else { return };
        end(&standing.child);
        // Hooks in the container's namespaces may have left processes.
        let _ = standing.cgroup.kill();
    }
}

/// Kills a child and reaps it. Most often it has ended already, which is why we are here.
pub(crate) fn end(child: &Child) {
    let _ = processes::pidfd_send_signal(&child.pidfd, SIGKILL);
    let _ = processes::wait(&child.pidfd);
}

pub(crate) const SIGKILL: i32 = 9;

/// Waits until the program runs.
pub(crate) fn await_exec(channel: &Channel, child: &Child) -> Result<(), CreateError> {
    loop {
        match receive(channel, child)? {
            (FromInit::Failed(failure), _) => return Err(failure.into()),
            (FromInit::Executing, _) => break,
            _ => {}
        }
    }
    // The end of the socket is the exec itself; what comes instead is why it failed.
    let failed = CreateError::sys("hear of the exec");
    match channel.receive::<FromInit>().map_err(failed)? {
        Some((FromInit::Failed(failure), _)) => Err(failure.into()),
        _ => Ok(()),
    }
}

pub(crate) fn receive(channel: &Channel, child: &Child) -> Result<(FromInit, Option<OwnedFd>), CreateError> {
    let message = channel.receive().map_err(CreateError::sys("hear from the first process"))?;
    message.ok_or_else(|| died(child))
}

fn died(child: &Child) -> CreateError {
    CreateError::Died(match processes::wait(&child.pidfd) {
        Ok(ExitStatus::Signaled(signal)) => processes::signal_name(signal),
        Ok(ExitStatus::Exited(code)) => format!("exit code {code}"),
        Err(error) => error.to_string(),
    })
}

/// Sets from outside what the first process may lack the rights for in its user namespace.
fn serve(pid: u32, plan: &ContainerPlan, options: &CreateOptions<'_>) -> Result<(), CreateError> {
    for step in &plan.process.service {
        options.recorder.record(step);
        apply_service(pid, *step).map_err(CreateError::sys("set how the kernel serves the first process"))?;
    }
    if plan.namespaces.has_users() {
        for limit in &plan.process.limits {
            // Where this host may not raise limits, the first process says so when it sets them.
            let _ = sys::scheduling::raise_ceiling(pid, limit.resource, limit.limit.hard);
        }
    }
    Ok(())
}

/// Sets how a process is served; 0 is the calling one.
pub(crate) fn apply_service(pid: u32, step: ServiceStep) -> sys::Result<()> {
    match step {
        ServiceStep::Scheduler(scheduling) => sys::scheduling::set_scheduling(pid, &scheduling),
        ServiceStep::IoPriority { class, level } => sys::scheduling::set_io_priority(pid, class, level),
        ServiceStep::OomScore(score) => match sys::scheduling::set_oom_score(pid, score) {
            // Lowering the score needs CAP_SYS_RESOURCE; where it is missing the inherited score stays.
            Err(error) if error.errno() == sys::Errno::ACCESS => {
                tracing::warn!("this host may not lower oom_score_adj to {score} (no CAP_SYS_RESOURCE)");
                Ok(())
            }
            done => done,
        },
    }
}

fn map_ids(pid: u32, plan: &ContainerPlan) -> Result<(), CreateError> {
    write_map(pid, "uid_map", &plan.namespaces.uid_map)?;
    write_map(pid, "gid_map", &plan.namespaces.gid_map)
}

fn write_map(pid: u32, file: &str, mappings: &[IdMapping]) -> Result<(), CreateError> {
    let line = |mapping: &IdMapping| format!("{} {} {}\n", mapping.inside, mapping.outside, mapping.size);
    let path = format!("/proc/{pid}/{file}");
    let lines: String = mappings.iter().map(line).collect();
    std::fs::write(&path, &lines).map_err(|error| CreateError::Sys {
        what: "map the IDs of the user namespace",
        source: sys::Error::from_io(format!("write({path:?}, {lines:?})"), &error),
    })
}
