//! Joining a container: one more process in its namespaces and cgroup.

use std::os::fd::OwnedFd;

use cgroup::Entry;
use oci::runtime::LinuxSeccomp;
use sys::namespace::{self, NamespaceKind};
use sys::process::{self as processes, Fork};
use trace::{Recorder, Step};

use crate::create::{Process, apply_service, await_exec, end, in_pid_namespace, receive};
use crate::error::{CreateError, Failure};
use crate::init::Stdio;
use crate::init::process::{Entrance, Own, become_program, fail};
use crate::listener::Agent;
use crate::plan::{PlanError, ProcessPlan, process};
use crate::state::State;
use crate::sync::{Channel, FromInit};

/// What joins which container, and how.
#[derive(Debug)]
pub struct ExecOptions<'e> {
    /// The first process of the container, as the caller sees it.
    pub pid: u32,
    /// The descriptor that stands for the first process.
    pub pidfd: &'e OwnedFd,
    /// The process that joins.
    pub process: &'e oci::runtime::Process,
    /// The container's system call filter.
    pub seccomp: Option<&'e LinuxSeccomp>,
    /// The container's state, for the agent of a filter that notifies.
    pub state: Option<&'e State>,
    /// The way into the container's cgroup.
    pub entry: &'e Entry,
    /// Standard input, output and error; `None` keeps the caller's. Unused with a terminal.
    pub stdio: Stdio<'e>,
    /// How many descriptors from 3 on the program inherits.
    pub preserve_fds: u32,
    /// Where steps are told.
    pub recorder: &'e Recorder,
}

/// Runs one more process in a container and returns when its program runs.
///
/// The caller has one thread and runs from a sealed binary; the process is the caller's child.
pub fn exec(options: &ExecOptions<'_>) -> Result<Process, CreateError> {
    if !processes::is_sealed() {
        return Err(CreateError::NotSealed);
    }
    let mut plan = process::plan_process(options.process, options.seccomp).map_err(PlanError::from)?;
    plan.personality = personality_of(options.pid);
    let state = || options.state.cloned().unwrap_or_default();
    let agent = Agent::connect(plan.seccomp.as_ref(), state)
        .map_err(CreateError::sys("connect to the agent of the system call filter"))?;
    let kinds = foreign_namespaces(options.pid).map_err(CreateError::sys("look at the container's namespaces"))?;
    options.recorder.record(&join_step(options.pid, &kinds));
    let (channel, theirs) = Channel::pair().map_err(CreateError::sys("make a socket pair"))?;
    match spawn(options, &kinds).map_err(CreateError::sys("start a process in the container"))? {
        Fork::Child => {
            drop(channel);
            join_and_become(options, &plan, &kinds, agent, &theirs)
        }
        Fork::Parent(child) => {
            drop(theirs);
            match await_program(&channel, &child, &plan) {
                Ok(terminal) => Ok(Process { pid: child.pid, pidfd: child.pidfd, terminal }),
                Err(error) => {
                    end(&child);
                    Err(error)
                }
            }
        }
    }
}

fn join_step(pid: u32, kinds: &[NamespaceKind]) -> Step {
    let names: Vec<_> = kinds.iter().map(ToString::to_string).collect();
    let options: Vec<_> = kinds.iter().map(|kind| kind.tool_option()).collect();
    Step::host(
        format!("start a process in the container's namespaces: {}", names.join(", ")),
        format!("nsenter --target {pid} {} bash", options.join(" ")),
    )
}

/// Returns the kinds in which a process is not where we are.
fn foreign_namespaces(pid: u32) -> sys::Result<Vec<NamespaceKind>> {
    let mut kinds = Vec::new();
    for kind in NamespaceKind::ALL {
        if namespace::identity(pid, kind)? != namespace::identity(0, kind)? {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}

fn spawn(options: &ExecOptions<'_>, kinds: &[NamespaceKind]) -> sys::Result<Fork> {
    let clone = || processes::clone_into(&[], options.entry.clone_fd());
    if !kinds.contains(&NamespaceKind::Pid) {
        return clone();
    }
    in_pid_namespace(&namespace::open_of(options.pid, NamespaceKind::Pid)?, clone)
}

fn await_program(
    channel: &Channel,
    child: &processes::Child,
    plan: &ProcessPlan,
) -> Result<Option<OwnedFd>, CreateError> {
    let terminal = match plan.terminal {
        Some(_) => await_terminal(channel, child)?,
        None => None,
    };
    await_exec(channel, child)?;
    Ok(terminal)
}

fn await_terminal(channel: &Channel, child: &processes::Child) -> Result<Option<OwnedFd>, CreateError> {
    match receive(channel, child)? {
        (FromInit::Terminal, fd) => Ok(fd),
        (FromInit::Failed(failure), _) => Err(failure.into()),
        _ => Ok(None),
    }
}

fn join_and_become(
    options: &ExecOptions<'_>,
    plan: &ProcessPlan,
    kinds: &[NamespaceKind],
    agent: Option<Agent>,
    channel: &Channel,
) -> ! {
    processes::set_umask(0o022);
    let own = Own::open(plan, agent).map_err(|error| Failure::new("look at its own process", &error));
    let joined = own.and_then(|own| join(options, plan, kinds, channel).map(|terminal| (own, terminal)));
    let failure = match joined {
        Ok((own, terminal)) => {
            let entrance = Entrance {
                dies_with_creator: false,
                plan,
                channel,
                recorder: options.recorder,
                stdio: options.stdio,
                terminal,
                preserve_fds: options.preserve_fds,
                own,
            };
            become_program(&entrance, || Ok(())).unwrap_or_else(|failure| failure)
        }
        Err(failure) => failure,
    };
    fail(channel, failure)
}

fn join(
    options: &ExecOptions<'_>,
    plan: &ProcessPlan,
    kinds: &[NamespaceKind],
    channel: &Channel,
) -> Result<Option<OwnedFd>, Failure> {
    let failed = |step: &'static str| move |error: sys::Error| Failure::new(step, &error);
    for step in &plan.service {
        options.recorder.record(step);
        apply_service(0, *step).map_err(failed("set how the kernel serves it"))?;
    }
    for limit in &plan.limits {
        // Raised while we have the rights for it; where this host has not, setting the limit says so.
        let _ = sys::scheduling::raise_ceiling(0, limit.resource, limit.limit.hard);
    }
    // Into the cgroup first: what is joined afterwards could use up what the container's limits bound.
    options.entry.join().map_err(failed("enter the container's cgroup"))?;
    let others: Vec<_> = kinds.iter().copied().filter(|kind| *kind != NamespaceKind::Pid).collect();
    if !others.is_empty() {
        namespace::enter_process(options.pidfd, &others).map_err(failed("join the container's namespaces"))?;
    }
    processes::new_session().map_err(failed("start a session"))?;
    crate::init::new_keyring().map_err(failed("start a session keyring"))?;
    match plan.terminal {
        Some(size) => crate::init::open_terminal(channel, plan, size).map(Some).map_err(failed("open a terminal")),
        None => Ok(None),
    }
}

/// Returns the execution domain of a container's first process, where it is not the ordinary one.
fn personality_of(pid: u32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/personality")).ok()?;
    u32::from_str_radix(text.trim(), 16).ok().filter(|domain| *domain != 0)
}
