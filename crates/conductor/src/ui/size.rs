//! Sizes for people: `142MB`, `64MiB`.

const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/// Returns a size in powers of 1000 with three digits, as Docker prints it: `0B`, `1.23kB`, `142MB`.
pub(crate) fn human_size(bytes: u64) -> String {
    scaled(bytes, 1000.0, &UNITS)
}

/// Returns a size in powers of 1024, as memory is counted: `64MiB`.
pub(crate) fn binary_size(bytes: u64) -> String {
    scaled(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
}

fn scaled(bytes: u64, base: f64, units: &[&str]) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64;
    let mut unit = 0;
    // 999.6 kB would print as "1e3kB" or "1000kB": it is 1MB to three digits.
    while value >= base - 0.5 && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    format!("{}{}", three_digits(value), units[unit])
}

fn three_digits(value: f64) -> String {
    let text = match value {
        v if v >= 99.95 => format!("{v:.0}"),
        v if v >= 9.995 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    };
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits_as_in_docker() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (1234, "1.23kB"),
            (13_256, "13.3kB"),
            (141_600_000, "142MB"),
            (999_600, "1MB"),
            (1_500_000_000, "1.5GB"),
        ] {
            assert_eq!(human_size(bytes), text);
        }
        assert_eq!(binary_size(64 << 20), "64MiB");
    }
}
