//! `exec`: one more process in a running container. It needs no monitor: the caller is its parent and moves its bytes.
//!
//! What the process is allowed is what the container's own spec says, which lies beside the run; only user, directory,
//! environment and `--privileged` change it. Pipes stand between its streams and ours: a descriptor of the host is not
//! for a container to hold.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use cgroup::{Cgroup, CgroupPath, Hierarchies};
use oci::runtime::{Process, Spec};
use runtime::{ExecOptions, FailureKind};
use sys::Calling;
use sys::event::{EventFlags, Poller};
use sys::path::Root;
use sys::pty::RawMode;
use sys::signal::SignalFd;

use crate::attach::DetachWatch;
use crate::client::{ENDING, SIGWINCH};
use crate::error::Doing;
use crate::flow::{Flow, broken};
use crate::layout::Layout;
use crate::ledger::{self, Owner};
use crate::records::Run;
use crate::wire::BULK;
use crate::{AttachOptions, AttachOutcome, Container, Engine, Error, ExecRequest, client, files, records, spec};

/// Our ends of a process's streams.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    stdin: Option<OwnedFd>,
    pub(crate) stdout: Option<OwnedFd>,
    pub(crate) stderr: Option<OwnedFd>,
}

impl Engine {
    /// Runs a command in a running container and returns how it ended; `Detached` where the caller did not stay.
    pub fn exec(&self, container: &Container, request: &ExecRequest) -> Result<AttachOutcome, Error> {
        self.sweep()?;
        if request.tty && request.stdin && !request.detach && !sys::pty::is_terminal(std::io::stdin()) {
            return Err(Error::NotATerminal);
        }
        let attach = AttachOptions { stdin: request.stdin, ..AttachOptions::default() };
        // Taken before the process runs, so that none is lost.
        let signals = if request.detach { None } else { client::take_signals(&attach, request.tty)? };
        let doing = || format!("run a command in container {}", container.name);
        let (started, ours) = self.start_in(container, request)?;
        if request.detach {
            return Ok(AttachOutcome::Detached);
        }
        let ours = match &started.terminal {
            Some(terminal) => Streams::of_terminal(terminal, request.stdin).doing(doing)?,
            None => ours,
        };
        Relay::new(request, &started, ours, signals).doing(|| "attach to the command")?.run()
    }

    /// Starts a command in a running container; returns it with our ends of its streams.
    pub(crate) fn start_in(
        &self,
        container: &Container,
        request: &ExecRequest,
    ) -> Result<(runtime::Process, Streams), Error> {
        let (pid, pidfd) = self.first_process(container)?;
        self.join(container, request, pid, &pidfd).map_err(|error| match error {
            Error::Exec { code: 125, .. } | Error::Doing { .. } if is_ending(pid, &pidfd) => {
                Error::NotRunning(container.name.to_string())
            }
            error => error,
        })
    }

    fn join(
        &self,
        container: &Container,
        request: &ExecRequest,
        pid: u32,
        pidfd: &OwnedFd,
    ) -> Result<(runtime::Process, Streams), Error> {
        let doing = || format!("run a command in container {}", container.name);
        let spec: Spec = records::read(&self.layout().config(&container.id))?
            .ok_or_else(|| Error::NotRunning(container.name.to_string()))?;
        let process = plan_process(&spec, request, pid)?;
        let linux = spec.linux().as_ref().filter(|_| !request.privileged);
        let hierarchies = Hierarchies::detect().doing(doing)?;
        let path: CgroupPath = Layout::cgroup(&container.id).parse().doing(doing)?;
        let entry = Cgroup::open(&path, &hierarchies).entry().doing(doing)?;
        let (theirs, ours) = open_streams(request).doing(doing)?;
        let state = runtime::State {
            oci_version: runtime::SPEC_VERSION.to_owned(),
            id: container.id.to_string(),
            status: runtime::Status::Running,
            pid,
            bundle: self.layout().run(&container.id),
            annotations: spec.annotations().clone().unwrap_or_default(),
        };
        let options = ExecOptions {
            pid,
            pidfd,
            process: &process,
            seccomp: linux.and_then(|linux| linux.seccomp().as_ref()),
            state: Some(&state),
            entry: &entry,
            stdio: theirs.as_ref().map(|streams| streams.each_ref().map(AsFd::as_fd)),
            preserve_fds: 0,
            recorder: self.recorder(),
        };
        let started = runtime::exec(&options).map_err(|error| start_error(container, error))?;
        Ok((started, ours))
    }

