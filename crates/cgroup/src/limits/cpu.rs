//! CPU time, weight and sets.

use std::path::Path;

use oci::runtime::LinuxCpu;

use super::given;
use crate::hierarchy::Controller;
use crate::plan::{Place, PlanError, Planner};
use crate::step::Missing;

/// Plans the CPU limits.
pub(super) fn plan(planner: &mut Planner<'_>, cpu: &LinuxCpu) -> Result<(), PlanError> {
    plan_time(planner, cpu)?;
    plan_realtime(planner, cpu);
    plan_sets(planner, cpu)
}

/// The kernel's period where none is given.
const PERIOD: u64 = 100_000;

fn plan_time(planner: &mut Planner<'_>, cpu: &LinuxCpu) -> Result<(), PlanError> {
    let shares = cpu.shares().filter(|shares| *shares != 0);
    let (quota, period) = (cpu.quota().filter(|quota| *quota != 0), cpu.period().filter(|period| *period != 0));
    let Some(options) = given([
        (shares.is_some(), "cpu.shares"),
        (quota.is_some(), "cpu.quota"),
        (period.is_some(), "cpu.period"),
        (cpu.burst().is_some(), "cpu.burst"),
        (cpu.idle().is_some(), "cpu.idle"),
    ]) else {
        return Ok(());
    };
    let Some(place) = planner.place(Controller::Cpu, &options) else { return Ok(()) };
    match place {
        Place::V1(dir) => plan_time_v1(planner, cpu, &dir, (shares, quota, period)),
        Place::V2(dir) => plan_time_v2(planner, cpu, &dir, (shares, quota, period)),
    }
    Ok(())
}

type Time = (Option<u64>, Option<i64>, Option<u64>);

fn plan_time_v1(planner: &mut Planner<'_>, cpu: &LinuxCpu, dir: &Path, (shares, quota, period): Time) {
    if let Some(shares) = shares {
        planner.set("cpu.shares", format!("weigh CPU time by {shares} shares"), dir.join("cpu.shares"), shares);
    }
    if let Some(period) = period {
        planner.set("cpu.period", period_words(period), dir.join("cpu.cfs_period_us"), period);
    }
    if let Some(quota) = quota {
        planner.set("cpu.quota", quota_words(quota, period), dir.join("cpu.cfs_quota_us"), quota);
    }
    plan_burst_and_idle(planner, cpu, dir, "cpu.cfs_burst_us");
}

fn plan_time_v2(planner: &mut Planner<'_>, cpu: &LinuxCpu, dir: &Path, (shares, quota, period): Time) {
    if let Some(shares) = shares {
        let weight = weight(shares);
        let what = format!("weigh CPU time by {weight} (of {shares} shares)");
        planner.set("cpu.shares", what, dir.join("cpu.weight"), weight);
    }
    let max = quota.map(|quota| if quota < 0 { "max".to_owned() } else { quota.to_string() });
    let value = match (max, period) {
        (Some(max), Some(period)) => Some(format!("{max} {period}")),
        (Some(max), None) => Some(max),
        // An update of the period alone is completed with the quota that stands before it comes here.
        (None, Some(period)) => Some(format!("max {period}")),
        (None, None) => None,
    };
    if let Some(value) = value {
        let (option, what) = match (quota, period) {
            (None, Some(period)) => ("cpu.period", period_words(period)),
            (quota, _) => ("cpu.quota", quota_words(quota.unwrap_or(-1), period)),
        };
        planner.set(option, what, dir.join("cpu.max"), value);
    }
    plan_burst_and_idle(planner, cpu, dir, "cpu.max.burst");
}

/// The burst may not exceed the quota, so it comes after.
fn plan_burst_and_idle(planner: &mut Planner<'_>, cpu: &LinuxCpu, dir: &Path, burst_file: &str) {
    if let Some(burst) = cpu.burst() {
        let targets = vec![(dir.join(burst_file), burst.to_string())];
        planner.set_where_found("cpu.burst", format!("let CPU time burst by {burst} us"), targets, Missing::Warn);
    }
    if let Some(idle) = cpu.idle() {
        let what = if idle == 0 { "schedule as usual" } else { "schedule only when the CPU is idle" };
        let targets = vec![(dir.join("cpu.idle"), idle.to_string())];
        planner.set_where_found("cpu.idle", what.to_owned(), targets, Missing::Warn);
    }
}

