//! `wait`: waits for containers to end, and prints their exit codes.

use clap::Args;
use engine::WaitCondition;

use super::container_args::flag;
use super::{Group, Verb, each};
use crate::context::Context;
use crate::error::Outcome;
use crate::ui;

/// Wait until containers end, and print their exit codes
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// What to wait for: not-running, next-exit, removed, running, healthy or unhealthy
    #[arg(long, value_name = "CONDITION", default_value = "not-running", hide_default_value = true)]
    condition: String,
    /// The containers
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

impl Verb for WaitArgs {
    const NAME: &'static str = "wait";
    const ABOUT: &'static str = "Wait until containers end, and print their exit codes";
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const GROUP: Group = Group::Container;

    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let condition = flag("condition", self.condition.parse::<WaitCondition>())?;
        each(&self.containers, |name| {
            let container = match engine.find(name) {
                Err(engine::Error::NoSuchContainer(_)) if condition == WaitCondition::Removed => {
                    return ui::print_line("-1");
                }
                found => found?,
            };
            // Where there is no end there is no exit code; Podman prints the same.
            let code = engine.wait_for(&container, condition)?.map_or(-1, i32::from);
            ui::print_line(&code.to_string())
        })
    }
}
