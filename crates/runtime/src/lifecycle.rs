//! The operations of the runtime-spec (runtime.md, "Operations") over records on disk: what the `runtime` face offers.
//!
//! `create` leaves the first process at its gate, a fifo, and returns; `start` opens the gate; `delete` takes away what is
//! left. Nothing of ours stays in between: whether a container lives is asked of its first process each time.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cgroup::{Cgroup, CgroupError, CgroupPath, CgroupPathError, DetectError, Hierarchies};
use oci::runtime::Spec;
use sys::process as processes;
use trace::Recorder;

use crate::create::{CreateOptions, Process, StartGate, create};
use crate::error::CreateError;
use crate::exec::{ExecOptions, exec};
use crate::hooks::{self, HookError};
use crate::plan::{self, Inputs, PlanError};
use crate::records::{Record, Records, cgroup_of, check_id, read_spec};
use crate::state::{SPEC_VERSION, State, Status};

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LifecycleError {
    /// The ID is no plain name.
    #[error("container ID {0:?} is not valid: use letters, digits and _ + - .")]
    BadId(String),
    /// The ID is taken.
    #[error("container {0} exists already")]
    Exists(String),
    /// There is no such container.
    #[error("container {0} does not exist")]
    Unknown(String),
    /// The container is not where the operation needs it.
    #[error("cannot {operation} container {id}: it is {status}")]
    Status {
        /// The operation.
        operation: &'static str,
        /// The container.
        id: String,
        /// Where it is.
        status: Status,
    },
    /// The bundle has no readable spec.
    #[error("the bundle has no spec at {path:?}")]
    NoSpec {
        /// Where it was looked for.
        path: PathBuf,
        /// Why.
        source: sys::Error,
    },
    /// A document cannot be read.
    #[error("{path:?} is not what it should be")]
    Garbage {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The container asks for a terminal, and nobody takes its other end.
    #[error("the process asks for a terminal: pass --console-socket, or run it in the foreground")]
    NoConsole,
    /// The container cannot be planned.
    #[error("cannot plan the container")]
    Plan(#[from] PlanError),
    /// The container cannot be made or joined.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// A hook.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The cgroup.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// The cgroup's path.
    #[error("the spec's cgroupsPath cannot be used")]
    CgroupPath(#[from] CgroupPathError),
    /// The host's cgroups.
    #[error("cannot find the host's cgroups")]
    Hierarchies(#[from] DetectError),
    /// A system call on our own files.
    #[error("cannot keep the container's state")]
    State(#[from] sys::Error),
}

/// What `create` and `run` are told.
#[derive(Debug)]
pub struct CreateRequest<'r> {
    /// The container's ID.
    pub id: &'r str,
    /// The bundle's directory.
    pub bundle: &'r Path,
    /// Takes the terminal's master, if the process has a terminal.
    pub console: Option<OwnedFd>,
    /// How many descriptors from 3 on the program inherits.
    pub preserve_fds: u32,
    /// Where steps are told.
    pub recorder: &'r Recorder,
}

/// The runtime over one directory of records.
#[derive(Debug)]
pub struct Runtime {
    records: Records,
    hierarchies: Hierarchies,
}

impl Runtime {
    /// Opens the runtime over a directory.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, LifecycleError> {
        Ok(Self { records: Records::at(root), hierarchies: Hierarchies::detect()? })
    }

    /// Returns the records.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// Makes a container and leaves its process at the gate. What was made is taken back when that fails.
    pub fn create(&self, request: CreateRequest<'_>) -> Result<Process, LifecycleError> {
        self.make(request, true)
    }

    /// Makes a container and starts it at once. The caller stays its parent.
    pub fn run(&self, request: CreateRequest<'_>) -> Result<Process, LifecycleError> {
        self.make(request, false)
    }

    fn make(&self, request: CreateRequest<'_>, gated: bool) -> Result<Process, LifecycleError> {
        let id = check_id(request.id)?;
        let bundle = std::path::absolute(request.bundle).unwrap_or_else(|_| request.bundle.to_path_buf());
        let (spec, json) = read_spec(&bundle.join("config.json"))?;
        let cgroup = cgroup_of(&spec, id)?;
        let inputs =
            Inputs { id, bundle: &bundle, root: None, cgroup: &cgroup, hierarchies: &self.hierarchies, init: false };
        let plan = plan::container(&spec, &inputs)?;
        if gated && plan.process.terminal.is_some() && request.console.is_none() {
            return Err(LifecycleError::NoConsole);
        }
        let lock = self.reserve(id)?;
        let reserved = Reservation { records: &self.records, id };
        self.records.write_spec(id, &json)?;
        let gate = if gated { Some(sys::path::make_fifo(&self.records.gate(id))?) } else { None };
        let options = CreateOptions {
            spec: &spec,
            bundle: &bundle,
            stdio: None,
            gate: gate.as_ref().map_or(StartGate::Caller, StartGate::Fifo),
            dies_with_creator: false,
            preserve_fds: request.preserve_fds,
            recorder: request.recorder,
        };
        let created = create(&plan, &options)?;
        hand_over_terminal(&created, request.console.as_ref())?;
        let record = new_record(id, &bundle, &cgroup, created.pid());
        self.records.write(&record)?;
        let (process, _) = if gated { created.keep()? } else { created.start()? };
        if !gated {
            self.poststart(&spec, &record)?;
        }
        reserved.keep();
        drop(lock);
        Ok(process)
    }

    /// Takes an ID. What a `create` that was killed half-way has left under it is taken away first.
    fn reserve(&self, id: &str) -> Result<OwnedFd, LifecycleError> {
        match self.records.reserve(id) {
            Err(LifecycleError::Exists(id)) => {
                let Some(_claim) = self.records.claim_abandoned(&id) else { return Err(LifecycleError::Exists(id)) };
                self.delete_unfinished(&id)?;
                self.records.reserve(&id)
            }
            done => done,
        }
    }

    /// Opens the gate.
    pub fn start(&self, id: &str) -> Result<(), LifecycleError> {
        let record = self.records.read(id)?;
        let refuse = |status| LifecycleError::Status { operation: "start", id: id.to_owned(), status };
        match self.status(&record) {
            Status::Created => {}
            status => return Err(refuse(status)),
        }
        // Whoever takes the gate away is the one who starts, so of two at once one is refused.
        let taken = self.records.take_gate(id)?.ok_or_else(|| refuse(self.status(&record)))?;
        let opened = match sys::path::open_gate(&taken) {
            // Nobody waits at it: the process has died.
            Err(error) if error.errno() == sys::Errno::NXIO => Err(refuse(self.status(&record))),
            opened => opened.map_err(Into::into),
        };
        // Whatever came of it, nobody can pass here twice.
        let _ = std::fs::remove_file(&taken);
        // The process lets go of its gate by the exec of the program.
        sys::path::wait_unread(&opened?)?;
        self.poststart(&self.records.read_spec(id)?, &record)
    }

    fn poststart(&self, spec: &Spec, record: &Record) -> Result<(), LifecycleError> {
        let hooks = spec.hooks().as_ref().and_then(|hooks| hooks.poststart().as_deref()).unwrap_or_default();
        if hooks.is_empty() {
            return Ok(());
        }
        Ok(hooks::run("poststart", hooks, &self.document(record, spec).to_json())?)
    }

    /// Returns a container's state.
    pub fn state(&self, id: &str) -> Result<State, LifecycleError> {
        let record = self.records.read(id)?;
        Ok(self.document(&record, &self.records.read_spec(id)?))
    }

    fn document(&self, record: &Record, spec: &Spec) -> State {
        let status = self.status(record);
        State {
            oci_version: SPEC_VERSION.to_owned(),
            id: record.id.clone(),
            status,
            pid: if status == Status::Stopped { 0 } else { record.pid },
            bundle: record.bundle.clone(),
            annotations: spec.annotations().clone().unwrap_or_default(),
        }
    }

    /// Finds out where a container is in its life, from its first process and its gate.
    pub fn status(&self, record: &Record) -> Status {
        if !processes::is_alive(record.pid, record.start_time) {
            return Status::Stopped;
        }
        if sys::path::has_reader(&self.records.gate(&record.id)) {
            return Status::Created;
        }
        match self.cgroup(record).map(|cgroup| cgroup.is_frozen()) {
            Ok(true) => Status::Paused,
            _ => Status::Running,
        }
    }

    /// Returns a container's cgroup.
    pub fn cgroup(&self, record: &Record) -> Result<Cgroup, LifecycleError> {
        Ok(Cgroup::open(&record.cgroup.parse::<CgroupPath>()?, &self.hierarchies))
    }

    /// Sends a signal to the first process, or to all processes.
    pub fn kill(&self, id: &str, signal: i32, all: bool) -> Result<(), LifecycleError> {
        let record = self.records.read(id)?;
        if all {
            for pid in self.cgroup(&record)?.pids()? {
                // A process that has ended meanwhile needs no signal.
                let _ = processes::kill(pid, signal);
            }
            return Ok(());
        }
        let stopped = || LifecycleError::Status { operation: "kill", id: id.to_owned(), status: Status::Stopped };
        let Ok(pidfd) = processes::pidfd_open(record.pid) else { return Err(stopped()) };
        // The pidfd is held before the look at the start time, so that the process looked at is the one signalled.
        if !processes::is_alive(record.pid, record.start_time) {
            return Err(stopped());
        }
        Ok(processes::pidfd_send_signal(&pidfd, signal)?)
    }

    /// Takes away what is left of a container. One that lives is refused, or killed first with `force`.
    pub fn delete(&self, id: &str, force: bool) -> Result<(), LifecycleError> {
        let record = match self.records.read(id) {
            Ok(record) => record,
            // A `create` that was killed half-way leaves a directory without a record.
            // One whose record cannot be read is as much of a container as that.
            Err(LifecycleError::Unknown(_) | LifecycleError::Garbage { .. }) if force => {
                return self.delete_unfinished(id);
            }
            Err(error) => return Err(error),
        };
        let status = self.status(&record);
        let dead = status == Status::Stopped;
        if !dead && !force && status != Status::Created {
            return Err(LifecycleError::Status { operation: "delete", id: id.to_owned(), status });
        }
        let cgroup = self.cgroup(&record)?;
        if !dead {
            self.end(&record)?;
        }
        // Without a PID namespace of its own, a container's other processes outlive the first.
        cgroup.kill()?;
        cgroup.remove()?;
        let spec = self.records.read_spec(id).ok();
        self.records.remove(id)?;
        self.poststop(spec.as_ref(), &record);
        Ok(())
    }

    fn delete_unfinished(&self, id: &str) -> Result<(), LifecycleError> {
        if let Ok(spec) = self.records.read_spec(id) {
            let cgroup = Cgroup::open(&cgroup_of(&spec, id)?, &self.hierarchies);
            cgroup.kill()?;
            cgroup.remove()?;
        }
        self.records.remove(id)
    }

    fn end(&self, record: &Record) -> Result<(), LifecycleError> {
        let Ok(pidfd) = processes::pidfd_open(record.pid) else { return Ok(()) };
        if !processes::is_alive(record.pid, record.start_time) {
            return Ok(());
        }
        // A frozen process dies as well: SIGKILL wakes it on v2, and `thaw` does on v1.
        let _ = self.cgroup(record)?.thaw();
        processes::pidfd_send_signal(&pidfd, 9)?;
        sys::signal::wait_readable(pidfd.as_fd(), Some(Duration::from_secs(10)))?;
        Ok(())
    }

    /// A hook that fails after the end is logged, and the rest goes on (runtime.md, "Lifecycle", step 13).
    fn poststop(&self, spec: Option<&Spec>, record: &Record) {
        let Some(spec) = spec else { return };
        let hooks = spec.hooks().as_ref().and_then(|hooks| hooks.poststop().as_deref()).unwrap_or_default();
        let state = State { status: Status::Stopped, pid: 0, ..self.document(record, spec) }.to_json();
        for hook in hooks {
            if let Err(error) = hooks::run("poststop", std::slice::from_ref(hook), &state) {
                tracing::warn!("{error}");
            }
        }
    }

    /// Runs one more process in a container. The caller is its parent.
    pub fn exec(
        &self,
        id: &str,
        process: &oci::runtime::Process,
        preserve_fds: u32,
        recorder: &Recorder,
    ) -> Result<Process, LifecycleError> {
        let record = self.records.read(id)?;
        match self.status(&record) {
            Status::Running | Status::Created => {}
            status => return Err(LifecycleError::Status { operation: "exec in", id: id.to_owned(), status }),
        }
        let spec = self.records.read_spec(id)?;
        let seccomp = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
        let state = self.document(&record, &spec);
        let pidfd = processes::pidfd_open(record.pid)?;
        let entry = self.cgroup(&record)?.entry()?;
        let options = ExecOptions {
            pid: record.pid,
            pidfd: &pidfd,
            process,
            seccomp,
            state: Some(&state),
            entry: &entry,
            stdio: None,
            preserve_fds,
            recorder,
        };
        Ok(exec(&options)?)
    }
}

fn hand_over_terminal(created: &crate::create::Created, console: Option<&OwnedFd>) -> Result<(), LifecycleError> {
    if let (Some(terminal), Some(console)) = (created.terminal(), console) {
        // The bytes beside the descriptor are the terminal's name, by runc's custom.
        sys::socket::send(console, b"/dev/pts/ptmx", &[terminal.as_fd()])?;
    }
    Ok(())
}

fn new_record(id: &str, bundle: &Path, cgroup: &CgroupPath, pid: u32) -> Record {
    Record {
        id: id.to_owned(),
        bundle: bundle.to_path_buf(),
        pid,
        start_time: processes::start_time(pid).unwrap_or(0),
        cgroup: cgroup.to_string(),
        created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
    }
}

/// Gives the ID back unless the container stands.
struct Reservation<'r> {
    records: &'r Records,
    id: &'r str,
}

impl Reservation<'_> {
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.records.remove(self.id) {
            tracing::warn!("{error}");
        }
    }
}
