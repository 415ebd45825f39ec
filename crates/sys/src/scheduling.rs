//! How a process is served: CPU policy, disk priority, the OOM killer's score, and the personality (sched(7), ioprio_set(2)).

use std::os::fd::AsRawFd;

use rustix::fs::{Mode, OFlags};

use crate::errno::check;
use crate::process::ResourceLimit;
use crate::{Calling, Result};

/// The attributes of sched_setattr(2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// `SCHED_OTHER` is 0, `SCHED_FIFO` 1, ...
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// The nice value of the ordinary policies.
    pub nice: i32,
    /// The priority of the real-time policies.
    pub priority: u32,
    /// Nanoseconds of each period, for `SCHED_DEADLINE`.
    pub runtime: u64,
    /// Nanoseconds until the work of a period must be done.
    pub deadline: u64,
    /// Nanoseconds.
    pub period: u64,
}

/// Sets how the CPU is given to a process; 0 is the calling one.
pub fn set_scheduling(pid: u32, scheduling: &Scheduling) -> Result<()> {
    let raw = SchedAttr {
        size: u32::try_from(size_of::<SchedAttr>()).unwrap_or(0),
        policy: scheduling.policy,
        flags: scheduling.flags,
        nice: scheduling.nice,
        priority: scheduling.priority,
        runtime: scheduling.runtime,
        deadline: scheduling.deadline,
        period: scheduling.period,
    };
    // SAFETY: `raw` is a whole sched_attr that states its own size and that the kernel reads; the flags must be zero.
    let ret = unsafe { libc::syscall(libc::SYS_sched_setattr, pid, &raw const raw, 0) };
    check(ret, || format!("sched_setattr({pid}, {scheduling:?})")).map(drop)
}

/// `struct sched_attr` of `linux/sched/types.h` (SCHED_ATTR_SIZE_VER0).
#[repr(C)]
#[derive(Debug)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Sets class (1 real-time, 2 best-effort, 3 idle) and level (0 to 7) of a process's disk access; 0 is the calling one.
pub fn set_io_priority(pid: u32, class: u32, level: u32) -> Result<()> {
    const IOPRIO_WHO_PROCESS: u32 = 1;
    // SAFETY: ioprio_set(2) takes three integers.
    let ret = unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, pid, (class << 13) | level) };
    check(ret, || format!("ioprio_set(IOPRIO_WHO_PROCESS, {pid}, class {class}, level {level})")).map(drop)
}

/// Sets the execution domain of the calling process (personality(2)): 0 is Linux, 8 Linux as 32-bit programs see it.
pub fn set_personality(domain: u32) -> Result<()> {
    // SAFETY: personality(2) takes one integer.
    let ret = unsafe { libc::syscall(libc::SYS_personality, libc::c_ulong::from(domain)) };
    check(ret, || format!("personality({domain:#x})")).map(drop)
}

/// Sets how readily the kernel picks a process when memory runs out; 0 is the calling one.
pub fn set_oom_score(pid: u32, score: i32) -> Result<()> {
    let process = if pid == 0 { "self".to_owned() } else { pid.to_string() };
    let path = format!("/proc/{process}/oom_score_adj");
    let file = rustix::fs::open(&path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
        .call(|| format!("open({path:?}, O_WRONLY)"))?;
    rustix::io::write(&file, score.to_string().as_bytes())
        .map(drop)
        .call(|| format!("write({}, \"{score}\")", file.as_raw_fd()))
}

/// Raises the ceiling of a limit of another process, if it is lower than `hard`; its limit in force stays.
pub fn raise_ceiling(pid: u32, resource: u32, hard: Option<u64>) -> Result<()> {
    let now = prlimit(pid, resource, None)?;
    let is_enough = match (now.hard, hard) {
        (None, _) => true,
        (Some(now), Some(wish)) => now >= wish,
        (Some(_), None) => false,
    };
    if is_enough { Ok(()) } else { prlimit(pid, resource, Some(ResourceLimit { soft: now.soft, hard })).map(drop) }
}

/// Sets a limit of a process, if one is given, and returns what was in force before.
fn prlimit(pid: u32, resource: u32, limit: Option<ResourceLimit>) -> Result<ResourceLimit> {
    let raw = |value: Option<u64>| value.unwrap_or(libc::RLIM64_INFINITY);
    let new = limit.map(|limit| libc::rlimit64 { rlim_cur: raw(limit.soft), rlim_max: raw(limit.hard) });
    let new_at = new.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let mut old = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `new_at` is null or leads to a whole rlimit64 that the kernel reads; `old` is one that it fills.
    let ret = unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, new_at, &raw mut old) };
    check(ret, || format!("prlimit64({pid}, {resource}, {limit:?})"))?;
    let finite = |value| (value != libc::RLIM64_INFINITY).then_some(value);
    Ok(ResourceLimit { soft: finite(old.rlim_cur), hard: finite(old.rlim_max) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attributes_have_the_size_of_the_kernels_first_version() {
        assert_eq!(size_of::<SchedAttr>(), 48);
    }

    #[test]
    fn a_ceiling_that_is_high_enough_is_left_alone() {
        let before = prlimit(0, 7, None).unwrap();
        raise_ceiling(0, 7, Some(1)).unwrap();
        assert_eq!(prlimit(0, 7, None).unwrap(), before);
    }
}
