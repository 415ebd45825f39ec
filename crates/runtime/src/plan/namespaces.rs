//! Which namespaces are made, joined, or left as the host's (runtime-spec, config-linux.md, "Namespaces").

use std::path::{Path, PathBuf};

use oci::runtime::{Linux, LinuxIdMapping, LinuxNamespaceType};
use sys::namespace::NamespaceKind;

/// The namespaces of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamespacePlan {
    /// Made new.
    pub new: Vec<NamespaceKind>,
    /// Joined by path.
    pub join: Vec<(NamespaceKind, PathBuf)>,
    /// How user IDs inside a new user namespace map to the host's.
    pub uid_map: Vec<IdMapping>,
    /// How group IDs map.
    pub gid_map: Vec<IdMapping>,
    /// Offsets of the clocks in a new time namespace.
    pub time_offsets: Vec<TimeOffset>,
}

/// A range of IDs that stands for another (user_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdMapping {
    /// The first ID inside.
    pub inside: u32,
    /// The first ID of the host.
    pub outside: u32,
    /// How many follow each other.
    pub size: u32,
}

/// How far a clock of a time namespace is ahead (time_namespaces(7)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeOffset {
    /// `monotonic` or `boottime`.
    pub clock: String,
    /// Seconds, behind if negative.
    pub seconds: i64,
    /// Nanoseconds on top.
    pub nanoseconds: u32,
}

/// Why the namespaces of a spec cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NamespaceError {
    /// The same kind twice.
    #[error("namespace {0} is named twice")]
    Twice(NamespaceKind),
    /// A path must be absolute.
    #[error("the path {1:?} of namespace {0} is not absolute")]
    Relative(NamespaceKind, PathBuf),
    /// Something needs a namespace of the container's own.
    #[error("{what} needs a {kind} namespace of the container's own")]
    Needed {
        /// What needs it.
        what: &'static str,
        /// Which kind.
        kind: NamespaceKind,
    },
    /// A user namespace without mappings has no IDs.
    #[error("a new user namespace needs uidMappings and gidMappings")]
    NoMappings,
}

impl NamespacePlan {
    /// Tells whether the container has its own namespace of a kind, new or joined.
    pub fn has(&self, kind: NamespaceKind) -> bool {
        self.new.contains(&kind) || self.joined(kind).is_some()
    }

    /// Tells whether a namespace of a kind is made new.
    pub fn makes(&self, kind: NamespaceKind) -> bool {
        self.new.contains(&kind)
    }

    /// Returns the path of the namespace of a kind that is joined.
    pub fn joined(&self, kind: NamespaceKind) -> Option<&Path> {
        self.join.iter().find(|(joined, _)| *joined == kind).map(|(_, path)| path.as_path())
    }

    /// Tells whether the container has a user namespace that is not ours.
    pub fn has_users(&self) -> bool {
        self.has(NamespaceKind::User)
    }

    /// Returns the kinds that one clone3 makes. The cgroup namespace waits until the process is in its cgroup, which
    /// becomes its root; a time namespace with offsets waits until they are written.
    pub fn at_clone(&self) -> Vec<NamespaceKind> {
        let early = |kind: &&NamespaceKind| !matches!(kind, NamespaceKind::Cgroup | NamespaceKind::Time);
        self.new.iter().filter(early).copied().collect()
    }
}

/// Plans the namespaces of a spec.
pub fn plan_namespaces(linux: &Linux) -> Result<NamespacePlan, NamespaceError> {
    let mut plan = NamespacePlan::default();
    for namespace in linux.namespaces().iter().flatten() {
        let kind = kind_of(namespace.typ());
        if plan.has(kind) {
            return Err(NamespaceError::Twice(kind));
        }
        match namespace.path().as_ref().filter(|path| !path.as_os_str().is_empty()) {
            None => plan.new.push(kind),
            Some(path) if path.is_absolute() => plan.join.push((kind, path.clone())),
            Some(path) => return Err(NamespaceError::Relative(kind, path.clone())),
        }
    }
    plan.new.sort();
    plan.join.sort();
    plan.uid_map = mappings(linux.uid_mappings().as_deref());
    plan.gid_map = mappings(linux.gid_mappings().as_deref());
    if plan.makes(NamespaceKind::User) && (plan.uid_map.is_empty() || plan.gid_map.is_empty()) {
        return Err(NamespaceError::NoMappings);
    }
    plan.time_offsets = time_offsets(linux);
    if !plan.time_offsets.is_empty() && !plan.makes(NamespaceKind::Time) {
        return Err(NamespaceError::Needed { what: "timeOffsets", kind: NamespaceKind::Time });
    }
    Ok(plan)
}

fn mappings(mappings: Option<&[LinuxIdMapping]>) -> Vec<IdMapping> {
    let one = |mapping: &LinuxIdMapping| IdMapping {
        inside: mapping.container_id(),
        outside: mapping.host_id(),
        size: mapping.size(),
    };
    mappings.into_iter().flatten().map(one).collect()
}

fn time_offsets(linux: &Linux) -> Vec<TimeOffset> {
    let offsets = linux.time_offsets().iter().flatten();
    let mut offsets: Vec<_> = offsets
        .map(|(clock, offset)| TimeOffset {
            clock: clock.clone(),
            seconds: offset.secs().unwrap_or(0),
            nanoseconds: offset.nanosecs().unwrap_or(0),
        })
        .collect();
    offsets.sort_by(|a, b| a.clock.cmp(&b.clock));
    offsets
}

/// Returns our name for the spec's.
pub fn kind_of(kind: LinuxNamespaceType) -> NamespaceKind {
    match kind {
        LinuxNamespaceType::Mount => NamespaceKind::Mount,
        LinuxNamespaceType::Cgroup => NamespaceKind::Cgroup,
        LinuxNamespaceType::Uts => NamespaceKind::Uts,
        LinuxNamespaceType::Ipc => NamespaceKind::Ipc,
        LinuxNamespaceType::User => NamespaceKind::User,
        LinuxNamespaceType::Pid => NamespaceKind::Pid,
        LinuxNamespaceType::Network => NamespaceKind::Network,
        LinuxNamespaceType::Time => NamespaceKind::Time,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linux(json: &str) -> Linux {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn namespaces_are_new_joined_or_the_hosts() {
        let json = r#"{"namespaces":[{"type":"mount"},{"type":"network","path":"/run/netns/blue"},{"type":"cgroup"}]}"#;
        let plan = plan_namespaces(&linux(json)).unwrap();
        assert_eq!(plan.new, [NamespaceKind::Mount, NamespaceKind::Cgroup]);
        assert_eq!(plan.at_clone(), [NamespaceKind::Mount]);
        assert_eq!(plan.joined(NamespaceKind::Network), Some(Path::new("/run/netns/blue")));
        assert!(!plan.has(NamespaceKind::Pid));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let twice = r#"{"namespaces":[{"type":"pid"},{"type":"pid"}]}"#;
        assert_eq!(plan_namespaces(&linux(twice)), Err(NamespaceError::Twice(NamespaceKind::Pid)));
        let users = r#"{"namespaces":[{"type":"user"}]}"#;
        assert_eq!(plan_namespaces(&linux(users)), Err(NamespaceError::NoMappings));
        let time = r#"{"namespaces":[],"timeOffsets":{"boottime":{"secs":5}}}"#;
        assert!(matches!(plan_namespaces(&linux(time)), Err(NamespaceError::Needed { .. })));
    }
}
