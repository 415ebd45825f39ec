//! The numbers of tar headers: octal text, GNU's base-256, and PAX's decimal times.

use super::member::Time;

/// Parses a header field that may be negative: octal, or base-256 with the top bit of the first byte set.
pub(super) fn parse_signed(field: &[u8]) -> Option<i64> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => base256(field),
        _ => i64::try_from(octal(field)?).ok(),
    }
}

/// Parses a header field that cannot be negative.
pub(super) fn parse_unsigned(field: &[u8]) -> Option<u64> {
    u64::try_from(parse_signed(field)?).ok()
}

/// Two's complement of 8n-1 bits: the first byte's top bit only says that it is one.
fn base256(field: &[u8]) -> Option<i64> {
    let (first, rest) = field.split_first()?;
    // Shifts the flag out and the sign (the next bit) back in.
    let mut value = i128::from((first << 1).cast_signed() >> 1);
    for &byte in rest {
        value = value.checked_mul(256)? | i128::from(byte);
    }
    i64::try_from(value).ok()
}

/// Digits between blanks and NULs, as writers of forty years have padded them; nothing at all is zero.
fn octal(field: &[u8]) -> Option<u64> {
    trim(field).iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

fn trim(field: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | 0);
    let Some(start) = field.iter().position(|byte| !blank(byte)) else { return &[] };
    let text = &field[start..];
    // What follows a NUL is whatever the writer's buffer held before.
    let end = text.iter().position(blank).unwrap_or(text.len());
    &text[..end]
}

/// Parses decimal digits, at least one.
pub(super) fn parse_decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// Parses seconds since 1970 with a fraction, possibly negative, rounding down to nanoseconds.
pub(super) fn parse_time(text: &[u8]) -> Option<Time> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let point = text.iter().position(|&byte| byte == b'.').unwrap_or(text.len());
    let whole = i64::try_from(parse_decimal(&text[..point])?).ok()?;
    let (nanos, exact) = parse_fraction(text.get(point + 1..).unwrap_or_default())?;
    Some(if negative { negate(whole, nanos, exact) } else { Time { seconds: whole, nanos } })
}

/// Gives the nanoseconds, and whether nothing stands beyond them.
fn parse_fraction(digits: &[u8]) -> Option<(u32, bool)> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |place: usize| digits.get(place).map_or(0, |byte| u32::from(byte - b'0'));
    let nanos = (0..9).fold(0, |value, place| value * 10 + digit(place));
    Some((nanos, digits.iter().skip(9).all(|&byte| byte == b'0')))
}

/// Half a second before 1970 is second -1 and half a second more.
fn negate(whole: i64, nanos: u32, exact: bool) -> Time {
    let nanos = nanos + u32::from(!exact);
    match nanos {
        0 => Time { seconds: -whole, nanos: 0 },
        nanos => Time { seconds: -whole - 1, nanos: 1_000_000_000 - nanos },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_fields_are_taken_however_they_are_padded() {
        for (field, value) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"644\0junk", Some(0o644)),
            (b"77777777", Some(0o77_777_777)),
            (b"0000689\0", None),
            (b"-000001\0", None),
        ] {
            assert_eq!(parse_signed(field), value, "{field:?}");
        }
    }

    #[test]
    fn base_256_holds_large_and_negative_numbers() {
        let mut field = [0; 12];
        field[0] = 0x80;
        field[4..].copy_from_slice(&(1_u64 << 40).to_be_bytes());
        assert_eq!(parse_signed(&field), Some(1 << 40));
        assert_eq!(parse_signed(&[0xff; 12]), Some(-1));
        assert_eq!(parse_unsigned(&[0xff; 12]), None);
        let mut field = [0xff; 8];
        field[7] = 0xfe;
        assert_eq!(parse_signed(&field), Some(-2));
        field[0] = 0x80;
        assert_eq!(parse_signed(&field), Some((1 << 56) - 2));
        let mut field = [0xff; 12];
        field[0] = 0xbf;
        assert_eq!(parse_signed(&field), None, "95 bits do not fit");
    }

    #[test]
    fn times_round_down_to_nanoseconds() {
        let time = |seconds, nanos| Some(Time { seconds, nanos });
        for (text, expected) in [
            ("1700000000", time(1_700_000_000, 0)),
            ("1700000000.5", time(1_700_000_000, 500_000_000)),
            ("1.0000000019", time(1, 1)),
            ("-1.5", time(-2, 500_000_000)),
            ("-1", time(-1, 0)),
            ("-0.0000000001", time(-1, 999_999_999)),
            ("1.", time(1, 0)),
            (".5", None),
            ("", None),
            ("1e9", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(parse_time(text.as_bytes()), expected, "{text}");
        }
    }
}
