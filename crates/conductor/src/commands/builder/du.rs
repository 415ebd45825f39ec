//! `builder du`: how much room what builds keep takes.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use store::{CacheItem, cache_size};

use super::super::{Group, Verb};
use super::filter::{Filter, read_filters};
use super::{HEADERS, TITLES, cells, is_mutable, row, type_of};
use crate::context::Context;
use crate::error::Outcome;
use crate::ui;
use crate::ui::list::{self, Format};
use crate::ui::size::human_size;
use crate::ui::table::Table;
use crate::ui::time::{ago, plain};

/// Tell how much room what builds keep takes
#[derive(Debug, Args)]
pub(in super::super) struct DuArgs {
    /// List what fits: id=, type=, description=, until=, inuse, shared, private, mutable, immutable
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Print in this form: json, or a template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Tell all that is known of each
    #[arg(long)]
    verbose: bool,
}

impl Verb for DuArgs {
    const NAME: &'static str = "du";
    const ABOUT: &'static str = "Tell how much room what builds keep takes";
    const USAGE: &'static str = "[OPTIONS]";
    const GROUP: Group = Group::Image;

    fn run(self, context: &Context) -> Outcome {
        let now = Timestamp::now();
        let format = Format::parse(self.format.as_deref())?;
        let filters = read_filters(&self.filter, now)?;
        let mut items = context.store()?.cache().items()?;
        items.retain(|item| filters.iter().all(|filter: &Filter| filter.fits(item)));
        let text = match (&format, self.verbose) {
            (Format::Table, true) => items.iter().map(|item| details(item, now)).collect::<String>() + &summary(&items),
            (Format::Table, false) => table(&items, now),
            _ => list::render(&format, HEADERS, &items.iter().map(|item| row(item, now)).collect::<Vec<_>>())?,
        };
        ui::print(&text).map(|()| ExitCode::SUCCESS)
    }
}

fn table(items: &[CacheItem], now: Timestamp) -> String {
    let mut table = Table::with_headers(&TITLES);
    items.iter().for_each(|item| table.push(cells(item, now)));
    table.render() + &summary(items)
}

fn details(item: &CacheItem, now: Timestamp) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{:<14}{value}", format!("{name}:"));
    };
    line("ID", item.id.clone());
    if let Some(created) = item.created {
        line("Created at", plain(created));
    }
    line("Mutable", is_mutable(item).to_string());
    line("Reclaimable", (!item.in_use).to_string());
    line("Shared", item.shared.to_string());
    line("Size", human_size(item.size));
    line("Description", item.what.clone());
    line("Last used", ago(now, item.used));
    line("Type", type_of(item).to_owned());
    text + "\n"
}

/// What images have is told apart, as it takes no room of its own.
fn summary(items: &[CacheItem]) -> String {
    let all: Vec<_> = items.iter().map(|item| CacheItem { shared: false, ..item.clone() }).collect();
    let idle: Vec<_> = all.iter().filter(|item| !item.in_use).cloned().collect();
    let (total, private) = (cache_size(&all), cache_size(items));
    let mut text = String::new();
    let mut line = |name: &str, size: u64| {
        let _ = writeln!(text, "{:<14}{}", format!("{name}:"), human_size(size));
    };
    if private < total {
        line("Shared", total - private);
        line("Private", private);
    }
    line("Reclaimable", cache_size(&idle));
    line("Total", total);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::Digest;
    use store::CacheKind;

    fn items() -> Vec<CacheItem> {
        let now = Timestamp::UNIX_EPOCH;
        let item = |id: &str, kind, size, shared, in_use| CacheItem {
            kind,
            id: id.into(),
            path: id.into(),
            what: format!("RUN {id}"),
            size,
            created: Some(now),
            used: now,
            shared,
            in_use,
        };
        let step = |layer: &str| CacheKind::Step { layer: Digest::of(layer.as_bytes()) };
        vec![
            item("0123456789abcdef", step("a"), 1000, true, false),
            item("123456789abcdef0", step("b"), 200, false, false),
            item("mount", CacheKind::Mount, 34, false, true),
        ]
    }

    #[test]
    fn the_list_has_docker_s_columns() {
        let now = Timestamp::from_second(60).unwrap();
        let text = table(&items(), now);
        assert_eq!(
            text,
            "ID             RECLAIMABLE   SIZE      LAST ACCESSED\n\
             0123456789ab   true          1kB*      About a minute ago\n\
             123456789abc   true          200B      About a minute ago\n\
             mount*         false         34B       About a minute ago\n\
             Shared:       1kB\nPrivate:      234B\nReclaimable:  1.2kB\nTotal:        1.23kB\n"
        );
    }

    #[test]
    fn the_details_are_docker_s() {
        let text = details(&items()[2], Timestamp::from_second(60).unwrap());
        assert_eq!(
            text,
            "ID:           mount\nCreated at:   1970-01-01 00:00:00 +0000 UTC\nMutable:      true\n\
             Reclaimable:  false\nShared:       false\nSize:         34B\nDescription:  RUN mount\n\
             Last used:    About a minute ago\nType:         exec.cachemount\n\n"
        );
    }
}
