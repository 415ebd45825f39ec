//! `kill`: sends a signal to containers.

use clap::Args;
use engine::Signal;

use super::container_args::flag;
use super::{Group, Verb, each};
use crate::context::Context;
use crate::error::Outcome;
use crate::ui;

/// Send a signal to running containers
#[derive(Debug, Args)]
pub(crate) struct KillArgs {
    /// The signal, by name or number
    #[arg(short, long, value_name = "SIGNAL", default_value = "KILL")]
    signal: String,
    /// The containers
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

impl Verb for KillArgs {
    const NAME: &'static str = "kill";
    const ABOUT: &'static str = "Send a signal to running containers";
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const GROUP: Group = Group::Container;

    fn run(self, context: &Context) -> Outcome {
        let signal: Signal = flag("signal", self.signal.parse())?;
        let engine = context.engine()?;
        each(&self.containers, |name| {
            engine.kill(&engine.find(name)?, signal)?;
            ui::print_line(name)
        })
    }
}
