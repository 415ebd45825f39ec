//! Times for people ("2 minutes ago"), and the times people type (`--since 10m`).

use std::time::Duration;

use jiff::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY_HOURS: u64 = 24;

/// Returns a length of time as Docker words it: "5 seconds", "About an hour", "3 weeks".
pub(crate) fn human_duration(length: Duration) -> String {
    let seconds = length.as_secs();
    let hours = (seconds + HOUR / 2) / HOUR;
    match seconds {
        0 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..MINUTE => format!("{seconds} seconds"),
        _ if seconds < 2 * MINUTE => "About a minute".to_owned(),
        _ if seconds < HOUR => format!("{} minutes", seconds / MINUTE),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 2 * DAY_HOURS => format!("{hours} hours"),
        _ if hours < 14 * DAY_HOURS => format!("{} days", hours / DAY_HOURS),
        _ if hours < 60 * DAY_HOURS => format!("{} weeks", hours / DAY_HOURS / 7),
        _ if hours < 730 * DAY_HOURS => format!("{} months", hours / DAY_HOURS / 30),
        _ => format!("{} years", seconds / HOUR / DAY_HOURS / 365),
    }
}

/// Returns how long ago `then` was; a clock that went backward counts as now.
pub(crate) fn since(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

/// Returns "5 seconds ago".
pub(crate) fn ago(now: Timestamp, then: Timestamp) -> String {
    format!("{} ago", human_duration(since(now, then)))
}

/// Returns a time as `docker ps` has it in `.CreatedAt`: `2026-01-02 03:04:05 +0000 UTC`.
pub(crate) fn plain(then: Timestamp) -> String {
    then.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string()
}

/// Why a typed time or length of time cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TimeError {
    /// Neither a length of time nor a point in time.
    #[error(
        "invalid time {0:?}: use a length such as 90s or 1h30m, a time such as 2026-01-02T15:04:05Z, or seconds since 1970"
    )]
    Instant(String),
    /// Not a length of time.
    #[error("invalid length of time {0:?}: use a number with a unit, such as 500ms, 90s or 1h30m")]
    Duration(String),
}

/// Parses a point in time: a length before `now`, an RFC 3339 time (a missing zone means UTC), or Unix seconds.
pub(crate) fn parse_instant(word: &str, now: Timestamp) -> Result<Timestamp, TimeError> {
    let wrong = || TimeError::Instant(word.to_owned());
    if let Ok(length) = parse_duration(word) {
        return now.checked_sub(length).map_err(|_| wrong());
    }
    if word.starts_with(|c: char| c.is_ascii_digit()) && word.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return parse_unix(word).ok_or_else(wrong);
    }
    let full = if word.contains(['T', ' ']) { word.to_owned() } else { format!("{word}T00:00:00") };
    full.parse().or_else(|_| format!("{full}Z").parse()).map_err(|_| wrong())
}

fn parse_unix(word: &str) -> Option<Timestamp> {
    let (seconds, fraction) = word.split_once('.').unwrap_or((word, ""));
    let nanoseconds: i32 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    Timestamp::new(seconds.parse().ok()?, nanoseconds).ok()
}

/// Parses a length of time in Go's form: `300ms`, `1.5h`, `2h45m`.
pub(crate) fn parse_duration(word: &str) -> Result<Duration, TimeError> {
    let wrong = || TimeError::Duration(word.to_owned());
    if word == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = word;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit_end = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        let unit = unit_seconds(&rest[digits..unit_end]).ok_or_else(wrong)?;
        total += Duration::try_from_secs_f64(number * unit).map_err(|_| wrong())?;
        rest = &rest[unit_end..];
    }
    if word.is_empty() { Err(wrong()) } else { Ok(total) }
}

fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_worded_as_docker_words_them() {
        let cases = [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (5400, "2 hours"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
            (14 * 86400, "2 weeks"),
            (60 * 86400, "2 months"),
            (800 * 86400, "2 years"),
        ];
        for (seconds, words) in cases {
            assert_eq!(human_duration(Duration::from_secs(seconds)), words, "{seconds} seconds");
        }
    }

    #[test]
    fn typed_times_are_lengths_points_or_unix_seconds() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        for (word, meant) in [
            ("90s", "2026-01-01T23:58:30Z"),
            ("1h30m", "2026-01-01T22:30:00Z"),
            ("2026-01-01T12:00:00Z", "2026-01-01T12:00:00Z"),
            ("2026-01-01T12:00:00", "2026-01-01T12:00:00Z"),
            ("2026-01-01T14:00:00+02:00", "2026-01-01T12:00:00Z"),
            ("2026-01-01", "2026-01-01T00:00:00Z"),
            ("1767225600.5", "2026-01-01T00:00:00.5Z"),
        ] {
            assert_eq!(parse_instant(word, now).unwrap().to_string(), meant, "{word}");
        }
        for word in ["", "yesterday", "10x", "--", "1..5s"] {
            assert!(parse_instant(word, now).is_err(), "{word}");
        }
    }

    #[test]
    fn a_length_that_does_not_fit_is_refused_and_not_wrapped() {
        assert!(parse_duration("99999999999999999999999999h").is_err());
        assert_eq!(parse_duration("1.5h"), Ok(Duration::from_secs(5400)));
    }
}
