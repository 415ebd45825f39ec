//! `exec`: runs a command in a running container.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use engine::ExecRequest;

use super::container_args::{Here, Outside, environment};
use super::run::{detach_keys, exit_code};
use super::{Group, Verb};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::personality::Face;

/// Run a command in a running container
#[derive(Debug, Default, Args)]
pub(crate) struct ExecArgs {
    /// Run in the background
    #[arg(short, long)]
    detach: bool,
    /// Send standard input to the command
    #[arg(short, long)]
    interactive: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,
    /// Set an environment variable; a name alone takes the value from here
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Read environment variables from a file, one a line
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// User name or number, and group: USER[:GROUP]
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// Give the command all capabilities and no seccomp filter
    #[arg(long)]
    privileged: bool,
    /// Keys that leave the command running (default ctrl-p,ctrl-q)
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// The container, and what runs: CONTAINER [--] COMMAND [ARG...]
    #[arg(value_name = "CONTAINER", required = true, num_args = 1.., trailing_var_arg = true)]
    words: Vec<String>,
}

impl Verb for ExecArgs {
    const NAME: &'static str = "exec";
    const ABOUT: &'static str = "Run a command in a running container";
    const USAGE: &'static str = "[OPTIONS] CONTAINER COMMAND [ARG...]";
    const AFTER_HELP: &'static str = "Examples:\n  conductor exec -it eg bash\n  conductor exec eg -- ps aux";
    const GROUP: Group = Group::Common;

    fn run(self, context: &Context) -> Outcome {
        let (container, request) = self.into_request(context.face, &Here)?;
        if request.tty && request.stdin && !std::io::stdin().is_terminal() {
            return Err(Failure::new(engine::Error::NotATerminal));
        }
        let engine = context.starting_engine()?;
        let container = engine.find(&container)?;
        engine.exec(&container, &request).map(exit_code).map_err(Failure::starting)
    }
}

impl ExecArgs {
    /// Turns the words into the container's name and what runs in it.
    pub(crate) fn into_request(self, face: Face, outside: &dyn Outside) -> Result<(String, ExecRequest), Failure> {
        let mut words = self.words;
        let container = words.remove(0);
        if words.first().is_some_and(|word| word == "--") && !matches!(face, Face::Docker(_)) {
            words.remove(0);
        }
        if words.is_empty() {
            let program = face.program();
            return Err(Failure::message(format!("'{program} exec' requires a command behind the container"))
                .hint(format!("See '{program} exec --help'")));
        }
        let request = ExecRequest {
            command: words,
            env: environment(&self.env_file, &self.env, outside)?
                .into_iter()
                .filter(|word| word.contains('='))
                .collect(),
            workdir: self.workdir,
            user: self.user,
            privileged: self.privileged,
            tty: self.tty,
            stdin: self.interactive && !self.detach,
            detach: self.detach,
            detach_keys: detach_keys(self.detach_keys.as_deref())?,
        };
        Ok((container, request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exec(face: Face, line: &str) -> Result<(String, ExecRequest), String> {
        let words: Vec<_> = line.split(' ').map(Into::into).collect();
        let (args, _) = super::super::read::<ExecArgs>("conductor exec", &words).map_err(|error| error.to_string())?;
        args.into_request(face, &Here).map_err(|failure| failure.to_string())
    }

    #[test]
    fn both_grammars_lead_to_the_same_request() {
        for line in ["-it -w /tmp eg ls -l", "-it -w /tmp eg -- ls -l"] {
            let (container, request) = exec(Face::Conductor, line).unwrap();
            assert_eq!(container, "eg");
            assert_eq!(request.command, ["ls", "-l"]);
            assert!(request.tty && request.stdin && !request.detach);
            assert_eq!(request.workdir.as_deref(), Some("/tmp"));
        }
    }

    #[test]
    fn options_behind_the_container_belong_to_the_command() {
        assert_eq!(exec(Face::Conductor, "eg ls --tty -i").unwrap().1.command, ["ls", "--tty", "-i"]);
        assert_eq!(exec(Face::Docker("docker"), "eg -- ls").unwrap().1.command, ["--", "ls"]);
    }

    #[test]
    fn a_missing_command_is_an_error() {
        assert!(exec(Face::Conductor, "eg").unwrap_err().contains("requires a command"));
        assert!(exec(Face::Conductor, "eg --").unwrap_err().contains("requires a command"));
    }
}
