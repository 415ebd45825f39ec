//! The operations on a container that stands: `start`, `state`, `kill`, `delete`, `pause`, `resume`.

use std::process::ExitCode;

use clap::Args;
use runtime::{LifecycleError, Record, Runtime, State, Status};
use serde_json::{Value, json};

use super::table::{Call, Operation};
use crate::error::{Failure, Outcome};
use crate::ui;

/// Start the program of a created container
#[derive(Debug, Args)]
pub(super) struct StartArgs {
    /// The container's ID
    #[arg(value_name = "ID")]
    id: String,
}

impl Operation for StartArgs {
    const NAME: &'static str = "start";
    const ABOUT: &'static str = "Start the program of a created container";
    const USAGE: &'static str = "ID";

    fn run(self, call: &Call<'_>) -> Outcome {
        call.runtime()?.start(&self.id)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Print the state of a container
#[derive(Debug, Args)]
pub(super) struct StateArgs {
    /// The container's ID
    #[arg(value_name = "ID")]
    id: String,
}

impl Operation for StateArgs {
    const NAME: &'static str = "state";
    const ABOUT: &'static str = "Print the state of a container";
    const USAGE: &'static str = "ID";

    fn run(self, call: &Call<'_>) -> Outcome {
        let runtime = call.runtime()?;
        let document = document(&runtime, &self.id)?;
        ui::print_line(&serde_json::to_string_pretty(&document)?).map(|()| ExitCode::SUCCESS)
    }
}

/// Returns a container's state with what runc adds to it: when it was made, by whom, and where its root is.
pub(super) fn document(runtime: &Runtime, id: &str) -> Result<Value, Failure> {
    let state: State = runtime.state(id)?;
    let record: Record = runtime.records().read(id)?;
    let root = runtime.records().read_spec(id)?.root().as_ref().map(|root| record.bundle.join(root.path()));
    let mut value = serde_json::to_value(&state)?;
    value["rootfs"] = json!(root);
    value["created"] = json!(created(&record));
    value["owner"] = json!("");
    Ok(value)
}

/// Returns when a container was made.
pub(super) fn created(record: &Record) -> String {
    let time = jiff::Timestamp::from_second(i64::try_from(record.created).unwrap_or_default());
    time.map(|time| time.to_string()).unwrap_or_default()
}

/// Send a signal to a container
#[derive(Debug, Args)]
pub(super) struct KillArgs {
    /// Send it to every process of the container
    #[arg(short, long)]
    all: bool,
    /// The container's ID
    #[arg(value_name = "ID")]
    id: String,
    /// The signal, by name or number
    #[arg(value_name = "SIGNAL", default_value = "TERM", hide_default_value = true)]
    signal: String,
}

impl Operation for KillArgs {
    const NAME: &'static str = "kill";
    const ABOUT: &'static str = "Send a signal to a container (default TERM)";
    const USAGE: &'static str = "[OPTIONS] ID [SIGNAL]";

    fn run(self, call: &Call<'_>) -> Outcome {
        let unknown =
            || Failure::message(format!("unknown signal {:?}: use a name as in TERM, or a number", self.signal));
        let signal = sys::process::signal_by_name(&self.signal).ok_or_else(unknown)?;
        call.runtime()?.kill(&self.id, signal, self.all)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Remove what is left of a container
#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    /// Kill it first if it lives; be content when there is none
    #[arg(short, long)]
    force: bool,
    /// The container's ID
    #[arg(value_name = "ID")]
    id: String,
}

impl Operation for DeleteArgs {
    const NAME: &'static str = "delete";
    const ABOUT: &'static str = "Remove what is left of a container";
    const USAGE: &'static str = "[OPTIONS] ID";

    fn run(self, call: &Call<'_>) -> Outcome {
        match call.runtime()?.delete(&self.id, self.force) {
            Err(LifecycleError::Unknown(_)) if self.force => Ok(ExitCode::SUCCESS),
            deleted => Ok(deleted.map(|()| ExitCode::SUCCESS)?),
        }
    }
}

/// Freeze every process of a container
#[derive(Debug, Args)]
pub(super) struct PauseArgs {
    /// The container's ID
    #[arg(value_name = "ID")]
    id: String,
}

impl Operation for PauseArgs {
    const NAME: &'static str = "pause";
    const ABOUT: &'static str = "Freeze every process of a container";
    const USAGE: &'static str = "ID";

    fn run(self, call: &Call<'_>) -> Outcome {
        let runtime = call.runtime()?;
        let record = standing(&runtime, &self.id, "pause", &[Status::Created, Status::Running])?;
        runtime.cgroup(&record)?.freeze()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Let the processes of a paused container go on
#[derive(Debug, Args)]
pub(super) struct ResumeArgs {
    /// The container's ID
    #[arg(value_name = "ID")]
    id: String,
}

impl Operation for ResumeArgs {
    const NAME: &'static str = "resume";
    const ABOUT: &'static str = "Let the processes of a paused container go on";
    const USAGE: &'static str = "ID";

    fn run(self, call: &Call<'_>) -> Outcome {
        let runtime = call.runtime()?;
        let record = standing(&runtime, &self.id, "resume", &[Status::Paused])?;
        runtime.cgroup(&record)?.thaw()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns a container's record, if it is where the operation needs it.
pub(super) fn standing(runtime: &Runtime, id: &str, operation: &'static str, at: &[Status]) -> Result<Record, Failure> {
    let record = runtime.records().read(id)?;
    let status = runtime.status(&record);
    match at.contains(&status) {
        true => Ok(record),
        false => Err(LifecycleError::Status { operation, id: id.to_owned(), status }.into()),
    }
}
