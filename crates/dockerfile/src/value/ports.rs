//! Ports as `EXPOSE` names them.

/// What a word of `EXPOSE` looks like, for those who give advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape<'a> {
    /// What stands in front of the port: an address or a port of the host, which have no business here.
    pub(crate) host: &'a str,
    pub(crate) protocol: &'a str,
    range: &'a str,
}

/// Takes a word apart.
pub(crate) fn shape(word: &str) -> Shape<'_> {
    let (place, protocol) = word.rsplit_once('/').unwrap_or((word, "tcp"));
    let (host, range) = place.rsplit_once(':').unwrap_or(("", place));
    Shape { host, protocol, range }
}

/// Returns each port that a word names, as `port/protocol`. What it says of the host is passed over, as Docker does.
pub(crate) fn ports(word: &str) -> Result<Vec<String>, String> {
    let wrong =
        || format!("{word:?} is not a port: use a number up to 65535 or a range, perhaps with /tcp, /udp or /sctp");
    let Shape { protocol, range, .. } = shape(word);
    let protocol = protocol.to_ascii_lowercase();
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let parse = |port: &str| {
        let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        port.parse::<u16>().ok().filter(|port| is_number && *port > 0).ok_or_else(wrong)
    };
    let (first, last) = (parse(first)?, parse(last)?);
    if first > last || !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(wrong());
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_numbers_and_ranges() {
        for (word, expected) in [
            ("80", &["80/tcp"][..]),
            ("53/UDP", &["53/udp"]),
            ("8000-8002/sctp", &["8000/sctp", "8001/sctp", "8002/sctp"]),
            ("127.0.0.1:8080:80", &["80/tcp"]),
            ("[::1]:80:90/udp", &["90/udp"]),
        ] {
            assert_eq!(ports(word).unwrap(), expected, "{word}");
        }
        for word in ["", "0", "65536", "http", "9-8", "1-", "-1", "+80", "80/", "80/icmp", "80:", "/tcp"] {
            assert!(ports(word).is_err(), "{word}");
        }
    }
}
