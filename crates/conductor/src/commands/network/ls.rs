//! `network ls`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use engine::network::DEFAULT_NETWORK;
use engine::{Engine, Network};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::{Group, Verb};
use super::{Predefined, is_predefined};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;
use crate::ui::list::{self, Format};
use crate::ui::table::Table;
use crate::ui::time::plain;

/// List networks
#[derive(Debug, Args)]
pub(in super::super) struct NetworkLsArgs {
    /// Print ids alone
    #[arg(short, long)]
    quiet: bool,
    /// Do not shorten ids
    #[arg(long)]
    no_trunc: bool,
    /// Print in this form: table, json, or a template such as '{{.Name}}'
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// List those that fit: name=, id=, driver=, label=, scope=, type=custom|builtin, dangling=
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
}

const HEADERS: &[(&str, &str)] = &[
    ("ID", "NETWORK ID"),
    ("Name", "NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("IPv4", "IPV4"),
    ("IPv6", "IPV6"),
    ("Internal", "INTERNAL"),
    ("Labels", "LABELS"),
    ("CreatedAt", "CREATED AT"),
];

impl Verb for NetworkLsArgs {
    const NAME: &'static str = "ls";
    const ALIASES: &'static [&'static str] = &["list"];
    const ABOUT: &'static str = "List networks";
    const USAGE: &'static str = "[OPTIONS]";
    const GROUP: Group = Group::Network;

    fn run(self, context: &Context) -> Outcome {
        let format = Format::parse(self.format.as_deref())?;
        let filters = self.filter.iter().map(|word| Filter::parse(word)).collect::<Result<Vec<_>, _>>()?;
        let engine = context.engine()?;
        let mut rows = rows(&engine)?;
        if filters.iter().any(|filter| matches!(filter, Filter::Dangling(_))) {
            for row in &mut rows {
                row.is_used = row.is_used(&engine)?;
            }
        }
        rows.retain(|row| Filter::all_fit(&filters, row));
        ui::print(&self.render(&rows, &format)?).map(|()| ExitCode::SUCCESS)
    }
}

/// One network, whether it is on record or not.
#[derive(Debug, Default)]
struct Row {
    network: Option<Network>,
    id: String,
    name: String,
    driver: &'static str,
    ipv6: bool,
    internal: bool,
    labels: BTreeMap<String, String>,
    created: Timestamp,
    is_used: bool,
}

/// Returns all networks by name, those that are always there among them.
fn rows(engine: &Engine) -> Result<Vec<Row>, Failure> {
    let on_record = engine.networks()?;
    let mut rows: Vec<_> = Predefined::ALL.into_iter().map(Row::predefined).collect();
    if !on_record.iter().any(|network| network.name.as_str() == DEFAULT_NETWORK) {
        let id = engine.default_network_id().to_string();
        rows.push(Row { id, name: DEFAULT_NETWORK.to_owned(), driver: "bridge", ..Row::default() });
    }
    rows.extend(on_record.into_iter().map(Row::of));
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(rows)
}

impl Row {
    fn of(network: Network) -> Self {
        Self {
            id: network.id.to_string(),
            name: network.name.to_string(),
            driver: network.driver.name(),
            ipv6: network.has_ipv6(),
            internal: network.internal,
            labels: network.labels.clone(),
            created: network.created,
            network: Some(network),
            is_used: false,
        }
    }

    fn predefined(one: Predefined) -> Self {
        Self { id: one.id().to_string(), name: one.name().to_owned(), driver: one.driver(), ..Self::default() }
    }

    /// Those that are always there count as used, as in Docker.
    fn is_used(&self, engine: &Engine) -> Result<bool, Failure> {
        match &self.network {
            Some(network) if !is_predefined(&self.name) => Ok(!engine.inspect_network(network)?.containers.is_empty()),
            _ => Ok(true),
        }
    }

    fn fields(&self, id: String) -> Value {
        let labels: Vec<_> = self.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        json!({
            "ID": id,
            "Name": self.name,
            "Driver": self.driver,
            "Scope": "local",
            "IPv4": "true",
            "IPv6": self.ipv6.to_string(),
            "Internal": self.internal.to_string(),
            "Labels": labels.join(","),
            "Label": self.labels,
            "CreatedAt": plain(self.created),
        })
    }
}

impl NetworkLsArgs {
    fn render(&self, rows: &[Row], format: &Format) -> Result<String, Failure> {
        let id = |row: &Row| row.id.chars().take(if self.no_trunc { usize::MAX } else { 12 }).collect::<String>();
        if self.quiet {
            return Ok(rows.iter().map(|row| id(row) + "\n").collect());
        }
        if !matches!(format, Format::Table) {
            let rows: Vec<_> = rows.iter().map(|row| row.fields(id(row))).collect();
            return list::render(format, HEADERS, &rows);
        }
        let mut table = Table::with_headers(&["NETWORK ID", "NAME", "DRIVER", "SCOPE"]);
        for row in rows {
            table.push(vec![id(row), row.name.clone(), row.driver.to_owned(), "local".to_owned()]);
        }
        Ok(table.render())
    }
}

