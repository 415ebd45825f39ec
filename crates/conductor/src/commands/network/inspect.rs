//! `network inspect`.

use clap::Args;
use engine::Engine;
use engine::network::{Ipam, NetworkView};

use super::super::inspect::{Document, print_all};
use super::super::{Group, Verb};
use super::Predefined;
use crate::context::Context;
use crate::error::{Failure, Outcome};

/// Print everything about networks
#[derive(Debug, Args)]
pub(in super::super) struct NetworkInspectArgs {
    /// Print by a template, such as '{{.Driver}}', or as json in one line
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Accepted for Docker's sake: there is no more to tell
    #[arg(short, long, hide = true)]
    verbose: bool,
    /// The networks
    #[arg(value_name = "NETWORK", required = true)]
    names: Vec<String>,
}

impl Verb for NetworkInspectArgs {
    const NAME: &'static str = "inspect";
    const ABOUT: &'static str = "Print everything about networks";
    const USAGE: &'static str = "[OPTIONS] NETWORK [NETWORK...]";
    const AFTER_HELP: &'static str = "Examples:\n  conductor network inspect bridge\n  \
                                    conductor network inspect -f '{{range .IPAM.Config}}{{.Subnet}}{{end}}' front";
    const GROUP: Group = Group::Network;

    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        print_all(&self.names, self.format.as_deref(), |name| document(&engine, name))
    }
}

/// Tells everything about a network.
pub(in super::super) fn document(engine: &Engine, name: &str) -> Result<Document, Failure> {
    match predefined(name)? {
        Some(document) => Ok(document),
        None => Document::of(&engine.inspect_network(&engine.find_network(name)?)?),
    }
}

/// Tells everything about a network that is on no record.
pub(in super::super) fn predefined(name: &str) -> Result<Option<Document>, Failure> {
    Predefined::named(name).map(|one| Document::of(&view(one))).transpose()
}

fn view(one: Predefined) -> NetworkView {
    NetworkView {
        name: one.name().to_owned(),
        id: one.id().to_string(),
        // Nobody has created it.
        created: "0001-01-01T00:00:00Z".to_owned(),
        scope: "local",
        driver: one.driver(),
        enable_ipv4: true,
        enable_ipv6: false,
        ipam: Ipam { driver: "default", options: [].into(), config: Vec::new() },
        internal: false,
        attachable: false,
        ingress: false,
        containers: [].into(),
        options: [].into(),
        labels: [].into(),
    }
}
