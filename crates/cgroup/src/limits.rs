//! The limits of `LinuxResources` in the words of v1 and of v2.
//!
//! The specification speaks v1; what v2 calls otherwise is converted here. A value of 0, where no limit can be meant by it,
//! counts as absent, as runc has it. What a version cannot express becomes a warning.

mod cpu;
mod io;
mod memory;
mod others;

use oci::runtime::LinuxResources;

use crate::plan::{PlanError, Planner};

/// Adds a setting for each limit.
pub(crate) fn plan(planner: &mut Planner<'_>, resources: &LinuxResources) -> Result<(), PlanError> {
    if let Some(memory) = resources.memory() {
        memory::plan(planner, memory)?;
    }
    if let Some(cpu) = resources.cpu() {
        cpu::plan(planner, cpu)?;
    }
    if let Some(pids) = resources.pids() {
        others::plan_pids(planner, pids.limit());
    }
    if let Some(io) = resources.block_io() {
        io::plan(planner, io)?;
    }
    others::plan(planner, resources)
}

/// Returns the value, or `max` for what the specification counts as unlimited.
fn or_max(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}

/// Returns the names of the options that are given, for a warning that they cannot be kept.
fn given<const N: usize>(options: [(bool, &'static str); N]) -> Option<String> {
    let names: Vec<_> = options.into_iter().filter(|(given, _)| *given).map(|(_, name)| name).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// Returns an amount of memory as people read it: `64 MiB`, or `1000 bytes` where that is no round number.
fn bytes(amount: i64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    if amount < 0 {
        return "what the host has".to_owned();
    }
    match units.iter().find(|(shift, _)| amount != 0 && amount % (1 << shift) == 0) {
        Some((shift, unit)) => format!("{} {unit}", amount >> shift),
        None => format!("{amount} bytes"),
    }
}
