//! Ports as `EXPOSE` names them.

use std::collections::HashMap;

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

/// Ports of one protocol, the last one included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ports {
    first: u16,
    last: u16,
    protocol: &'static str,
}

/// The protocols that ports can have.
const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];

/// Reads the ports that a word names. What it says of the host is passed over, as Docker does.
pub(crate) fn ports(word: &str) -> Result<Ports, String> {
    let wrong =
        || format!("{word:?} is not a port: use a number up to 65535 or a range, perhaps with /tcp, /udp or /sctp");
    let Shape { protocol, range, .. } = shape(word);
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let parse = |port: &str| {
        let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        port.parse::<u16>().ok().filter(|port| is_number && *port > 0).ok_or_else(wrong)
    };
    let (first, last) = (parse(first)?, parse(last)?);
    let protocol = PROTOCOLS.into_iter().find(|known| protocol.eq_ignore_ascii_case(known)).ok_or_else(wrong)?;
    if first > last { Err(wrong()) } else { Ok(Ports { first, last, protocol }) }
}

/// Ports one by one, as `port/protocol`, each once however many ranges it is in.
#[derive(Debug, Default)]
pub(crate) struct PortList {
    /// A bit for each port that is in the list, by protocol: a thousand wide ranges are no more work than one.
    seen: HashMap<&'static str, Vec<u64>>,
    all: Vec<String>,
}

impl PortList {
    pub(crate) fn add(&mut self, ports: Ports) {
        let seen = self.seen.entry(ports.protocol).or_insert_with(|| vec![0; 1024]);
        for (index, word) in (ports.first / 64..=ports.last / 64).zip(seen.iter_mut().skip((ports.first / 64).into())) {
            let from = ports.first.saturating_sub(index * 64);
            let to = (ports.last - index * 64).min(63);
            let mut new = (u64::MAX << from & u64::MAX >> (63 - to)) & !*word;
            *word |= new;
            while new != 0 {
                self.all.push(format!("{}/{}", u32::from(index) * 64 + new.trailing_zeros(), ports.protocol));
                new &= new - 1;
            }
        }
    }

    pub(crate) fn into_vec(self) -> Vec<String> {
        self.all
    }
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
            let mut list = PortList::default();
            list.add(ports(word).unwrap());
            list.add(ports(word).unwrap());
            assert_eq!(list.into_vec(), expected, "{word}");
        }
        let mut list = PortList::default();
        ["63-64", "1-200", "65500-65535", "200/udp"].iter().for_each(|word| list.add(ports(word).unwrap()));
        let all = list.into_vec();
        assert_eq!((all.len(), all[0].as_str(), all[2].as_str()), (237, "63/tcp", "1/tcp"));
        assert_eq!((all[199].as_str(), all[235].as_str(), all[236].as_str()), ("200/tcp", "65535/tcp", "200/udp"));
        for word in ["", "0", "65536", "http", "9-8", "1-", "-1", "+80", "80/", "80/icmp", "80:", "/tcp"] {
            assert!(ports(word).is_err(), "{word}");
        }
    }
}
