//! `ps`: lists containers.

use std::process::ExitCode;

use clap::Args;
use engine::{Engine, HealthStatus, State, Status, Summary};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Group, Verb};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;
use crate::ui::list::{self, Format};
use crate::ui::table::Table;
use crate::ui::time::{ago, human_duration, plain, since};

/// List containers
#[derive(Debug, Args)]
pub(crate) struct PsArgs {
    /// List those that do not run too
    #[arg(short, long)]
    all: bool,
    /// Print ids alone
    #[arg(short, long)]
    quiet: bool,
    /// List the last created containers, whether they run or not
    #[arg(short = 'n', long, value_name = "NUMBER", allow_hyphen_values = true)]
    last: Option<i64>,
    /// List the last created container
    #[arg(short, long)]
    latest: bool,
    /// Do not shorten ids and commands
    #[arg(long)]
    no_trunc: bool,
    /// Print in this form: table, json, or a template such as '{{.Names}}'
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// List those that fit: name=, id=, status=, health=, label=, exited=, ancestor=
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
}

const HEADERS: &[(&str, &str)] = &[
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Status", "STATUS"),
    ("State", "STATE"),
    ("Ports", "PORTS"),
    ("Networks", "NETWORKS"),
    ("Names", "NAMES"),
    ("Labels", "LABELS"),
];

impl Verb for PsArgs {
    const NAME: &'static str = "ps";
    const ABOUT: &'static str = "List containers";
    const USAGE: &'static str = "[OPTIONS]";
    const AFTER_HELP: &'static str = "Examples:\n  conductor ps -a\n  conductor ps -aq --filter status=exited\n  \
                                    conductor ps --format '{{.Names}}\\t{{.Status}}'";
    const GROUP: Group = Group::Common;

    fn run(self, context: &Context) -> Outcome {
        let format = Format::parse(self.format.as_deref())?;
        let filters = self.filter.iter().map(|word| Filter::parse(word)).collect::<Result<Vec<_>, _>>()?;
        let asks_for_dead = filters.iter().any(|filter| matches!(filter, Filter::Status(_) | Filter::Exited(_)));
        let last = if self.latest { Some(1) } else { self.last.filter(|last| *last >= 0) };
        let engine = context.engine()?;
        let mut all = engine.list(self.all || asks_for_dead || last.is_some())?;
        all.retain(|container| Filter::all_fit(&filters, container));
        all.truncate(last.and_then(|last| usize::try_from(last).ok()).unwrap_or(usize::MAX));
        // A summary does not have them, and to look each container up costs more than to list it.
        let wants_networks = self.format.as_deref().is_some_and(|text| text == "json" || text.contains(".Networks"));
        let networks = |container: &Summary| match wants_networks {
            true => networks(&engine, container),
            false => String::new(),
        };
        ui::print(&self.render(&all, &format, Timestamp::now(), &networks)?).map(|()| ExitCode::SUCCESS)
    }
}

/// Returns the names of a container's networks, or what it has in place of one; nothing when it is gone.
fn networks(engine: &Engine, container: &Summary) -> String {
    let Ok(found) = engine.find(container.id.as_str()).and_then(|container| engine.inspect(&container)) else {
        return String::new();
    };
    let names: Vec<_> = found.network_settings.networks.into_keys().collect();
    if names.is_empty() { found.host_config.network_mode } else { names.join(",") }
}

/// Finds out which networks a container is on.
type Networks<'a> = &'a dyn Fn(&Summary) -> String;

