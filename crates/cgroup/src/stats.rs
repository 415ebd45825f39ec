//! The numbers of a cgroup: what it uses, what it may use, and whether the kernel had to kill in it.

use std::path::Path;
use std::time::Duration;

use crate::cgroup::{Cgroup, CgroupError};
use crate::files;
use crate::hierarchy::Controller;

/// What a cgroup used and may use. A number that the host does not keep is absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// CPU time, in user and kernel mode together.
    pub cpu: Option<Duration>,
    /// CPU time in user mode.
    pub cpu_user: Option<Duration>,
    /// CPU time in kernel mode.
    pub cpu_system: Option<Duration>,
    /// How long processes waited because the quota was used up.
    pub throttled: Option<Duration>,
    /// Memory in use, the page cache included, in bytes.
    pub memory: Option<u64>,
    /// How much of it is page cache that could be dropped at once.
    pub memory_inactive_file: Option<u64>,
    /// The memory limit; absent when there is none.
    pub memory_limit: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// How many there may be; absent when there is no limit.
    pub pids_limit: Option<u64>,
    /// Bytes read from block devices.
    pub io_read: Option<u64>,
    /// Bytes written to block devices.
    pub io_write: Option<u64>,
}

impl Cgroup {
    /// Returns how many processes the kernel killed because the memory limit was reached, nested cgroups included.
    pub fn oom_kills(&self) -> Result<u64, CgroupError> {
        let Some(dir) = self.dir_of(Controller::Memory) else { return Ok(0) };
        let kills = if self.is_v1(Controller::Memory) { oom_kills_v1(&dir) } else { oom_kills_v2(&dir) };
        kills.map_err(|source| self.failed("read the OOM kills of", source))
    }

    /// Returns the numbers as they stand.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.read_cpu(&mut stats);
        self.read_memory(&mut stats);
        self.read_pids(&mut stats);
        self.read_io(&mut stats);
        stats
    }

    /// Returns the memory in use.
    pub(crate) fn memory_usage(&self) -> Option<u64> {
        let file = if self.is_v1(Controller::Memory) { "memory.usage_in_bytes" } else { "memory.current" };
        number(&self.dir_of(Controller::Memory)?.join(file))
    }

    fn read_cpu(&self, stats: &mut Stats) {
        let nanoseconds = |file: &Path| number(file).map(Duration::from_nanos);
        if self.is_v1(Controller::Cpuacct) {
            let dir = self.dir_of(Controller::Cpuacct).unwrap_or_default();
            stats.cpu = nanoseconds(&dir.join("cpuacct.usage"));
            stats.cpu_user = nanoseconds(&dir.join("cpuacct.usage_user"));
            stats.cpu_system = nanoseconds(&dir.join("cpuacct.usage_sys"));
        } else if let Some(text) = self.v2_dir().and_then(|dir| files::read(&dir.join("cpu.stat")).ok()) {
            let microseconds = |key| files::field(&text, key).map(Duration::from_micros);
            stats.cpu = microseconds("usage_usec");
            stats.cpu_user = microseconds("user_usec");
            stats.cpu_system = microseconds("system_usec");
        }
        if let Some(text) = self.dir_of(Controller::Cpu).and_then(|dir| files::read(&dir.join("cpu.stat")).ok()) {
            stats.throttled = files::field(&text, "throttled_time")
                .map(Duration::from_nanos)
                .or_else(|| files::field(&text, "throttled_usec").map(Duration::from_micros));
        }
    }

    fn read_memory(&self, stats: &mut Stats) {
        let Some(dir) = self.dir_of(Controller::Memory) else { return };
        let v1 = self.is_v1(Controller::Memory);
        let (limit, cache) =
            if v1 { ("memory.limit_in_bytes", "total_inactive_file") } else { ("memory.max", "inactive_file") };
        stats.memory = self.memory_usage();
        // v1 tells of no limit by a number near 2^63.
        stats.memory_limit = number(&dir.join(limit)).filter(|limit| *limit < 1 << 62);
        stats.memory_inactive_file =
            files::read(&dir.join("memory.stat")).ok().and_then(|text| files::field(&text, cache));
    }

    fn read_pids(&self, stats: &mut Stats) {
        let Some(dir) = self.dir_of(Controller::Pids) else { return };
        stats.pids = number(&dir.join("pids.current"));
        stats.pids_limit = number(&dir.join("pids.max"));
    }

    fn read_io(&self, stats: &mut Stats) {
        let Some(dir) = self.dir_of(Controller::Io) else { return };
        let text = |file| files::read(&dir.join(file)).ok();
        let (read, write) = if self.is_v1(Controller::Io) {
            let Some(text) = text("blkio.throttle.io_service_bytes_recursive") else { return };
            (sum_v1(&text, "Read"), sum_v1(&text, "Write"))
        } else {
            let Some(text) = text("io.stat") else { return };
            (sum_v2(&text, "rbytes="), sum_v2(&text, "wbytes="))
        };
        (stats.io_read, stats.io_write) = (Some(read), Some(write));
    }
}

fn oom_kills_v2(dir: &Path) -> sys::Result<u64> {
    // This file counts nested cgroups too.
    let text = files::read_if_there(&dir.join("memory.events"))?;
    Ok(text.and_then(|text| files::field(&text, "oom_kill")).unwrap_or(0))
}

fn oom_kills_v1(dir: &Path) -> sys::Result<u64> {
    // Since Linux 4.13 the number stands there, and no descriptor needs to be waited for.
    let text = files::read_if_there(&dir.join("memory.oom_control"))?;
    let own = text.and_then(|text| files::field(&text, "oom_kill")).unwrap_or(0);
    files::children(dir).try_fold(own, |sum, child| Ok(sum + oom_kills_v1(&child)?))
}

/// Reads a file of one number; `max` is none.
fn number(file: &Path) -> Option<u64> {
    files::read(file).ok()?.trim().parse().ok()
}

/// Adds up lines such as `8:0 Read 4096`.
fn sum_v1(text: &str, operation: &str) -> u64 {
    let amounts =
        text.lines().filter_map(|line| line.split_once(' ')?.1.strip_prefix(operation)?.trim().parse::<u64>().ok());
    amounts.sum()
}

/// Adds up lines such as `8:0 rbytes=4096 wbytes=0 rios=1`.
fn sum_v2(text: &str, key: &str) -> u64 {
    text.split_whitespace().filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_all_devices_are_added_up() {
        assert_eq!(sum_v1("8:0 Read 4096\n8:0 Write 1\n8:16 Read 4\nTotal 4101\n", "Read"), 4100);
        assert_eq!(sum_v2("8:0 rbytes=4096 wbytes=1 rios=1\n8:16 rbytes=4\n", "rbytes="), 4100);
    }
}
