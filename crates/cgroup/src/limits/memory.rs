//! Memory and swap.

use std::path::Path;

use oci::runtime::LinuxMemory;

use super::{bytes, given, or_max};
use crate::hierarchy::Controller;
use crate::plan::{Place, PlanError, Planner};
use crate::step::Missing;

/// Plans the memory limits.
pub(super) fn plan(planner: &mut Planner<'_>, memory: &LinuxMemory) -> Result<(), PlanError> {
    let amounts = Amounts::of(memory)?;
    let Some(options) = given_options(memory, &amounts) else { return Ok(()) };
    match planner.place(Controller::Memory, &options) {
        Some(Place::V1(dir)) => plan_v1(planner, memory, &amounts, &dir),
        Some(Place::V2(dir)) => plan_v2(planner, memory, &amounts, &dir)?,
        None => {}
    }
    Ok(())
}

/// The limits as given, without those that are 0.
struct Amounts {
    limit: Option<i64>,
    reservation: Option<i64>,
    /// Memory and swap together.
    swap: Option<i64>,
}

impl Amounts {
    fn of(memory: &LinuxMemory) -> Result<Self, PlanError> {
        let given = |amount: Option<i64>| amount.filter(|amount| *amount != 0);
        let (limit, swap) = (given(memory.limit()), given(memory.swap()));
        match (limit, swap) {
            (Some(limit), Some(swap)) if swap > 0 && (limit < 0 || swap < limit) => {
                Err(PlanError::SwapBelowMemory { swap, limit })
            }
            _ => Ok(Self { limit, reservation: given(memory.reservation()), swap }),
        }
    }
}

fn given_options(memory: &LinuxMemory, amounts: &Amounts) -> Option<String> {
    given([
        (amounts.limit.is_some(), "memory.limit"),
        (amounts.swap.is_some(), "memory.swap"),
        (amounts.reservation.is_some(), "memory.reservation"),
        (kernel(memory).is_some(), "memory.kernel"),
        (memory.kernel_tcp().is_some(), "memory.kernelTCP"),
        (memory.swappiness().is_some(), "memory.swappiness"),
        (memory.disable_oom_killer() == Some(true), "memory.disableOOMKiller"),
    ])
}

fn plan_v1(planner: &mut Planner<'_>, memory: &LinuxMemory, amounts: &Amounts, dir: &Path) {
    // A new cgroup has no limits, and memory may never exceed memory and swap: so memory comes first. Where an update
    // raises both, the kernel refuses this order, and what was refused is tried once more at the end.
    if let Some(limit) = amounts.limit {
        set_limit(planner, limit, dir, "memory.limit_in_bytes", limit.to_string());
    }
    if let Some(swap) = amounts.swap {
        let what = format!("limit memory and swap to {}", bytes(swap));
        let targets = vec![(dir.join("memory.memsw.limit_in_bytes"), swap.to_string())];
        planner.set_where_found("memory.swap", what, targets, Missing::Warn);
    }
    if let Some(soft) = amounts.reservation {
        let what = format!("reclaim memory above {} first", bytes(soft));
        planner.set("memory.reservation", what, dir.join("memory.soft_limit_in_bytes"), soft);
    }
    if let Some(limit) = memory.kernel_tcp() {
        let what = format!("limit memory of TCP buffers to {}", bytes(limit));
        let targets = vec![(dir.join("memory.kmem.tcp.limit_in_bytes"), limit.to_string())];
        planner.set_where_found("memory.kernelTCP", what, targets, Missing::Warn);
    }
    if let Some(swappiness) = memory.swappiness() {
        let what = format!("swap at a swappiness of {swappiness}");
        planner.set("memory.swappiness", what, dir.join("memory.swappiness"), swappiness);
    }
    if memory.disable_oom_killer() == Some(true) {
        let what = "let processes wait in place of killing one when memory runs out".to_owned();
        planner.set("memory.disableOOMKiller", what, dir.join("memory.oom_control"), 1);
    }
    if kernel(memory).is_some() {
        // Deprecated since Linux 5.4 and without effect since 5.16.
        planner.not_in("v1 of this kernel", "memory.kernel");
    }
}

fn plan_v2(planner: &mut Planner<'_>, memory: &LinuxMemory, amounts: &Amounts, dir: &Path) -> Result<(), PlanError> {
    if let Some(limit) = amounts.limit {
        set_limit(planner, limit, dir, "memory.max", or_max(limit));
    }
    if let Some(swap) = swap_alone(amounts)? {
        let what = if swap == 0 { "use no swap".to_owned() } else { format!("limit swap to {}", bytes(swap)) };
        let targets = vec![(dir.join("memory.swap.max"), or_max(swap))];
        planner.set_where_found("memory.swap", what, targets, Missing::Warn);
    }
    if let Some(low) = amounts.reservation {
        let what = format!("keep {} of memory from being reclaimed", bytes(low));
        planner.set("memory.reservation", what, dir.join("memory.low"), or_max(low));
    }
    let lost = [
        (kernel(memory).is_some(), "memory.kernel"),
        (memory.kernel_tcp().is_some(), "memory.kernelTCP"),
        (memory.swappiness().is_some(), "memory.swappiness"),
        (memory.disable_oom_killer() == Some(true), "memory.disableOOMKiller"),
    ];
    for (_, option) in lost.into_iter().filter(|(given, _)| *given) {
        planner.not_in("v2", option);
    }
    Ok(())
}

fn set_limit(planner: &mut Planner<'_>, limit: i64, dir: &Path, file: &str, value: String) {
    planner.set("memory.limit", format!("limit memory to {}", bytes(limit)), dir.join(file), value);
}

/// Returns v2's limit, which is of swap alone.
fn swap_alone(amounts: &Amounts) -> Result<Option<i64>, PlanError> {
    match (amounts.swap, amounts.limit) {
        (None, _) => Ok(None),
        (Some(..0), _) => Ok(Some(-1)),
        (Some(swap), None) => Err(PlanError::SwapWithoutMemory { swap }),
        (Some(swap), Some(limit)) => Ok(Some(swap - limit)),
    }
}

#[allow(deprecated, reason = "an old bundle may still ask for it, and is told")]
fn kernel(memory: &LinuxMemory) -> Option<i64> {
    memory.kernel().filter(|limit| *limit != 0)
}
