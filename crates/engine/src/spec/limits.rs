//! Limits and devices: the request's words in the runtime-spec's.

use oci::runtime::{
    LinuxCpuBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxMemoryBuilder,
    LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder, PosixRlimit, PosixRlimitBuilder, PosixRlimitType,
};

use crate::devices::Granted;
use crate::resources::{DEFAULT_PIDS, Resources, Ulimit};

/// The period over which processor time is counted, in microseconds: the kernel's own default.
const PERIOD: u64 = 100_000;

/// Decides the limits of the container's cgroup.
pub(super) fn plan_resources(resources: &Resources, privileged: bool, granted: &Granted) -> LinuxResources {
    let mut plan = LinuxResourcesBuilder::default().devices(plan_devices(privileged, granted));
    let limit = resources.pids_limit.unwrap_or(DEFAULT_PIDS);
    if limit > 0 {
        plan = plan.pids(LinuxPidsBuilder::default().limit(limit).build().unwrap_or_default());
    }
    if let Some(memory) = plan_memory(resources) {
        plan = plan.memory(memory.build().unwrap_or_default());
    }
    if let Some(cpu) = plan_cpu(resources) {
        plan = plan.cpu(cpu.build().unwrap_or_default());
    }
    plan.build().unwrap_or_default()
}

fn plan_memory(resources: &Resources) -> Option<LinuxMemoryBuilder> {
    let bytes = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let mut memory = LinuxMemoryBuilder::default();
    if let Some(limit) = resources.memory {
        // Docker's rule: as much swap as memory, where nothing is said of it.
        let swap = resources.memory_swap.unwrap_or_else(|| bytes(limit).saturating_mul(2));
        memory = memory.limit(bytes(limit)).swap(swap);
    }
    if let Some(reservation) = resources.memory_reservation {
        memory = memory.reservation(bytes(reservation));
    }
    (resources.memory.is_some() || resources.memory_reservation.is_some()).then_some(memory)
}

fn plan_cpu(resources: &Resources) -> Option<LinuxCpuBuilder> {
    let asked = resources.nano_cpus.is_some()
        || resources.cpu_shares.is_some()
        || resources.cpuset_cpus.is_some()
        || resources.cpuset_mems.is_some();
    let mut cpu = LinuxCpuBuilder::default();
    if let Some(nano) = resources.nano_cpus {
        let quota = u128::from(nano) * u128::from(PERIOD) / 1_000_000_000;
        // The kernel takes no quota below a millisecond.
        cpu = cpu.period(PERIOD).quota(i64::try_from(quota).unwrap_or(i64::MAX).max(1000));
    }
    if let Some(shares) = resources.cpu_shares {
        cpu = cpu.shares(shares);
    }
    if let Some(cpus) = &resources.cpuset_cpus {
        cpu = cpu.cpus(cpus.clone());
    }
    if let Some(mems) = &resources.cpuset_mems {
        cpu = cpu.mems(mems.clone());
    }
    asked.then_some(cpu)
}

/// Decides which devices may be used: all, or none but those that the runtime-spec gives to every container and those that
/// were asked for.
fn plan_devices(privileged: bool, granted: &Granted) -> Vec<LinuxDeviceCgroup> {
    let all = LinuxDeviceCgroupBuilder::default().allow(privileged).typ(LinuxDeviceType::A).access("rwm");
    all.build().into_iter().chain(granted.nodes.iter().map(|(_, rule)| rule.clone())).collect()
}

/// Decides the limits of the command's own process.
pub(super) fn plan_rlimits(ulimits: &[Ulimit]) -> Vec<PosixRlimit> {
    let limit = |ulimit: &Ulimit| {
        let builder = PosixRlimitBuilder::default().typ(rlimit_type(&ulimit.name)?);
        builder.soft(ulimit.soft).hard(ulimit.hard).build().ok()
    };
    ulimits.iter().filter_map(limit).collect()
}

fn rlimit_type(name: &str) -> Option<PosixRlimitType> {
    Some(match name {
        "as" => PosixRlimitType::RlimitAs,
        "core" => PosixRlimitType::RlimitCore,
        "cpu" => PosixRlimitType::RlimitCpu,
        "data" => PosixRlimitType::RlimitData,
        "fsize" => PosixRlimitType::RlimitFsize,
        "locks" => PosixRlimitType::RlimitLocks,
        "memlock" => PosixRlimitType::RlimitMemlock,
        "msgqueue" => PosixRlimitType::RlimitMsgqueue,
        "nice" => PosixRlimitType::RlimitNice,
        "nofile" => PosixRlimitType::RlimitNofile,
        "nproc" => PosixRlimitType::RlimitNproc,
        "rss" => PosixRlimitType::RlimitRss,
        "rtprio" => PosixRlimitType::RlimitRtprio,
        "rttime" => PosixRlimitType::RlimitRttime,
        "sigpending" => PosixRlimitType::RlimitSigpending,
        "stack" => PosixRlimitType::RlimitStack,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(change: fn(&mut Resources)) -> LinuxResources {
        let mut resources = Resources::default();
        change(&mut resources);
        plan_resources(&resources, false, &Granted::default())
    }

    #[test]
    fn half_a_processor_is_half_of_each_period() {
        let cpu = plan(|r| r.nano_cpus = Some(500_000_000)).cpu().clone().unwrap();
        assert_eq!((cpu.quota(), cpu.period()), (Some(50_000), Some(100_000)));
        assert!(plan(|_| {}).cpu().is_none());
    }

    #[test]
    fn memory_brings_as_much_swap_unless_told_otherwise() {
        let memory = plan(|r| r.memory = Some(64 << 20)).memory().unwrap();
        assert_eq!((memory.limit(), memory.swap()), (Some(64 << 20), Some(128 << 20)));
        let memory = plan(|r| (r.memory, r.memory_swap) = (Some(64 << 20), Some(-1))).memory().unwrap();
        assert_eq!(memory.swap(), Some(-1));
    }

    #[test]
    fn processes_are_limited_even_when_nothing_is_said() {
        assert_eq!(plan(|_| {}).pids().unwrap().limit(), DEFAULT_PIDS);
        assert!(plan(|r| r.pids_limit = Some(-1)).pids().is_none());
    }

    #[test]
    fn every_ulimit_we_parse_has_a_number() {
        for name in crate::resources::ULIMITS {
            assert!(rlimit_type(name).is_some(), "{name}");
        }
    }
}
