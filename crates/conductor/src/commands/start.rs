//! `start`: starts created or exited containers.

use std::process::ExitCode;

use clap::Args;
use engine::{AttachOptions, Engine, StartMode};

use super::run::{detach_keys, exit_code};
use super::{Group, Verb, each};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;

/// Start one or more containers
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// Attach to the output, hand signals on, and end with the command's exit code
    #[arg(short, long)]
    attach: bool,
    /// Attach to standard input too
    #[arg(short, long)]
    interactive: bool,
    /// Keys that leave the container running (default ctrl-p,ctrl-q)
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// The containers
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

impl Verb for StartArgs {
    const NAME: &'static str = "start";
    const ABOUT: &'static str = "Start one or more containers";
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const GROUP: Group = Group::Container;

    fn run(self, context: &Context) -> Outcome {
        let engine = context.starting_engine()?;
        if self.attach || self.interactive {
            return self.attached(&engine);
        }
        each(&self.containers, |name| {
            engine.start(&engine.find(name)?, StartMode::Detached).map_err(Failure::starting)?;
            ui::print_line(name)
        })
    }
}

impl StartArgs {
    fn attached(&self, engine: &Engine) -> Outcome {
        let [name] = self.containers.as_slice() else {
            return Err(Failure::message("cannot attach to several containers at once"));
        };
        let container = engine.find(name)?;
        let options = AttachOptions {
            stdin: self.interactive && container.request.open_stdin,
            output: true,
            detach_keys: detach_keys(self.detach_keys.as_deref())?,
            proxy_signals: !container.request.tty,
        };
        let attached = engine.start(&container, StartMode::Attached(options)).map_err(Failure::starting)?;
        Ok(attached.map_or(ExitCode::SUCCESS, exit_code))
    }
}
