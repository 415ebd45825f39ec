//! The container's first process, from the clone to the exec: a story told once, in order, with nobody to go back to.
//!
//! [`run`] carries out the [`InitStep`]s of the plan ([`rootfs`] has those of the file system), waits at the gate, and
//! becomes the program ([`process`]). What fails is told to the creator with the step's own words, and the process ends.

pub(crate) mod process;
pub(crate) mod rootfs;

use std::fs;
use std::io::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use cgroup::Entry;
use oci::runtime::Hook;
use sys::namespace::{self, NamespaceKind};
use sys::{credentials, path as paths, process as processes};
use trace::{Explain as _, Recorder};

use crate::error::{Failure, FailureKind};
use crate::listener::Agent;
use crate::plan::steps::sysctl_path;
use crate::plan::{ContainerPlan, InitStep, ProcessPlan, TerminalSize, TimeOffset};
use crate::sync::{Channel, FromInit, ToInit};
use process::Own;
use rootfs::{Prepared, RootFs};

/// What the first process has at hand beside the plan.
#[derive(Debug)]
pub(crate) struct Init<'i> {
    /// What is to be done.
    pub(crate) plan: &'i ContainerPlan,
    /// The way to the creator.
    pub(crate) channel: &'i Channel,
    /// Where steps are told.
    pub(crate) recorder: &'i Recorder,
    /// The way into the cgroups.
    pub(crate) entry: &'i Entry,
    /// Mounts that the creator has prepared, since this process may not.
    pub(crate) prepared: &'i Prepared,
    /// The connection to the agent of the system call filter.
    pub(crate) agent: Option<Agent>,
    /// What becomes standard input, output and error, unless there is a terminal.
    pub(crate) stdio: Stdio<'i>,
    /// What holds the process back until the container is started.
    pub(crate) gate: Gate<'i>,
    /// Whether the kernel ends this process when the creator has ended.
    pub(crate) dies_with_creator: bool,
    /// Hooks that run in here, and the state they are told.
    pub(crate) hooks: InitHooks<'i>,
    /// How many descriptors from 3 on the program inherits.
    pub(crate) preserve_fds: u32,
}

/// Standard input, output and error of a process; `None` keeps what the creator has there.
pub type Stdio<'s> = Option<[std::os::fd::BorrowedFd<'s>; 3]>;

/// What holds the first process back until the container is started.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Gate<'g> {
    /// A message of the creator, who stays.
    Message,
    /// A fifo in the container's directory: whoever writes to it lets the process go. The creator may leave.
    Fifo(&'g OwnedFd),
}

/// The hooks that the first process runs itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct InitHooks<'h> {
    /// Before the root is changed.
    pub(crate) create_container: &'h [Hook],
    /// Just before the program.
    pub(crate) start_container: &'h [Hook],
    /// Whether the creator runs hooks once the namespaces stand.
    pub(crate) runtime: bool,
    /// The container's state as JSON.
    pub(crate) state: &'h str,
}

/// Carries the plan out and becomes the program. It ends the process where that fails.
pub(crate) fn run(mut init: Init<'_>) -> ! {
    // What is made on the way has the modes that are asked for, whatever the caller's mask; 022 is what programs expect.
    processes::set_umask(0o022);
    let failure = match Own::open(&init.plan.process, init.agent.take()) {
        Ok(own) => prepare_and_enter(&init, own),
        Err(error) => Failure::new("look at its own process", &error),
    };
    process::fail(init.channel, failure)
}

fn prepare_and_enter(init: &Init<'_>, own: Own) -> Failure {
    match prepare(init) {
        Ok(terminal) => process::enter(init, terminal, own),
        Err(failure) => failure,
    }
}

/// Does every step up to the gate and returns the terminal, if there is one.
fn prepare(init: &Init<'_>) -> Result<Option<OwnedFd>, Failure> {
    let mut state = State { root: None, terminal: None };
    for (index, step) in init.plan.init.iter().enumerate() {
        init.recorder.record(step);
        apply(init, &mut state, index, step).map_err(|fault| fault.into_failure(step))?;
        if init.hooks.runtime && is_last_namespace_step(init.plan, index) {
            wait_for(init.channel, Some(&FromInit::RuntimeHooks), &ToInit::HooksDone)
                .map_err(|error| Failure::new("wait for the hooks", &error))?;
        }
    }
    Ok(state.terminal)
}

/// Hooks of the runtime's side run when the namespaces stand and the root has not been changed yet.
fn is_last_namespace_step(plan: &ContainerPlan, index: usize) -> bool {
    matches!(plan.init.get(index + 1), Some(InitStep::Isolate(_)))
}

/// What the steps hand on to each other.
struct State {
    root: Option<RootFs>,
    terminal: Option<OwnedFd>,
}

/// Why a step failed; the words of the step are added where it is known.
enum Fault {
    Sys(sys::Error),
    Told(String),
}

impl From<sys::Error> for Fault {
    fn from(error: sys::Error) -> Self {
        Self::Sys(error)
    }
}

impl Fault {
    fn into_failure(self, step: &InitStep) -> Failure {
        let what = step.explain().what;
        match self {
            Self::Sys(error) => Failure::new(what, &error),
            Self::Told(text) => Failure::told(what, FailureKind::Other, text),
        }
    }
}

