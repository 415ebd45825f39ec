//! What is there before a round and must be no more after it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::Census;

use crate::context::Context;

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
        let below = ["containers", "container-names", "volumes", "tmp"].map(|name| root.join(name));
        let state = context.state();
        let mut directories: Vec<&Path> = below.iter().map(AsRef::as_ref).collect();
        directories.push(&state);
        let mut others = BTreeSet::new();
        cgroups(&mut others);
        others.extend(processes(context).into_iter().map(|(pid, words)| format!("process: {pid} {words}")));
        let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        others.insert(format!("descriptors of the harness: {descriptors}"));
        if let Ok(rules) = Command::new("nft").args(["list", "ruleset"]).output() {
            let lines = rules.stdout.iter().filter(|byte| **byte == b'\n').count();
            others.insert(format!("lines of nft's rules: {lines}"));
        }
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

/// Reads the ID of the container for which a process of ours works: a monitor of any kind has it in its order.
pub(crate) fn id_of(words: &str) -> Option<String> {
    let (_, rest) = words.split_once("\"id\":\"")?;
    rest.get(..64).map(str::to_owned)
}

/// Collects the cgroups below `conductor` of every hierarchy. One that holds processes is told of by these, and may belong to
/// another engine.
fn cgroups(found: &mut BTreeSet<String>) {
    let root = Path::new("/sys/fs/cgroup");
    for hierarchy in std::iter::once(root.to_owned()).chain(directories(root)) {
        let mut open = directories(&hierarchy.join("conductor"));
        while let Some(directory) = open.pop() {
            if std::fs::read(directory.join("cgroup.procs")).is_ok_and(|procs| procs.is_empty()) {
                found.insert(format!("cgroup: {}", directory.display()));
            }
            open.extend(directories(&directory));
        }
    }
}

fn directories(above: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(above).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}
