//! `info`: what this host and this engine have, as they are found and not as they are documented.

use std::process::ExitCode;

use cgroup::{Controller, Hierarchies};
use clap::Args;
use engine::Status;
use serde_json::{Map, Value, json};
use store::snapshot::SnapshotterKind;

use super::version::{VERSION, architecture, kernel_release};
use super::{Group, Verb};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;
use crate::ui::list::{self, Format};
use crate::ui::size::binary_size;

/// Print what this host and this engine have
#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    /// Print in this form: json, or a template
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
}

impl Verb for InfoArgs {
    const NAME: &'static str = "info";
    const ABOUT: &'static str = "Print what this host and this engine have";
    const USAGE: &'static str = "[OPTIONS]";
    const GROUP: Group = Group::Engine;

    fn run(self, context: &Context) -> Outcome {
        let format = Format::parse(self.format.as_deref())?;
        let facts = facts(context)?;
        let text = match format {
            Format::Table => lines(&facts),
            format => list::render(&format, &[], &[Value::Object(facts)])?,
        };
        ui::print(&text).map(|()| ExitCode::SUCCESS)
    }
}

/// Collects what there is, under the names that Docker's `info` has where it has one.
fn facts(context: &Context) -> Result<Map<String, Value>, Failure> {
    let containers = context.engine()?.list(true)?;
    let running = containers.iter().filter(|container| container.state.status == Status::Running).count();
    let hierarchies = Hierarchies::detect().ok();
    let mut facts = Map::new();
    let mut fact = |name: &str, value: Value| facts.insert(name.to_owned(), value);
    fact("ServerVersion", VERSION.into());
    fact("Containers", containers.len().into());
    fact("ContainersRunning", running.into());
    fact("ContainersStopped", (containers.len() - running).into());
    fact("Images", context.store()?.images().list()?.len().into());
    fact("Driver", driver(context.settings()?.snapshotter).into());
    fact("LoggingDriver", "json-file".into());
    fact("CgroupDriver", "cgroupfs".into());
    fact("CgroupVersion", cgroup_version(hierarchies.as_ref()).into());
    fact("CgroupControllers", controllers(hierarchies.as_ref()).into());
    fact("SecurityOptions", json!(["seccomp: builtin", "no-new-privileges"]));
    fact("KernelVersion", kernel_release().into());
    fact("OperatingSystem", operating_system().into());
    fact("OSType", "linux".into());
    fact("Architecture", architecture().into());
    fact("NCPU", processors().into());
    fact("MemTotal", memory().into());
    fact("Name", first_line("/proc/sys/kernel/hostname").into());
    fact("DockerRootDir", context.root()?.display().to_string().into());
    fact("StateDir", context.state()?.display().to_string().into());
    fact("Daemon", "none".into());
    fact("Warnings", warnings(hierarchies.as_ref()).into());
    Ok(facts)
}

fn driver(snapshotter: SnapshotterKind) -> &'static str {
    match snapshotter {
        SnapshotterKind::Auto => "overlay over EROFS, or over directories where that cannot be mounted",
        SnapshotterKind::Erofs => "overlay over EROFS",
        SnapshotterKind::Directory => "overlay over directories",
    }
}

fn cgroup_version(hierarchies: Option<&Hierarchies>) -> &'static str {
    match hierarchies {
        None => "none",
        Some(found) if found.is_pure_v2() => "2",
        Some(found) if found.v2().is_some() => "hybrid",
        Some(_) => "1",
    }
}

const LIMITING: [(Controller, &str); 5] = [
    (Controller::Cpu, "--cpus"),
    (Controller::Cpuset, "--cpuset-cpus"),
    (Controller::Memory, "--memory"),
    (Controller::Pids, "--pids-limit"),
    (Controller::Io, "limits of block devices"),
];

fn controllers(hierarchies: Option<&Hierarchies>) -> Vec<&'static str> {
    let has = |controller| hierarchies.is_some_and(|found| found.home(controller).is_some());
    LIMITING.iter().filter(|(controller, _)| has(*controller)).map(|(controller, _)| controller.name()).collect()
}

fn warnings(hierarchies: Option<&Hierarchies>) -> Vec<String> {
    let mut warnings = Vec::new();
    for (controller, option) in LIMITING {
        if hierarchies.is_none_or(|found| found.home(controller).is_none()) {
            warnings.push(format!("the host has no {} controller: {option} cannot be enforced", controller.name()));
        }
    }
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    for name in ["overlay", "erofs"] {
        if !known.lines().any(|line| line.split_whitespace().last() == Some(name)) {
            warnings.push(format!("the kernel has not loaded {name}: modprobe {name}"));
        }
    }
    warnings
}

fn operating_system() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned())
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}

fn memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kibibytes =
        text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

fn first_line(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

/// Returns the facts as lines for people, in an order for reading.
fn lines(facts: &Map<String, Value>) -> String {
    const SHOWN: [(&str, &str); 20] = [
        ("Version", "ServerVersion"),
        ("Daemon", "Daemon"),
        ("Containers", "Containers"),
        (" Running", "ContainersRunning"),
        (" Stopped", "ContainersStopped"),
        ("Images", "Images"),
        ("Storage Driver", "Driver"),
        ("Logging Driver", "LoggingDriver"),
        ("Cgroup Driver", "CgroupDriver"),
        ("Cgroup Version", "CgroupVersion"),
        ("Cgroup Controllers", "CgroupControllers"),
        ("Security Options", "SecurityOptions"),
        ("Kernel Version", "KernelVersion"),
        ("Operating System", "OperatingSystem"),
        ("Architecture", "Architecture"),
        ("CPUs", "NCPU"),
        ("Total Memory", "MemTotal"),
        ("Name", "Name"),
        ("Root Dir", "DockerRootDir"),
        ("State Dir", "StateDir"),
    ];
    let line = |(label, name): &(&str, &str)| format!("{label}: {}\n", plain(name, &facts[*name]));
    let warnings = facts["Warnings"].as_array().into_iter().flatten();
    let warnings = warnings.map(|warning| format!("WARNING: {}\n", warning.as_str().unwrap_or_default()));
    SHOWN.iter().map(line).chain(warnings).collect()
}

fn plain(name: &str, value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if name == "MemTotal" => binary_size(number.as_u64().unwrap_or(0)),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
