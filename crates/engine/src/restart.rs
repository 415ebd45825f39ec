//! Restart policies: what follows when a container has ended. Pure: it is told how a run ended, and says what comes next.
//!
//! Words, counts and waiting times are Docker's: a tenth of a second before the first restart, twice as long before each
//! further one, a minute at most, and from the beginning again after a run that lasted ten seconds.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// When a container that has ended is started again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// When its exit status is not zero, at most so many times in a row; without a limit where none is given.
    OnFailure(Option<u32>),
    /// Always, until somebody stops it; after a reboot even then.
    Always,
    /// Always, until somebody stops it.
    UnlessStopped,
}

/// Why a word is no restart policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown restart policy {0:?}: use no, on-failure[:MAX-RETRIES], always or unless-stopped")]
pub struct RestartPolicyError(String);

impl FromStr for RestartPolicy {
    type Err = RestartPolicyError;

    fn from_str(word: &str) -> Result<Self, RestartPolicyError> {
        let unknown = || RestartPolicyError(word.to_owned());
        match word.split_once(':') {
            None => match word {
                // Docker takes an empty word for no policy.
                "no" | "" => Ok(Self::No),
                "on-failure" => Ok(Self::OnFailure(None)),
                "always" => Ok(Self::Always),
                "unless-stopped" => Ok(Self::UnlessStopped),
                _ => Err(unknown()),
            },
            Some(("on-failure", max)) => {
                let max: u32 = max.parse().map_err(|_| unknown())?;
                Ok(Self::OnFailure((max > 0).then_some(max)))
            }
            Some(_) => Err(unknown()),
        }
    }
}

impl RestartPolicy {
    /// Returns Docker's word, without the count.
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure(_) => "on-failure",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
        }
    }

    /// Returns how many restarts in a row are allowed; 0 where there is no limit.
    pub fn limit(self) -> u32 {
        match self {
            Self::OnFailure(max) => max.unwrap_or(0),
            _ => 0,
        }
    }

    /// Tells whether the container runs after a reboot that ran before, unless somebody had stopped it.
    pub(crate) fn outlives_the_machine(self, stopped: bool) -> bool {
        match self {
            Self::Always => true,
            Self::UnlessStopped => !stopped,
            // Docker's documentation: on-failure does not restart a container when the daemon restarts.
            Self::OnFailure(_) | Self::No => false,
        }
    }
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnFailure(Some(max)) => write!(f, "on-failure:{max}"),
            policy => f.write_str(policy.name()),
        }
    }
}

impl TryFrom<String> for RestartPolicy {
    type Error = RestartPolicyError;

    fn try_from(word: String) -> Result<Self, RestartPolicyError> {
        word.parse()
    }
}

impl From<RestartPolicy> for String {
    fn from(policy: RestartPolicy) -> Self {
        policy.to_string()
    }
}

/// How a run ended, as far as its restart depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: u8,
    /// Somebody asked for the end.
    pub(crate) stopped: bool,
    /// How long it ran.
    pub(crate) lasted: Duration,
    /// How many restarts came before.
    pub(crate) restarts: u32,
    /// How long the last restart was waited for.
    pub(crate) waited: Duration,
}

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const LONG_RUN: Duration = Duration::from_secs(10);

/// Decides whether a container is started again, and after how long a wait.
pub(crate) fn plan_restart(policy: RestartPolicy, ended: &Ended) -> Option<Duration> {
    let wanted = match policy {
        RestartPolicy::No => false,
        RestartPolicy::OnFailure(max) => ended.code != 0 && max.is_none_or(|max| ended.restarts < max),
        RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
    };
    if !wanted || ended.stopped {
        return None;
    }
    let again = ended.waited.is_zero() || ended.lasted >= LONG_RUN;
    Some(if again { FIRST_WAIT } else { (ended.waited * 2).min(LONGEST_WAIT) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: Ended =
        Ended { code: 1, stopped: false, lasted: Duration::ZERO, restarts: 0, waited: Duration::ZERO };

    #[test]
    fn policies_are_docker_s_words() {
        for word in ["no", "on-failure", "on-failure:3", "always", "unless-stopped"] {
            assert_eq!(word.parse::<RestartPolicy>().unwrap().to_string(), word);
        }
        assert_eq!("".parse(), Ok(RestartPolicy::No));
        assert_eq!("on-failure:0".parse(), Ok(RestartPolicy::OnFailure(None)));
        for bad in ["sometimes", "always:3", "on-failure:", "on-failure:-1", "on-failure:x", "no:"] {
            assert!(bad.parse::<RestartPolicy>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn each_policy_restarts_what_it_says() {
        let restarts = |policy: &str, ended: Ended| plan_restart(policy.parse().unwrap(), &ended).is_some();
        let done = Ended { code: 0, ..FAILED };
        for (policy, after_failure, after_success) in
            [("no", false, false), ("on-failure", true, false), ("always", true, true), ("unless-stopped", true, true)]
        {
            assert_eq!((restarts(policy, FAILED), restarts(policy, done)), (after_failure, after_success), "{policy}");
            assert!(!restarts(policy, Ended { stopped: true, ..FAILED }), "{policy}");
        }
        assert!(restarts("on-failure:2", Ended { restarts: 1, ..FAILED }));
        assert!(!restarts("on-failure:2", Ended { restarts: 2, ..FAILED }));
    }

    #[test]
    fn the_wait_doubles_up_to_a_minute_and_begins_anew_after_a_long_run() {
        let mut waited = Duration::ZERO;
        let mut waits = Vec::new();
        for _ in 0..12 {
            waited = plan_restart(RestartPolicy::Always, &Ended { waited, ..FAILED }).unwrap();
            waits.push(waited.as_millis());
        }
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000]);
        let after_long = Ended { waited, lasted: LONG_RUN, ..FAILED };
        assert_eq!(plan_restart(RestartPolicy::Always, &after_long), Some(FIRST_WAIT));
    }

    #[test]
    fn after_a_reboot_runs_what_was_not_stopped() {
        let runs = |policy: RestartPolicy| [false, true].map(|stopped| policy.outlives_the_machine(stopped));
        assert_eq!(runs(RestartPolicy::Always), [true, true]);
        assert_eq!(runs(RestartPolicy::UnlessStopped), [true, false]);
        assert_eq!(runs(RestartPolicy::OnFailure(None)), [false, false]);
        assert_eq!(runs(RestartPolicy::No), [false, false]);
    }
}
