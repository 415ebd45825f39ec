//! From limits to steps: which directories to make, what to write where. Reads nothing of the host itself.
//!
//! [`plan`] makes a cgroup, [`plan_update`] changes the limits of one that exists. What a limit is called in v1 and in v2,
//! and what its value becomes, is told by [`limits`](crate::limits), a file for each controller.

use std::path::PathBuf;

use oci::runtime::{LinuxDeviceCgroup, LinuxResources};

use crate::devices::{DeviceError, DevicePolicy};
use crate::hierarchy::{Controller, ControllerSet, Hierarchies, Home};
use crate::limits;
use crate::path::CgroupPath;
use crate::step::{CgroupStep, Missing, Setting};

/// What makes a cgroup: the steps in order, and the warnings that are known before the first of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupPlan {
    path: CgroupPath,
    hierarchies: Hierarchies,
    steps: Vec<CgroupStep>,
    warnings: Vec<Warning>,
}

/// A limit that this host cannot enforce. The cgroup is made without it, or not at all, as the caller decides.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// The controller is not compiled in, not mounted, or not given to us.
    #[error("{option} cannot be enforced: the host has no cgroup controller {controller}")]
    NoController {
        /// Which controller it takes.
        controller: Controller,
        /// The limit, as the OCI specification calls it.
        option: String,
    },
    /// The value exists in one version of cgroups only.
    #[error("{option} cannot be enforced: cgroup {version} has no such setting")]
    NotInThisVersion {
        /// The limit, as the OCI specification calls it.
        option: String,
        /// `v1` or `v2`.
        version: &'static str,
    },
    /// The kernel was built or booted without it, as with swap accounting.
    #[error("{option} cannot be enforced: the kernel has no {file}")]
    NoFile {
        /// The limit, as the OCI specification calls it.
        option: String,
        /// The file that is missing.
        file: String,
    },
}

/// Why limits make no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Memory and swap together cannot be less than memory.
    #[error("memory.swap {swap} is below memory.limit {limit}: it counts memory and swap together")]
    SwapBelowMemory {
        /// Memory and swap.
        swap: i64,
        /// Memory.
        limit: i64,
    },
    /// v2 limits swap by itself, which is the difference of two limits.
    #[error("memory.swap {swap} needs a memory.limit beside it")]
    SwapWithoutMemory {
        /// Memory and swap.
        swap: i64,
    },
    /// A value that the kernel would refuse or read as another.
    #[error("{option} {value:?} is not valid: {reason}")]
    Value {
        /// The limit, as the OCI specification calls it.
        option: String,
        /// What was asked for.
        value: String,
        /// What is possible.
        reason: &'static str,
    },
    /// The device rules make no policy.
    #[error("cannot limit devices")]
    Devices(#[from] DeviceError),
}

impl CgroupPlan {
    /// Returns the steps, in the order in which they are applied.
    pub fn steps(&self) -> &[CgroupStep] {
        &self.steps
    }

    /// Returns the limits that this host cannot enforce.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Returns which cgroup it makes.
    pub fn path(&self) -> &CgroupPath {
        &self.path
    }

    /// Returns the hierarchies it was made for.
    pub fn hierarchies(&self) -> &Hierarchies {
        &self.hierarchies
    }
}

/// Plans a new cgroup at `path` in every hierarchy, with the limits of `resources`.
pub fn plan(
    path: &CgroupPath,
    resources: Option<&LinuxResources>,
    hierarchies: &Hierarchies,
) -> Result<CgroupPlan, PlanError> {
    let mut planner = Planner::new(path, hierarchies);
    let devices = resources.and_then(|resources| resources.devices().as_deref()).unwrap_or_default();
    planner.devices(devices)?;
    if let Some(resources) = resources {
        limits::plan(&mut planner, resources)?;
    }
    Ok(planner.into_creation())
}

/// Plans new limits for a cgroup that exists. What `resources` does not speak of stays, devices included.
pub fn plan_update(
    path: &CgroupPath,
    resources: &LinuxResources,
    hierarchies: &Hierarchies,
) -> Result<CgroupPlan, PlanError> {
    let mut planner = Planner::new(path, hierarchies);
    if let Some(devices) = resources.devices() {
        planner.devices(devices)?;
    }
    limits::plan(&mut planner, resources)?;
    Ok(planner.into_update())
}

/// Gathers steps and warnings. It is what the files of [`limits`] speak to.
pub(crate) struct Planner<'a> {
    path: &'a CgroupPath,
    hierarchies: &'a Hierarchies,
    settings: Vec<CgroupStep>,
    warnings: Vec<Warning>,
    required: ControllerSet,
}

