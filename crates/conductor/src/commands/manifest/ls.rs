//! `manifest ls`.

use std::process::ExitCode;

use clap::Args;
use oci::{ManifestList, Reference};
use serde_json::{Value, json};

use super::super::{Group, Reach, Verb, report_each};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;
use crate::ui::list::{self, Format};
use crate::ui::table::Table;

/// List manifest lists
#[derive(Debug, Args)]
pub(in super::super) struct ManifestLsArgs {
    /// Print names alone
    #[arg(short, long)]
    quiet: bool,
    /// Print in this form: table, json, or a template such as '{{.Name}}'
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

const HEADERS: [(&str, &str); 3] = [("Name", "NAME"), ("Images", "IMAGES"), ("Platforms", "PLATFORMS")];

impl Verb for ManifestLsArgs {
    const NAME: &'static str = "ls";
    const ALIASES: &'static [&'static str] = &["list"];
    const ABOUT: &'static str = "List manifest lists";
    const USAGE: &'static str = "[OPTIONS]";
    const GROUP: Group = Group::Image;
    const REACH: Reach = Reach::Ours;

    fn run(self, context: &Context) -> Outcome {
        let format = Format::parse(self.format.as_deref())?;
        let (mut rows, mut damaged) = (Vec::new(), Vec::new());
        for list in context.store()?.lists().all()? {
            match list {
                Ok((name, list)) => rows.push(row(&name, &list)),
                Err(error) => damaged.push(Err(Failure::new(error).hint("'conductor system check' tells more"))),
            }
        }
        ui::print(&self.render(&rows, &format)?)?;
        report_each(damaged).map(|()| ExitCode::SUCCESS)
    }
}

fn row(name: &Reference, list: &ManifestList) -> Value {
    let machines = list.members().iter().filter_map(|member| member.entry.platform.as_ref());
    let mut platforms: Vec<_> = machines.map(|machine| machine.platform.to_string()).collect();
    platforms.sort();
    platforms.dedup();
    json!({ "Name": name.familiar(), "Images": list.members().len().to_string(), "Platforms": platforms.join(", ") })
}

impl ManifestLsArgs {
    fn render(&self, rows: &[Value], format: &Format) -> Result<String, Failure> {
        let field = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
        if self.quiet {
            return Ok(rows.iter().map(|row| field(row, "Name") + "\n").collect());
        }
        if !matches!(format, Format::Table) {
            return list::render(format, &HEADERS, rows);
        }
        let mut table = Table::with_headers(&HEADERS.map(|(_, heading)| heading));
        for row in rows {
            table.push(HEADERS.iter().map(|(key, _)| field(row, key)).collect());
        }
        Ok(table.render())
    }
}
