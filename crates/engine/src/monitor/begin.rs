//! How a monitor comes to be: a fork of the command makes the container, starts it, and replaces itself.
//!
//! The fork is the parent of the container's first process from the beginning, has everything that was decided at hand
//! without a word of it being written down, and tells the command how it went. What it becomes by the exec is as small
//! as a process can be. Our binary is sealed, so `/proc/self/exe` is too.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use jiff::Timestamp;
use runtime::{CreateOptions, FailureKind, Process, StartGate};
use store::ChainId;
use sys::file::Durability;
use sys::process::{self as processes, Fork};
use sys::signal::{ALL_BUT_FAULTS, SignalFd};
use sys::{Calling, socket};

use super::health::HealthOrder;
use super::order::{Descriptors, Order, Restart, trees};
use crate::error::{Chain, Doing};
use crate::health::Health;
use crate::layout::SOCKET;
use crate::ledger::Claim;
use crate::network::Resolver;
use crate::records::{self, Run};
use crate::start::Prepared;
use crate::stop::GRACE;
use crate::wire::{ToClient, Wishes};
use crate::{Container, Engine, Error, HealthOnFailure, RestartPolicy, logs};

/// What the fork begins with.
#[derive(Debug)]
pub(crate) struct Beginning<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) container: &'a Container,
    pub(crate) chain: ChainId,
    pub(crate) prepared: &'a Prepared,
    /// What the command wants to hear and send, where it stays.
    pub(crate) wishes: Option<Wishes>,
    /// The restarts that led here; none after a `start` or `run`.
    pub(crate) restart: Restart,
}

/// Our side of the command's standard streams, and the command's side.
#[derive(Debug, Default)]
struct Streams {
    ours: [Option<OwnedFd>; 3],
    theirs: Option<[OwnedFd; 3]>,
}

/// Forks the process that makes the container; returns the socket on which it tells how it went.
pub(crate) fn fork_monitor(beginning: &Beginning<'_>, claim: &Claim) -> sys::Result<OwnedFd> {
    let (ours, theirs) = socket::message_pair()?;
    match processes::clone_into(&[], None)? {
        Fork::Parent(_) => Ok(ours),
        Fork::Child => {
            drop(ours);
            be_monitor(beginning, claim, &theirs)
        }
    }
}

fn be_monitor(beginning: &Beginning<'_>, claim: &Claim, command: &OwnedFd) -> ! {
    // The terminal's signals are the command's to hand on, and nobody else ends a monitor in passing.
    let begun = processes::new_session().map_err(ours).and_then(|()| begin(beginning, claim, Some(command), None));
    let Err((code, error)) = begun;
    let mut frame = Vec::new();
    ToClient::Failed { code, chain: &Chain::write(&*error) }.encode(&mut frame);
    // A command that is gone cannot be told; the run is then settled by the next one.
    let _ = socket::send(command, &frame, &[]);
    processes::exit(1)
}

/// The exit code and the reason of a container that does not run.
pub(super) type Failed = (u8, Box<dyn std::error::Error + Send + Sync>);

