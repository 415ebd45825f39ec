//! `network prune`.

use std::process::ExitCode;

use clap::Args;
use engine::{Engine, Network};
use jiff::Timestamp;

use super::super::prune::confirmed;
use super::super::{Group, Verb};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;
use crate::ui::time::parse_instant;

/// Remove every network that no container is on
#[derive(Debug, Args)]
pub(in super::super) struct NetworkPruneArgs {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Remove those that fit: label=, label!=, until=
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
}

impl Verb for NetworkPruneArgs {
    const NAME: &'static str = "prune";
    const ABOUT: &'static str = "Remove every network that no container is on";
    const USAGE: &'static str = "[OPTIONS]";
    const GROUP: Group = Group::Network;

    fn run(self, context: &Context) -> Outcome {
        let now = Timestamp::now();
        let filters = self.filter.iter().map(|word| Filter::parse(word, now)).collect::<Result<Vec<_>, _>>()?;
        if self.force || confirmed("This removes every network that no container is on, running or not.")? {
            prune_networks(&context.engine()?, |network| filters.iter().all(|filter| filter.fits(network)))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Removes networks that are wanted no more, and tells which.
pub(in super::super) fn prune_networks(engine: &Engine, wanted: impl Fn(&Network) -> bool) -> Result<(), Failure> {
    let removed = engine.prune_networks(wanted)?;
    if removed.is_empty() {
        return Ok(());
    }
    ui::print(&format!("Deleted Networks:\n{}\n\n", removed.join("\n")))
}

/// One `--filter`.
#[derive(Debug, PartialEq, Eq)]
enum Filter {
    Label { key: String, value: Option<String>, wanted: bool },
    Until(Timestamp),
}

impl Filter {
    fn parse(word: &str, now: Timestamp) -> Result<Self, Failure> {
        let label = |text: &str, wanted| match text.split_once('=') {
            Some((key, value)) => Self::Label { key: key.to_owned(), value: Some(value.to_owned()), wanted },
            None => Self::Label { key: text.to_owned(), value: None, wanted },
        };
        match word.split_once('=') {
            Some(("label", text)) => Ok(label(text, true)),
            Some(("label!", text)) => Ok(label(text, false)),
            Some(("until", time)) => {
                super::super::container_args::flag("filter", parse_instant(time, now)).map(Self::Until)
            }
            _ => Err(Failure::message(format!(
                "invalid value for --filter: {word:?}: use label=KEY[=VALUE], label!=KEY[=VALUE] or until=TIME"
            ))),
        }
    }

    fn fits(&self, network: &Network) -> bool {
        match self {
            Self::Until(time) => network.created < *time,
            Self::Label { key, value, wanted } => {
                let found = network.labels.get(key);
                found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found)) == *wanted
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        let read = |word: &str| Filter::parse(word, now);
        let label =
            |value: Option<&str>, wanted| Filter::Label { key: "a".into(), value: value.map(Into::into), wanted };
        assert_eq!(read("label=a").unwrap(), label(None, true));
        assert_eq!(read("label!=a=b").unwrap(), label(Some("b"), false));
        assert_eq!(read("until=24h").unwrap(), Filter::Until("2026-01-01T00:00:00Z".parse().unwrap()));
        for bad in ["label", "name=x", "until=soon"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
