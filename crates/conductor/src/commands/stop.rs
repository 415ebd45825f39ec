//! `stop`: asks containers to end, and kills those that do not.

use std::process::ExitCode;

use clap::Args;
use engine::{Signal, StopOptions};

use super::container_args::{flag, parse_seconds};
use super::{Group, Verb, report_each};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;

/// Stop running containers: a signal, a grace period, SIGKILL
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// The signal to send first (default the container's own)
    #[arg(short, long, value_name = "SIGNAL")]
    signal: Option<String>,
    /// Seconds until SIGKILL (default the container's own, or 10); -1 waits without end
    #[arg(short, long, visible_alias = "timeout", value_name = "SECONDS", allow_hyphen_values = true, value_parser = parse_seconds)]
    time: Option<i64>,
    /// The containers
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

impl Verb for StopArgs {
    const NAME: &'static str = "stop";
    const ABOUT: &'static str = "Stop running containers: a signal, a grace period, SIGKILL";
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const GROUP: Group = Group::Container;

    fn run(self, context: &Context) -> Outcome {
        let options = StopOptions {
            signal: flag("signal", self.signal.as_deref().map(str::parse::<Signal>).transpose())?,
            // A negative time is one that never ends: 136 years.
            timeout: self.time.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX)),
        };
        let engine = context.engine()?;
        let mut results: Vec<Result<(), Failure>> = Vec::new();
        let mut found = Vec::new();
        for name in &self.containers {
            match engine.find(name) {
                Ok(container) => found.push((name, container)),
                Err(error) => results.push(Err(error.into())),
            }
        }
        let (names, containers): (Vec<_>, Vec<_>) = found.into_iter().unzip();
        for (name, result) in names.into_iter().zip(engine.stop(&containers, options)) {
            results.push(result.map_err(Failure::from).and_then(|()| ui::print_line(name)));
        }
        report_each(results).map(|()| ExitCode::SUCCESS)
    }
}
