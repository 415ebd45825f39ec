//! `wait`: waits for containers to end, and prints their exit codes.

use clap::Args;

use super::{Group, Verb, each};
use crate::context::Context;
use crate::error::Outcome;
use crate::ui;

/// Wait until containers end, and print their exit codes
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// The containers
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

impl Verb for WaitArgs {
    const NAME: &'static str = "wait";
    const ABOUT: &'static str = "Wait until containers end, and print their exit codes";
    const USAGE: &'static str = "CONTAINER [CONTAINER...]";
    const GROUP: Group = Group::Container;

    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        each(&self.containers, |name| ui::print_line(&engine.wait(&engine.find(name)?)?.to_string()))
    }
}