/// The directory in which a controller takes its values, and in which version's words.
pub(crate) enum Place {
    V1(PathBuf),
    V2(PathBuf),
}

impl<'a> Planner<'a> {
    fn new(path: &'a CgroupPath, hierarchies: &'a Hierarchies) -> Self {
        let (settings, warnings) = (Vec::with_capacity(16), Vec::new());
        Self { path, hierarchies, settings, warnings, required: ControllerSet::default() }
    }

    /// Returns where `option` is set, or warns that it cannot be.
    pub(crate) fn place(&mut self, controller: Controller, option: &str) -> Option<Place> {
        match self.hierarchies.home(controller) {
            Some(Home::V1(tree)) => Some(Place::V1(self.path.below(&tree.mount))),
            Some(Home::V2(tree)) => {
                self.required.insert(controller);
                Some(Place::V2(self.path.below(&tree.mount)))
            }
            None => {
                self.warnings.push(Warning::NoController { controller, option: option.to_owned() });
                None
            }
        }
    }

    /// Returns the v2 tree's directory, if the host has that tree.
    pub(crate) fn v2_tree(&self) -> Option<PathBuf> {
        self.hierarchies.v2().map(|tree| self.path.below(&tree.mount))
    }

    /// Adds a setting that the cgroup cannot do without.
    pub(crate) fn set(&mut self, option: &'static str, what: String, file: PathBuf, value: impl ToString) {
        self.set_where_found(option, what, vec![(file, value.to_string())], Missing::Refuse);
    }

    /// Adds a setting whose file may be another or missing on some kernels.
    pub(crate) fn set_where_found(
        &mut self,
        option: &'static str,
        what: String,
        targets: Vec<(PathBuf, String)>,
        missing: Missing,
    ) {
        self.settings.push(CgroupStep::Set(Setting { what, option: option.into(), targets, missing }));
    }

    /// Adds a setting whose option is named by the user.
    pub(crate) fn set_named(&mut self, setting: Setting) {
        self.settings.push(CgroupStep::Set(setting));
    }

    /// Warns that `option` is unknown to the version of cgroups that the host uses.
    pub(crate) fn not_in(&mut self, version: &'static str, option: impl Into<String>) {
        self.warnings.push(Warning::NotInThisVersion { option: option.into(), version });
    }

    fn devices(&mut self, rules: &[LinuxDeviceCgroup]) -> Result<(), PlanError> {
        let policy = DevicePolicy::for_container(rules)?;
        if policy.is_open() {
            return Ok(());
        }
        match self.place(Controller::Devices, "devices") {
            Some(Place::V1(dir)) => {
                policy.v1_exceptions()?;
                self.settings.push(CgroupStep::ListDevices { dir, policy });
            }
            Some(Place::V2(dir)) => self.settings.push(CgroupStep::FilterDevices { dir, policy }),
            None => {}
        }
        Ok(())
    }

    fn into_creation(self) -> CgroupPlan {
        let mut steps = Vec::with_capacity(self.settings.len() + 12);
        let depth = self.path.as_path().components().count();
        for tree in self.hierarchies.v1().iter().chain(self.hierarchies.v2()) {
            let v1 = self.hierarchies.v2() != Some(tree);
            let cpuset = v1 && tree.controllers.contains(Controller::Cpuset);
            steps.push(CgroupStep::MakeDirectory { dir: self.path.below(&tree.mount), depth, cpuset });
        }
        self.finish(steps, true)
    }

    fn into_update(self) -> CgroupPlan {
        self.finish(Vec::new(), false)
    }

    fn finish(mut self, mut steps: Vec<CgroupStep>, creation: bool) -> CgroupPlan {
        steps.extend(self.enabling(creation));
        steps.append(&mut self.settings);
        if creation {
            let v1 = self.hierarchies.v1().iter().map(|tree| self.path.below(&tree.mount)).collect();
            steps.push(CgroupStep::Join { v2: self.v2_tree(), v1 });
        }
        let (path, hierarchies) = (self.path.clone(), self.hierarchies.clone());
        CgroupPlan { path, hierarchies, steps, warnings: self.warnings }
    }

    /// Returns the step that brings v2 controllers to the cgroup: those of its limits, and on creation those by which it
    /// is measured and by which an OOM kill is seen.
    fn enabling(&self, creation: bool) -> Option<CgroupStep> {
        let tree = self.hierarchies.v2()?;
        let measured = [Controller::Cpu, Controller::Io, Controller::Memory, Controller::Pids];
        let required = self.required.and(tree.controllers);
        let wished = measured.into_iter().filter(|c| creation && !required.contains(*c)).collect::<ControllerSet>();
        let wished = wished.and(tree.controllers);
        if required.is_empty() && wished.is_empty() {
            return None;
        }
        Some(CgroupStep::EnableControllers { parents: self.path.ancestors_below(&tree.mount), required, wished })
    }
}

