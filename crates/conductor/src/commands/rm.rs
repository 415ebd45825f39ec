//! `rm`: removes containers.

use clap::Args;
use engine::RemoveOptions;

use super::{Group, Verb, each};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;

/// Remove one or more containers
#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// Kill a container that runs; be content when there is none of the name
    #[arg(short, long)]
    force: bool,
    /// Remove the container's anonymous volumes too
    #[arg(short, long)]
    volumes: bool,
    /// The containers
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

impl Verb for RmArgs {
    const NAME: &'static str = "rm";
    const ABOUT: &'static str = "Remove one or more containers";
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const GROUP: Group = Group::Container;

    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let options = RemoveOptions { force: self.force, volumes: self.volumes };
        each(&self.containers, |name| {
            let container = match engine.find(name) {
                // What `rm -f` asks for is that there be no such container: it says so and is content, as in Docker.
                Err(error @ engine::Error::NoSuchContainer(_)) if self.force => {
                    ui::warn(&error.to_string());
                    return Ok(());
                }
                Err(engine::Error::Damaged { id, .. }) if self.force => {
                    engine.remove_damaged(&id)?;
                    return ui::print_line(name);
                }
                found => found?,
            };
            engine.remove(&container, options).map_err(Failure::from)?;
            ui::print_line(name)
        })
    }
}