fn apply(init: &Init<'_>, state: &mut State, index: usize, step: &InitStep) -> Result<(), Fault> {
    match step {
        InitStep::Join(kind, path) => join(path, *kind)?,
        InitStep::JoinCgroups(_) => init.entry.join()?,
        InitStep::NewCgroupNamespace => namespace::unshare(&[NamespaceKind::Cgroup])?,
        InitStep::NewTimeNamespace(offsets) => new_time_namespace(offsets)?,
        InitStep::BecomeRoot => become_root(init)?,
        InitStep::LoopbackUp => sys::link::set_up("lo")?,
        InitStep::NewSession => processes::new_session()?,
        InitStep::NewKeyring => new_keyring()?,
        InitStep::HostName(name) => namespace::set_host_name(name)?,
        InitStep::DomainName(name) => namespace::set_domain_name(name)?,
        InitStep::Isolate(propagation) => sys::mount::set_propagation(Path::new("/"), *propagation, true)?,
        InitStep::Root(root) => state.root = Some(RootFs::mount(root, init.prepared)?),
        InitStep::Mount(mount) => root(state)?.apply_mount(index, mount, init.prepared)?,
        InitStep::Node(node) => root(state)?.make_node(index, node, init.prepared)?,
        InitStep::Link { path, target } => root(state)?.make_link(path, target)?,
        InitStep::CreateContainerHooks => {
            crate::hooks::run("createContainer", init.hooks.create_container, init.hooks.state)
                .map_err(|error| Fault::Told(error.to_string()))?;
        }
        InitStep::Pivot => root(state)?.pivot()?,
        InitStep::RootPropagation(propagation) => sys::mount::set_propagation(Path::new("/"), *propagation, true)?,
        InitStep::EnsureCwd(path) => root(state)?.ensure_cwd(path)?,
        InitStep::Terminal => state.terminal = Some(show_terminal(init, root(state)?)?),
        InitStep::Sysctl { key, value } => set_parameter(root(state)?, key, value)?,
        InitStep::ReadOnly(path) => root(state)?.make_read_only(path)?,
        InitStep::Mask(path) => root(state)?.mask(path)?,
        InitStep::SealRoot => root(state)?.seal()?,
    }
    Ok(())
}

fn root(state: &mut State) -> Result<&mut RootFs, Fault> {
    state.root.as_mut().ok_or_else(|| Fault::Told("the plan has no root before this step".to_owned()))
}

fn join(path: &Path, kind: NamespaceKind) -> sys::Result<()> {
    namespace::enter(namespace::open(path)?.as_fd(), kind)
}

fn new_time_namespace(offsets: &[TimeOffset]) -> Result<(), Fault> {
    namespace::unshare(&[NamespaceKind::Time])?;
    let lines: String =
        offsets.iter().map(|offset| format!("{} {} {}\n", offset.clock, offset.seconds, offset.nanoseconds)).collect();
    if !lines.is_empty() {
        write_file("/proc/self/timens_offsets", &lines)?;
    }
    // unshare(2) leaves the caller where it was; only since Linux 6.3 does its exec move it.
    let own = namespace::open(Path::new("/proc/self/ns/time_for_children"))?;
    Ok(namespace::enter(own.as_fd(), NamespaceKind::Time)?)
}

fn become_root(init: &Init<'_>) -> Result<(), Fault> {
    if init.plan.namespaces.makes(NamespaceKind::User) {
        wait_for(init.channel, None, &ToInit::Mapped)?;
    }
    credentials::set_group(0)?;
    credentials::set_user(0)?;
    Ok(())
}

/// A kernel without keyrings, or a filter of an outer container over keyctl(2), is no reason not to run.
pub(crate) fn new_keyring() -> sys::Result<()> {
    match credentials::join_new_keyring() {
        Err(error) if matches!(error.errno(), sys::Errno::NOSYS | sys::Errno::PERM | sys::Errno::DQUOT) => Ok(()),
        done => done,
    }
}

fn show_terminal(init: &Init<'_>, root: &RootFs) -> Result<OwnedFd, Fault> {
    let terminal = open_terminal(init.channel, &init.plan.process, init.plan.process.terminal.unwrap_or_default())?;
    root.show_console(&terminal)?;
    Ok(terminal)
}

/// Opens a terminal in the container's devpts and sends its master to the creator.
pub(crate) fn open_terminal(channel: &Channel, plan: &ProcessPlan, size: TerminalSize) -> sys::Result<OwnedFd> {
    let pair = sys::pty::open(Path::new("/dev/pts/ptmx"))?;
    if size.rows > 0 {
        sys::pty::set_size(&pair.master, size.rows, size.columns)?;
    }
    paths::set_owner(&pair.slave, Some(plan.user.uid), None)?;
    channel.send(&FromInit::Terminal, Some(pair.master.as_fd()))?;
    Ok(pair.slave)
}

fn set_parameter(root: &RootFs, key: &str, value: &str) -> Result<(), Fault> {
    let path = sysctl_path(key);
    let written = root.open_parameter(path.strip_prefix("/proc").unwrap_or(&path))?.write_all(value.as_bytes());
    written.map_err(|error| unwritten(&path.to_string_lossy(), value, &error))
}

fn write_file(path: &str, text: &str) -> Result<(), Fault> {
    fs::write(path, text).map_err(|error| unwritten(path, text, &error))
}

fn unwritten(path: &str, text: &str, error: &std::io::Error) -> Fault {
    Fault::Sys(sys::Error::from_io(format!("write({path:?}, {text:?})"), error))
}

/// Tells the creator something and waits for the answer that is due.
pub(crate) fn wait_for(channel: &Channel, tell: Option<&FromInit>, answer: &ToInit) -> sys::Result<()> {
    if let Some(message) = tell {
        channel.send(message, None)?;
    }
    match channel.receive::<ToInit>()? {
        Some((message, _)) if message == *answer => Ok(()),
        // The creator is gone or has given up.
        _ => Err(sys::Error::new(format!("recvmsg(creator, {answer:?})"), sys::Errno::CONNRESET)),
    }
}
