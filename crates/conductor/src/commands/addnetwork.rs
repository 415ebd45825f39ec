//! `addnetwork` and `peer`: the founding documents' two verbs about networks, in our own grammar.

use std::process::ExitCode;

use clap::Args;
use engine::PortRequest;

use super::{Group, Reach, Verb};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;

/// Link a container with the host, and from there with the outside
#[derive(Debug, Args)]
pub(crate) struct AddNetworkArgs {
    /// Let the container reach the outside too
    #[arg(short, long)]
    internet: bool,
    /// Let a port of the host lead to a port of the container: HOST:CONTAINER or HOST-CONTAINER
    #[arg(short, long, value_name = "PORTS")]
    expose: Vec<String>,
    /// The container
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Verb for AddNetworkArgs {
    const NAME: &'static str = "addnetwork";
    const ABOUT: &'static str = "Link a container with the host, and from there with the outside";
    const USAGE: &'static str = "CONTAINER [-i] [-e HOST:CONTAINER]...";
    const AFTER_HELP: &'static str = "\
A container that is on no network gets a link of its own to the host. One that is on a network that leads outside has
all of it already; its ports are published there.

Examples:\n  conductor addnetwork eg\n  conductor addnetwork eg -i -e 3000:8080";
    const GROUP: Group = Group::Network;
    const REACH: Reach = Reach::Ours;

    fn run(self, context: &Context) -> Outcome {
        let expose = self.expose.iter().map(|pair| ports(pair)).collect::<Result<Vec<_>, _>>()?;
        add_network(context, &self.container, self.internet, &expose)
    }
}

/// Let two containers reach each other
#[derive(Debug, Args)]
pub(crate) struct PeerArgs {
    /// The one
    #[arg(value_name = "CONTAINER")]
    first: String,
    /// The other
    #[arg(value_name = "CONTAINER")]
    second: String,
}

impl Verb for PeerArgs {
    const NAME: &'static str = "peer";
    const ABOUT: &'static str = "Let two containers reach each other, whichever networks they are on";
    const USAGE: &'static str = "CONTAINER CONTAINER";
    const AFTER_HELP: &'static str = "Example:\n  conductor peer c1 c2";
    const GROUP: Group = Group::Network;
    const REACH: Reach = Reach::Ours;

    fn run(self, context: &Context) -> Outcome {
        make_peers(context, &self.first, &self.second)
    }
}

/// Links a container with the host, and lets ports of the host lead to it.
pub(crate) fn add_network(context: &Context, name: &str, internet: bool, expose: &[(u16, u16)]) -> Outcome {
    let mut requests = Vec::new();
    for (host, container) in expose {
        requests.extend(PortRequest::parse(&format!("{host}:{container}"))?);
    }
    let engine = context.engine()?;
    engine.add_network(&engine.find(name)?, internet, &requests)?;
    if internet && let Some(link) = context.settings()?.default_interface.filter(|link| !is_link(link)) {
        ui::warn(&format!("{name} is to reach the outside through {link}, and this host has no such link now"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells whether the host has a link of this name; where that cannot be told, nobody is warned.
fn is_link(name: &str) -> bool {
    let table = std::fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
    let mut names = table.lines().skip(2).filter_map(|line| line.split(':').next());
    table.is_empty() || names.any(|found| found.trim() == name)
}

/// Lets two containers reach each other.
pub(crate) fn make_peers(context: &Context, first: &str, second: &str) -> Outcome {
    let engine = context.engine()?;
    engine.make_peers(&engine.find(first)?, &engine.find(second)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Reads `HOST:CONTAINER` or `HOST-CONTAINER`: the documents use both.
pub(crate) fn ports(pair: &str) -> Result<(u16, u16), Failure> {
    let port = |word: &str| word.parse::<u16>().ok().filter(|port| *port > 0);
    let ports = pair.split_once([':', '-']).and_then(|(host, container)| Some((port(host)?, port(container)?)));
    ports.ok_or_else(|| Failure::message(format!("invalid ports {pair:?}: use HOST:CONTAINER, as in 3000:8080")))
}
