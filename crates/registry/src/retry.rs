//! When to try again: how often, after which pause, and how a server can have its say in it.

use std::time::Duration;

use jiff::Timestamp;

/// How patient we are with a server that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How often a request is sent at most.
    pub attempts: u32,
    /// The first pause; each further one is twice as long.
    pub first_pause: Duration,
    /// The longest pause of ours, and the longest that a server may ask for.
    pub longest_pause: Duration,
    /// After which time nothing is tried again.
    pub total: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 6,
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(60),
            total: Duration::from_secs(300),
        }
    }
}

impl Patience {
    /// Returns the pause after the `failed`-th failure (the first is 1), or nothing when it was the last attempt, or the
    /// server wants to be left alone for longer than we wait.
    ///
    /// `chance` is between 0 and 1: clients that failed together should not come back together.
    pub(crate) fn pause(&self, failed: u32, asked: Option<Duration>, chance: f64) -> Option<Duration> {
        if failed >= self.attempts {
            return None;
        }
        let doubled = self.first_pause.saturating_mul(1 << failed.saturating_sub(1).min(16)).min(self.longest_pause);
        let own = doubled.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
        match asked {
            None => Some(own),
            Some(asked) if asked > self.longest_pause => None,
            // A server that asks for no pause at all gets ours: it is in trouble.
            Some(asked) => Some(asked.max(own)),
        }
    }
}

/// Tells whether a status says that the same request may do better later.
pub(crate) fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// Reads `Retry-After` (RFC 9110, 10.2.3): seconds, or a date.
pub(crate) fn parse_retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO))
}

/// Returns a number between 0 and 1 that is another one each time.
pub(crate) fn chance() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(std::thread::current().id());
    f64::from(u32::try_from(random >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        attempts: 4,
        first_pause: Duration::from_millis(100),
        longest_pause: Duration::from_millis(300),
        total: Duration::from_secs(1),
    };

    #[test]
    fn pauses_double_up_to_a_bound_and_end() {
        let pauses: Vec<_> = (1..=4).map(|failed| PATIENCE.pause(failed, None, 1.0)).collect();
        let millis = |millis| Some(Duration::from_millis(millis));
        assert_eq!(pauses, [millis(100), millis(200), millis(300), None]);
        assert_eq!(PATIENCE.pause(1, None, 0.0), millis(50));
    }

    #[test]
    fn a_server_may_ask_for_a_longer_pause_and_not_for_any() {
        let asked = |millis| PATIENCE.pause(1, Some(Duration::from_millis(millis)), 1.0);
        assert_eq!(asked(250), Some(Duration::from_millis(250)));
        assert_eq!(asked(0), Some(Duration::from_millis(100)));
        assert_eq!(asked(301), None);
    }

    #[test]
    fn a_retry_after_is_seconds_or_a_date() {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        let read = |text: &str| parse_retry_after(text, now).map(|after| after.as_secs());
        assert_eq!(read("120"), Some(120));
        assert_eq!(read("Fri, 02 Jan 2026 03:05:05 GMT"), Some(60));
        assert_eq!(read("Fri, 02 Jan 2026 03:00:05 GMT"), Some(0));
        for text in ["", "soon", "-1", "99999999999999"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn chances_differ_and_stay_in_bounds() {
        let some: Vec<_> = (0..8).map(|_| chance()).collect();
        assert!(some.iter().all(|chance| (0.0..=1.0).contains(chance)));
        assert!(some.iter().any(|chance| *chance != some[0]), "{some:?}");
    }
}
