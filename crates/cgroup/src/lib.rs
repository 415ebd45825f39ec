//! Control groups: limits, membership, freezing, killing and numbers, on v2, v1 and hybrid hosts.
//!
//! [`plan()`] turns the limits of an OCI spec into a [`CgroupPlan`], for the [`Hierarchies`] that a host has;
//! [`Cgroup::create`] carries it out. Processes get in through an [`Entry`]: by clone3 in the v2 tree, and in v1 trees by
//! themselves, each writing a `0` to `tasks`.
//!
//! Start reading at [`hierarchy`] (what a host may have) and [`plan()`]; [`Cgroup`] is what stands afterwards.

mod apply;
mod cgroup;
mod devices;
mod files;
pub mod hierarchy;
mod limits;
mod path;
mod plan;
mod processes;
mod stats;
mod step;

pub use cgroup::{Cgroup, CgroupError, Entry};
pub use devices::{DeviceError, DevicePolicy, DeviceRule};
pub use hierarchy::{Controller, ControllerSet, DetectError, Hierarchies};
pub use path::{CgroupPath, CgroupPathError};
pub use plan::{CgroupPlan, PlanError, Warning, plan, plan_update};
pub use stats::Stats;
pub use step::{CgroupStep, Missing, Setting};
