//! Limits as they are asked for: processors, memory, processes, and the limits of a single process.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The least memory that a container is given: below it no program starts, as in Docker.
pub const LEAST_MEMORY: u64 = 6 * 1024 * 1024;

/// The limits of a container; what is `None` is unlimited, unless its line says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Billionths of a processor: 500,000,000 is half of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nano_cpus: Option<u64>,
    /// The share among busy containers, 1024 being the usual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_shares: Option<u64>,
    /// The processors to run on, as in `0-2,4`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpuset_cpus: Option<String>,
    /// The memory nodes to use, in the same form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpuset_mems: Option<String>,
    /// Bytes of memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Bytes of memory that the kernel tries to leave to the container when it is short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_reservation: Option<u64>,
    /// Bytes of memory and swap together; -1 for swap without limit; twice the memory where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_swap: Option<i64>,
    /// Processes and threads; -1 for no limit; [`DEFAULT_PIDS`] where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids_limit: Option<i64>,
    /// Bytes in `/dev/shm`; [`DEFAULT_SHM`] where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<u64>,
    /// How ready the kernel is to kill the container's processes when memory is short, -1000 to 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i32>,
    /// Limits of a single process.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ulimits: Vec<Ulimit>,
}

/// How many processes and threads a container may have where nothing is said: a fork bomb's end.
pub const DEFAULT_PIDS: i64 = 2048;

/// The size of `/dev/shm` where nothing is said, as in Docker.
pub const DEFAULT_SHM: u64 = 64 * 1024 * 1024;

/// Why a limit cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResourcesError {
    /// Text that is no size.
    #[error("invalid size {0:?}: use a number with b, k, m, g or t, as in 64m")]
    Size(String),
    /// Text that is no number of processors.
    #[error("invalid number of processors {0:?}: use a number as in 0.5 or 2")]
    Cpus(String),
    /// More processors than there are.
    #[error("{asked} processors are too many: the host has {available}")]
    TooManyCpus {
        /// What was asked for.
        asked: Cpus,
        /// What the host has.
        available: u32,
    },
    /// Text that is no list of numbers.
    #[error("invalid list {0:?}: use numbers and ranges, as in 0-2,4")]
    Cpuset(String),
    /// Less memory than a program needs to start.
    #[error("{0} bytes of memory are too few: 6 MiB (6m) are the least")]
    TooLittleMemory(u64),
    /// Less memory and swap than memory.
    #[error("the limit of memory and swap together must not be less than that of memory")]
    SwapBelowMemory,
    /// Swap without memory.
    #[error("a limit of memory and swap together needs one of memory: add -m")]
    SwapAlone,
    /// A reservation above the limit.
    #[error("the reservation of memory must not be more than its limit")]
    ReservationAboveMemory,
    /// A limit of processes that allows none.
    #[error("{0} is no limit of processes: use a number from 1, or -1 for no limit")]
    Pids(i64),
    /// A share outside the kernel's range.
    #[error("{0} is no share of the processors: use 2 to 262144")]
    Shares(u64),
    /// A score outside the kernel's range.
    #[error("{0} is no score: use -1000 to 1000")]
    OomScore(i32),
    /// Text that is no ulimit.
    #[error("invalid ulimit {0:?}: use NAME=SOFT[:HARD], as in nofile=1024:2048")]
    Ulimit(String),
}

/// Billionths of a processor, shown as a decimal number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpus(pub u64);

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl Resources {
    /// Checks the limits against each other and against a host with so many processors.
    pub fn check(&self, processors: u32) -> Result<(), ResourcesError> {
        self.check_cpus(processors)?;
        self.check_memory()?;
        match self.pids_limit {
            Some(limit) if limit < -1 => return Err(ResourcesError::Pids(limit)),
            _ => {}
        }
        match self.oom_score_adj {
            Some(score) if !(-1000..=1000).contains(&score) => Err(ResourcesError::OomScore(score)),
            _ => Ok(()),
        }
    }

    fn check_cpus(&self, processors: u32) -> Result<(), ResourcesError> {
        if let Some(asked) = self.nano_cpus
            && asked > u64::from(processors) * 1_000_000_000
        {
            return Err(ResourcesError::TooManyCpus { asked: Cpus(asked), available: processors });
        }
        if let Some(shares) = self.cpu_shares
            && !(2..=262_144).contains(&shares)
        {
            return Err(ResourcesError::Shares(shares));
        }
        self.cpuset_cpus.iter().chain(&self.cpuset_mems).try_for_each(|list| check_list(list))
    }

    fn check_memory(&self) -> Result<(), ResourcesError> {
        if let Some(memory) = self.memory
            && memory < LEAST_MEMORY
        {
            return Err(ResourcesError::TooLittleMemory(memory));
        }
        if let (Some(reservation), Some(memory)) = (self.memory_reservation, self.memory)
            && reservation > memory
        {
            return Err(ResourcesError::ReservationAboveMemory);
        }
        match (self.memory_swap, self.memory) {
            (None | Some(-1), _) => Ok(()),
            (Some(_), None) => Err(ResourcesError::SwapAlone),
            (Some(swap), Some(memory)) if u64::try_from(swap).is_ok_and(|swap| swap >= memory) => Ok(()),
            _ => Err(ResourcesError::SwapBelowMemory),
        }
    }
}

