//! What a container asks of networks: which it is on, the ports that it publishes, what it knows by name.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use net::firewall::Transport;
use net::link::Mac;
use net::names::upstream::Nameserver;
use serde::{Deserialize, Serialize};

use super::DEFAULT_NETWORK;
use crate::ContainerId;

/// A network that a container is on, and what it wants there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attachment {
    /// The network's name, or its id or the beginning of that.
    pub network: String,
    /// Names of the container on this network, beside its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The IPv4 address; one is chosen where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<Ipv4Addr>,
    /// The IPv6 address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip6: Option<Ipv6Addr>,
    /// The MAC address; it follows from the IPv4 address where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
}

/// A port, or a range of ports, of the host that leads to a port of the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortRequest {
    /// The host's address; all of them, or what the configuration says, where none is given.
    pub address: Option<IpAddr>,
    /// The first and the last of the host's ports, of which one is taken; any one that is free where none is given.
    pub host: Option<(u16, u16)>,
    /// The container's port.
    pub container: u16,
    /// The protocol.
    pub transport: Transport,
}

/// A port of a container that its image or its user calls useful.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExposedPort {
    /// The port.
    pub port: u16,
    /// The protocol.
    pub transport: Transport,
}

/// What a container knows by name beside what its networks tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NameWishes {
    /// The servers to ask in place of the host's (`--dns`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<Nameserver>,
    /// Search domains in place of the host's (`--dns-search`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// Options in place of the host's (`--dns-option`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Names for this container alone (`--add-host`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostWish>,
}

/// A name and its address; the host's own where none is given (`host-gateway`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostWish {
    /// The name.
    pub name: String,
    /// The address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
}

/// All that a container asks of networks, as it stands now. A container that was connected or disconnected since it was
/// created has this in a file of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Wishes {
    /// The networks, the first one leading outside.
    pub(crate) networks: Vec<Attachment>,
    /// A link between the host and this container alone (`addnetwork`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) own: Option<OwnLink>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) ports: Vec<PortRequest>,
    /// Containers that it reaches whichever networks they are on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) peers: Vec<ContainerId>,
}

/// A link between the host and one container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnLink {
    /// Whether it leads outside.
    pub(crate) internet: bool,
}

impl Wishes {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Attachment {
    /// Names a network, and wants nothing special there.
    pub fn to(network: impl Into<String>) -> Self {
        Self { network: network.into(), ..Self::default() }
    }

    /// Names the network of those who name none.
    pub fn to_default() -> Self {
        Self::to(DEFAULT_NETWORK)
    }
}

/// Why a text names no ports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} names no port: {why}")]
pub struct PortError {
    text: String,
    why: &'static str,
}

impl PortRequest {
    /// Reads `[ADDRESS:][HOST]:CONTAINER[/PROTOCOL]` or `CONTAINER[/PROTOCOL]`; a port may be a range, as in
    /// `8000-8009:80-89`. A range of the host before one port of the container means any port of it.
    pub fn parse(text: &str) -> Result<Vec<Self>, PortError> {
        let bad = |why| PortError { text: text.to_owned(), why };
        let (ports, transport) = split_transport(text).ok_or_else(|| bad("the protocol is tcp, udp or sctp"))?;
        let (outside, container) = match ports.rsplit_once(':') {
            None => (None, ports),
            Some((outside, container)) => (Some(outside), container),
        };
        let container = range(container).filter(|(first, _)| *first > 0);
        let container = container.ok_or_else(|| bad("the container's port is a number from 1 to 65535, or a range"))?;
        let (address, host) = match outside.map(|outside| split_address(outside).ok_or(outside)) {
            None => (None, None),
            Some(Ok((address, host))) => (address, Some(host)),
            Some(Err(_)) => return Err(bad("before the host's port stands an address: 127.0.0.1, or [::1]")),
        };
        let host = match host {
            None | Some("" | "0") => None,
            Some(host) => Some(range(host).filter(|(first, _)| *first > 0)),
        };
        let host = match host {
            Some(None) => return Err(bad("the host's port is a number from 0 to 65535, or a range")),
            host => host.flatten(),
        };
        let one = |host, container| Self { address, host, container, transport };
        let width = |(first, last): (u16, u16)| last - first;
        match host {
            Some(host) if width(host) == width(container) => {
                let pairs = (host.0..=host.1).zip(container.0..=container.1);
                Ok(pairs.map(|(host, container)| one(Some((host, host)), container)).collect())
            }
            Some(_) if width(container) > 0 => Err(bad("the two ranges have different lengths")),
            host => Ok((container.0..=container.1).map(|container| one(host, container)).collect()),
        }
    }
}

fn split_transport(text: &str) -> Option<(&str, Transport)> {
    match text.split_once('/') {
        None => Some((text, Transport::Tcp)),
        Some((ports, word)) => {
            let is_meant = |transport: &Transport| transport.to_string().eq_ignore_ascii_case(word);
            Some((ports, Transport::ALL.into_iter().find(is_meant)?))
        }
    }
}

/// Splits `[ADDRESS:]PORT`.
fn split_address(text: &str) -> Option<(Option<IpAddr>, &str)> {
    let Some((address, port)) = text.rsplit_once(':') else {
        // An address alone: any port of it.
        return Some(match text.parse().ok() {
            Some(IpAddr::V4(address)) => (Some(address.into()), ""),
            _ => (None, text),
        });
    };
    let address = match address.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
        Some(inside) => inside?.parse::<Ipv6Addr>().ok()?.into(),
        None => address.parse::<Ipv4Addr>().ok()?.into(),
    };
    Some((Some(address), port))
}

/// Reads a port or a range of ports.
fn range(text: &str) -> Option<(u16, u16)> {
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    match text.split_once('-') {
        None => number(text).map(|port| (port, port)),
        Some((first, last)) => Some((number(first)?, number(last)?)).filter(|(first, last)| first <= last),
    }
}

