//! What hosts(5) and resolv.conf(5) say. Pure.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

/// The port of name servers.
const PORT: u16 = 53;
/// As many servers as the C library asks.
const MOST_SERVERS: usize = 3;
/// As many domains as we try.
const MOST_DOMAINS: usize = 16;

/// What a resolv.conf says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResolvConf {
    pub(super) servers: Vec<SocketAddr>,
    pub(super) search: Vec<String>,
    /// A name with as many dots is asked for as it is before any domain is added.
    pub(super) ndots: usize,
    pub(super) timeout: Duration,
    pub(super) attempts: u32,
}

impl ResolvConf {
    /// Reads a resolv.conf; a line that makes no sense is passed over, as the C library does.
    pub(super) fn parse(text: &str) -> Self {
        let mut read =
            Self { servers: Vec::new(), search: Vec::new(), ndots: 1, timeout: Duration::from_secs(3), attempts: 2 };
        for line in text.lines().filter(|line| !line.starts_with(['#', ';'])) {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => read.servers.extend(words.next().and_then(parse_server)),
                // The last of them counts.
                Some("search") => read.search = words.map(str::to_owned).take(MOST_DOMAINS).collect(),
                Some("domain") => read.search = words.take(1).map(str::to_owned).collect(),
                Some("options") => words.for_each(|option| read.take_option(option)),
                _ => {}
            }
        }
        read.servers.truncate(MOST_SERVERS);
        if read.servers.is_empty() {
            // So says resolv.conf(5).
            read.servers.push((Ipv4Addr::LOCALHOST, PORT).into());
        }
        read
    }

    fn take_option(&mut self, option: &str) {
        let Some((name, Ok(value))) = option.split_once(':').map(|(name, value)| (name, value.parse::<u32>())) else {
            return;
        };
        match name {
            "ndots" => self.ndots = value.min(15) as usize,
            "timeout" => self.timeout = Duration::from_secs(value.clamp(1, 30).into()),
            "attempts" => self.attempts = value.clamp(1, 5),
            _ => {}
        }
    }

    /// Returns the names to ask for, in order, when somebody says this one.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(whole) = name.strip_suffix('.') {
            return vec![whole.to_owned()];
        }
        let domains = self.search.iter().map(|domain| domain.trim_matches('.')).filter(|domain| !domain.is_empty());
        let mut names: Vec<_> = domains.map(|domain| format!("{name}.{domain}")).collect();
        let at = if name.matches('.').count() >= self.ndots { 0 } else { names.len() };
        names.insert(at, name.to_owned());
        names
    }
}

/// Reads `ADDRESS`, `ADDRESS%NUMBER` or `ADDRESS#PORT`.
fn parse_server(text: &str) -> Option<SocketAddr> {
    let (text, port) = match text.split_once('#') {
        Some((text, port)) => (text, port.parse().ok()?),
        None => (text, PORT),
    };
    match text.split_once('%') {
        None => Some(SocketAddr::new(text.parse().ok()?, port)),
        Some((address, link)) => {
            let scope = link.parse().ok().or_else(|| number_of(link))?;
            Some(SocketAddrV6::new(address.parse().ok()?, port, 0, scope).into())
        }
    }
}

/// A link's number; a name with a slash or a dot is not a link's, and must not lead elsewhere.
fn number_of(link: &str) -> Option<u32> {
    let name = Some(link).filter(|link| !link.contains(['/', '.']))?;
    std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex")).ok()?.trim().parse().ok()
}

/// Returns the addresses that a hosts file gives a name.
pub(super) fn listed(text: &str, host: &str) -> Vec<IpAddr> {
    let host = host.trim_end_matches('.');
    let of_line = |line: &str| {
        let mut words = line.split('#').next()?.split_ascii_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|name| name.eq_ignore_ascii_case(host)).then_some(address)
    };
    text.lines().filter_map(of_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolv_conf_is_read_as_the_c_library_does() {
        let text = "; x\nnameserver 192.0.2.1\nnameserver ::1\nnameserver nonsense\nnameserver 192.0.2.2\n\
                    nameserver 192.0.2.3\nsearch a.test\nsearch b.test c.test.\noptions ndots:2 timeout:99 rotate\n";
        let read = ResolvConf::parse(text);
        let servers: Vec<_> = read.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.1:53", "[::1]:53", "192.0.2.2:53"]);
        assert_eq!((read.ndots, read.timeout.as_secs(), read.attempts), (2, 30, 2));
        assert_eq!(read.candidates("r"), ["r.b.test", "r.c.test", "r"]);
        assert_eq!(read.candidates("a.b.r"), ["a.b.r", "a.b.r.b.test", "a.b.r.c.test"]);
        assert_eq!(read.candidates("r."), ["r"]);
        let servers = ResolvConf::parse("").servers;
        assert_eq!(servers, ["127.0.0.1:53".parse().unwrap()]);
        assert_eq!(parse_server("fe80::1%7").map(|server| server.to_string()).as_deref(), Some("[fe80::1%7]:53"));
        assert_eq!(parse_server("fe80::1%../../x"), None);
    }

    #[test]
    fn a_hosts_file_is_read_without_regard_to_case_and_remarks() {
        let text =
            "# 1.1.1.1 r.test\n127.0.0.1\tlocalhost\n192.0.2.1 x R.TEST\n192.0.2.2 r.test.more\nnonsense r.test\n";
        assert_eq!(listed(text, "r.test"), ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(listed(text, "r.test."), ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(listed(text, "y"), Vec::<IpAddr>::new());
    }
}
