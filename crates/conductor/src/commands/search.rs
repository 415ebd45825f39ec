//! `search`: the repositories of a registry whose names have a word in them.

use std::process::ExitCode;

use clap::Args;
use registry::Client;
use serde_json::json;

use super::trust_args::{TrustArgs, failure};
use super::{Group, Verb};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;
use crate::ui::list::{self, Format};
use crate::ui::table::Table;

/// Search a registry for images
#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    /// Print in this form: table, json, or a template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Show at most so many
    #[arg(long, value_name = "NUMBER", default_value = "25")]
    limit: usize,
    #[command(flatten)]
    trust: TrustArgs,
    /// REGISTRY/WORD, or REGISTRY/ for all
    #[arg(value_name = "TERM")]
    term: String,
}

/// How many names of a registry are looked through.
const MOST: usize = 100_000;

impl Verb for SearchArgs {
    const NAME: &'static str = "search";
    const ABOUT: &'static str = "Search a registry for images";
    const USAGE: &'static str = "[OPTIONS] REGISTRY/WORD";
    const AFTER_HELP: &'static str = "The registry is asked for the list of its repositories, which public ones keep to \
                                      themselves.\n\nExample:\n  conductor search registry.example:5000/debian";
    const GROUP: Group = Group::Image;

    fn run(self, context: &Context) -> Outcome {
        let format = Format::parse(self.format.as_deref())?;
        let Some((host, word)) =
            self.term.split_once('/').filter(|(host, _)| host.contains(['.', ':']) || *host == "localhost")
        else {
            let failure = Failure::message(format!("no registry is named in {:?}", self.term));
            return Err(failure.hint(format!("name one, as in: conductor search registry.example:5000/{}", self.term)));
        };
        let recorder = context.recorder()?;
        let names = Client::new(context.registries(self.trust.tls_verify)?, &recorder).catalog(host, MOST);
        let names = names.map_err(|error| failure(error, host))?;
        let found = names.iter().filter(|name| name.contains(word)).take(self.limit);
        let rows: Vec<_> = found.map(|name| json!({ "Name": format!("{host}/{name}") })).collect();
        let text = match format {
            Format::Table => {
                let mut table = Table::with_headers(&["NAME"]);
                rows.iter().for_each(|row| table.push(vec![row["Name"].as_str().unwrap_or_default().to_owned()]));
                table.render()
            }
            format => list::render(&format, &[("Name", "NAME")], &rows)?,
        };
        ui::print(&text).map(|()| ExitCode::SUCCESS)
    }
}
