//! `events`: what a container uses, as JSON lines.

use std::process::ExitCode;
use std::time::Duration;

use cgroup::Stats;
use clap::Args;
use runtime::Status;
use serde_json::{Value, json};

use super::lifecycle::standing;
use super::table::{Call, Operation};
use crate::error::{Failure, Outcome};
use crate::ui;
use crate::ui::time::{TimeError, parse_duration};

/// Print what a container uses, again and again
#[derive(Debug, Args)]
pub(super) struct EventsArgs {
    /// Time between two prints
    #[arg(long, value_name = "TIME", default_value = "5s", hide_default_value = true, value_parser = interval)]
    interval: Duration,
    /// Print once
    #[arg(long)]
    stats: bool,
    /// The container's ID
    #[arg(value_name = "ID")]
    id: String,
}

fn interval(word: &str) -> Result<Duration, TimeError> {
    parse_duration(word)
        .and_then(|length| if length.is_zero() { Err(TimeError::Duration(word.to_owned())) } else { Ok(length) })
}

impl Operation for EventsArgs {
    const NAME: &'static str = "events";
    const ABOUT: &'static str = "Print what a container uses, again and again";
    const USAGE: &'static str = "[OPTIONS] ID";

    fn run(self, call: &Call<'_>) -> Outcome {
        let runtime = call.runtime()?;
        let alive = [Status::Created, Status::Running, Status::Paused];
        let record = standing(&runtime, &self.id, "watch", &alive)?;
        let cgroup = runtime.cgroup(&record)?;
        let pidfd = sys::process::pidfd_open(record.pid)?;
        loop {
            print(&self.id, &cgroup.stats())?;
            // The end of the container is the end of its events.
            if self.stats || sys::signal::wait_readable(&pidfd, Some(self.interval))? {
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
}

fn print(id: &str, stats: &Stats) -> Result<(), Failure> {
    ui::print_line(&event(id, stats).to_string())
}

/// Returns the line in runc's form.
fn event(id: &str, stats: &Stats) -> Value {
    let nanoseconds = |time: Option<Duration>| time.map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    json!({
        "type": "stats",
        "id": id,
        "data": {
            "cpu": {
                "usage": {
                    "total": nanoseconds(stats.cpu),
                    "kernel": nanoseconds(stats.cpu_system),
                    "user": nanoseconds(stats.cpu_user),
                },
                "throttling": {"throttledTime": nanoseconds(stats.throttled)},
            },
            "memory": {"usage": {"usage": stats.memory, "limit": stats.memory_limit}},
            "pids": {"current": stats.pids, "limit": stats.pids_limit},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_runcs() {
        let stats = Stats { cpu: Some(Duration::from_millis(2)), pids: Some(3), ..Stats::default() };
        let event = event("eg", &stats);
        assert_eq!(event["data"]["cpu"]["usage"]["total"], json!(2_000_000));
        assert_eq!((&event["type"], &event["data"]["pids"]["current"]), (&json!("stats"), &json!(3)));
    }
}
