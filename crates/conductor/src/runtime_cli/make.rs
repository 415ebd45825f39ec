//! `create` and `run`: a bundle becomes a container.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use runtime::{CreateRequest, Process, Runtime};
use sys::file::{Durability, replace};

use super::table::{Call, Operation};
use crate::error::{Failure, Outcome};
use crate::ui;

/// Create a container and leave its process at the gate
#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    #[command(flatten)]
    make: MakeArgs,
}

/// Create a container and start it
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    make: MakeArgs,
    /// Return when the program runs
    #[arg(short, long)]
    detach: bool,
    /// Keep the container's state when its program has ended
    #[arg(long)]
    keep: bool,
    /// Accepted for runc's sake: we are no subreaper
    #[arg(long, hide = true)]
    no_subreaper: bool,
}

#[derive(Debug, Args)]
struct MakeArgs {
    /// Directory of the bundle (default the current one)
    #[arg(short, long, value_name = "DIR", default_value = ".", hide_default_value = true)]
    bundle: PathBuf,
    /// Socket that takes the terminal's other end
    #[arg(long, value_name = "PATH")]
    console_socket: Option<PathBuf>,
    /// Socket that takes the pidfd of the first process
    #[arg(long, value_name = "PATH")]
    pidfd_socket: Option<PathBuf>,
    /// File to write the first process's ID to
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Accepted for runc's sake: the root is always pivoted to
    #[arg(long)]
    no_pivot: bool,
    /// Accepted for runc's sake: a session keyring of its own belongs to every container
    #[arg(long)]
    no_new_keyring: bool,
    /// How many descriptors from 3 on the program inherits
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    preserve_fds: u32,
    /// The container's ID
    #[arg(value_name = "ID")]
    id: String,
}

impl Operation for CreateArgs {
    const NAME: &'static str = "create";
    const ABOUT: &'static str = "Create a container and leave its process at the gate";
    const USAGE: &'static str = "[OPTIONS] ID";

    fn run(self, call: &Call<'_>) -> Outcome {
        sys::process::ensure_sealed()?;
        let runtime = call.runtime()?;
        let process = self.make.make(call, &runtime, Runtime::create)?;
        self.make.announce(&runtime, &process)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Operation for RunArgs {
    const NAME: &'static str = "run";
    const ABOUT: &'static str = "Create a container and start it";
    const USAGE: &'static str = "[OPTIONS] ID";

    fn run(self, call: &Call<'_>) -> Outcome {
        sys::process::ensure_sealed()?;
        let (runtime, id) = (call.runtime()?, &self.make.id);
        let process = self.make.make(call, &runtime, Runtime::run)?;
        if self.detach && process.terminal.is_some() && self.make.console_socket.is_none() {
            runtime.delete(id, true)?;
            return Err(runtime::LifecycleError::NoConsole.into());
        }
        self.make.announce(&runtime, &process)?;
        if self.detach {
            return Ok(ExitCode::SUCCESS);
        }
        let status = stay(&process)?;
        if !self.keep {
            runtime.delete(id, true)?;
        }
        Ok(status)
    }
}

/// Stays with a process until it has ended.
pub(super) fn stay(process: &Process) -> Outcome {
    let status = runtime::console::stay(process)?;
    Ok(ExitCode::from(u8::try_from(status.code()).unwrap_or(u8::MAX)))
}

impl MakeArgs {
    fn make<'r>(
        &self,
        call: &Call<'_>,
        runtime: &'r Runtime,
        make: fn(&'r Runtime, CreateRequest<'_>) -> Result<Process, runtime::LifecycleError>,
    ) -> Result<Process, Failure> {
        if self.no_pivot {
            ui::warn("--no-pivot is ignored: the root is always pivoted to");
        }
        let recorder = call.recorder();
        let request = CreateRequest {
            id: &self.id,
            bundle: &self.bundle,
            console: self.console_socket.as_deref().map(connect).transpose()?,
            preserve_fds: preserved(self.preserve_fds),
            recorder: &recorder,
        };
        Ok(make(runtime, request)?)
    }

    /// Tells the caller which process it is; when that fails nobody would ever find the container, so it goes.
    fn announce(&self, runtime: &Runtime, process: &Process) -> Result<(), Failure> {
        let told = self.pid_file.as_deref().map_or(Ok(()), |path| write_pid(path, process)).and_then(|()| match &self
            .pidfd_socket
        {
            Some(path) => {
                Ok(sys::socket::send(connect(path)?, b"pidfd", &[std::os::fd::AsFd::as_fd(&process.pidfd)])
                    .map(drop)?)
            }
            None => Ok(()),
        });
        if told.is_err() {
            runtime.delete(&self.id, true)?;
        }
        told
    }
}

/// Returns how many descriptors are passed on: those asked for, after those of socket activation.
pub(super) fn preserved(asked: u32) -> u32 {
    let listening = std::env::var("LISTEN_FDS").ok().and_then(|number| number.parse::<u32>().ok());
    asked.saturating_add(listening.unwrap_or(0))
}

/// Connects to a console socket.
pub(super) fn connect(path: &Path) -> Result<OwnedFd, Failure> {
    sys::socket::connect(path)
        .map_err(|error| Failure::new(error).doing(format!("cannot reach the socket {}", path.display())))
}

/// Writes a process's ID as a whole: whoever waits for the file reads all of it.
pub(super) fn write_pid(path: &Path, process: &Process) -> Result<(), Failure> {
    let written = replace(path, process.pid.to_string().as_bytes(), Durability::Cached);
    written.map_err(|error| Failure::new(error).doing(format!("cannot write the process's ID to {}", path.display())))
}