#[cfg(test)]
mod tests {
    use trace::Explain;

    use super::*;
    use crate::hierarchy::Hierarchy;

    fn set(names: &str) -> ControllerSet {
        ControllerSet::parse(names, ' ')
    }

    fn v2_host() -> Hierarchies {
        Hierarchies::v2_only("/cg", set("cpuset cpu io memory hugetlb pids"))
    }

    /// Each controller in a tree of its own, and a v2 tree with none.
    fn hybrid_host() -> Hierarchies {
        let tree = |name: &str| Hierarchy { mount: format!("/cg/{name}").into(), controllers: set(name) };
        let v1 = ["cpu", "cpuset", "memory", "devices", "freezer", "blkio", "pids"].map(tree);
        Hierarchies::new(v1.into(), Some(Hierarchy { mount: "/cg/unified".into(), controllers: set("") }))
    }

    fn resources(json: &str) -> LinuxResources {
        serde_json::from_str(json).unwrap()
    }

    fn told(plan: &CgroupPlan) -> String {
        let steps = plan.steps().iter().map(|step| step.explain().to_string());
        let warnings = plan.warnings().iter().map(|warning| format!("! {warning}"));
        steps.chain(warnings).collect::<Vec<_>>().join("\n")
    }

    fn planned(host: &Hierarchies, json: &str) -> Result<String, PlanError> {
        Ok(told(&plan(&"conductor/web".parse().unwrap(), Some(&resources(json)), host)?))
    }