    /// Finds the first process of a running container, and makes sure that it is the one.
    fn first_process(&self, container: &Container) -> Result<(u32, OwnedFd), Error> {
        let not_running = || Error::NotRunning(container.name.to_string());
        let path = self.layout().run_state(&container.id);
        let run: Run = records::read(&path)?.ok_or_else(not_running)?;
        let pidfd = sys::process::pidfd_open(run.pid).map_err(|_| not_running())?;
        // The monitor removes the state before it lets the process ID go: with the state still there and an owner that
        // lives, the number was the container's when the descriptor was opened.
        let owned = ledger::owner(self.layout(), &container.id)? == Owner::Living && records::exists(&path)?;
        if owned { Ok((run.pid, pidfd)) } else { Err(not_running()) }
    }
}

/// Tells whether a container has ended or is just ending: it has killed what was to join it, or can be joined no more.
fn is_ending(pid: u32, pidfd: &OwnedFd) -> bool {
    // The ninth field are the task's flags, include/linux/sched.h; the second one, in brackets, may hold anything.
    const PF_EXITING: u64 = 0x4;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let flags = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(6)?.parse::<u64>().ok());
    let ended = sys::signal::wait_readable(pidfd, Some(Duration::ZERO)).unwrap_or(false);
    ended || flags.is_some_and(|flags| flags & PF_EXITING != 0)
}

fn start_error(container: &Container, error: runtime::CreateError) -> Error {
    let code = match error.kind() {
        FailureKind::NotFound => 127,
        FailureKind::NotExecutable => 126,
        FailureKind::Other => 125,
    };
    Error::Exec { name: container.name.to_string(), code, source: error.into() }
}

/// Decides the process: the container's own, with what the request changes.
fn plan_process(spec: &Spec, request: &ExecRequest, pid: u32) -> Result<Process, Error> {
    let mut process = spec.process().clone().unwrap_or_default();
    let mut environment = process.env().clone().unwrap_or_default();
    if request.tty && !environment.iter().any(|entry| entry.starts_with("TERM=")) {
        environment.push("TERM=xterm".to_owned());
    }
    if let Some(user) = &request.user {
        let root = Root::open(format!("/proc/{pid}/root").as_ref()).doing(|| "open the container's root")?;
        let identity = files::accounts_of(&root)?.identity(user, &[]).map_err(|error| Error::Spec(error.into()))?;
        spec::merge_environment(&mut environment, &[format!("HOME={}", identity.home)]);
        let held = process.capabilities().as_ref().and_then(|sets| sets.bounding().clone()).unwrap_or_default();
        process.set_capabilities(Some(spec::plan_capability_sets(identity.uid, &held).map_err(Error::Spec)?));
        process.set_user(spec::plan_user(&identity));
    }
    spec::merge_environment(&mut environment, &request.env);
    if request.privileged {
        let held = sys::credentials::capabilities().doing(|| "look at our own capabilities")?.permitted;
        let all = spec::capabilities_of(held);
        process.set_capabilities(Some(spec::plan_capability_sets(0, &all).map_err(Error::Spec)?));
        process.set_no_new_privileges(Some(false));
    }
    if let Some(directory) = &request.workdir {
        process.set_cwd(directory.into());
    }
    let size = client::window().filter(|_| request.tty).and_then(|(rows, columns)| {
        oci::runtime::BoxBuilder::default().height(u64::from(rows)).width(u64::from(columns)).build().ok()
    });
    process.set_console_size(size);
    process.set_terminal(Some(request.tty));
    process.set_env(Some(environment));
    process.set_args(Some(request.command.clone()));
    Ok(process)
}

