//! Health checks: what was asked for, what follows from a probe, and what is on record of the last ones. Pure.
//!
//! The rules are those of Dockerfile's HEALTHCHECK: a container is `starting` until its first probe succeeds (`healthy`) or
//! `retries` probes in a row have failed (`unhealthy`); failures within the start period do not count, unless a probe has
//! succeeded before.

use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What `--health-*` said; what is not said is the image's, or Docker's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthRequest {
    /// The test, in a shell of the container; the image's where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The time between two probes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// The time after which a probe has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// The time in which failures do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_period: Option<Duration>,
    /// The time between two probes within the start period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_interval: Option<Duration>,
    /// How many failures in a row make a container unhealthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Whether the image's check is left out.
    pub disabled: bool,
    /// What is done with a container that has become unhealthy.
    pub on_failure: HealthOnFailure,
}

/// What is done with a container that has become unhealthy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthOnFailure {
    /// Nothing but telling.
    #[default]
    None,
    /// It is killed; its restart policy decides what follows.
    Kill,
    /// It is stopped and started again, whatever its restart policy says.
    Restart,
    /// It is stopped, and stays down.
    Stop,
}

/// Why a word is no such action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown action {0:?}: use none, kill, restart or stop")]
pub struct HealthOnFailureError(String);

impl FromStr for HealthOnFailure {
    type Err = HealthOnFailureError;

    fn from_str(word: &str) -> Result<Self, HealthOnFailureError> {
        Ok(match word {
            "none" => Self::None,
            "kill" => Self::Kill,
            "restart" => Self::Restart,
            "stop" => Self::Stop,
            other => return Err(HealthOnFailureError(other.to_owned())),
        })
    }
}

/// An image's health check, in the form that Docker stores in its configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageHealth {
    /// `NONE`; `CMD` and words; or `CMD-SHELL` and a line.
    pub test: Vec<String>,
    /// Nanoseconds; 0 for the default, as in those below.
    pub interval: u64,
    /// Nanoseconds.
    pub timeout: u64,
    /// Nanoseconds.
    pub start_period: u64,
    /// Nanoseconds.
    pub start_interval: u64,
    /// A count; 0 for the default.
    pub retries: u32,
}

/// A health check as it is carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// The test in Docker's form: `CMD` and words, or `CMD-SHELL` and a line.
    pub test: Vec<String>,
    /// The time between two probes.
    pub interval: Duration,
    /// The time after which a probe has failed.
    pub timeout: Duration,
    /// The time in which failures do not count.
    pub start_period: Duration,
    /// The time between two probes within the start period.
    pub start_interval: Duration,
    /// How many failures in a row make a container unhealthy.
    pub retries: u32,
    /// What is done with a container that has become unhealthy.
    pub on_failure: HealthOnFailure,
}

/// Why no health check can be made of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HealthError {
    /// Docker's least length of any of the times.
    #[error("the health check's {0} of {1:?} is too short: the least is 1ms")]
    TooShort(&'static str, Duration),
    /// An action without a check.
    #[error("--health-on-failure needs a health check: give --health-cmd, or use an image that has one")]
    NothingToAct,
}

const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: u32 = 3;
const LEAST: Duration = Duration::from_millis(1);

