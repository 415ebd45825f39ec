//! `attach`: joins the terminal, or the streams, of a running container.

use clap::Args;
use engine::AttachOptions;

use super::run::{detach_keys, exit_code};
use super::{Group, Verb};
use crate::context::Context;
use crate::error::Outcome;

/// Attach to the input and output of a running container
#[derive(Debug, Args)]
pub(crate) struct AttachCommandArgs {
    /// Do not attach standard input
    #[arg(long)]
    no_stdin: bool,
    /// Keys that leave the container running (default ctrl-p,ctrl-q)
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Hand signals on to the command (--sig-proxy=false keeps them)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", hide_default_value = true, hide_possible_values = true, action = clap::ArgAction::Set)]
    sig_proxy: bool,
    /// The container
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Verb for AttachCommandArgs {
    const NAME: &'static str = "attach";
    const ABOUT: &'static str = "Attach to the input and output of a running container";
    const USAGE: &'static str = "[OPTIONS] CONTAINER";
    const GROUP: Group = Group::Container;

    fn run(self, context: &Context) -> Outcome {
        let keys = detach_keys(self.detach_keys.as_deref())?;
        let engine = context.engine()?;
        let container = engine.find(&self.container)?;
        let options = AttachOptions {
            stdin: !self.no_stdin && container.request.open_stdin,
            output: true,
            detach_keys: keys,
            proxy_signals: self.sig_proxy && !container.request.tty,
        };
        Ok(exit_code(engine.attach(&container, &options)?))
    }
}
