//! A cgroup of the test's own in every hierarchy, which the test and all that it starts see as the root.
//!
//! What is below it when the test is over was left behind by what the test ran, and every process in it was started by
//! the test, however far it has run from its parents.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use sys::namespace::{self, NamespaceKind};

/// The place of the test itself below its own root. On v2 a cgroup whose controllers are passed on holds no process.
const LEAF: &str = "testkit";

/// The cgroups of one sandbox.
#[derive(Debug)]
pub(crate) struct Cgroups {
    hierarchies: Vec<Hierarchy>,
}

/// One hierarchy: where the test came from, and its own root in it.
#[derive(Debug)]
struct Hierarchy {
    /// Where it is mounted.
    mount: PathBuf,
    /// The options that mount it.
    options: String,
    is_v2: bool,
    /// The file through which the thread goes back to where it came from.
    home: File,
    /// The hierarchy's true root, and the name of the sandbox's own cgroup below it.
    root: OwnedFd,
    name: String,
}

impl Cgroups {
    /// Moves the calling thread (on v2 its process) into new cgroups, and makes these the roots that it sees.
    ///
    /// The calling thread must be in a mount namespace of its own already.
    pub(crate) fn enter(name: &str) -> Self {
        let membership = read("/proc/thread-self/cgroup");
        // On v2 all threads of a process are in one cgroup, so there only a process that is one test can move. Nextest
        // makes such processes and says so.
        let is_alone = std::env::var_os("NEXTEST").is_some();
        let movable = mounts().into_iter().filter(|(.., is_v2)| is_alone || !is_v2);
        let hierarchies: Vec<_> = movable.map(|mount| Hierarchy::enter(mount, name, &membership)).collect();
        namespace::unshare(&[NamespaceKind::Cgroup]).expect("a cgroup namespace");
        for hierarchy in &hierarchies {
            hierarchy.remount();
            hierarchy.step_aside();
        }
        Self { hierarchies }
    }

    /// Lists what is below the sandbox's roots, as `HIERARCHY PATH`. The common parent of all containers may stay.
    pub(crate) fn left_behind(&self) -> Vec<String> {
        let mut left = Vec::new();
        for hierarchy in &self.hierarchies {
            let own = hierarchy.own();
            for directory in directories(&own).iter().skip(1) {
                let path = directory.strip_prefix(&own).unwrap_or(directory);
                if path != Path::new(LEAF) && path != Path::new("conductor") {
                    left.push(format!("{} {}", hierarchy.mount.display(), path.display()));
                }
            }
        }
        left
    }

    /// Lists the processes below the sandbox's roots, the test itself left out.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let mut found = Vec::new();
        for hierarchy in &self.hierarchies {
            // On v2 the whole process of the test is here, with whatever other tests it runs in its other threads.
            for directory in directories(&hierarchy.own()) {
                let text = std::fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
                found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
            }
        }
        found.sort_unstable();
        found.dedup();
        found.retain(|pid| *pid != sys::process::id() && *pid != 0);
        found
    }

    /// Goes back to where the test came from and removes the sandbox's cgroups.
    pub(crate) fn leave(&mut self) {
        for mut hierarchy in self.hierarchies.drain(..) {
            let _ = hierarchy.home.write_all(b"0");
            let mut directories = directories(&hierarchy.own());
            directories.reverse();
            for directory in directories {
                remove(&directory);
            }
        }
    }
}

impl Hierarchy {
    fn enter((mount, options, is_v2): (PathBuf, String, bool), name: &str, membership: &str) -> Self {
        let file = if is_v2 { "cgroup.procs" } else { "tasks" };
        let before = member_of(membership, &options, is_v2);
        let home = write_to(&mount.join(before.trim_start_matches('/')).join(file));
        let root = OwnedFd::from(File::open(&mount).expect("the root of a hierarchy"));
        let hierarchy = Self { mount, options, is_v2, home, root, name: name.to_owned() };
        let own = hierarchy.own();
        std::fs::create_dir(&own).unwrap_or_else(|error| panic!("cannot make {}: {error}", own.display()));
        hierarchy.open_to_processes(&own);
        write_to(&own.join(file)).write_all(b"0").expect("a place in the sandbox's cgroup");
        hierarchy
    }

    /// The sandbox's own cgroup, by a path that holds whatever is mounted where.
    fn own(&self) -> PathBuf {
        PathBuf::from(format!("/proc/thread-self/fd/{}/{}", self.root.as_raw_fd(), self.name))
    }

