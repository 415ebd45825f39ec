//! `explain`: shows what a command would do to the host, and does nothing.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::process::ExitCode;

use clap::Args;
use engine::CreateRequest;
use trace::{Format, Recorder};

use super::container_args::Here;
use super::create::CreateArgs;
use super::run::RunArgs;
use super::{Group, Reach, Verb, network_args};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::personality::Face;
use crate::ui;

/// Show what a command would do to the host, without doing it
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Print a bash script that makes the same container on a machine without Conductor
    #[arg(long)]
    script: bool,
    /// Print the steps in this form: text or json
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// The command: run ... or create ...
    #[arg(value_name = "COMMAND", required = true, num_args = 1.., trailing_var_arg = true)]
    words: Vec<OsString>,
}

impl Verb for ExplainArgs {
    const NAME: &'static str = "explain";
    const ABOUT: &'static str = "Show what a command would do to the host, without doing it";
    const USAGE: &'static str = "[--script] run [OPTIONS] IMAGE [COMMAND] [ARG...]";
    const AFTER_HELP: &'static str = "\
Each step is printed in words, with the equivalent shell command below it: '+' marks what is done on the host, '|'
what the container's first process does inside. 'conductor --explain run ...' prints the same steps as they are applied.

Examples:\n  conductor explain run -m 64m mydebian bash\n  \
                                    conductor explain --script run mydebian bash > container.sh && sudo bash container.sh";
    const GROUP: Group = Group::Engine;
    const REACH: Reach = Reach::Ours;

    fn run(self, context: &Context) -> Outcome {
        let request = request(&self.words, context.face)?;
        network_args::warning(&request).into_iter().for_each(ui::warn);
        if self.script {
            let script = context.engine_telling(Recorder::silent())?.script(request)?;
            return ui::print(&script).map(|()| ExitCode::SUCCESS);
        }
        let format = self.format.or(context.globals.explain).unwrap_or(Format::Text);
        let sink = std::io::stdout().as_fd().try_clone_to_owned()?;
        context.engine_telling(Recorder::writing(sink, format))?.explain(request)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Reads the command that is to be explained.
fn request(words: &[OsString], face: Face) -> Result<CreateRequest, Failure> {
    let (verb, rest) = (&words[0], &words[1..]);
    match verb.to_str() {
        Some("run") => {
            let (args, _) = super::read::<RunArgs>("conductor explain run", rest)?;
            args.into_request(face, &Here).map(|(request, _)| request)
        }
        Some("create") => super::read::<CreateArgs>("conductor explain create", rest)?.0.into_request(face, &Here),
        _ => Err(Failure::message(format!("cannot explain {}", verb.display()))
            .hint("explain run or create; other commands tell their steps as they do them, as in 'conductor --explain stop eg'")),
    }
}
