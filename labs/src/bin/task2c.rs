//! Task 2c: and half of one CPU, whatever it asks for.
//!
//! `task2c [PROGRAM [ARGUMENT...]]`. The limit is a quota: 50 ms of running in every period of 100 ms, for all processes
//! of the cgroup together. The cgroup crate puts it where the host keeps its CPU controller, `cpu.max` on cgroup v2 or
//! `cpu.cfs_quota_us` on v1.

use std::process::ExitCode;

use cgroup::{Cgroup, CgroupPath, Entry, Hierarchies};
use labs::root::ContainerRoot;
use labs::{Error, Result, end, finish};
use oci::runtime::{LinuxCpuBuilder, LinuxResources, LinuxResourcesBuilder};
use sys::namespace::{self, NamespaceKind};
use sys::process::{self, Fork};
use trace::Recorder;

/// Half of one CPU, in microseconds.
const QUOTA: i64 = 50_000;
const PERIOD: u64 = 100_000;

fn main() -> ExitCode {
    finish(run())
}

fn run() -> Result<()> {
    let task = labs::Task::from_arguments()?;
    let root = task.root()?;
    let cgroup = half_a_cpu()?;
    let entry = cgroup.entry().map_err(refused)?;
    // On v2 the child is born in the cgroup; into v1 trees it moves itself, before it does anything else.
    match process::clone_into(&[NamespaceKind::Mount, NamespaceKind::Pid, NamespaceKind::Uts], entry.clone_fd())? {
        Fork::Child => end(inside(&entry, &root, &task)),
        Fork::Parent(child) => labs::conclude(&child)?,
    }
    cgroup.remove().map_err(refused)
}

/// Makes a cgroup whose processes together get half of one CPU. It goes with the value that stands for it.
fn half_a_cpu() -> Result<Cgroup> {
    let hierarchies = Hierarchies::detect().map_err(refused)?;
    let path: CgroupPath = format!("conductor-labs-{}", process::id()).parse().map_err(refused)?;
    let plan = cgroup::plan(&path, Some(&quota()?), &hierarchies).map_err(refused)?;
    if let Some(warning) = plan.warnings().first() {
        return Err(refused(warning.to_string()));
    }
    Cgroup::create(&plan, &Recorder::silent()).map_err(refused)
}

fn quota() -> Result<LinuxResources> {
    let cpu = LinuxCpuBuilder::default().quota(QUOTA).period(PERIOD).build().map_err(refused)?;
    LinuxResourcesBuilder::default().cpu(cpu).build().map_err(refused)
}

fn inside(entry: &Entry, root: &ContainerRoot, task: &labs::Task) -> Result<()> {
    entry.join()?;
    namespace::set_host_name("new_hostname")?;
    root.enter()?;
    task.execute()
}

fn refused(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Cgroup(error.into())
}
