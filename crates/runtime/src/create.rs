//! Making a container: its cgroup, its first process, and what the two sides tell each other until the program runs.

use std::os::fd::{AsFd, OwnedFd};

use cgroup::{Cgroup, Entry};
use oci::runtime::{Hooks, Spec};
use sys::namespace::{self, NamespaceKind};
use sys::process::{self as processes, Child, ExitStatus, Fork};
use trace::Recorder;

use crate::error::CreateError;
use crate::init::rootfs::Prepared;
use crate::init::{self, Gate, Init, InitHooks, Stdio};
use crate::plan::{ContainerPlan, IdMapping};
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
    listener: Option<OwnedFd>,
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

/// Makes a container as planned, up to the gate.
///
/// The caller has one thread and runs from a sealed binary ([`sys::process::ensure_sealed`]).
pub fn create(plan: &ContainerPlan, options: &CreateOptions<'_>) -> Result<Created, CreateError> {
    if !processes::is_sealed() {
        return Err(CreateError::NotSealed);
    }
    if plan.process.init {
        processes::keep_self().map_err(CreateError::sys("open our own binary"))?;
    }
    let cgroup = Cgroup::create(&plan.cgroup, options.recorder)?;
    let entry = cgroup.entry()?;
    let prepared = match plan.namespaces.has_users() {
        true => Prepared::for_user_namespace(&plan.init).map_err(CreateError::sys("prepare the mounts"))?,
        false => Prepared::default(),
    };
    let (channel, theirs) = Channel::pair().map_err(CreateError::sys("make a socket pair"))?;
    options.recorder.record(&plan.clone_step());
    match spawn(plan, &entry)? {
        Fork::Child => {
            drop(channel);
            be_init(plan, options, &entry, &prepared, &theirs)
        }
        Fork::Parent(child) => {
            drop(theirs);
            let standing = Standing { child, channel, cgroup, terminal: None, listener: None };
            let mut created = Created { container: Some(standing) };
            created.await_ready(plan, options)?;
            Ok(created)
        }
    }
}

fn be_init(
    plan: &ContainerPlan,
    options: &CreateOptions<'_>,
    entry: &Entry,
    prepared: &Prepared,
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
        stdio: options.stdio,
        gate: match options.gate {
            StartGate::Caller => Gate::Message,
            StartGate::Fifo(fifo) => Gate::Fifo(fifo),
        },
        hooks: InitHooks {
            create_container: &create_container,
            start_container: &start_container,
            runtime: !runtime_hooks(options.spec).is_empty(),
            state: &state,
        },
        preserve_fds: options.preserve_fds,
    };
    init::run(&init)
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
        return spawn_through_joined(plan, entry)
            .map_err(CreateError::sys("join namespaces and start the first process"));
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
    if !matches!(fork, Ok(Fork::Child)) {
        namespace::enter(own.as_fd(), NamespaceKind::Pid)?;
    }
    fork
}

/// Joins namespaces beside a user namespace, which must be done by another process: a joined user namespace cannot be
/// left again, and joining others needs rights that a new one takes away. That process then clones our first process as
/// its sibling, so that it is our own child.
fn spawn_through_joined(plan: &ContainerPlan, entry: &Entry) -> sys::Result<Fork> {
    let (ours, theirs) = Channel::pair()?;
    match processes::clone_into(&[], None)? {
        Fork::Parent(between) => {
            drop(theirs);
            let told = ours.receive::<Result<u32, String>>()?;
            processes::wait(&between.pidfd)?;
            match told {
                Some((Ok(pid), Some(pidfd))) => Ok(Fork::Parent(Child { pid, pidfd })),
                Some((Err(_), _)) | None | Some((Ok(_), None)) => {
                    Err(sys::Error::new("setns() or clone3()", sys::Errno::PERM))
                }
            }
        }
        Fork::Child => {
            drop(ours);
            match join_and_clone(plan, entry) {
                Ok(Fork::Child) => return Ok(Fork::Child),
                Ok(Fork::Parent(child)) => theirs.send(&Ok::<_, String>(child.pid), Some(child.pidfd.as_fd()))?,
                Err(error) => theirs.send(&Err::<u32, _>(error.to_string()), None)?,
            }
            processes::exit(0)
        }
    }
}

fn join_and_clone(plan: &ContainerPlan, entry: &Entry) -> sys::Result<Fork> {
    let open = |(kind, path): &(NamespaceKind, std::path::PathBuf)| namespace::open(path).map(|ns| (*kind, ns));
    let joined: Vec<_> = plan.namespaces.join.iter().map(open).collect::<sys::Result<_>>()?;
    joined.iter().try_for_each(|(kind, ns)| namespace::enter(ns.as_fd(), *kind))?;
    processes::clone_sibling_into(&plan.namespaces.at_clone(), entry.clone_fd())
}

impl Created {
    fn await_ready(&mut self, plan: &ContainerPlan, options: &CreateOptions<'_>) -> Result<(), CreateError> {
        let Some(standing) = &mut self.container else { return Ok(()) };
        if plan.namespaces.makes(NamespaceKind::User) {
            map_ids(standing.child.pid, plan)?;
            standing.channel.send(&ToInit::Mapped, None).map_err(CreateError::sys("tell the first process"))?;
        }
        loop {
            match receive(&standing.channel, &standing.child)? {
                (FromInit::Ready, _) => return Ok(()),
                (FromInit::Terminal, fd) => standing.terminal = fd,
                (FromInit::Listener, fd) => standing.listener = fd,
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
        standing.listener = await_exec(&standing.channel, &standing.child)?.or(standing.listener.take());
        self.keep()
    }

    /// Leaves the container at its gate, for somebody else to open.
    pub fn keep(mut self) -> Result<(Process, Cgroup), CreateError> {
        let standing = self.container.take().ok_or(CreateError::Died("gone".to_owned()))?;
        let process = Process { pid: standing.child.pid, pidfd: standing.child.pidfd, terminal: standing.terminal };
        Ok((process, standing.cgroup.keep()))
    }
}

impl Drop for Created {
    fn drop(&mut self) {
        let Some(standing) = self.container.take() else { return };
        // Most often it has ended already, which is why we are here.
        let _ = processes::pidfd_send_signal(&standing.child.pidfd, SIGKILL);
        let _ = processes::wait(&standing.child.pidfd);
    }
}

const SIGKILL: i32 = 9;

/// Waits until the program runs; returns the listener of its filter, if it has one.
pub(crate) fn await_exec(channel: &Channel, child: &Child) -> Result<Option<OwnedFd>, CreateError> {
    let mut listener = None;
    loop {
        match receive(channel, child)? {
            (FromInit::Listener, fd) => listener = fd,
            (FromInit::Failed(failure), _) => return Err(failure.into()),
            (FromInit::Executing, _) => break,
            _ => {}
        }
    }
    // The end of the socket is the exec itself; what comes instead is why it failed.
    let failed = CreateError::sys("hear of the exec");
    match channel.receive::<FromInit>().map_err(failed)? {
        Some((FromInit::Failed(failure), _)) => Err(failure.into()),
        _ => Ok(listener),
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
