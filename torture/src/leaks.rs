//! What is there before a round and must be no more after it.

use std::collections::BTreeSet;
use std::path::Path;
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
        cgroups(Path::new("/sys/fs/cgroup"), false, &mut others);
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
        more.retain(|line| !line.ends_with("/state/swept"));
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

/// Collects the directories of cgroups below any that is called `conductor`.
fn cgroups(directory: &Path, inside: bool, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if inside {
            found.insert(format!("cgroup: {}", entry.path().display()));
        }
        cgroups(&entry.path(), inside || entry.file_name() == "conductor", found);
    }
}