fn check_list(list: &str) -> Result<(), ResourcesError> {
    let number = |text: &str| text.parse::<u32>().ok();
    let part = |part: &str| match part.split_once('-') {
        None => number(part).is_some(),
        Some((from, to)) => number(from).zip(number(to)).is_some_and(|(from, to)| from <= to),
    };
    if list.split(',').all(part) { Ok(()) } else { Err(ResourcesError::Cpuset(list.to_owned())) }
}

/// Reads a size as Docker writes it: a decimal number and `b`, `k`, `m`, `g` or `t`, each 1024 of the one before.
pub fn parse_size(text: &str) -> Result<u64, ResourcesError> {
    let wrong = || ResourcesError::Size(text.to_owned());
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let (number, unit) = lower.split_at(digits);
    let shift = match unit.trim_start() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(wrong()),
    };
    scaled(number, 1 << shift).ok_or_else(wrong)
}

/// Reads a number of processors, as in `0.5`, into billionths.
pub fn parse_cpus(text: &str) -> Result<u64, ResourcesError> {
    scaled(text, 1_000_000_000).filter(|nano| *nano > 0).ok_or_else(|| ResourcesError::Cpus(text.to_owned()))
}

/// Reads a decimal number and multiplies it, without the rounding of floating point.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && part.is_empty()) || part.len() > 9 {
        return None;
    }
    let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u64>().ok() };
    let tens = 10_u128.pow(u32::try_from(part.len()).ok()?);
    let fraction = u128::from(digits(part)?) * u128::from(unit) / tens;
    digits(whole)?.checked_mul(unit)?.checked_add(u64::try_from(fraction).ok()?)
}

/// A limit of a single process, as in `nofile=1024:2048`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// The limit's name in lower case, without `RLIMIT_`.
    pub name: String,
    /// What applies.
    pub soft: u64,
    /// How far the process may raise it.
    pub hard: u64,
}

/// The limits that the kernel knows, by Docker's names.
pub(crate) const ULIMITS: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

impl FromStr for Ulimit {
    type Err = ResourcesError;

    fn from_str(text: &str) -> Result<Self, ResourcesError> {
        let wrong = || ResourcesError::Ulimit(text.to_owned());
        let (name, limits) = text.split_once('=').ok_or_else(wrong)?;
        let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
        let number = |word: &str| match word {
            "-1" | "unlimited" => Some(u64::MAX),
            other => other.parse().ok(),
        };
        let (soft, hard) = number(soft).zip(number(hard)).ok_or_else(wrong)?;
        if !ULIMITS.contains(&name) || soft > hard {
            return Err(wrong());
        }
        Ok(Self { name: name.to_owned(), soft, hard })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_docker_s() {
        for (text, bytes) in
            [("64m", 64 << 20), ("1g", 1 << 30), ("512", 512), ("1.5k", 1536), ("2KiB", 2048), ("3B", 3)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "m", "-1", "1x", "1..5m", "99999999999t", "."] {
            assert!(parse_size(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn processors_are_counted_in_billionths() {
        assert_eq!(parse_cpus("0.5"), Ok(500_000_000));
        assert_eq!(parse_cpus(".25"), Ok(250_000_000));
        assert_eq!(parse_cpus("2"), Ok(2_000_000_000));
        for bad in ["0", "-1", "x", "", "1e3"] {
            assert!(parse_cpus(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn limits_are_checked_before_anything_is_made() {
        let limits = |change: fn(&mut Resources)| {
            let mut resources = Resources::default();
            change(&mut resources);
            resources.check(2).map_err(|error| error.to_string())
        };
        assert_eq!(limits(|r| r.memory = Some(6 << 20)), Ok(()));
        assert!(limits(|r| r.memory = Some(4096)).unwrap_err().contains("6 MiB"));
        assert!(limits(|r| r.nano_cpus = Some(2_500_000_000)).unwrap_err().starts_with("2.5 processors"));
        assert!(limits(|r| r.memory_swap = Some(1 << 30)).unwrap_err().contains("-m"));
        assert!(limits(|r| (r.memory, r.memory_swap) = (Some(64 << 20), Some(32 << 20))).is_err());
        assert_eq!(limits(|r| (r.memory, r.memory_swap) = (Some(64 << 20), Some(-1))), Ok(()));
        assert!(limits(|r| r.cpuset_cpus = Some("0-".into())).is_err());
        assert!(limits(|r| r.cpuset_cpus = Some("3-1".into())).is_err());
        assert!(limits(|r| r.pids_limit = Some(-7)).is_err());
        assert!(limits(|r| r.cpu_shares = Some(1)).is_err());
    }

    #[test]
    fn ulimits_have_a_soft_and_a_hard_side() {
        let both = Ulimit { name: "nofile".into(), soft: 1024, hard: 2048 };
        assert_eq!("nofile=1024:2048".parse(), Ok(both));
        assert_eq!("core=-1".parse(), Ok(Ulimit { name: "core".into(), soft: u64::MAX, hard: u64::MAX }));
        for bad in ["nofile", "nofile=", "nofile=2:1", "sun=1", "nofile=a"] {
            assert!(bad.parse::<Ulimit>().is_err(), "{bad:?} was taken");
        }
    }
}