/// Decides a container's health check: what was asked for, over the image's, over the defaults. `None` for no check.
pub(crate) fn plan_check(
    asked: &HealthRequest,
    image: Option<&ImageHealth>,
) -> Result<Option<HealthCheck>, HealthError> {
    let none = ImageHealth::default();
    let image = image.unwrap_or(&none);
    let test = match &asked.command {
        Some(line) if line == "none" => Vec::new(),
        Some(line) => vec!["CMD-SHELL".to_owned(), line.clone()],
        None => image.test.clone(),
    };
    if asked.disabled || matches!(test.first().map(String::as_str), None | Some("NONE")) || test.len() < 2 {
        return match asked.on_failure {
            HealthOnFailure::None => Ok(None),
            _ => Err(HealthError::NothingToAct),
        };
    }
    // Zero is Docker's word for the default.
    let time = |asked: Option<Duration>, image: u64, default: Duration| {
        asked.filter(|time| !time.is_zero()).or((image > 0).then(|| Duration::from_nanos(image))).unwrap_or(default)
    };
    let check = HealthCheck {
        test,
        interval: time(asked.interval, image.interval, INTERVAL),
        timeout: time(asked.timeout, image.timeout, TIMEOUT),
        start_period: time(asked.start_period, image.start_period, Duration::ZERO),
        start_interval: time(asked.start_interval, image.start_interval, START_INTERVAL),
        retries: [asked.retries.unwrap_or(0), image.retries, RETRIES].into_iter().find(|n| *n > 0).unwrap_or(RETRIES),
        on_failure: asked.on_failure,
    };
    let times = [("interval", check.interval), ("timeout", check.timeout), ("start interval", check.start_interval)];
    match times.into_iter().find(|(_, time)| *time < LEAST) {
        Some((name, time)) => Err(HealthError::TooShort(name, time)),
        None => Ok(Some(check)),
    }
}

impl HealthCheck {
    /// Returns the program and its arguments.
    pub(crate) fn command(&self) -> Vec<String> {
        match self.test.split_first() {
            Some((kind, line)) if kind == "CMD-SHELL" => {
                ["/bin/sh", "-c"].map(str::to_owned).into_iter().chain(line.iter().cloned()).collect()
            }
            Some((_, words)) => words.to_vec(),
            None => Vec::new(),
        }
    }

    /// Returns the check in the form that Docker shows.
    pub(crate) fn view(&self) -> ImageHealth {
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        ImageHealth {
            test: self.test.clone(),
            interval: nanoseconds(self.interval),
            timeout: nanoseconds(self.timeout),
            start_period: nanoseconds(self.start_period),
            start_interval: nanoseconds(self.start_interval),
            retries: self.retries,
        }
    }

    /// Returns the time until the next probe, at this age of the run.
    pub(crate) fn next_probe(&self, age: Duration, status: HealthStatus) -> Duration {
        let is_starting = status == HealthStatus::Starting && age < self.start_period;
        if is_starting { self.start_interval.min(self.interval) } else { self.interval }
    }
}

/// How a container with a health check fares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// No probe has succeeded, and not enough have failed.
    #[default]
    Starting,
    /// The last probe that counts succeeded.
    Healthy,
    /// Too many probes failed in a row.
    Unhealthy,
}

impl HealthStatus {
    /// Returns Docker's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// What is on record of a run's probes, in Docker's names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Health {
    /// What follows from the probes.
    pub status: HealthStatus,
    /// How many have failed since the last success.
    pub failing_streak: u32,
    /// The last five, the newest last.
    pub log: Vec<Probe>,
}

/// One probe, in Docker's names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Probe {
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// Its exit status; -1 when it took too long or could not be started.
    pub exit_code: i32,
    /// The beginning of what it wrote.
    pub output: String,
}

/// How many probes are kept.
const KEPT: usize = 5;

