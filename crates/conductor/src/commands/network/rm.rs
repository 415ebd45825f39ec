//! `network rm`.

use clap::Args;
use engine::NetworkError;

use super::super::{Group, Verb, each};
use super::is_predefined;
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;

/// Remove networks
#[derive(Debug, Args)]
pub(in super::super) struct NetworkRmArgs {
    /// Be content when there is none of the name
    #[arg(short, long)]
    force: bool,
    /// The networks
    #[arg(value_name = "NETWORK", required = true)]
    names: Vec<String>,
}

impl Verb for NetworkRmArgs {
    const NAME: &'static str = "rm";
    const ALIASES: &'static [&'static str] = &["remove"];
    const ABOUT: &'static str = "Remove networks";
    const USAGE: &'static str = "[OPTIONS] NETWORK [NETWORK...]";
    const GROUP: Group = Group::Network;

    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        each(&self.names, |name| {
            if is_predefined(name) {
                return Err(Failure::new(NetworkError::Predefined(name.clone())));
            }
            let network = match engine.find_network(name) {
                Err(engine::Error::Network(error @ NetworkError::NoSuchNetwork(_))) if self.force => {
                    ui::warn(&error.to_string());
                    return Ok(());
                }
                Err(engine::Error::Network(NetworkError::Damaged { .. })) => {
                    engine.remove_damaged_network(name)?;
                    return ui::print_line(name);
                }
                found => found?,
            };
            engine.remove_network(&network)?;
            ui::print_line(name)
        })
    }
}