    const USUAL: &str = r#"{
        "memory": {"limit": 67108864, "swap": 134217728, "reservation": 33554432},
        "cpu": {"quota": 50000, "period": 100000, "shares": 512, "cpus": "0-1"},
        "pids": {"limit": 100},
        "devices": [{"allow": true, "access": "rwm"}]
    }"#;

    #[test]
    fn the_usual_limits_on_v2() {
        insta::assert_snapshot!(planned(&v2_host(), USUAL).unwrap(), @r"
        + make the cgroup /cg/conductor/web
              mkdir -p /cg/conductor/web
        + enable the controllers cpu, cpuset, io, memory, pids for the cgroup
              echo '+cpu +cpuset +io +memory +pids' > /cg/cgroup.subtree_control
              echo '+cpu +cpuset +io +memory +pids' > /cg/conductor/cgroup.subtree_control
        + limit memory to 64 MiB
              echo 67108864 > /cg/conductor/web/memory.max
        + limit swap to 64 MiB
              echo 67108864 > /cg/conductor/web/memory.swap.max
        + keep 32 MiB of memory from being reclaimed
              echo 33554432 > /cg/conductor/web/memory.low
        + weigh CPU time by 59 (of 512 shares)
              echo 59 > /cg/conductor/web/cpu.weight
        + limit CPU time to 0.500 CPUs: 50000 us in 100000 us
              echo '50000 100000' > /cg/conductor/web/cpu.max
        + run on the CPUs 0-1
              echo 0-1 > /cg/conductor/web/cpuset.cpus
        + limit processes and threads to 100
              echo 100 > /cg/conductor/web/pids.max
        + start the first process inside the cgroup
              echo $$ > /cg/conductor/web/cgroup.procs
        ");
    }

    #[test]
    fn the_usual_limits_on_a_hybrid_host() {
        insta::assert_snapshot!(planned(&hybrid_host(), USUAL).unwrap(), @r#"
        + make the cgroup /cg/cpu/conductor/web
              mkdir -p /cg/cpu/conductor/web
        + make the cgroup /cg/cpuset/conductor/web, with the CPUs and memory nodes of the one above
              mkdir -p /cg/cpuset/conductor/web
              [ -n "$(cat /cg/cpuset/conductor/cpuset.cpus)" ] || cat /cg/cpuset/cpuset.cpus > /cg/cpuset/conductor/cpuset.cpus
              [ -n "$(cat /cg/cpuset/conductor/cpuset.mems)" ] || cat /cg/cpuset/cpuset.mems > /cg/cpuset/conductor/cpuset.mems
              [ -n "$(cat /cg/cpuset/conductor/web/cpuset.cpus)" ] || cat /cg/cpuset/conductor/cpuset.cpus > /cg/cpuset/conductor/web/cpuset.cpus
              [ -n "$(cat /cg/cpuset/conductor/web/cpuset.mems)" ] || cat /cg/cpuset/conductor/cpuset.mems > /cg/cpuset/conductor/web/cpuset.mems
        + make the cgroup /cg/memory/conductor/web
              mkdir -p /cg/memory/conductor/web
        + make the cgroup /cg/devices/conductor/web
              mkdir -p /cg/devices/conductor/web
        + make the cgroup /cg/freezer/conductor/web
              mkdir -p /cg/freezer/conductor/web
        + make the cgroup /cg/blkio/conductor/web
              mkdir -p /cg/blkio/conductor/web
        + make the cgroup /cg/pids/conductor/web
              mkdir -p /cg/pids/conductor/web
        + make the cgroup /cg/unified/conductor/web
              mkdir -p /cg/unified/conductor/web
        + limit memory to 64 MiB
              echo 67108864 > /cg/memory/conductor/web/memory.limit_in_bytes
        + limit memory and swap to 128 MiB
              echo 134217728 > /cg/memory/conductor/web/memory.memsw.limit_in_bytes
        + reclaim memory above 32 MiB first
              echo 33554432 > /cg/memory/conductor/web/memory.soft_limit_in_bytes
        + weigh CPU time by 512 shares
              echo 512 > /cg/cpu/conductor/web/cpu.shares
        + count CPU time in periods of 100000 us
              echo 100000 > /cg/cpu/conductor/web/cpu.cfs_period_us
        + limit CPU time to 0.500 CPUs: 50000 us in 100000 us
              echo 50000 > /cg/cpu/conductor/web/cpu.cfs_quota_us
        + run on the CPUs 0-1
              echo 0-1 > /cg/cpuset/conductor/web/cpuset.cpus
        + limit processes and threads to 100
              echo 100 > /cg/pids/conductor/web/pids.max
        + start the first process inside the cgroup
              echo $$ > /cg/unified/conductor/web/cgroup.procs
              echo $$ > /cg/cpu/conductor/web/tasks
              echo $$ > /cg/cpuset/conductor/web/tasks
              echo $$ > /cg/memory/conductor/web/tasks
              echo $$ > /cg/devices/conductor/web/tasks
              echo $$ > /cg/freezer/conductor/web/tasks
              echo $$ > /cg/blkio/conductor/web/tasks
              echo $$ > /cg/pids/conductor/web/tasks
        "#);
    }

    #[test]
    fn devices_are_denied_unless_listed() {
        let rules = r#"{"devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"}]}"#;
        insta::assert_snapshot!(planned(&v2_host(), rules).unwrap(), @r"
        + make the cgroup /cg/conductor/web
              mkdir -p /cg/conductor/web
        + enable the controllers cpu, io, memory, pids for the cgroup
              echo '+cpu +io +memory +pids' > /cg/cgroup.subtree_control
              echo '+cpu +io +memory +pids' > /cg/conductor/cgroup.subtree_control
        + attach an eBPF program to /cg/conductor/web (no tool of a base system does): deny all devices, allow c 10:229 rw, c *:* m, b *:* m, c 1:3 rwm, c 1:5 rwm, c 1:7 rwm, c 1:8 rwm, c 1:9 rwm, c 5:0 rwm, c 5:2 rwm, c 136:* rwm
        + start the first process inside the cgroup
              echo $$ > /cg/conductor/web/cgroup.procs
        ");
        let on_v1 = planned(&hybrid_host(), rules).unwrap();
        assert!(on_v1.contains("echo 'c 10:229 rw' > /cg/devices/conductor/web/devices.allow"), "{on_v1}");
    }

    #[test]
    fn rare_limits_on_v2() {
        let rare = r#"{
            "devices": [{"allow": true, "access": "rwm"}],
            "memory": {"limit": -1, "swap": -1, "swappiness": 10, "kernelTCP": 4096, "disableOOMKiller": true},
            "cpu": {"period": 50000, "burst": 1000, "idle": 1, "realtimeRuntime": 5},
            "blockIO": {"weight": 500, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1048576}],
                "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 10}]},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}],
            "network": {"classID": 1048577},
            "rdma": {"mlx5_1": {"hcaHandles": 3}},
            "unified": {"memory.high": "1000000", "cgroup.max.descendants": "5"}
        }"#;
        insta::assert_snapshot!(planned(&v2_host(), rare).unwrap(), @r"
        + make the cgroup /cg/conductor/web
              mkdir -p /cg/conductor/web
        + enable the controllers cpu, hugetlb, io, memory, pids for the cgroup
              echo '+cpu +hugetlb +io +memory +pids' > /cg/cgroup.subtree_control
              echo '+cpu +hugetlb +io +memory +pids' > /cg/conductor/cgroup.subtree_control
        + limit memory to what the host has
              echo max > /cg/conductor/web/memory.max
        + limit swap to what the host has
              echo max > /cg/conductor/web/memory.swap.max
        + count CPU time in periods of 50000 us
              echo 'max 50000' > /cg/conductor/web/cpu.max
        + let CPU time burst by 1000 us
              echo 1000 > /cg/conductor/web/cpu.max.burst
        + schedule only when the CPU is idle
              echo 1 > /cg/conductor/web/cpu.idle
        + weigh use of block devices by 500
              echo 'default 500' > /cg/conductor/web/io.bfq.weight 2>/dev/null || echo 'default 4950' > /cg/conductor/web/io.weight
        + limit use of device 8:0 a second to rbps=1048576 wiops=10
              echo '8:0 rbps=1048576 wiops=10' > /cg/conductor/web/io.max
        + limit huge pages of 2MB to 4 MiB
              echo 4194304 > /cg/conductor/web/hugetlb.2MB.max
        + limit reservations of huge pages of 2MB to 4 MiB
              echo 4194304 > /cg/conductor/web/hugetlb.2MB.rsvd.max
        + set cgroup.max.descendants to 5
              echo 5 > /cg/conductor/web/cgroup.max.descendants
        + set memory.high to 1000000
              echo 1000000 > /cg/conductor/web/memory.high
        + start the first process inside the cgroup
              echo $$ > /cg/conductor/web/cgroup.procs
        ! memory.kernelTCP cannot be enforced: cgroup v2 has no such setting
        ! memory.swappiness cannot be enforced: cgroup v2 has no such setting
        ! memory.disableOOMKiller cannot be enforced: cgroup v2 has no such setting
        ! cpu.realtimeRuntime cannot be enforced: cgroup v2 has no such setting
        ! rdma cannot be enforced: the host has no cgroup controller rdma
        ! network.classID cannot be enforced: the host has no cgroup controller net_cls
        ");
    }

    #[test]
    fn a_host_without_the_controller_is_told_of() {
        let host = Hierarchies::v2_only("/cg", set("pids"));
        insta::assert_snapshot!(planned(&host, USUAL).unwrap(), @r"
        + make the cgroup /cg/conductor/web
              mkdir -p /cg/conductor/web
        + enable the controllers pids for the cgroup
              echo +pids > /cg/cgroup.subtree_control
              echo +pids > /cg/conductor/cgroup.subtree_control
        + limit processes and threads to 100
              echo 100 > /cg/conductor/web/pids.max
        + start the first process inside the cgroup
              echo $$ > /cg/conductor/web/cgroup.procs
        ! memory.limit, memory.swap, memory.reservation cannot be enforced: the host has no cgroup controller memory
        ! cpu.shares, cpu.quota, cpu.period cannot be enforced: the host has no cgroup controller cpu
        ! cpu.cpus cannot be enforced: the host has no cgroup controller cpuset
        ");
    }

    #[test]
    fn limits_that_contradict_are_refused() {
        let refused = |json| planned(&v2_host(), json).unwrap_err().to_string();
        assert_eq!(
            refused(r#"{"memory": {"limit": 100, "swap": 50}}"#),
            "memory.swap 50 is below memory.limit 100: it counts memory and swap together"
        );
        assert_eq!(refused(r#"{"memory": {"swap": 50}}"#), "memory.swap 50 needs a memory.limit beside it");
        assert_eq!(
            refused(r#"{"cpu": {"cpus": "all"}}"#),
            "cpu.cpus \"all\" is not valid: use numbers and ranges, as in 0-2,5"
        );
        assert_eq!(
            refused(r#"{"unified": {"../x": "1"}}"#),
            "unified[../x] \"1\" is not valid: use the name of a file, as in memory.high"
        );
        assert_eq!(
            refused(r#"{"hugepageLimits": [{"pageSize": "../2MB", "limit": 1}]}"#),
            "hugepageLimits \"../2MB\" is not valid: use a page size as in 2MB"
        );
    }

    #[test]
    fn an_update_makes_nothing_and_keeps_what_it_does_not_name() {
        let path = "conductor/web".parse().unwrap();
        let plan = plan_update(&path, &resources(r#"{"pids": {"limit": -1}}"#), &v2_host()).unwrap();
        insta::assert_snapshot!(told(&plan), @r"
        + enable the controllers pids for the cgroup
              echo +pids > /cg/cgroup.subtree_control
              echo +pids > /cg/conductor/cgroup.subtree_control
        + lift the limit of processes
              echo max > /cg/conductor/web/pids.max
        ");
    }
}
