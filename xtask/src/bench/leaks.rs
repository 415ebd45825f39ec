//! What there is on the machine that an engine could leave behind, counted before and after.
//!
//! The bench runs on the host as it is, where others may make and remove things as well. What counts is what is still
//! there after some patience.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use super::subjects::{Workplace, text};

/// How long the last to leave may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// All that is counted, each thing as a line that says what it is.
#[derive(Debug, Default)]
pub(super) struct Leaks(BTreeSet<String>);

impl Leaks {
    /// Counts now.
    pub(super) fn count(place: &Workplace) -> Self {
        let mut found = BTreeSet::new();
        found.extend(table("/proc/self/mountinfo").map(|line| {
            // Without the numbers, which say nothing about what is mounted where.
            format!("mount: {}", line.split(' ').skip(3).collect::<Vec<_>>().join(" "))
        }));
        found.extend(table("/proc/self/net/dev").filter_map(|line| Some(format!("link: {}", line.split_once(':')?.0))));
        found.extend(entries(Path::new("/sys/block")).filter_map(|device| {
            device.join("loop/backing_file").exists().then(|| format!("loop device: {}", device.display()))
        }));
        cgroups(Path::new("/sys/fs/cgroup"), false, &mut found);
        processes(&text(&place.path("root")), &mut found);
        for name in ["root", "state"] {
            files(&place.path(name), &mut found);
        }
        // The time of the last look at all runs is one file whatever has run.
        found.remove(&format!("file: {}", text(&place.path("state/swept"))));
        Self(found)
    }

    /// Says what is there now and was not before.
    pub(super) fn more_than(&self, before: &Self) -> Vec<String> {
        self.0.difference(&before.0).cloned().collect()
    }

    /// Counts until there is no more than before, and says what there still is.
    pub(super) fn left(place: &Workplace, before: &Self) -> Vec<String> {
        let start = Instant::now();
        loop {
            let left = Self::count(place).more_than(before);
            if left.is_empty() || start.elapsed() > PATIENCE {
                return left;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn table(path: &str) -> impl Iterator<Item = String> + use<> {
    let table = std::fs::read_to_string(path).unwrap_or_default();
    table.lines().map(str::to_owned).collect::<Vec<_>>().into_iter()
}

fn entries(directory: &Path) -> impl Iterator<Item = std::path::PathBuf> + use<> {
    std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Collects the cgroups below any that is called `conductor`.
fn cgroups(directory: &Path, inside: bool, found: &mut BTreeSet<String>) {
    for entry in entries(directory).filter(|entry| entry.is_dir() && !entry.is_symlink()) {
        if inside {
            found.insert(format!("cgroup: {}", entry.display()));
        }
        cgroups(&entry, inside || entry.ends_with("conductor"), found);
    }
}

/// Collects the processes whose words name the bench's directories: monitors carry them in their order.
fn processes(root: &str, found: &mut BTreeSet<String>) {
    for entry in entries(Path::new("/proc")) {
        let words = std::fs::read(entry.join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        if words.contains(root) {
            found.insert(format!("process: {} {words}", entry.display()));
        }
    }
}

/// Collects files and directories; locks are furniture.
fn files(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in entries(directory) {
        if entry.is_dir() && !entry.is_symlink() {
            found.insert(format!("directory: {}", entry.display()));
            files(&entry, found);
        } else if !entry.ends_with("lock") && entry.extension().is_none_or(|end| end != "lock") {
            found.insert(format!("file: {}", entry.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_came_is_told_and_a_lock_is_not() {
        let directory = std::env::temp_dir().join(format!("conductor-bench-leaks-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("containers")).unwrap();
        let count = || {
            let mut found = BTreeSet::new();
            files(&directory, &mut found);
            Leaks(found)
        };
        let before = count();
        std::fs::write(directory.join("names.lock"), "").unwrap();
        std::fs::write(directory.join("containers/left"), "").unwrap();
        let more = count().more_than(&before);
        let _ = std::fs::remove_dir_all(&directory);
        assert_eq!(more, [format!("file: {}/containers/left", directory.display())]);
    }
}
