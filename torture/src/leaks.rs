//! What is there before a round and must be no more after it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::Census;

use crate::context::Context;
use crate::peer::Engine;

/// Everything that is counted.
#[derive(Debug)]
pub(crate) struct Leaks {
    census: Census,
    others: BTreeSet<String>,
}

impl Leaks {
    /// Counts now.
    pub(crate) fn count(context: &Context) -> Self {
        let root = context.root();
        let below: Vec<PathBuf> = context.engine.directories().iter().map(|name| root.join(name)).collect();
        let state = context.state();
        let mut directories: Vec<&Path> = below.iter().map(AsRef::as_ref).collect();
        directories.push(&state);
        let mut others = BTreeSet::new();
        others.extend(empty_cgroups(context.engine).iter().map(|cgroup| format!("cgroup: {}", cgroup.display())));
        others.extend(processes(context).into_iter().map(|(pid, words)| format!("process: {pid} {words}")));
        let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        others.insert(format!("descriptors of the harness: {descriptors}"));
        if let Ok(rules) = Command::new("nft").args(["list", "ruleset"]).output() {
            others.extend(rules_of(&String::from_utf8_lossy(&rules.stdout)));
        }
        others.extend(leases(context));
        Self { census: Census::take(&directories), others }
    }

    /// Says what is there now and was not before.
    pub(crate) fn more_than(&self, before: &Self) -> Vec<String> {
        let mut more = self.census.more_than(&before.census);
        // The time of the last look at all runs is the engine's own furniture, one file whatever has run.
        more.retain(|line| !line.ends_with("/swept"));
        more.extend(self.others.difference(&before.others).cloned());
        more
    }
}

/// Returns the lines of nft's rules, each element of a set on one of its own, without what is counted.
fn rules_of(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.contains("counter packets"));
    let parts = lines.flat_map(|line| line.split(',')).map(|part| part.trim().trim_start_matches("elements = {"));
    parts.map(|part| format!("rule: {}", part.trim_end_matches('}').trim())).collect()
}

/// Returns the addresses that are leased in networks, with whom they are leased to.
fn leases(context: &Context) -> Vec<String> {
    let networks = directories(&context.state().join("networks"));
    let read = |network: PathBuf| -> Option<Vec<String>> {
        let names: serde_json::Value = serde_json::from_slice(&std::fs::read(network.join("names")).ok()?).ok()?;
        let endpoints = names.get("endpoints")?.as_object()?;
        Some(endpoints.iter().map(|(id, endpoint)| format!("lease: {id} {}", endpoint["addresses"])).collect())
    };
    networks.into_iter().filter_map(read).flatten().collect()
}

/// Lists the processes whose command line or environment carries our directories, with their words.
pub(crate) fn processes(context: &Context) -> Vec<(u32, String)> {
    let own = context.root().to_string_lossy().into_owned();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let told = |pid: u32| {
        let [words, environment] = ["cmdline", "environ"].map(|name| {
            let bytes = std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        });
        (words.contains(&own) || environment.contains(&own)).then_some((pid, words))
    };
    pids.filter_map(told).collect()
}

/// Reads the command line of a process; empty if there is none.
pub(crate) fn words_of(pid: u32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// Returns the cgroups of an engine without any process, those inside before those outside. One that holds processes is told
/// of by these, and may belong to another engine on this machine.
fn empty_cgroups(engine: Engine) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let mut found = Vec::new();
    for hierarchy in std::iter::once(root.to_owned()).chain(directories(root)) {
        let mut open = directories(&hierarchy.join(engine.cgroup()));
        while let Some(directory) = open.pop() {
            open.extend(directories(&directory));
            if std::fs::read(directory.join("cgroup.procs")).is_ok_and(|procs| procs.is_empty()) {
                found.push(directory);
            }
        }
    }
    found.reverse();
    found
}

/// Removes what an engine has left there.
pub(crate) fn clear_cgroups(engine: Engine) {
    empty_cgroups(engine).iter().for_each(|cgroup| drop(std::fs::remove_dir(cgroup)));
}

fn directories(above: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(above).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}
