//! What the host has: the mounted hierarchies, and which of them is the home of a controller.
//!
//! A host is pure v2 (one tree, all controllers), pure v1 (a tree for each set of controllers) or hybrid (v1 trees beside
//! a v2 tree that has the remaining controllers, or none). Nothing outside this file asks which: everything asks
//! [`Hierarchies::home`] where a controller lives.

use std::fmt;
use std::path::{Path, PathBuf};

use sys::{Calling, Errno};

/// A controller of the kernel. `Io` is called blkio in v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the kernel's names")]
pub enum Controller {
    Cpu,
    Cpuacct,
    Cpuset,
    Devices,
    Freezer,
    Hugetlb,
    Io,
    Memory,
    Misc,
    NetCls,
    NetPrio,
    PerfEvent,
    Pids,
    Rdma,
}

impl Controller {
    const ALL: [Self; 14] = [
        Self::Cpu,
        Self::Cpuacct,
        Self::Cpuset,
        Self::Devices,
        Self::Freezer,
        Self::Hugetlb,
        Self::Io,
        Self::Memory,
        Self::Misc,
        Self::NetCls,
        Self::NetPrio,
        Self::PerfEvent,
        Self::Pids,
        Self::Rdma,
    ];

    /// Returns the kernel's name, v2's where the two differ.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cpuacct => "cpuacct",
            Self::Cpuset => "cpuset",
            Self::Devices => "devices",
            Self::Freezer => "freezer",
            Self::Hugetlb => "hugetlb",
            Self::Io => "io",
            Self::Memory => "memory",
            Self::Misc => "misc",
            Self::NetCls => "net_cls",
            Self::NetPrio => "net_prio",
            Self::PerfEvent => "perf_event",
            Self::Pids => "pids",
            Self::Rdma => "rdma",
        }
    }

    /// Looks up a controller by the kernel's name, v1's or v2's.
    pub fn by_name(name: &str) -> Option<Self> {
        let name = if name == "blkio" { "io" } else { name };
        Self::ALL.into_iter().find(|controller| controller.name() == name)
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of controllers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ControllerSet(u16);

impl ControllerSet {
    /// Tells whether the set has `controller`.
    pub fn contains(self, controller: Controller) -> bool {
        self.0 & (1 << controller as u16) != 0
    }

    /// Tells whether the set has all of `other`.
    pub fn contains_all(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Adds `controller`.
    pub fn insert(&mut self, controller: Controller) {
        self.0 |= 1 << controller as u16;
    }

    /// Returns what both sets have.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Tells whether the set has none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Iterates over the controllers, in the order of their names.
    pub fn iter(self) -> impl Iterator<Item = Controller> {
        Controller::ALL.into_iter().filter(move |controller| self.contains(*controller))
    }

    /// Reads the names between `separator`s; names that are none of a controller's are left out.
    pub fn parse(text: &str, separator: char) -> Self {
        text.trim().split(separator).filter_map(Controller::by_name).collect()
    }
}

impl FromIterator<Controller> for ControllerSet {
    fn from_iter<I: IntoIterator<Item = Controller>>(controllers: I) -> Self {
        let mut set = Self::default();
        controllers.into_iter().for_each(|controller| set.insert(controller));
        set
    }
}

/// One mounted tree and the controllers that live in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// Its controllers; a v2 tree on a hybrid host may have none.
    pub controllers: ControllerSet,
}

/// Which form of interface a controller has, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home<'h> {
    /// A v1 tree.
    V1(&'h Hierarchy),
    /// The v2 tree.
    V2(&'h Hierarchy),
}

/// The cgroup trees of the host. See the module for the three kinds of hosts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hierarchies {
    v1: Vec<Hierarchy>,
    v2: Option<Hierarchy>,
}

/// Why the host's hierarchies could not be found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DetectError {
    /// A file that tells of them could not be read.
    #[error("cannot find the cgroup hierarchies")]
    Read(#[from] sys::Error),
    /// Nothing is mounted.
    #[error("no cgroup hierarchy is mounted: mount one, as in mount -t cgroup2 none /sys/fs/cgroup")]
    None,
}

const USUAL_MOUNT: &str = "/sys/fs/cgroup";

impl Hierarchies {
    /// Finds the hierarchies of the host: three system calls where v2 is at its usual place, else a look at the mounts.
    pub fn detect() -> Result<Self, DetectError> {
        let controllers = Path::new(USUAL_MOUNT).join("cgroup.controllers");
        // Only a v2 tree has this file, so that it stands for the statfs as well.
        match std::fs::read_to_string(&controllers) {
            Ok(text) => Ok(Self::v2_only(USUAL_MOUNT, ControllerSet::parse(&text, ' '))),
            Err(_) => Self::detect_from_mounts(),
        }
    }

    fn detect_from_mounts() -> Result<Self, DetectError> {
        let file = "/proc/self/mountinfo";
        let text = std::fs::read_to_string(file).call(|| format!("open({file})"))?;
        let mut found = Self::parse_mounts(&text);
        if let Some(tree) = &mut found.v2 {
            let file = tree.mount.join("cgroup.controllers");
            match std::fs::read_to_string(&file).call(|| format!("open({})", file.display())) {
                Ok(text) => tree.controllers = ControllerSet::parse(&text, ' '),
                Err(error) if error.errno() == Errno::NOENT => {}
                Err(error) => return Err(error.into()),
            }
        }
        if found.v1.is_empty() && found.v2.is_none() { Err(DetectError::None) } else { Ok(found) }
    }

    /// Describes a pure v2 host.
    pub fn v2_only(mount: impl Into<PathBuf>, controllers: ControllerSet) -> Self {
        Self { v1: Vec::new(), v2: Some(Hierarchy { mount: mount.into(), controllers }) }
    }

    /// Describes a host of v1 trees, with a v2 tree beside them or without.
    pub fn new(v1: Vec<Hierarchy>, v2: Option<Hierarchy>) -> Self {
        Self { v1, v2 }
    }

    /// Reads the trees out of mountinfo(5). Which controllers a v2 tree has is not told there.
    fn parse_mounts(text: &str) -> Self {
        let mut found = Self::default();
        for (mount, kind, options) in text.lines().filter_map(parse_mount) {
            let controllers = ControllerSet::parse(options, ',');
            match kind {
                "cgroup2" if found.v2.is_none() => found.v2 = Some(Hierarchy { mount, controllers }),
                // A tree without controllers (name=systemd) limits nothing and is its owner's.
                "cgroup" if !controllers.is_empty() && found.v1.iter().all(|seen| seen.controllers != controllers) => {
                    found.v1.push(Hierarchy { mount, controllers });
                }
                _ => {}
            }
        }
        found
    }

    /// Returns the v1 trees.
    pub fn v1(&self) -> &[Hierarchy] {
        &self.v1
    }

    /// Returns the v2 tree.
    pub fn v2(&self) -> Option<&Hierarchy> {
        self.v2.as_ref()
    }

    /// Tells whether the host is pure v2.
    pub fn is_pure_v2(&self) -> bool {
        self.v1.is_empty() && self.v2.is_some()
    }

    /// Returns where `controller` lives. On v2 the kernel has no controller for devices and freezing: every cgroup can.
    pub fn home(&self, controller: Controller) -> Option<Home<'_>> {
        if let Some(tree) = self.v1.iter().find(|tree| tree.controllers.contains(controller)) {
            return Some(Home::V1(tree));
        }
        let innate = matches!(controller, Controller::Devices | Controller::Freezer | Controller::Cpuacct);
        self.v2.as_ref().filter(|tree| innate || tree.controllers.contains(controller)).map(Home::V2)
    }

    /// Iterates over the mount points of all trees, the v2 tree last.
    pub fn mounts(&self) -> impl Iterator<Item = &Path> {
        self.v1.iter().chain(&self.v2).map(|tree| tree.mount.as_path())
    }
}

