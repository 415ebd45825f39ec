//! `exec`: one more process in a running container. It needs no monitor: the caller is its parent and moves its bytes.
//!
//! What the process is allowed is what the container's own spec says, which lies beside the run; only user, directory,
//! environment and `--privileged` change it. Pipes stand between its streams and ours: a descriptor of the host is not
//! for a container to hold.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use cgroup::{Cgroup, CgroupPath, Hierarchies};
use oci::runtime::{Process, Spec};
use runtime::{ExecOptions, FailureKind};
use sys::event::{EventFlags, Poller};
use sys::path::Root;
use sys::pty::RawMode;
use sys::signal::SignalFd;
use sys::{Calling, Errno};

use crate::attach::DetachWatch;
use crate::error::Doing;
use crate::layout::Layout;
use crate::ledger::{self, Owner};
use crate::records::Run;
use crate::wire::CHUNK;
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
        Relay::new(request, &started, ours, signals)?.run()
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
        let owned = ledger::owner(self.layout(), &container.id)? == Owner::Living && path.exists();
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
const STDOUT: u64 = 1;
const STDERR: u64 = 2;
const STDIN: u64 = 3;
const SIGNALS: u64 = 4;
const FEED: u64 = 5;
const SIGWINCH: i32 = 28;

/// Moves bytes between the caller and a process that it executed.
#[derive(Debug)]
struct Relay<'a> {
    process: &'a runtime::Process,
    poller: Poller,
    streams: Streams,
    signals: Option<SignalFd>,
    detach: Option<DetachWatch>,
    out: File,
    err: File,
    /// What was typed and the process has not taken yet.
    pending: Vec<u8>,
    /// Our own input is a file, which no poller takes and which is always ready.
    stdin_is_file: bool,
    _raw: Option<RawMode>,
}

impl<'a> Relay<'a> {
    fn new(
        request: &ExecRequest,
        process: &'a runtime::Process,
        streams: Streams,
        signals: Option<SignalFd>,
    ) -> Result<Self, Error> {
        let doing = || "attach to the command";
        let poller = Poller::new().doing(doing)?;
        poller.add(&process.pidfd, PROCESS, EventFlags::IN).doing(doing)?;
        for (stream, token) in [(&streams.stdout, STDOUT), (&streams.stderr, STDERR)] {
            if let Some(stream) = stream {
                sys::file::set_nonblocking(stream, true).doing(doing)?;
                poller.add(stream, token, EventFlags::IN).doing(doing)?;
            }
        }
        if let Some(signals) = &signals {
            poller.add(signals, SIGNALS, EventFlags::IN).doing(doing)?;
        }
        let mut stdin_is_file = false;
        if let Some(feed) = &streams.stdin {
            sys::file::set_nonblocking(feed, true).doing(doing)?;
            stdin_is_file = watch_stdin(&poller).doing(doing)?;
        }
        let own = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().map(File::from).doing(doing);
        let raw = request.tty && request.stdin;
        Ok(Self {
            out: own(std::io::stdout().as_fd())?,
            err: own(std::io::stderr().as_fd())?,
            detach: request.tty.then(|| DetachWatch::new(&request.detach_keys)),
            _raw: raw.then(|| RawMode::enter(std::io::stdin())).transpose().doing(doing)?,
            pending: Vec::new(),
            process,
            poller,
            streams,
            signals,
            stdin_is_file,
        })
    }

    fn run(mut self) -> Result<AttachOutcome, Error> {
        loop {
            let feeding = self.stdin_is_file && self.pending.is_empty() && self.streams.stdin.is_some();
            let patience = feeding.then_some(std::time::Duration::ZERO);
            let mut ended = false;
            for event in self.poller.wait(patience).doing(|| "wait for the command")? {
                match event.token {
                    PROCESS => ended = true,
                    STDOUT | STDERR => {
                        if !self.pump(event.token) {
                            return Ok(AttachOutcome::Exited(128 + 13));
                        }
                    }
                    STDIN => {
                        if self.read_stdin()? {
                            return Ok(AttachOutcome::Detached);
                        }
                    }
                    FEED => self.feed()?,
                    _ => self.take_signals(),
                }
            }
            if feeding {
                self.read_stdin()?;
            }
            if ended {
                // What it wrote is there; what its children still write is theirs.
                let whole = self.pump(STDOUT) & self.pump(STDERR);
                let status = sys::process::wait(&self.process.pidfd).doing(|| "wait for the command")?;
                let code = u8::try_from(status.code() & 0xff).unwrap_or(u8::MAX);
                return Ok(AttachOutcome::Exited(if whole { code } else { 128 + 13 }));
            }
        }
    }