impl PsArgs {
    fn render(
        &self,
        containers: &[Summary],
        format: &Format,
        now: Timestamp,
        networks: Networks<'_>,
    ) -> Result<String, Failure> {
        let id = |container: &Summary| match self.no_trunc {
            true => container.id.as_str().to_owned(),
            false => container.id.short().to_owned(),
        };
        if self.quiet {
            return Ok(containers.iter().map(|container| id(container) + "\n").collect());
        }
        if !matches!(format, Format::Table) {
            let fields = |container: &Summary| self.fields(container, id(container), now, networks(container));
            return list::render(format, HEADERS, &containers.iter().map(fields).collect::<Vec<_>>());
        }
        let mut table =
            Table::with_headers(&["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]);
        for container in containers {
            table.push(vec![
                id(container),
                container.image.clone(),
                self.command(container),
                ago(now, container.created),
                status(&container.state, now),
                container.ports.join(", "),
                container.name.to_string(),
            ]);
        }
        Ok(table.render())
    }

    fn command(&self, container: &Summary) -> String {
        let command = container.args.join(" ");
        match self.no_trunc || command.chars().count() <= 20 {
            true => quoted(&command),
            false => quoted(&(command.chars().take(19).collect::<String>() + "…")),
        }
    }

    fn fields(&self, container: &Summary, id: String, now: Timestamp, networks: String) -> Value {
        let labels: Vec<_> = container.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        json!({
            "ID": id,
            "Image": container.image,
            "Command": self.command(container),
            "CreatedAt": plain(container.created),
            "RunningFor": ago(now, container.created),
            "State": container.state.status.as_str(),
            "Status": status(&container.state, now),
            "Ports": container.ports.join(", "),
            "Networks": networks,
            "Names": container.name.as_str(),
            "Labels": labels.join(","),
            "Label": container.labels,
        })
    }
}

/// Returns how a container fares, in Docker's words.
pub(crate) fn status(state: &State, now: Timestamp) -> String {
    let lasted = |from: Option<Timestamp>| human_duration(from.map_or_else(Default::default, |from| since(now, from)));
    match state.status {
        Status::Created => "Created".to_owned(),
        Status::Running => match state.health.as_ref().map(|health| health.status) {
            None => format!("Up {}", lasted(state.started_at)),
            Some(HealthStatus::Starting) => format!("Up {} (health: starting)", lasted(state.started_at)),
            Some(health) => format!("Up {} ({})", lasted(state.started_at), health.as_str()),
        },
        Status::Exited => format!("Exited ({}) {} ago", state.exit_code, lasted(state.finished_at)),
        Status::Restarting => format!("Restarting ({}) {} ago", state.exit_code, lasted(state.finished_at)),
        Status::Dead => "Dead".to_owned(),
    }
}

/// Quotes a command so that no control character of it reaches the terminal.
fn quoted(command: &str) -> String {
    let mut text = String::from('"');
    for c in command.chars() {
        match c {
            '\'' => text.push(c),
            _ => text.extend(c.escape_debug()),
        }
    }
    text.push('"');
    text
}

/// One `--filter`.
#[derive(Debug, PartialEq, Eq)]
enum Filter {
    Name(String),
    Id(String),
    Status(String),
    Label(String, Option<String>),
    Exited(i32),
    Ancestor(String),
    Health(String),
}

const STATUSES: [&str; 5] = ["created", "running", "restarting", "exited", "dead"];

impl Filter {
    fn parse(word: &str) -> Result<Self, Failure> {
        let wrong = |why: &str| Failure::message(format!("invalid value for --filter: {word:?} {why}"));
        let (key, value) = word.split_once('=').ok_or_else(|| wrong("is not KEY=VALUE"))?;
        let value = value.to_owned();
        Ok(match key {
            "name" => Self::Name(value),
            "id" => Self::Id(value),
            "status" if STATUSES.contains(&value.as_str()) => Self::Status(value),
            "status" => return Err(wrong("is no status: use created, running, restarting, exited or dead")),
            "label" => match value.split_once('=') {
                Some((key, value)) => Self::Label(key.to_owned(), Some(value.to_owned())),
                None => Self::Label(value, None),
            },
            "exited" => Self::Exited(value.parse().map_err(|_| wrong("is no exit code"))?),
            "ancestor" => Self::Ancestor(value),
            "health" if ["none", "starting", "healthy", "unhealthy"].contains(&value.as_str()) => Self::Health(value),
            "health" => return Err(wrong("is no health: use none, starting, healthy or unhealthy")),
            _ => return Err(wrong("has an unknown key: use name, id, status, health, label, exited or ancestor")),
        })
    }

    /// Filters of one key widen each other, those of several keys narrow, as in Docker; labels always narrow.
    fn all_fit(filters: &[Self], container: &Summary) -> bool {
        filters.iter().all(|filter| match filter {
            Self::Label(..) => filter.fits(container),
            _ => filters.iter().filter(|other| other.same_key(filter)).any(|other| other.fits(container)),
        })
    }

    fn same_key(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    fn fits(&self, container: &Summary) -> bool {
        match self {
            Self::Name(pattern) => name_fits(pattern, container.name.as_str()),
            Self::Id(prefix) => container.id.as_str().starts_with(prefix.as_str()),
            Self::Status(status) => container.state.status.as_str() == status,
            Self::Label(key, None) => container.labels.contains_key(key),
            Self::Label(key, Some(value)) => container.labels.get(key) == Some(value),
            Self::Exited(code) => container.state.status == Status::Exited && container.state.exit_code == *code,
            Self::Health(health) => {
                container.state.health.as_ref().map_or("none", |found| found.status.as_str()) == health
            }
            Self::Ancestor(image) => {
                container.image == *image || container.image.strip_suffix(":latest") == Some(image)
            }
        }
    }
}

/// A name fits when it holds the pattern; `^` and `$` bind it to the beginning and the end. Docker's leading `/` is passed over.
fn name_fits(pattern: &str, name: &str) -> bool {
    let bound = pattern.strip_prefix('^');
    let pattern = bound.unwrap_or(pattern);
    let pattern = pattern.strip_prefix('/').unwrap_or(pattern);
    match (bound.is_some(), pattern.strip_suffix('$')) {
        (true, Some(whole)) => name == whole,
        (true, None) => name.starts_with(pattern),
        (false, Some(end)) => name.ends_with(end),
        (false, None) => name.contains(pattern),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::ContainerId;

    const NOW: &str = "2026-01-02T00:00:00Z";

    fn container(name: &str, state: State) -> Summary {
        Summary {
            id: ContainerId::from_bytes([0xab; 32]),
            name: name.parse().unwrap(),
            image: "mydebian".to_owned(),
            args: vec!["sleep".to_owned(), "a very long time".to_owned()],
            created: "2026-01-01T23:58:00Z".parse().unwrap(),
            labels: [("role".to_owned(), "web".to_owned())].into(),
            ports: if name == "eg" { vec!["0.0.0.0:80->80/tcp".into(), "[::]:80->80/tcp".into()] } else { Vec::new() },
            state,
        }
    }

    fn containers() -> Vec<Summary> {
        let at = |time: &str| Some(time.parse().unwrap());
        let up = State { status: Status::Running, started_at: at("2026-01-01T23:59:55Z"), ..State::default() };
        let down =
            State { status: Status::Exited, exit_code: 3, finished_at: at("2026-01-01T23:00:00Z"), ..State::default() };
        vec![container("eg", up), container("web-1", down), container("new", State::default())]
    }

    fn ps(line: &str) -> String {
        let words: Vec<_> = line.split_terminator('|').map(Into::into).collect();
        let (args, _) = super::super::read::<PsArgs>("conductor ps", &words).unwrap();
        let format = Format::parse(args.format.as_deref()).unwrap();
        args.render(&containers(), &format, NOW.parse().unwrap(), &|_| "front".to_owned()).unwrap()
    }

    #[test]
    fn the_table_is_docker_s() {
        insta::assert_snapshot!(ps(""), @r#"
        CONTAINER ID   IMAGE      COMMAND                  CREATED         STATUS                         PORTS                                 NAMES
        abababababab   mydebian   "sleep a very long t…"   2 minutes ago   Up 5 seconds                   0.0.0.0:80->80/tcp, [::]:80->80/tcp   eg
        abababababab   mydebian   "sleep a very long t…"   2 minutes ago   Exited (3) About an hour ago                                         web-1
        abababababab   mydebian   "sleep a very long t…"   2 minutes ago   Created                                                              new
        "#);
    }

    #[test]
    fn templates_see_docker_s_fields() {
        assert_eq!(
            ps("--format|{{.Names}} {{.State}} {{.Label \"role\"}}"),
            "eg running web\nweb-1 exited web\nnew created web\n"
        );
        assert_eq!(
            ps("--format|{{.Networks}} {{.Ports}}|-l"),
            "front 0.0.0.0:80->80/tcp, [::]:80->80/tcp\nfront \nfront \n"
        );
        assert_eq!(ps("-q"), "abababababab\n".repeat(3));
        assert_eq!(ps("-q|--no-trunc").lines().next().unwrap().len(), 64);
        assert!(ps("--format|json").starts_with(
            "{\"Command\":\"\\\"sleep a very long t…\\\"\",\"CreatedAt\":\"2026-01-01 23:58:00 +0000 UTC\""
        ));
        assert!(ps("--format|table {{.Names}}\\t{{.Label \"role\"}}").starts_with("NAMES"));
    }

    #[test]
    fn filters_of_one_key_widen_and_of_several_narrow() {
        let names = |words: &[&str]| {
            let filters: Vec<_> = words.iter().map(|word| Filter::parse(word).unwrap()).collect();
            let all = containers();
            let fitting = all.iter().filter(|container| Filter::all_fit(&filters, container));
            fitting.map(|container| container.name.to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(&["name=e"]), "eg web-1 new");
        assert_eq!(names(&["name=^/eg$"]), "eg");
        assert_eq!(names(&["name=eg", "name=new"]), "eg new");
        assert_eq!(names(&["name=e", "status=exited"]), "web-1");
        assert_eq!(names(&["exited=3"]), "web-1");
        assert_eq!(names(&["label=role=web", "label=none"]), "");
        assert_eq!(names(&["ancestor=mydebian", "id=ab"]), "eg web-1 new");
        for bad in ["name", "color=red", "status=happy", "exited=x"] {
            assert!(Filter::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_command_cannot_speak_to_the_terminal() {
        assert_eq!(quoted("sh -c 'a\x1b[2J\n\"'"), r#""sh -c 'a\u{1b}[2J\n\"'""#);
    }
}
