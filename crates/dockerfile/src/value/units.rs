//! Durations and sizes, as Go and Docker write them.

use std::time::Duration;

/// Reads a duration such as `1m30s`, `1.5h` or `500ms`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let (number, after) = number(rest)?;
        let length = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(length);
        seconds += number
            * match unit {
                "ns" => 1e-9,
                "us" | "µs" | "μs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
        rest = after;
    }
    // Go's durations end after 292 years.
    (!text.is_empty() && text != "+" && seconds < 9.2e9).then(|| Duration::from_secs_f64(seconds))
}

/// Reads a size such as `64m`, `1GiB` or `512`; units are powers of 1024.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = number(text)?;
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let shift = match unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit) {
        "" if unit != "ib" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return None,
    };
    let bytes = number * f64::from(1_u32 << (shift / 2)) * f64::from(1_u32 << (shift / 2));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number has no sign and is bounded here"
    )]
    (bytes < 9.2e18).then_some(bytes as u64)
}

fn number(text: &str) -> Option<(f64, &str)> {
    let length = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, rest) = text.split_at(length);
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_does() {
        for (text, expected) in [
            ("30s", Duration::from_secs(30)),
            ("1m30s", Duration::from_secs(90)),
            ("1.5h", Duration::from_secs(5400)),
            ("500ms", Duration::from_millis(500)),
            ("0", Duration::ZERO),
            ("0s", Duration::ZERO),
            ("+2us", Duration::from_micros(2)),
        ] {
            assert_eq!(duration(text), Some(expected), "{text}");
        }
        for text in ["", "+", "30", "s", "1x", "-1s", "1e9h", "9999999999h", ".", "1 s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_powers_of_two() {
        for (text, expected) in [
            ("512", 512),
            ("1k", 1 << 10),
            ("64m", 64 << 20),
            ("1.5GiB", 3 << 29),
            ("2 MB", 2 << 20),
            ("1b", 1),
            ("3t", 3 << 40),
        ] {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
        for text in ["", "m", "1x", "-1", "1ib", "99999p", "1  k"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