fn period_words(period: u64) -> String {
    format!("count CPU time in periods of {period} us")
}

fn quota_words(quota: i64, period: Option<u64>) -> String {
    match u64::try_from(quota) {
        Ok(quota) => {
            let (period, thousandths) = (period.unwrap_or(PERIOD), quota.saturating_mul(1000));
            let cpus = thousandths / period.max(1);
            format!("limit CPU time to {}.{:03} CPUs: {quota} us in {period} us", cpus / 1000, cpus % 1000)
        }
        Err(_) => "lift the limit of CPU time".to_owned(),
    }
}

/// Converts v1's shares (2 to 262144, usually 1024) to v2's weight (1 to 10000, usually 100).
///
/// A straight line between the ends would make 39 of 1024 shares, and a container of the usual weight would get less than
/// half of what its neighbours outside get. The curve through the three points is the one that runc and crun use since 2025.
pub(crate) fn weight(shares: u64) -> u64 {
    let shares = shares.clamp(2, 262_144);
    let log = (shares as f64).log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    // The clamp above keeps the result between 1 and 10000.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let weight = 10f64.powf(exponent).ceil() as u64;
    weight.clamp(1, 10_000)
}

fn plan_realtime(planner: &mut Planner<'_>, cpu: &LinuxCpu) {
    let (period, runtime) = (cpu.realtime_period(), cpu.realtime_runtime());
    let options = [(period.is_some(), "cpu.realtimePeriod"), (runtime.is_some(), "cpu.realtimeRuntime")];
    let Some(options) = given(options) else { return };
    match planner.place(Controller::Cpu, &options) {
        Some(Place::V1(dir)) => {
            if let Some(period) = period {
                let what = format!("count realtime CPU time in periods of {period} us");
                let targets = vec![(dir.join("cpu.rt_period_us"), period.to_string())];
                planner.set_where_found("cpu.realtimePeriod", what, targets, Missing::Warn);
            }
            if let Some(runtime) = runtime {
                let what = format!("limit realtime CPU time to {runtime} us");
                let targets = vec![(dir.join("cpu.rt_runtime_us"), runtime.to_string())];
                planner.set_where_found("cpu.realtimeRuntime", what, targets, Missing::Warn);
            }
        }
        Some(Place::V2(_)) => planner.not_in("v2", options),
        None => {}
    }
}

fn plan_sets(planner: &mut Planner<'_>, cpu: &LinuxCpu) -> Result<(), PlanError> {
    let sets =
        [("cpu.cpus", "CPUs", "cpuset.cpus", cpu.cpus()), ("cpu.mems", "memory nodes", "cpuset.mems", cpu.mems())];
    for (option, noun, file, list) in sets {
        let Some(list) = list.as_deref().filter(|list| !list.is_empty()) else { continue };
        check_list(option, list)?;
        // The two versions agree on the names.
        if let Some(Place::V1(dir) | Place::V2(dir)) = planner.place(Controller::Cpuset, option) {
            planner.set(option, format!("run on the {noun} {list}"), dir.join(file), list);
        }
    }
    Ok(())
}

fn check_list(option: &str, list: &str) -> Result<(), PlanError> {
    let number = |text: &str| text.parse::<u32>().ok();
    let valid = list.trim().split(',').all(|part| match part.split_once('-') {
        Some((from, to)) => matches!((number(from), number(to)), (Some(from), Some(to)) if from <= to),
        None => number(part).is_some(),
    });
    if valid {
        return Ok(());
    }
    let reason = "use numbers and ranges, as in 0-2,5";
    Err(PlanError::Value { option: option.to_owned(), value: list.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_shares_are_the_usual_weight() {
        let weights = [2, 128, 512, 1024, 2048, 262_144, 0, u64::MAX].map(weight);
        assert_eq!(weights, [1, 21, 59, 100, 174, 10_000, 1, 10_000]);
    }

    #[test]
    fn a_list_of_cpus_is_numbers_and_ranges() {
        for list in ["0", "0-3", "0,2-4,7"] {
            assert!(check_list("cpu.cpus", list).is_ok(), "{list}");
        }
        for list in ["all", "3-1", "0,", "-1", "0;1"] {
            assert!(check_list("cpu.cpus", list).is_err(), "{list}");
        }
    }
}