/// The process's ends of its streams.
type Theirs = Option<[OwnedFd; 3]>;

fn open_streams(request: &ExecRequest) -> sys::Result<(Theirs, Streams)> {
    if request.tty {
        return Ok((None, Streams::default()));
    }
    let null = || File::options().read(true).write(true).open("/dev/null").call(|| "open(\"/dev/null\", O_RDWR)");
    if request.detach {
        return Ok((Some([null()?.into(), null()?.into(), null()?.into()]), Streams::default()));
    }
    let pipe = || std::io::pipe().call(|| "pipe2(O_CLOEXEC)");
    let (stdin, feed): (OwnedFd, Option<OwnedFd>) = match request.stdin {
        true => pipe().map(|(read, write)| (read.into(), Some(write.into())))?,
        false => (null()?.into(), None),
    };
    let ((out, stdout), (err, stderr)) = (pipe()?, pipe()?);
    let ours = Streams { stdin: feed, stdout: Some(out.into()), stderr: Some(err.into()) };
    Ok((Some([stdin, stdout.into(), stderr.into()]), ours))
}

impl Streams {
    fn of_terminal(terminal: &OwnedFd, stdin: bool) -> sys::Result<Self> {
        let copy = || terminal.try_clone().call(|| "fcntl(F_DUPFD_CLOEXEC)");
        Ok(Self { stdin: stdin.then(copy).transpose()?, stdout: Some(copy()?), stderr: None })
    }
}

const PROCESS: u64 = 0;
const SIGNALS: u64 = 1;
const STDIN: u64 = 2;
const FEED: u64 = 3;
/// What the process writes, and our own streams where they are full.
const OUTPUTS: [[u64; 2]; 2] = [[4, 5], [6, 7]];

/// Moves bytes between the caller and a process that it executed.
#[derive(Debug)]
struct Relay<'a> {
    process: &'a runtime::Process,
    poller: Poller,
    outputs: [Flow; 2],
    input: Option<Flow>,
    /// Where sizes of the window go.
    terminal: Option<OwnedFd>,
    signals: Option<SignalFd>,
    /// How the process ended.
    ended: Option<u8>,
    _raw: Option<RawMode>,
}

