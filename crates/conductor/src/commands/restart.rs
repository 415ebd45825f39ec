//! `restart`: stops containers and starts them again.

use clap::Args;
use engine::{Signal, StartMode, StopOptions};

use super::container_args::{flag, parse_seconds};
use super::{Group, Verb, each};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;

/// Stop containers and start them again
#[derive(Debug, Args)]
pub(crate) struct RestartArgs {
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

impl Verb for RestartArgs {
    const NAME: &'static str = "restart";
    const ABOUT: &'static str = "Stop containers and start them again";
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const GROUP: Group = Group::Container;

    fn run(self, context: &Context) -> Outcome {
        let options = StopOptions {
            signal: flag("signal", self.signal.as_deref().map(str::parse::<Signal>).transpose())?,
            timeout: self.time.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX)),
        };
        let engine = context.starting_engine()?;
        each(&self.containers, |name| {
            let container = engine.find(name)?;
            engine.stop(std::slice::from_ref(&container), options).into_iter().collect::<Result<(), _>>()?;
            engine.start(&container, StartMode::Detached).map_err(Failure::starting)?;
            ui::print_line(name)
        })
    }
}