pub(super) fn ours(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failed {
    (125, error.into())
}

fn theirs(error: runtime::CreateError) -> Failed {
    let code = match error.kind() {
        FailureKind::NotFound => 127,
        FailureKind::NotExecutable => 126,
        FailureKind::Other => 125,
    };
    (code, error.into())
}

/// Makes the container, starts it, and becomes its monitor. Where the policy starts it again there is no command to be
/// told, and the listener has stood all the while.
pub(super) fn begin(
    beginning: &Beginning<'_>,
    claim: &Claim,
    command: Option<&OwnedFd>,
    listener: Option<OwnedFd>,
) -> Result<Infallible, Failed> {
    let Beginning { engine, container, prepared, .. } = beginning;
    let layout = engine.layout();
    SignalFd::blocking(&ALL_BUT_FAULTS).map_err(ours)?;
    let listener = match listener {
        Some(listener) => listener,
        None => listen(&layout.run(&container.id)).map_err(ours)?,
    };
    let streams = open_streams(container).map_err(ours)?;
    let options = CreateOptions {
        spec: &prepared.spec,
        bundle: &layout.run(&container.id),
        stdio: streams.theirs.as_ref().map(|streams| streams.each_ref().map(AsFd::as_fd)),
        gate: StartGate::Caller,
        // Without a monitor a container would run unseen, with nobody to take its output or to note its end.
        dies_with_creator: true,
        preserve_fds: 0,
        recorder: engine.recorder(),
    };
    let creating = runtime::begin(&prepared.plan, &options).map_err(theirs)?;
    // While the first process mounts.
    let networks = bring_up(beginning, creating.pid()).map_err(ours);
    let created = creating.finish().map_err(theirs)?;
    let networks = networks?;
    let started_at = Timestamp::now();
    let state = Run {
        restarts: beginning.restart.restarts,
        ports: prepared.ports(),
        snapshotter: engine.snapshotter(),
        ..Run::of(container, created.pid(), started_at)
    };
    if container.health.is_some() {
        records::write(&layout.health(&container.id), &Health::default(), Durability::Cached).map_err(ours)?;
    }
    records::write(&layout.run_state(&container.id), &state, Durability::Cached).map_err(ours)?;
    if prepared.network.is_some() {
        engine.join_peers(container).map_err(ours)?;
    }
    let (process, cgroup) = created.start().map_err(theirs)?;
    let warnings: Vec<_> = cgroup.warnings().iter().map(ToString::to_string).collect();
    if let Some(command) = command {
        tell_started(command, &process, &warnings.join("\n")).map_err(ours)?;
    }
    link_root(engine, container, process.pid);
    let order = order(beginning, started_at, &process, (streams, networks), (command, &listener, claim));
    // The program runs, so there is nobody to be told of a failure; without a monitor the next command settles the run.
    become_monitor(&order).map_err(ours)
}

/// Makes the container's endpoints, now that its namespace is there.
fn bring_up(beginning: &Beginning<'_>, pid: u32) -> Result<Option<Resolver>, Error> {
    let Beginning { engine, prepared, .. } = beginning;
    let Some(acquired) = &prepared.network else { return Ok(None) };
    engine.bring_up(&acquired.run, pid)
}

fn listen(run: &Path) -> sys::Result<OwnedFd> {
    let listener = socket::listen_messages_at(&sys::path::Root::open(run)?, SOCKET)?;
    sys::file::set_nonblocking(&listener, true)?;
    Ok(listener)
}

fn tell_started(command: &OwnedFd, process: &Process, warnings: &str) -> sys::Result<()> {
    let mut frame = Vec::new();
    ToClient::Started { pid: process.pid, warnings }.encode(&mut frame);
    match socket::send(command, &frame, &[process.pidfd.as_fd()]) {
        // The command was killed while it waited: the container runs all the same.
        Err(error) if error.errno() == sys::Errno::PIPE => Ok(()),
        sent => sent.map(drop),
    }
}

/// Lets `rootfs` in the run's directory lead into the container: a convenience, so a failure stops nothing.
fn link_root(engine: &Engine, container: &Container, pid: u32) {
    let _ = std::os::unix::fs::symlink(format!("/proc/{pid}/root"), engine.layout().rootfs(&container.id));
}

/// Opens pipes for the command's streams; with a terminal there are none, and closed input is /dev/null.
fn open_streams(container: &Container) -> sys::Result<Streams> {
    if container.request.tty {
        return Ok(Streams::default());
    }
    let pipe = || std::io::pipe().call(|| "pipe2(O_CLOEXEC)");
    let (stdin, feed): (OwnedFd, Option<OwnedFd>) = match container.request.open_stdin {
        true => pipe().map(|(read, write)| (read.into(), Some(write.into())))?,
        false => (null()?.into(), None),
    };
    let ((out, stdout), (err, stderr)) = (pipe()?, pipe()?);
    Ok(Streams {
        ours: [feed, Some(out.into()), Some(err.into())],
        theirs: Some([stdin, stdout.into(), stderr.into()]),
    })
}

fn null() -> sys::Result<File> {
    let open = File::options().read(true).write(true).open("/dev/null");
    open.call(|| "open(\"/dev/null\", O_RDWR)")
}

fn is_ever_restarted(container: &Container) -> bool {
    let unhealthy = container.health.as_ref().map(|check| check.on_failure);
    container.request.restart != RestartPolicy::No || unhealthy == Some(HealthOnFailure::Restart)
}

fn order(
    beginning: &Beginning<'_>,
    started_at: Timestamp,
    process: &Process,
    (streams, networks): (Streams, Option<Resolver>),
    (command, listener, claim): (Option<&OwnedFd>, &OwnedFd, &Claim),
) -> Order {
    let Beginning { engine, container, prepared, .. } = beginning;
    // The numbers stay open over the exec, so nothing is to close them.
    let leak = |fd: OwnedFd| std::os::fd::IntoRawFd::into_raw_fd(fd);
    let number = |fd: BorrowedFd<'_>| fd.as_raw_fd();
    let [stdin, stdout, stderr] = streams.ours.map(|fd| fd.map(leak));
    Order {
        id: container.id.clone(),
        name: container.name.clone(),
        root: engine.layout().root().to_owned(),
        state: engine.layout().state().to_owned(),
        started_at,
        remove: container.request.remove_on_exit,
        volumes: container.anonymous_volumes.clone(),
        bound: container.is_step(),
        stdin_once: container.request.stdin_once,
        wishes: beginning.wishes.map(Wishes::bits),
        log: logs::target(engine, container),
        restart: is_ever_restarted(container).then_some(beginning.restart),
        health: container.health.clone().map(|check| HealthOrder {
            check,
            stop_signal: engine.stop_signal(container),
            grace: container.request.stop_timeout.unwrap_or(GRACE),
        }),
        // A mounted directory is shared as it is: the kernel caches its files for all.
        chain: prepared.hold.is_none().then_some(beginning.chain),
        trees: trees(&prepared.hierarchies),
        fds: Descriptors {
            process: number(process.pidfd.as_fd()),
            lock: number(claim.lock.as_fd()),
            listener: number(listener.as_fd()),
            client: command.filter(|_| beginning.wishes.is_some()).map(|command| number(command.as_fd())),
            stdin,
            stdout,
            stderr,
            terminal: process.terminal.as_ref().map(|terminal| number(terminal.as_fd())),
            view: Some(number(prepared.view.as_fd())),
            resolver: networks.map(|(datagrams, listener)| (leak(datagrams), leak(listener))),
            kept: kept(prepared).map(|fd| fd.as_raw_fd()).collect(),
        },
    }
}

/// What is to stay open for no other reason than that it is.
fn kept(prepared: &Prepared) -> impl Iterator<Item = BorrowedFd<'_>> {
    let sockets = prepared.network.iter().flat_map(|acquired| &acquired.sockets);
    sockets.map(AsFd::as_fd).chain(prepared.hold.iter().map(AsFd::as_fd))
}