impl<'a> Relay<'a> {
    fn new(
        request: &ExecRequest,
        process: &'a runtime::Process,
        streams: Streams,
        signals: Option<SignalFd>,
    ) -> sys::Result<Self> {
        let poller = Poller::new()?;
        poller.add(&process.pidfd, PROCESS, EventFlags::IN)?;
        if let Some(signals) = &signals {
            poller.add(signals, SIGNALS, EventFlags::IN)?;
        }
        let open = |ours: BorrowedFd<'_>, from: Option<OwnedFd>, [token, sink]: [u64; 2]| -> sys::Result<Flow> {
            let mut flow = Flow::to_ours(ours, sink, &poller)?;
            if let Some(from) = from {
                sys::file::set_nonblocking(&from, true)?;
                // Less room is slower, and right.
                let _ = sys::pipe::set_size(&from, BULK);
                flow.follow(from, token, &poller)?;
            }
            Ok(flow)
        };
        let copy = |fd: &OwnedFd| fd.try_clone().call(|| "fcntl(F_DUPFD_CLOEXEC)");
        let terminal = process.terminal.as_ref().map(copy).transpose()?;
        let outputs = [
            open(std::io::stdout().as_fd(), streams.stdout, OUTPUTS[0])?,
            open(std::io::stderr().as_fd(), streams.stderr, OUTPUTS[1])?,
        ];
        let input = streams.stdin.map(|feed| open_input(feed, request, &poller)).transpose()?;
        let raw = (request.tty && request.stdin).then(|| RawMode::enter(std::io::stdin())).transpose()?;
        Ok(Self { process, poller, outputs, input, terminal, signals, ended: None, _raw: raw })
    }

    fn run(mut self) -> Result<AttachOutcome, Error> {
        loop {
            let is_ready = self.input.as_ref().is_some_and(Flow::is_ready);
            for event in self.poller.wait(is_ready.then_some(Duration::ZERO)).doing(|| "wait for the command")? {
                match event.token {
                    PROCESS => {
                        if let Err(error) = self.end().doing(|| "wait for the command")? {
                            return broken(error);
                        }
                    }
                    STDIN | FEED => self.feed(),
                    SIGNALS => {
                        if let Some(code) = self.take_signals() {
                            return Ok(AttachOutcome::Exited(code));
                        }
                    }
                    output => {
                        let output = &mut self.outputs[usize::from(OUTPUTS[1].contains(&output))];
                        if let Err(error) = output.advance(&self.poller) {
                            return broken(error);
                        }
                    }
                }
            }
            if is_ready {
                self.feed();
            }
            if self.input.as_ref().is_some_and(|input| input.detached) {
                return Ok(AttachOutcome::Detached);
            }
            if let Some(code) = self.ended.filter(|_| self.outputs.iter().all(Flow::is_done)) {
                return Ok(AttachOutcome::Exited(code));
            }
        }
    }

    /// Takes note of the process's end; returns why nobody takes the rest of its output, where that is so. What it wrote is
    /// there; what its children still write is theirs.
    fn end(&mut self) -> sys::Result<sys::Result<()>> {
        let status = sys::process::wait(&self.process.pidfd)?;
        self.poller.remove(self.process.pidfd.as_fd())?;
        self.ended = Some(u8::try_from(status.code() & 0xff).unwrap_or(u8::MAX));
        if let Some(mut input) = self.input.take() {
            input.cut(&self.poller);
        }
        Ok(self.outputs.iter_mut().try_for_each(|output| output.take_the_rest(&self.poller)))
    }

    /// Gives the process what was typed; what it does not take waits, and so do we with reading on.
    fn feed(&mut self) {
        let Some(input) = &mut self.input else { return };
        // Where the process has closed its input, that is its end.
        let taken = input.advance(&self.poller).is_ok();
        // A terminal's end is its process's, not that of what is typed.
        if !taken || (input.is_done() && self.terminal.is_none()) {
            input.cut(&self.poller);
            self.input = None;
        }
    }

    /// Hands signals on; returns the status of a process that has ended, where one of them asks us not to wait any longer
    /// until its output has been read.
    fn take_signals(&mut self) -> Option<u8> {
        while let Some(received) = self.signals.as_ref().and_then(|signals| signals.next().ok().flatten()) {
            match (received.signal, &self.terminal, client::window()) {
                (SIGWINCH, Some(terminal), Some((rows, columns))) => {
                    let _ = sys::pty::set_size(terminal, rows, columns);
                }
                (SIGWINCH, ..) => {}
                (signal, ..) if self.ended.is_some() && ENDING.contains(&signal) => return self.ended,
                // A command that has just ended needs no signal.
                (signal, ..) => drop(sys::process::pidfd_send_signal(&self.process.pidfd, signal)),
            }
        }
        None
    }
}

/// Opens the way from our own input to that of the process.
fn open_input(feed: OwnedFd, request: &ExecRequest, poller: &Poller) -> sys::Result<Flow> {
    sys::file::set_nonblocking(&feed, true)?;
    // Refused for a terminal; and less room is slower, and right.
    let _ = sys::pipe::set_size(&feed, BULK);
    let detach = request.tty.then(|| DetachWatch::new(&request.detach_keys));
    let mut flow = Flow::to_nonblocking(feed, FEED).watching(detach);
    flow.follow_ours(std::io::stdin(), STDIN, poller)?;
    Ok(flow)
}