/// Reads mount point, type and super options out of a line of mountinfo(5), if it is a cgroup's.
fn parse_mount(line: &str) -> Option<(PathBuf, &str, &str)> {
    let (left, right) = line.split_once(" - cgroup")?;
    let mount = left.split(' ').nth(4)?;
    let (kind, right) = right.split_once(' ')?;
    let options = right.split_once(' ').map_or("", |(_, options)| options);
    let kind = if kind == "2" { "cgroup2" } else { "cgroup" };
    Some((PathBuf::from(mount.replace(r"\040", " ")), kind, options))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
38 31 0:35 / /sys/fs/cgroup/blkio rw,relatime - cgroup cgroup rw,blkio
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
52 23 0:35 / /elsewhere rw,relatime - cgroup cgroup rw,blkio";

    #[test]
    fn a_hybrid_host_is_read_from_its_mounts() {
        let found = Hierarchies::parse_mounts(HYBRID);
        let mounts: Vec<_> = found.mounts().map(|mount| mount.to_str().unwrap()).collect();
        assert_eq!(mounts, ["/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/blkio", "/sys/fs/cgroup/unified"]);
        assert!(matches!(found.home(Controller::Io), Some(Home::V1(_))));
        assert!(matches!(found.home(Controller::Cpuacct), Some(Home::V1(_))));
        assert_eq!(found.home(Controller::Memory), None);
        assert!(matches!(found.home(Controller::Devices), Some(Home::V2(_))));
        assert!(!found.is_pure_v2());
    }

    #[test]
    fn controllers_are_read_by_either_versions_names() {
        let set = ControllerSet::parse("cpuset cpu io memory hugetlb pids rdma misc dmem\n", ' ');
        assert!(set.contains(Controller::Io) && set.contains(Controller::Misc));
        assert_eq!(ControllerSet::parse("rw,blkio", ','), [Controller::Io].into_iter().collect());
        assert!(set.contains_all([Controller::Cpu, Controller::Pids].into_iter().collect()));
        let names: Vec<_> = set.iter().map(Controller::name).collect();
        assert_eq!(names, ["cpu", "cpuset", "hugetlb", "io", "memory", "misc", "pids", "rdma"]);
    }
}
