//! Counting what there is, before and after.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What a machine has that an engine could leave behind, as one thread sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Census {
    /// The mounts of the thread's mount namespace.
    pub mounts: BTreeSet<String>,
    /// The links of the thread's network namespace.
    pub links: BTreeSet<String>,
    /// The loop devices in use.
    pub loops: BTreeSet<String>,
    /// The files below the directories that were asked about; locks and directories are not counted.
    pub files: BTreeSet<PathBuf>,
}

impl Census {
    /// Counts now.
    pub fn take(directories: &[&Path]) -> Self {
        let mut files = BTreeSet::new();
        for directory in directories {
            collect(directory, &mut files);
        }
        Self { mounts: mounts(), links: links(), loops: loops(), files }
    }

    /// Says what is there now and was not before; empty if nothing is.
    pub fn more_than(&self, before: &Self) -> Vec<String> {
        let mut more = Vec::new();
        more.extend(self.mounts.difference(&before.mounts).map(|mount| format!("mount: {mount}")));
        more.extend(self.links.difference(&before.links).map(|link| format!("link: {link}")));
        more.extend(self.loops.difference(&before.loops).map(|device| format!("loop device: {device}")));
        more.extend(self.files.difference(&before.files).map(|file| format!("file: {}", file.display())));
        more
    }
}

fn mounts() -> BTreeSet<String> {
    let table = std::fs::read_to_string("/proc/thread-self/mountinfo").expect("the mount table");
    // Without the numbers, which say nothing about what is mounted where.
    table.lines().map(|line| line.split(' ').skip(3).collect::<Vec<_>>().join(" ")).collect()
}

fn links() -> BTreeSet<String> {
    let table = std::fs::read_to_string("/proc/thread-self/net/dev").expect("the table of links");
    table.lines().skip(2).filter_map(|line| line.split(':').next()).map(|name| name.trim().to_owned()).collect()
}

fn loops() -> BTreeSet<String> {
    let devices = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let used = devices.filter(|device| device.path().join("loop/backing_file").exists());
    used.map(|device| device.file_name().to_string_lossy().into_owned()).collect()
}

fn collect(directory: &Path, files: &mut BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => collect(&entry.path(), files),
            Ok(_) if !is_lock(&entry.path()) => drop(files.insert(entry.path())),
            _ => {}
        }
    }
}

fn is_lock(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "lock") || path.extension().is_some_and(|end| end == "lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_is_told_and_a_lock_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let before = Census::take(&[directory.path()]);
        std::fs::write(directory.path().join("names.lock"), "").unwrap();
        std::fs::create_dir(directory.path().join("d")).unwrap();
        std::fs::write(directory.path().join("d/f"), "").unwrap();
        let more = Census::take(&[directory.path()]).more_than(&before);
        assert_eq!(more, [format!("file: {}", directory.path().join("d/f").display())]);
    }
}
