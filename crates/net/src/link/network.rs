//! What links, addresses and routes a namespace has.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;

use ipnet::IpNet;
use sys::Result;
use sys::netlink::Protocol;

use super::request::{GET_LINK, address, link, route};
use super::{LinkError, Mac};
use crate::netlink::codec::{text, u32_at};
use crate::netlink::{Answer, Request, Socket, attributes};

const GET_ADDRESS: u16 = 22;
const GET_ROUTE: u16 = 26;

/// A link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The number by which the kernel knows it.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What it is: `bridge`, `veth`; `None` for hardware and the like.
    pub kind: Option<String>,
    /// Its address.
    pub mac: Option<Mac>,
    /// The largest packet.
    pub mtu: u32,
    /// The index of the bridge whose port it is.
    pub master: Option<u32>,
    /// Whether it is switched on.
    pub up: bool,
}

/// An address of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The link's index.
    pub link: u32,
    /// The address, with the length of its subnet.
    pub address: IpNet,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteEntry {
    /// Where it leads.
    pub to: IpNet,
    /// The next router.
    pub via: Option<IpAddr>,
    /// The index of the link that it leaves by.
    pub link: Option<u32>,
    /// Which of several routes is taken: the lowest.
    pub metric: u32,
    /// The table it stands in; 254 is the usual one.
    pub table: u32,
}

/// All links, addresses and routes of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Network {
    /// The links, by index.
    pub links: Vec<Link>,
    /// Their addresses.
    pub addresses: Vec<Address>,
    /// The routes of all tables, without those to the host itself and to everybody.
    pub routes: Vec<RouteEntry>,
}

impl Network {
    /// Reads what there is in the calling thread's namespace, or in the one behind `namespace`.
    pub fn read(namespace: Option<BorrowedFd<'_>>) -> std::result::Result<Self, LinkError> {
        let mut socket = Socket::open(Protocol::Route, namespace).map_err(LinkError::Socket)?;
        Self::read_over(&mut socket).map_err(LinkError::Read)
    }

    fn read_over(socket: &mut Socket) -> Result<Self> {
        let all = |kind, name: &str, fixed: usize| {
            Request::new(kind, 0, format!("{name}(NLM_F_DUMP)"), |body| {
                body.raw(&vec![0; fixed]);
            })
        };
        Ok(Self {
            links: socket.dump(&all(GET_LINK, "RTM_GETLINK", 16), read_link)?,
            addresses: socket.dump(&all(GET_ADDRESS, "RTM_GETADDR", 8), read_address)?,
            routes: socket.dump(&all(GET_ROUTE, "RTM_GETROUTE", 12), read_route)?,
        })
    }

    /// Returns the link of this name.
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    /// Returns the link that the default route leaves by, IPv4 before IPv6.
    pub fn uplink(&self) -> Option<&Link> {
        let usual = |entry: &&RouteEntry| entry.to.prefix_len() == 0 && entry.table == u32::from(route::MAIN);
        let best = self.routes.iter().filter(usual).min_by_key(|entry| (entry.to.addr().is_ipv6(), entry.metric))?;
        self.links.iter().find(|link| Some(link.index) == best.link)
    }

    /// Returns the subnet of the host that this one overlaps with: one of an address or of a route.
    pub fn collision(&self, subnet: &IpNet) -> Option<IpNet> {
        let overlap = |other: &IpNet| {
            other.prefix_len() > 0 && (other.contains(&subnet.network()) || subnet.contains(&other.network()))
        };
        let addresses = self.addresses.iter().map(|address| address.address.trunc());
        addresses.chain(self.routes.iter().map(|entry| entry.to)).find(overlap)
    }
}

fn read_link(answer: &Answer<'_>) -> Option<Link> {
    let (index, flags) = (u32_at(answer.body, 4)?, u32_at(answer.body, 8)?);
    let up = flags & link::UP != 0;
    let mut found = Link { index, name: String::new(), kind: None, mac: None, mtu: 0, master: None, up };
    for (kind, value) in answer.attributes(16) {
        match kind {
            link::NAME => found.name = text(value),
            link::MAC => found.mac = Mac::from_bytes(value),
            link::MTU => found.mtu = u32_at(value, 0)?,
            link::MASTER => found.master = u32_at(value, 0),
            link::INFO => {
                found.kind = attributes(value).find(|(kind, _)| *kind == link::INFO_KIND).map(|(_, name)| text(name));
            }
            _ => {}
        }
    }
    Some(found)
}

fn read_address(answer: &Answer<'_>) -> Option<Address> {
    let prefix = *answer.body.get(1)?;
    let (mut own, mut other) = (None, None);
    for (kind, value) in answer.attributes(8) {
        match kind {
            address::LOCAL => own = ip(value),
            address::ADDRESS => other = ip(value),
            _ => {}
        }
    }
    Some(Address { link: u32_at(answer.body, 4)?, address: IpNet::new(own.or(other)?, prefix).ok()? })
}

fn read_route(answer: &Answer<'_>) -> Option<RouteEntry> {
    let [family, prefix, .., table, _, _, kind] = *answer.body.get(..8)? else { return None };
    if kind != route::UNICAST {
        return None;
    }
    let mut to = if family == 2 { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let (mut via, mut link, mut metric, mut table) = (None, None, 0, u32::from(table));
    for (kind, value) in answer.attributes(12) {
        match kind {
            route::TO => to = ip(value)?,
            route::ROUTER => via = ip(value),
            route::LINK => link = u32_at(value, 0),
            route::METRIC => metric = u32_at(value, 0)?,
            route::TABLE => table = u32_at(value, 0)?,
            _ => {}
        }
    }
    Some(RouteEntry { to: IpNet::new(to, prefix).ok()?, via, link, metric, table })
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> Network {
        let entry = |to: &str, link, metric| RouteEntry {
            to: to.parse().unwrap(),
            via: None,
            link: Some(link),
            metric,
            table: 254,
        };
        let link = |index, name: &str| Link {
            index,
            name: name.into(),
            kind: None,
            mac: None,
            mtu: 1500,
            master: None,
            up: true,
        };
        Network {
            links: vec![link(1, "lo"), link(2, "eth0"), link(3, "wlan0")],
            addresses: vec![Address { link: 2, address: "192.168.1.7/24".parse().unwrap() }],
            routes: vec![entry("0.0.0.0/0", 3, 600), entry("0.0.0.0/0", 2, 100), entry("10.8.0.0/16", 2, 0)],
        }
    }

    #[test]
    fn the_uplink_is_that_of_the_best_default_route() {
        assert_eq!(network().uplink().unwrap().name, "eth0");
        assert_eq!(Network::default().uplink(), None);
    }

    #[test]
    fn a_subnet_collides_with_addresses_and_routes_but_not_with_the_default_route() {
        let collision = |subnet: &str| network().collision(&subnet.parse().unwrap()).map(|net| net.to_string());
        assert_eq!(collision("10.8.3.0/24").as_deref(), Some("10.8.0.0/16"));
        assert_eq!(collision("192.168.0.0/16").as_deref(), Some("192.168.1.0/24"));
        assert_eq!(collision("10.9.0.0/24"), None);
        assert_eq!(collision("fd00::/64"), None);
    }
}