    /// Moves output until there is none; tells whether somebody takes it.
    fn pump(&mut self, token: u64) -> bool {
        let (stream, to) = match token {
            STDOUT => (&mut self.streams.stdout, &mut self.out),
            _ => (&mut self.streams.stderr, &mut self.err),
        };
        let mut buffer = [0; CHUNK];
        while let Some(from) = stream {
            match sys::file::read(&*from, &mut buffer) {
                Ok(length @ 1..) => {
                    if to.write_all(&buffer[..length]).is_err() {
                        return false;
                    }
                }
                Err(error) if error.errno() == Errno::AGAIN => return true,
                // The end of a pipe, or of a terminal that nobody holds any more.
                _ => *stream = None,
            }
        }
        true
    }

    /// Takes what is typed; tells whether the detach keys were.
    fn read_stdin(&mut self) -> Result<bool, Error> {
        if !self.pending.is_empty() {
            return Ok(false);
        }
        let mut typed = [0; CHUNK];
        let length = match sys::file::read(std::io::stdin(), &mut typed) {
            Err(error) if error.errno() == Errno::AGAIN => return Ok(false),
            read => read.unwrap_or(0),
        };
        if length == 0 {
            self.unwatch_stdin();
            if self.detach.is_none() {
                self.streams.stdin = None;
            }
            self.stdin_is_file = false;
            return Ok(false);
        }
        let detached = match &mut self.detach {
            Some(watch) => watch.feed(&typed[..length], &mut self.pending),
            None => {
                self.pending.extend_from_slice(&typed[..length]);
                false
            }
        };
        self.feed()?;
        Ok(detached)
    }

    /// Gives the process what was typed; what it does not take waits, and so do we with reading on.
    fn feed(&mut self) -> Result<(), Error> {
        let doing = || "send input to the command";
        let Some(feed) = &self.streams.stdin else { return Ok(()) };
        while !self.pending.is_empty() {
            match sys::file::write(feed, &self.pending) {
                Ok(length) => drop(self.pending.drain(..length)),
                Err(error) if error.errno() == Errno::AGAIN => {
                    self.unwatch_stdin();
                    // Refused where it is in the poller already, which is as well.
                    let _ = self.poller.add(feed, FEED, EventFlags::OUT);
                    return Ok(());
                }
                // The process has closed its input.
                Err(_) => {
                    self.unwatch_stdin();
                    self.pending.clear();
                    self.streams.stdin = None;
                    return Ok(());
                }
            }
        }
        if self.poller.remove(feed.as_fd()).is_ok() && !self.stdin_is_file {
            watch_stdin(&self.poller).doing(doing)?;
        }
        Ok(())
    }

    fn unwatch_stdin(&self) {
        // Refused where it is not in the poller, which is as well.
        let _ = self.poller.remove(std::io::stdin().as_fd());
    }

    fn take_signals(&mut self) {
        while let Some(received) = self.signals.as_ref().and_then(|signals| signals.next().ok().flatten()) {
            match (received.signal, &self.streams.stdout, client::window()) {
                (SIGWINCH, Some(terminal), Some((rows, columns))) => {
                    let _ = sys::pty::set_size(terminal, rows, columns);
                }
                (SIGWINCH, ..) => {}
                // A command that has just ended needs no signal.
                (signal, ..) => drop(sys::process::pidfd_send_signal(&self.process.pidfd, signal)),
            }
        }
    }
}

/// Waits for our own input; tells whether it is a file, for which nobody can wait.
fn watch_stdin(poller: &Poller) -> sys::Result<bool> {
    match poller.add(std::io::stdin(), STDIN, EventFlags::IN) {
        Err(error) if error.errno() == Errno::PERM => Ok(true),
        added => added.map(|()| false),
    }
}