impl fmt::Display for PortRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(IpAddr::V4(address)) => write!(f, "{address}:")?,
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:")?,
            None => {}
        }
        match self.host {
            Some((first, last)) if first == last => write!(f, "{first}:")?,
            Some((first, last)) => write!(f, "{first}-{last}:")?,
            None if self.address.is_some() => write!(f, ":")?,
            None => {}
        }
        write!(f, "{}/{}", self.container, self.transport)
    }
}

impl From<PortRequest> for String {
    fn from(request: PortRequest) -> Self {
        request.to_string()
    }
}

impl TryFrom<String> for PortRequest {
    type Error = PortError;

    fn try_from(text: String) -> Result<Self, PortError> {
        let parsed = Self::parse(&text)?;
        let why = "it names several ports";
        <[Self; 1]>::try_from(parsed).map(|[one]| one).map_err(|_| PortError { text, why })
    }
}

impl ExposedPort {
    /// Reads `PORT[/PROTOCOL]`; the port may be a range.
    pub fn parse(text: &str) -> Result<Vec<Self>, PortError> {
        let bad = |why| PortError { text: text.to_owned(), why };
        let (ports, transport) = split_transport(text).ok_or_else(|| bad("the protocol is tcp, udp or sctp"))?;
        let ports = range(ports).filter(|(first, _)| *first > 0);
        let (first, last) = ports.ok_or_else(|| bad("a port is a number from 1 to 65535, or a range"))?;
        Ok((first..=last).map(|port| Self { port, transport }).collect())
    }
}

impl fmt::Display for ExposedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.port, self.transport)
    }
}

impl From<ExposedPort> for String {
    fn from(port: ExposedPort) -> Self {
        port.to_string()
    }
}

impl TryFrom<String> for ExposedPort {
    type Error = PortError;

    fn try_from(text: String) -> Result<Self, PortError> {
        let parsed = Self::parse(&text)?;
        let why = "it names several ports";
        <[Self; 1]>::try_from(parsed).map(|[one]| one).map_err(|_| PortError { text, why })
    }
}

/// Why a text is no `NAME:ADDRESS`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not NAME:ADDRESS, where the address may be host-gateway")]
pub struct HostWishError(String);

impl FromStr for HostWish {
    type Err = HostWishError;

    fn from_str(text: &str) -> Result<Self, HostWishError> {
        let bad = || HostWishError(text.to_owned());
        // Docker takes both marks; an IPv6 address has colons of its own, so the first mark counts.
        let (name, address) = text.split_once(['=', ':']).filter(|(name, _)| !name.is_empty()).ok_or_else(bad)?;
        let is_sound = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
        if !name.bytes().all(is_sound) {
            return Err(bad());
        }
        let address = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        let address = match address {
            "host-gateway" => None,
            address => Some(address.parse().map_err(|_| bad())?),
        };
        Ok(Self { name: name.to_owned(), address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        match PortRequest::parse(text) {
            Ok(ports) => ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn ports_are_docker_s() {
        let cases = [
            ("80", "80/tcp"),
            ("8080:80", "8080:80/tcp"),
            ("8080:80/UDP", "8080:80/udp"),
            ("0:80", "80/tcp"),
            (":80", "80/tcp"),
            ("127.0.0.1:8080:80", "127.0.0.1:8080:80/tcp"),
            ("127.0.0.1::80", "127.0.0.1::80/tcp"),
            ("127.0.0.1:80", "127.0.0.1::80/tcp"),
            ("[::1]:8080:80/sctp", "[::1]:8080:80/sctp"),
            ("[::]::53/udp", "[::]::53/udp"),
            ("8000-8002:80-82", "8000:80/tcp 8001:81/tcp 8002:82/tcp"),
            ("8000-8002:80", "8000-8002:80/tcp"),
            ("80-81", "80/tcp 81/tcp"),
        ];
        for (text, expected) in cases {
            assert_eq!(told(text), expected, "{text}");
            for port in PortRequest::parse(text).unwrap() {
                let again = PortRequest::try_from(port.to_string());
                assert_eq!(again, Ok(port), "{text} does not survive its file");
            }
        }
    }

    #[test]
    fn what_names_no_port_is_refused_with_the_reason() {
        for text in [
            "",
            ":",
            "x",
            "80:x",
            "x:80",
            "0",
            "8080:0",
            "65536:80",
            "80:65536",
            "-1:80",
            "+1:80",
            "80/icmp",
            "9-8:9-8",
            "1-3:1-2",
            "1.2.3:80:80",
            "::1:80:80",
            "[::1:80:80",
            "host:80:80",
            "80:80:80:80",
            "8080:80/",
            "1-2-3:80",
        ] {
            assert!(PortRequest::parse(text).is_err(), "{text:?} was taken as {}", told(text));
        }
        assert_eq!(told("1-3:1-2"), "\"1-3:1-2\" names no port: the two ranges have different lengths");
    }

    #[test]
    fn hosts_are_docker_s() {
        let parse = |text: &str| text.parse::<HostWish>().ok().map(|wish| (wish.name, wish.address));
        let address = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        assert_eq!(parse("db:10.0.0.9"), Some(("db".into(), address("10.0.0.9"))));
        assert_eq!(parse("db=fd00::9"), Some(("db".into(), address("fd00::9"))));
        assert_eq!(parse("db:[fd00::9]"), Some(("db".into(), address("fd00::9"))));
        assert_eq!(parse("me:host-gateway"), Some(("me".into(), None)));
        for bad in ["db", "db:", ":10.0.0.9", "d b:10.0.0.9", "db:10.0.0", "a\nb:10.0.0.9"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }
}