/// Replaces the calling process by the monitor.
fn become_monitor(order: &Order) -> Result<Infallible, Error> {
    let doing = || "become a monitor";
    let text = serde_json::to_string(order).doing(doing)?;
    detach_streams().doing(doing)?;
    order.fds.clone().map(|number| keep(number).map(|()| number)).doing(doing)?;
    Err(execute("monitor", order.name.as_str(), &text)).doing(doing)
}

/// Leaves the caller's streams, and all that it or the preparing had open, behind the next exec.
fn detach_streams() -> sys::Result<()> {
    let null = null()?;
    (0..3).try_for_each(|standard| processes::duplicate_to(&null, standard))?;
    processes::close_on_exec_from(3)
}

/// Replaces the calling process by another face of the binary; returns why that failed.
pub(super) fn execute(face: &str, name: &str, order: &str) -> sys::Error {
    let words: Result<Vec<_>, _> = ["conductor", face, name, order].map(CString::new).into_iter().collect();
    // JSON escapes zero bytes, and neither a face nor a name has any.
    processes::execve(c"/proc/self/exe", &words.unwrap_or_default(), &[])
}

/// Starts another face of the binary beside the calling process; returns its pidfd.
pub(super) fn spawn_face(face: &str, name: &str, order: &str) -> sys::Result<OwnedFd> {
    match processes::clone_into(&[], None)? {
        Fork::Parent(child) => Ok(child.pidfd),
        Fork::Child => {
            if processes::new_session().and_then(|()| detach_streams()).is_ok() {
                drop(execute(face, name, order));
            }
            processes::exit(125)
        }
    }
}

/// Starts another face of the binary apart from the calling process, which has not to wait for its end.
pub(crate) fn spawn_apart(face: &str, name: &str, order: &str) -> sys::Result<()> {
    match processes::clone_into(&[], None)? {
        Fork::Parent(between) => processes::wait(&between.pidfd).map(drop),
        // The child of a process that ends at once is reaped by the host's init.
        Fork::Child => {
            let spawned = spawn_face(face, name, order);
            processes::exit(if spawned.is_ok() { 0 } else { 125 })
        }
    }
}

/// Lets a descriptor stay open over the next exec.
pub(super) fn keep(number: RawFd) -> sys::Result<()> {
    let fd = processes::adopt_fd(number)?;
    let kept = processes::keep_over_exec(&fd, true);
    // It is open for the exec, not for us to close.
    let _ = std::os::fd::IntoRawFd::into_raw_fd(fd);
    kept
}
