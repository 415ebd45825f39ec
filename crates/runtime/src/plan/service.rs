//! How the kernel serves a process: CPU policy, disk priority, and the OOM killer's score (runtime-spec, config.md).
//!
//! These are applied from outside the container's namespaces, since some need rights that a user namespace takes away.

use oci::runtime::{IOPriorityClass, LinuxSchedulerFlag, LinuxSchedulerPolicy, Process, Scheduler};
use sys::scheduling::Scheduling;
use trace::{Explain, Step};

/// One setting of how a process is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceStep {
    /// How readily the kernel picks the process when memory runs out.
    OomScore(i32),
    /// How the CPU is given to it.
    Scheduler(Scheduling),
    /// How the disk is given to it.
    IoPriority {
        /// 1 real-time, 2 best-effort, 3 idle.
        class: u32,
        /// 0 (first served) to 7.
        level: u32,
    },
}

/// Why a process cannot be served as its spec says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// A level that the kernel does not have.
    #[error("ioPriority {0} is not between 0 and 7")]
    IoLevel(i64),
    /// A policy that Linux never got.
    #[error("the scheduler's policy SCHED_ISO is not one of Linux")]
    NoSuchPolicy,
    /// A priority below zero.
    #[error("the scheduler's priority {0} is negative")]
    Priority(i32),
    /// Bounds of the utilisation have no place in the spec.
    #[error("the scheduler's flag {0} needs values that the spec cannot give")]
    Flag(LinuxSchedulerFlag),
}

/// Plans how a process is served.
pub fn plan_service(process: &Process) -> Result<Vec<ServiceStep>, ServiceError> {
    let mut steps = Vec::new();
    steps.extend(process.oom_score_adj().map(ServiceStep::OomScore));
    if let Some(scheduler) = process.scheduler() {
        steps.push(ServiceStep::Scheduler(plan_scheduler(scheduler)?));
    }
    if let Some(priority) = process.io_priority() {
        let level = u32::try_from(priority.priority()).ok().filter(|level| *level <= 7);
        let class = match priority.class() {
            IOPriorityClass::IoprioClassRt => 1,
            IOPriorityClass::IoprioClassBe => 2,
            IOPriorityClass::IoprioClassIdle => 3,
        };
        let level = level.ok_or(ServiceError::IoLevel(priority.priority()))?;
        steps.push(ServiceStep::IoPriority { class, level });
    }
    Ok(steps)
}

fn plan_scheduler(scheduler: &Scheduler) -> Result<Scheduling, ServiceError> {
    let policy = match scheduler.policy() {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => return Err(ServiceError::NoSuchPolicy),
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
    };
    let flags = scheduler.flags().iter().flatten().map(flag_bit);
    let priority = scheduler.priority().unwrap_or(0);
    Ok(Scheduling {
        policy,
        flags: flags.collect::<Result<Vec<_>, _>>()?.into_iter().fold(0, |all, flag| all | flag),
        nice: scheduler.nice().unwrap_or(0),
        priority: u32::try_from(priority).map_err(|_| ServiceError::Priority(priority))?,
        runtime: scheduler.runtime().unwrap_or(0),
        deadline: scheduler.deadline().unwrap_or(0),
        period: scheduler.period().unwrap_or(0),
    })
}

/// The `SCHED_FLAG_*` of `linux/sched.h`.
fn flag_bit(flag: &LinuxSchedulerFlag) -> Result<u64, ServiceError> {
    match flag {
        LinuxSchedulerFlag::SchedResetOnFork => Ok(0x01),
        LinuxSchedulerFlag::SchedFlagReclaim => Ok(0x02),
        LinuxSchedulerFlag::SchedFlagDLOverrun => Ok(0x04),
        LinuxSchedulerFlag::SchedFlagKeepPolicy => Ok(0x08),
        LinuxSchedulerFlag::SchedFlagKeepParams => Ok(0x10),
        LinuxSchedulerFlag::SchedFlagUtilClampMin | LinuxSchedulerFlag::SchedFlagUtilClampMax => {
            Err(ServiceError::Flag(*flag))
        }
    }
}

impl Explain for ServiceStep {
    fn explain(&self) -> Step {
        match self {
            Self::OomScore(score) => Step::inside(
                "tell the OOM killer how readily to pick this process",
                format!("echo {score} > /proc/self/oom_score_adj"),
            ),
            Self::Scheduler(scheduling) => {
                let name = ["other", "fifo", "rr", "batch", "iso", "idle", "deadline"][scheduling.policy as usize % 7];
                let nice =
                    if scheduling.nice == 0 { String::new() } else { format!("renice {} $$; ", scheduling.nice) };
                let priority = scheduling.priority;
                Step::inside(
                    format!("let the CPU be given by the policy {name}"),
                    format!("{nice}chrt --{name} --pid {priority} $$"),
                )
            }
            Self::IoPriority { class, level } => Step::inside(
                format!("let the disk be given by class {class}, level {level}"),
                format!("ionice --class {class} --classdata {level} --pid $$"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(json: &str) -> Result<Vec<ServiceStep>, ServiceError> {
        let text = format!(r#"{{"cwd": "/", "user": {{"uid": 0, "gid": 0}}, {json}}}"#);
        plan_service(&serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn what_is_not_asked_for_is_not_set() {
        assert_eq!(plan(r#""args": ["x"]"#), Ok(Vec::new()));
    }

    #[test]
    fn policies_and_levels_become_the_kernels_numbers() {
        let json = r#""oomScoreAdj": 10, "scheduler": {"policy": "SCHED_BATCH", "nice": 3, "flags": ["SCHED_RESET_ON_FORK"]},
            "ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 0}"#;
        let scheduling = Scheduling { policy: 3, nice: 3, flags: 1, ..Scheduling::default() };
        let expected = [
            ServiceStep::OomScore(10),
            ServiceStep::Scheduler(scheduling),
            ServiceStep::IoPriority { class: 3, level: 0 },
        ];
        assert_eq!(plan(json).unwrap(), expected);
        let command = ServiceStep::Scheduler(scheduling).explain().shell;
        assert_eq!(command, "renice 3 $$; chrt --batch --pid 0 $$");
    }

    #[test]
    fn numbers_that_the_kernel_does_not_have_are_refused() {
        let level = plan(r#""ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 8}"#);
        assert_eq!(level, Err(ServiceError::IoLevel(8)));
        let negative = plan(r#""scheduler": {"policy": "SCHED_RR", "priority": -1}"#);
        assert_eq!(negative, Err(ServiceError::Priority(-1)));
        assert_eq!(plan(r#""scheduler": {"policy": "SCHED_ISO"}"#), Err(ServiceError::NoSuchPolicy));
    }
}