/// One `--filter`.
#[derive(Debug, PartialEq, Eq)]
enum Filter {
    Name(String),
    Id(String),
    Driver(String),
    Label(String, Option<String>),
    Scope(String),
    Builtin(bool),
    Dangling(bool),
}

impl Filter {
    fn parse(word: &str) -> Result<Self, Failure> {
        let wrong = |why: &str| Failure::message(format!("invalid value for --filter: {word:?} {why}"));
        let (key, value) = word.split_once('=').ok_or_else(|| wrong("is not KEY=VALUE"))?;
        let owned = value.to_owned();
        Ok(match (key, value) {
            ("name", _) => Self::Name(owned),
            ("id", _) => Self::Id(owned),
            ("driver", _) => Self::Driver(owned),
            ("scope", _) => Self::Scope(owned),
            ("label", _) => match value.split_once('=') {
                Some((key, value)) => Self::Label(key.to_owned(), Some(value.to_owned())),
                None => Self::Label(owned, None),
            },
            ("type", "custom" | "builtin") => Self::Builtin(value == "builtin"),
            ("type", _) => return Err(wrong("is no type: use custom or builtin")),
            ("dangling", "true" | "1") => Self::Dangling(true),
            ("dangling", "false" | "0") => Self::Dangling(false),
            ("dangling", _) => return Err(wrong("is neither true nor false")),
            _ => return Err(wrong("has an unknown key: use name, id, driver, label, scope, type or dangling")),
        })
    }

    /// Filters of one key widen each other, those of several keys narrow, as in Docker; labels always narrow.
    fn all_fit(filters: &[Self], row: &Row) -> bool {
        let same_key = |one: &Self, other: &Self| std::mem::discriminant(one) == std::mem::discriminant(other);
        filters.iter().all(|filter| match filter {
            Self::Label(..) => filter.fits(row),
            _ => filters.iter().filter(|other| same_key(filter, other)).any(|other| other.fits(row)),
        })
    }

    fn fits(&self, row: &Row) -> bool {
        match self {
            Self::Name(part) => row.name.contains(part.as_str()),
            Self::Id(part) => row.id.contains(part.as_str()),
            Self::Driver(driver) => row.driver == driver,
            Self::Scope(scope) => scope == "local",
            Self::Label(key, None) => row.labels.contains_key(key),
            Self::Label(key, Some(value)) => row.labels.get(key) == Some(value),
            Self::Builtin(builtin) => is_predefined(&row.name) == *builtin,
            Self::Dangling(dangling) => row.is_used != *dangling,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let mut rows: Vec<_> = Predefined::ALL.into_iter().map(Row::predefined).collect();
        rows.push(Row {
            id: "ab".repeat(32),
            name: "front".into(),
            driver: "macvlan",
            ipv6: true,
            labels: [("role".to_owned(), "web".to_owned())].into(),
            created: "2026-01-01T23:58:00Z".parse().unwrap(),
            ..Row::default()
        });
        rows
    }

    fn ls(line: &str) -> String {
        let words: Vec<_> = line.split_terminator('|').map(Into::into).collect();
        let (args, _) = super::super::super::read::<NetworkLsArgs>("conductor network ls", &words).unwrap();
        let filters: Vec<_> = args.filter.iter().map(|word| Filter::parse(word).unwrap()).collect();
        let mut rows = rows();
        rows.retain(|row| Filter::all_fit(&filters, row));
        args.render(&rows, &Format::parse(args.format.as_deref()).unwrap()).unwrap()
    }

    #[test]
    fn the_table_is_docker_s() {
        insta::assert_snapshot!(ls(""), @r"
        NETWORK ID     NAME      DRIVER    SCOPE
        5accd5297b03   host      host      local
        cc1c7fc0365d   none      null      local
        abababababab   front     macvlan   local
        ");
    }

    #[test]
    fn filters_and_templates_choose() {
        let names = |filters: &str| ls(&format!("--format|{{{{.Name}}}}|{filters}")).replace('\n', " ");
        assert_eq!(names(""), "host none front ");
        assert_eq!(names("-f|name=on"), "none front ");
        assert_eq!(names("-f|driver=null|-f|driver=host"), "host none ");
        assert_eq!(names("-f|label=role=web"), "front ");
        assert_eq!(names("-f|type=builtin|-f|name=o"), "host none ");
        assert_eq!(names("-f|dangling=true|-f|id=abab"), "front ");
        assert_eq!(ls("-q|-f|name=front|--no-trunc"), "ab".repeat(32) + "\n");
        assert_eq!(
            ls("--format|{{.ID}} {{.IPv6}} {{.Internal}} {{.Label \"role\"}} {{.CreatedAt}}|-f|name=front"),
            "abababababab true false web 2026-01-01 23:58:00 +0000 UTC\n"
        );
        for bad in ["name", "colour=red", "type=odd", "dangling=maybe"] {
            assert!(Filter::parse(bad).is_err(), "{bad}");
        }
    }
}
