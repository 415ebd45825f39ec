//! `update`: changes containers, running or not.

use clap::Args;
use engine::PortRequest;

use super::network_args::publish;
use super::{Group, Reach, Verb, each};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;

/// Change containers, running or not
#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// Publish a port: [[ADDRESS:]HOST:]CONTAINER[/PROTOCOL]
    #[arg(long, value_name = "PORT")]
    publish_add: Vec<String>,
    /// Publish a port no more; a container's port alone names all that lead to it
    #[arg(long, value_name = "PORT")]
    publish_rm: Vec<String>,
    /// The containers
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

impl Verb for UpdateArgs {
    const NAME: &'static str = "update";
    const ABOUT: &'static str = "Change containers, running or not";
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const AFTER_HELP: &'static str = "Examples:\n  conductor update --publish-add 8080:80 web\n  \
                                    conductor update --publish-rm 8080:80 --publish-add 127.0.0.1:8081:80 web";
    const GROUP: Group = Group::Container;
    const REACH: Reach = Reach::Ours;

    fn run(self, context: &Context) -> Outcome {
        let (add, remove) = self.changes()?;
        let engine = context.engine()?;
        each(&self.containers, |name| {
            engine.change_ports(&engine.find(name)?, &add, &remove)?;
            ui::print_line(name)
        })
    }
}

impl UpdateArgs {
    fn changes(&self) -> Result<(Vec<PortRequest>, Vec<PortRequest>), Failure> {
        let read = |name: &str, words: &[String]| -> Result<Vec<PortRequest>, Failure> {
            let ports: Result<Vec<_>, _> = words.iter().map(|word| publish(name, word)).collect();
            Ok(ports?.into_iter().flatten().collect())
        };
        let (add, remove) = (read("publish-add", &self.publish_add)?, read("publish-rm", &self.publish_rm)?);
        if add.is_empty() && remove.is_empty() {
            return Err(Failure::message("nothing is to be changed: use --publish-add or --publish-rm"));
        }
        Ok((add, remove))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<String, String> {
        let words: Vec<_> = line.split_whitespace().map(Into::into).collect();
        let read = super::super::read::<UpdateArgs>("conductor update", &words);
        let changes = read.and_then(|(args, _)| args.changes()).map_err(|failure| failure.lines().unwrap())?;
        let told = |ports: Vec<PortRequest>| ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        Ok(format!("+ {} - {}", told(changes.0), told(changes.1)))
    }

    #[test]
    fn ports_are_added_and_removed() {
        assert_eq!(
            read("--publish-add 8080:80 --publish-rm 81 --publish-rm 53:53/udp web").unwrap(),
            "+ 8080:80/tcp - 81/tcp 53:53/udp"
        );
        for (line, said) in [
            ("web", "error: nothing is to be changed"),
            ("--publish-add 0x50:80 web", "error: invalid value for --publish-add"),
            ("--publish-rm 99999 web", "error: invalid value for --publish-rm"),
            ("--memory 64m web", "error: unknown flag: --memory"),
            ("--publish-add 80", "error: 'conductor update' requires CONTAINER"),
        ] {
            let got = read(line).unwrap_err();
            assert!(got.starts_with(said), "{line}: {got}");
        }
    }
}
