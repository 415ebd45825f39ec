//! The sets and maps of our table, and their elements.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// What one part of a key or of a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Ipv4,
    Ipv6,
    Protocol,
    Port,
    Interface,
}

impl Field {
    /// Returns how many bytes it has; in a key or value of several parts each is padded to four.
    pub(crate) fn length(self) -> usize {
        match self {
            Self::Ipv4 => 4,
            Self::Ipv6 | Self::Interface => 16,
            Self::Protocol => 1,
            Self::Port => 2,
        }
    }

    /// Returns the number by which nft(8) knows the type: the kernel keeps it for those who list.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::Ipv4 => 7,
            Self::Ipv6 => 8,
            Self::Protocol => 12,
            Self::Port => 13,
            Self::Interface => 41,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4_addr",
            Self::Ipv6 => "ipv6_addr",
            Self::Protocol => "inet_proto",
            Self::Port => "inet_service",
            Self::Interface => "ifname",
        }
    }
}

/// A set or map of our table. What each is for is told in [`firewall`](crate::firewall).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the list is told as a whole in the module's documentation")]
pub enum Set {
    Inside,
    Closed,
    Joined,
    Peers4,
    Peers6,
    Masquerade4,
    Masquerade6,
    Hairpin4,
    Hairpin6,
    Published4,
    Published6,
    Ports4,
    Ports6,
    Loopback4,
    Loopback6,
    LoopbackPorts4,
}

/// What a set's elements are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) key: &'static [Field],
    /// What an element leads to; nothing in a set.
    pub(crate) value: &'static [Field],
    /// Whether the first part of a key is a subnet.
    pub(crate) subnets: bool,
}

impl Set {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Inside,
        Self::Closed,
        Self::Joined,
        Self::Peers4,
        Self::Peers6,
        Self::Masquerade4,
        Self::Masquerade6,
        Self::Hairpin4,
        Self::Hairpin6,
        Self::Published4,
        Self::Published6,
        Self::Ports4,
        Self::Ports6,
        Self::Loopback4,
        Self::Loopback6,
        Self::LoopbackPorts4,
    ];

    pub(crate) fn shape(self) -> Shape {
        use Field::{Interface, Ipv4, Ipv6, Port, Protocol};
        let set = |name, key| Shape { name, key, value: &[], subnets: false };
        let subnets = |name, key| Shape { name, key, value: &[], subnets: true };
        let map = |name, key, value| Shape { name, key, value, subnets: false };
        match self {
            Self::Inside => set("inside", &[Interface]),
            Self::Closed => set("closed", &[Interface]),
            Self::Joined => set("joined", &[Interface, Interface]),
            Self::Peers4 => set("peers4", &[Ipv4, Ipv4]),
            Self::Peers6 => set("peers6", &[Ipv6, Ipv6]),
            Self::Masquerade4 => subnets("masquerade4", &[Ipv4]),
            Self::Masquerade6 => subnets("masquerade6", &[Ipv6]),
            Self::Hairpin4 => subnets("hairpin4", &[Ipv4, Interface]),
            Self::Hairpin6 => subnets("hairpin6", &[Ipv6, Interface]),
            Self::Published4 => map("published4", &[Ipv4, Protocol, Port], &[Ipv4, Port]),
            Self::Published6 => map("published6", &[Ipv6, Protocol, Port], &[Ipv6, Port]),
            Self::Ports4 => map("ports4", &[Protocol, Port], &[Ipv4, Port]),
            Self::Ports6 => map("ports6", &[Protocol, Port], &[Ipv6, Port]),
            Self::Loopback4 => map("loopback4", &[Ipv4, Protocol, Port], &[Ipv4]),
            Self::Loopback6 => map("loopback6", &[Protocol, Port], &[Ipv6]),
            Self::LoopbackPorts4 => map("loopback_ports4", &[Protocol, Port], &[Ipv4]),
        }
    }
}

impl Shape {
    /// Returns how nft declares it, within a table.
    pub(crate) fn declaration(&self) -> String {
        let types = |fields: &[Field]| fields.iter().map(|field| field.name()).collect::<Vec<_>>().join(" . ");
        let flags = if self.subnets { " flags interval;" } else { "" };
        match self.value {
            [] => format!("set {} {{ type {};{flags} }}", self.name, types(self.key)),
            value => format!("map {} {{ type {} : {};{flags} }}", self.name, types(self.key), types(value)),
        }
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shape().name)
    }
}

/// A protocol that has ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "their names are all there is to say")]
pub enum Transport {
    Tcp,
    Udp,
    Sctp,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// Returns the protocol that has this number in an IP header.
    pub(crate) fn by_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|transport| transport.number() == number)
    }

    fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// One part of a key or of a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// An address.
    Address(IpAddr),
    /// All addresses of a subnet, in the sets that have subnets.
    Subnet(IpNet),
    /// A protocol.
    Transport(Transport),
    /// A port.
    Port(u16),
    /// A link by its name.
    Interface(String),
}

impl Part {
    /// Returns its bytes: for a subnet those of its first address.
    pub(crate) fn first(&self) -> Vec<u8> {
        match self {
            Self::Address(address) => bytes(*address),
            Self::Subnet(subnet) => bytes(subnet.network()),
            Self::Transport(transport) => vec![transport.number()],
            Self::Port(port) => port.to_be_bytes().to_vec(),
            Self::Interface(name) => {
                // Cut as the kernel would cut it; a longer name is no link's.
                let mut bytes = name.as_bytes()[..name.len().min(15)].to_vec();
                bytes.resize(16, 0);
                bytes
            }
        }
    }

    /// Returns its bytes: for a subnet those of its last address.
    pub(crate) fn last(&self) -> Vec<u8> {
        match self {
            Self::Subnet(subnet) => bytes(subnet.broadcast()),
            other => other.first(),
        }
    }

    /// Reads a part that the kernel has written.
    pub(crate) fn read(field: Field, value: &[u8]) -> Option<Self> {
        Some(match field {
            Field::Ipv4 => Self::Address(<[u8; 4]>::try_from(value).ok()?.into()),
            Field::Ipv6 => Self::Address(<[u8; 16]>::try_from(value).ok()?.into()),
            Field::Protocol => Self::Transport(Transport::by_number(*value.first()?)?),
            Field::Port => Self::Port(u16::from_be_bytes(value.try_into().ok()?)),
            Field::Interface => Self::Interface(crate::netlink::codec::text(value)),
        })
    }
}

fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Subnet(subnet) => write!(f, "{}", subnet.trunc()),
            Self::Transport(transport) => write!(f, "{transport}"),
            Self::Port(port) => write!(f, "{port}"),
            Self::Interface(name) => write!(f, "\"{name}\""),
        }
    }
}

/// An element of a set or map.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Element {
    /// Where it is.
    pub set: Set,
    /// What is looked up.
    pub key: Vec<Part>,
    /// What is found; nothing in a set.
    pub value: Vec<Part>,
}

impl Element {
    /// Makes an element of a set.
    pub(crate) fn of_set(set: Set, key: impl IntoIterator<Item = Part>) -> Self {
        Self { set, key: key.into_iter().collect(), value: Vec::new() }
    }

    /// Makes an element of a map.
    pub(crate) fn of_map(set: Set, key: impl IntoIterator<Item = Part>, value: impl IntoIterator<Item = Part>) -> Self {
        Self { set, key: key.into_iter().collect(), value: value.into_iter().collect() }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |parts: &[Part]| parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" . ");
        f.write_str(&joined(&self.key))?;
        match &self.value[..] {
            [] => Ok(()),
            value => write!(f, " : {}", joined(value)),
        }
    }
}