impl Health {
    /// Takes a probe in; `starting` tells whether its failure counts for nothing.
    pub(crate) fn take(&mut self, probe: Probe, retries: u32, starting: bool) {
        let failed = probe.exit_code != 0;
        self.log.push(probe);
        if self.log.len() > KEPT {
            self.log.remove(0);
        }
        if !failed {
            (self.status, self.failing_streak) = (HealthStatus::Healthy, 0);
        } else if !(starting && self.status == HealthStatus::Starting) {
            self.failing_streak += 1;
            if self.failing_streak >= retries {
                self.status = HealthStatus::Unhealthy;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(exit_code: i32) -> Probe {
        Probe { start: Timestamp::UNIX_EPOCH, end: Timestamp::UNIX_EPOCH, exit_code, output: String::new() }
    }

    fn after(probes: &[(i32, bool)]) -> (HealthStatus, u32) {
        let mut health = Health::default();
        probes.iter().for_each(|(code, starting)| health.take(probe(*code), 3, *starting));
        (health.status, health.failing_streak)
    }

    #[test]
    fn failures_in_a_row_make_a_container_unhealthy_and_one_success_heals_it() {
        assert_eq!(after(&[(1, false), (1, false)]), (HealthStatus::Starting, 2));
        assert_eq!(after(&[(1, false), (-1, false), (2, false)]), (HealthStatus::Unhealthy, 3));
        assert_eq!(after(&[(1, false), (1, false), (0, false), (1, false)]), (HealthStatus::Healthy, 1));
        assert_eq!(after(&[(1, false), (1, false), (1, false), (0, false)]), (HealthStatus::Healthy, 0));
    }

    #[test]
    fn failures_of_the_start_period_count_only_after_a_success() {
        assert_eq!(after(&[(1, true), (1, true), (1, true), (1, true)]), (HealthStatus::Starting, 0));
        assert_eq!(after(&[(0, true), (1, true), (1, true), (1, true)]), (HealthStatus::Unhealthy, 3));
    }

    #[test]
    fn five_probes_are_kept() {
        let mut health = Health::default();
        (0..9).for_each(|code| health.take(probe(code), 3, false));
        assert_eq!(health.log.iter().map(|probe| probe.exit_code).collect::<Vec<_>>(), [4, 5, 6, 7, 8]);
    }

    #[test]
    fn what_is_asked_for_stands_over_the_image_s_and_that_over_docker_s_defaults() {
        let image =
            ImageHealth { test: vec!["CMD".into(), "check".into()], interval: 5_000_000_000, ..ImageHealth::default() };
        let plain = plan_check(&HealthRequest::default(), Some(&image)).unwrap().unwrap();
        assert_eq!(
            (plain.command(), plain.interval, plain.timeout),
            (vec!["check".into()], Duration::from_secs(5), TIMEOUT)
        );
        assert_eq!((plain.start_period, plain.start_interval, plain.retries), (Duration::ZERO, START_INTERVAL, 3));
        let asked = HealthRequest {
            command: Some("curl -f localhost".into()),
            interval: Some(Duration::from_millis(7)),
            retries: Some(1),
            ..HealthRequest::default()
        };
        let own = plan_check(&asked, Some(&image)).unwrap().unwrap();
        assert_eq!(own.command(), ["/bin/sh", "-c", "curl -f localhost"]);
        assert_eq!((own.interval, own.retries), (Duration::from_millis(7), 1));
        let off = HealthRequest { disabled: true, ..HealthRequest::default() };
        assert_eq!(plan_check(&off, Some(&image)), Ok(None));
        assert_eq!(plan_check(&HealthRequest::default(), None), Ok(None));
        let short = HealthRequest { timeout: Some(Duration::from_nanos(5)), ..asked };
        assert!(matches!(plan_check(&short, None), Err(HealthError::TooShort("timeout", _))));
        let acting = HealthRequest { on_failure: HealthOnFailure::Kill, ..HealthRequest::default() };
        assert_eq!(plan_check(&acting, None), Err(HealthError::NothingToAct));
    }

    #[test]
    fn probes_are_closer_to_each_other_while_a_container_starts() {
        let asked = HealthRequest {
            command: Some("true".into()),
            start_period: Some(Duration::from_secs(20)),
            start_interval: Some(Duration::from_secs(1)),
            ..HealthRequest::default()
        };
        let check = plan_check(&asked, None).unwrap().unwrap();
        let next = |age, status| check.next_probe(Duration::from_secs(age), status).as_secs();
        assert_eq!(next(0, HealthStatus::Starting), 1);
        assert_eq!(next(5, HealthStatus::Healthy), 30);
        assert_eq!(next(20, HealthStatus::Starting), 30);
    }
}