    /// Gives a new cgroup what it needs before it takes a process: a v1 cpuset its CPUs, v2 its controllers.
    fn open_to_processes(&self, own: &Path) {
        let parent = own.parent().expect("the hierarchy's root");
        if self.is_v2 {
            pass_on_controllers(parent);
        }
        for name in ["cpuset.cpus", "cpuset.mems"].iter().filter(|name| !self.is_v2 && own.join(name).exists()) {
            let text = read(parent.join(name));
            write_to(&own.join(name)).write_all(text.trim().as_bytes()).expect("CPUs for the sandbox's cpuset");
        }
    }

    /// Mounts the hierarchy anew in its place, so that it begins at the sandbox's own cgroup.
    fn remount(&self) {
        sys::mount::unmount(&self.mount).expect("the old mount of a hierarchy");
        let mut filesystem =
            sys::mount::Filesystem::open(if self.is_v2 { "cgroup2" } else { "cgroup" }).expect("cgroup");
        for option in self.options.split(',').filter(|option| !self.is_v2 && !option.is_empty()) {
            filesystem = match option.split_once('=') {
                Some((key, value)) => filesystem.option(key, value),
                None => filesystem.flag(option),
            }
            .expect("a controller's name");
        }
        let mount = filesystem.mount(sys::mount::MountAttrFlags::empty()).expect("a mount of a hierarchy");
        let place = sys::path::open_host(&self.mount).expect("the place of a hierarchy");
        sys::mount::attach(mount, place).expect("a mount in its place");
    }

    /// On v2, moves the test into a leaf, so that its root can pass controllers on.
    fn step_aside(&self) {
        if self.is_v2 {
            let leaf = self.mount.join(LEAF);
            std::fs::create_dir(&leaf).expect("a leaf for the test");
            write_to(&leaf.join("cgroup.procs")).write_all(b"0").expect("a place in the leaf");
        }
    }
}

/// Returns place, options and kind of each mounted hierarchy, as the calling thread sees them.
fn mounts() -> Vec<(PathBuf, String, bool)> {
    let table = read("/proc/thread-self/mountinfo");
    let hierarchy = |line: &str| {
        let (place, kind) = line.split_once(" - ")?;
        let place = PathBuf::from(place.split(' ').nth(4)?);
        let mut words = kind.split(' ');
        let kind = words.next()?;
        // The options of the file system come last; "rw" is the mount's business.
        let options = words.nth(1).unwrap_or_default().trim_start_matches("rw").trim_start_matches("ro");
        let options = options.split(',').filter(|option| *option != "xattr").collect::<Vec<_>>().join(",");
        kind.starts_with("cgroup").then(|| (place, options.trim_matches(',').to_owned(), kind == "cgroup2"))
    };
    table.lines().filter_map(hierarchy).collect()
}

/// Returns the cgroup of the calling thread in one hierarchy, by the text of `/proc/PID/cgroup`.
fn member_of<'a>(membership: &'a str, options: &str, is_v2: bool) -> &'a str {
    let path = |line: &'a str| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let same = if is_v2 { controllers.is_empty() } else { !controllers.is_empty() && controllers == options };
        same.then_some(path)
    };
    membership.lines().find_map(path).unwrap_or("/")
}

fn pass_on_controllers(directory: &Path) {
    let all = read(directory.join("cgroup.controllers"));
    let wanted: Vec<_> = all.split_whitespace().map(|controller| format!("+{controller}")).collect();
    if !wanted.is_empty() {
        // Some need more than others (cpu wants no real-time processes), so each is asked for by itself.
        for controller in wanted {
            let _ = write_to(&directory.join("cgroup.subtree_control")).write_all(controller.as_bytes());
        }
    }
}

/// Lists a directory and all below it, parents first.
fn directories(top: &Path) -> Vec<PathBuf> {
    let mut found = vec![top.to_owned()];
    let mut next = 0;
    while let Some(directory) = found.get(next).cloned() {
        next += 1;
        let entries = std::fs::read_dir(&directory).into_iter().flatten().flatten();
        found.extend(
            entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()),
        );
    }
    found
}

/// Removes a cgroup. A thread that has just ended keeps it busy for a moment more, a process that was left behind for
/// longer; of that one, the test has been told.
fn remove(directory: &Path) {
    for _ in 0..500 {
        match std::fs::remove_dir(directory) {
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                std::thread::park_timeout(std::time::Duration::from_millis(1));
            }
            _ => return,
        }
    }
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

fn write_to(path: &Path) -> File {
    let file = OpenOptions::new().write(true).open(path);
    file.unwrap_or_else(|error| panic!("cannot open {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cgroup_of_a_thread_is_found_by_hierarchy() {
        let text = "3:cpu,cpuacct:/a\n2:name=systemd:/b\n0::/c\n";
        assert_eq!(member_of(text, "cpu,cpuacct", false), "/a");
        assert_eq!(member_of(text, "name=systemd", false), "/b");
        assert_eq!(member_of(text, "", true), "/c");
        assert_eq!(member_of(text, "pids", false), "/");
    }
}
