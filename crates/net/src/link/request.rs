//! From a change to the message that makes it (rtnetlink(7)).

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::step::{Far, LinkChange, LinkKind, NewLink, Route};
use super::{IpvlanMode, MacvlanMode};
use crate::netlink::{Request, Writer};

pub(crate) const NEW_LINK: u16 = 16;
pub(crate) const DELETE_LINK: u16 = 17;
pub(crate) const GET_LINK: u16 = 18;
const NEW_LINK_PROPERTY: u16 = 108;
const NEW_ADDRESS: u16 = 20;
const DELETE_ADDRESS: u16 = 21;
const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;
/// Make it, and refuse if it is there.
const CREATE: u16 = 0x400 | 0x200;

/// Attributes of a link.
pub(crate) mod link {
    pub(crate) const MAC: u16 = 1;
    pub(crate) const NAME: u16 = 3;
    pub(crate) const MTU: u16 = 4;
    pub(crate) const PARENT: u16 = 5;
    pub(crate) const MASTER: u16 = 10;
    pub(crate) const INFO: u16 = 18;
    pub(crate) const NAMESPACE_FD: u16 = 28;
    pub(crate) const PROPERTIES: u16 = 52;
    pub(crate) const FURTHER_NAME: u16 = 53;
    pub(crate) const INFO_KIND: u16 = 1;
    pub(crate) const INFO_DATA: u16 = 2;
    pub(crate) const INFO_PORT_KIND: u16 = 4;
    pub(crate) const INFO_PORT_DATA: u16 = 5;
    pub(crate) const PORT_HAIRPIN: u16 = 4;
    pub(crate) const OF_FAMILY: u16 = 26;
    pub(crate) const FAMILY_INET6: u16 = 10;
    pub(crate) const ADDRESS_MODE: u16 = 8;
    pub(crate) const ADDRESS_MODE_NONE: u8 = 1;
    pub(crate) const VETH_PEER: u16 = 1;
    pub(crate) const MODE: u16 = 1;
    pub(crate) const UP: u32 = 1;
}

/// Attributes of an address.
pub(crate) mod address {
    pub(crate) const ADDRESS: u16 = 1;
    pub(crate) const LOCAL: u16 = 2;
    pub(crate) const FLAGS: u16 = 8;
    /// Use it without asking first whether somebody else has it.
    pub(crate) const NO_DETECTION: u32 = 2;
}

/// Attributes of a route.
pub(crate) mod route {
    pub(crate) const TO: u16 = 1;
    pub(crate) const LINK: u16 = 4;
    pub(crate) const ROUTER: u16 = 5;
    pub(crate) const METRIC: u16 = 6;
    pub(crate) const TABLE: u16 = 15;
    pub(crate) const MAIN: u8 = 254;
    /// Made by an administrator at boot: what ip(8) says without being told.
    pub(crate) const BOOT: u8 = 3;
    pub(crate) const UNICAST: u8 = 1;
    pub(crate) const SCOPE_LINK: u8 = 253;
    pub(crate) const SCOPE_NOWHERE: u8 = 255;
}

/// What names stand for where a change is made.
pub(crate) struct Known<'a> {
    /// Links.
    pub(crate) indices: &'a HashMap<String, u32>,
    /// Namespaces.
    pub(crate) namespaces: &'a HashMap<PathBuf, RawFd>,
}

impl LinkChange {
    /// Returns the links whose index the message needs.
    pub(crate) fn needs(&self) -> Vec<&str> {
        match self {
            Self::Make(link) => {
                let parent = match &link.kind {
                    LinkKind::Macvlan(parent, _) | LinkKind::Ipvlan(parent, _) => Some(parent.as_str()),
                    _ => None,
                };
                parent.into_iter().chain(link.master.as_deref()).collect()
            }
            Self::SetMaster(_, Some(master)) => vec![master],
            Self::AddAddress(link, _) | Self::RemoveAddress(link, _) => vec![link],
            Self::AddRoute(route) | Self::RemoveRoute(route) => route.link.as_deref().into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// Returns the link that the change is about.
    pub(crate) fn subject(&self) -> Option<&str> {
        match self {
            Self::Make(link) => Some(&link.name),
            Self::Remove(link) | Self::Up(link) | Self::Down(link) | Self::SetMaster(link, _) => Some(link),
            Self::SetMtu(link, _) | Self::SetMac(link, _) | Self::SetHairpin(link, _) => Some(link),
            Self::NoLinkLocal(link) | Self::AddAltName(link, _) => Some(link),
            Self::AddAddress(link, _) | Self::RemoveAddress(link, _) => Some(link),
            Self::AddRoute(_) | Self::RemoveRoute(_) => None,
        }
    }

    /// Returns the message.
    pub(crate) fn request(&self, known: &Known<'_>) -> Request {
        match self {
            Self::Make(link) => make(link, known),
            Self::Remove(link) => named(DELETE_LINK, link, String::new(), 0, 0, |_| {}),
            Self::Up(link) => named(NEW_LINK, link, ", IFF_UP".into(), link::UP, link::UP, |_| {}),
            Self::Down(link) => named(NEW_LINK, link, ", !IFF_UP".into(), 0, link::UP, |_| {}),
            Self::SetMaster(link, master) => {
                let words = format!(", master {:?}", master.as_deref().unwrap_or("none"));
                let index = master.as_deref().map_or(0, |master| known.index(master));
                named(NEW_LINK, link, words, 0, 0, |body| {
                    body.attribute(link::MASTER, &index.to_ne_bytes());
                })
            }
            Self::SetHairpin(link, on) => named(NEW_LINK, link, format!(", hairpin {on}"), 0, 0, |body| {
                body.nest(link::INFO, |info| {
                    info.attribute(link::INFO_PORT_KIND, b"bridge").nest(link::INFO_PORT_DATA, |port| {
                        port.attribute(link::PORT_HAIRPIN, &[u8::from(*on)]);
                    });
                });
            }),
            Self::NoLinkLocal(link) => named(NEW_LINK, link, ", addrgenmode none".into(), 0, 0, |body| {
                body.nest(link::OF_FAMILY, |families| {
                    families.nest(link::FAMILY_INET6, |ipv6| {
                        ipv6.attribute(link::ADDRESS_MODE, &[link::ADDRESS_MODE_NONE]);
                    });
                });
            }),
            Self::SetMtu(link, mtu) => named(NEW_LINK, link, format!(", mtu {mtu}"), 0, 0, |body| {
                body.attribute(link::MTU, &mtu.to_ne_bytes());
            }),
            Self::SetMac(link, mac) => named(NEW_LINK, link, format!(", address {mac}"), 0, 0, |body| {
                body.attribute(link::MAC, &mac.0);
            }),
            Self::AddAltName(link, name) => {
                named(NEW_LINK_PROPERTY, link, format!(", altname {name:?}"), 0, 0, |body| {
                    body.nest(link::PROPERTIES, |properties| {
                        properties.text(link::FURTHER_NAME, name);
                    });
                })
            }
            Self::AddAddress(link, address) => self::address(NEW_ADDRESS, "RTM_NEWADDR", link, address, known),
            Self::RemoveAddress(link, address) => self::address(DELETE_ADDRESS, "RTM_DELADDR", link, address, known),
            Self::AddRoute(route) => self::route(NEW_ROUTE, "RTM_NEWROUTE", route, known),
            Self::RemoveRoute(route) => self::route(DELETE_ROUTE, "RTM_DELROUTE", route, known),
        }
    }
}

impl Known<'_> {
    /// An index that is not known is 0, and one that is no link; [`Links`](super::Links) looks all up before.
    fn index(&self, name: &str) -> u32 {
        self.indices.get(name).copied().unwrap_or(0)
    }

    fn namespace(&self, path: &Path) -> RawFd {
        self.namespaces.get(path).copied().unwrap_or(-1)
    }
}

/// Makes the question for one link.
pub(crate) fn get_link(name: &str) -> Request {
    Request::new(GET_LINK, 0, format!("RTM_GETLINK({name:?})"), |body| {
        body.raw(&about_link(0, 0)).text(link::NAME, name);
    })
}

/// Makes a message about a link that exists.
fn named(kind: u16, name: &str, words: String, on: u32, mask: u32, more: impl FnOnce(&mut Writer)) -> Request {
    let verb = match kind {
        DELETE_LINK => "RTM_DELLINK",
        NEW_LINK_PROPERTY => "RTM_NEWLINKPROP",
        _ => "RTM_SETLINK",
    };
    Request::new(kind, 0, format!("{verb}({name:?}{words})"), |body| {
        body.raw(&about_link(on, mask)).text(link::NAME, name);
        more(body);
    })
}

/// The fixed part of a message about a link: the family and the index are left to the name.
fn about_link(on: u32, mask: u32) -> [u8; 16] {
    let mut fixed = [0; 16];
    fixed[8..12].copy_from_slice(&on.to_ne_bytes());
    fixed[12..16].copy_from_slice(&mask.to_ne_bytes());
    fixed
}

fn make(new: &NewLink, known: &Known<'_>) -> Request {
    let up = if new.up { link::UP } else { 0 };
    let kind = new.kind.name();
    Request::new(NEW_LINK, CREATE, format!("RTM_NEWLINK({:?}, {kind})", new.name), |body| {
        body.raw(&about_link(up, up)).text(link::NAME, &new.name);
        if let Some(mac) = new.mac {
            body.attribute(link::MAC, &mac.0);
        }
        if let Some(mtu) = new.mtu {
            body.attribute(link::MTU, &mtu.to_ne_bytes());
        }
        if let Some(master) = &new.master {
            body.attribute(link::MASTER, &known.index(master).to_ne_bytes());
        }
        if let Some(into) = &new.into {
            body.attribute(link::NAMESPACE_FD, &known.namespace(into).to_ne_bytes());
        }
        if let LinkKind::Macvlan(parent, _) | LinkKind::Ipvlan(parent, _) = &new.kind {
            body.attribute(link::PARENT, &known.index(parent).to_ne_bytes());
        }
        body.nest(link::INFO, |info| {
            // Without the zero at its end, as the kernel itself writes it.
            info.attribute(link::INFO_KIND, kind.as_bytes());
            data(info, &new.kind, known);
        });
    })
}

fn data(info: &mut Writer, kind: &LinkKind, known: &Known<'_>) {
    match kind {
        LinkKind::Bridge | LinkKind::Dummy => {}
        LinkKind::Veth(far) => {
            info.nest(link::INFO_DATA, |data| {
                data.nest(link::VETH_PEER, |peer| self::far(peer, far, known));
            });
        }
        LinkKind::Macvlan(_, mode) => {
            let mode: u32 = match mode {
                MacvlanMode::Private => 1,
                MacvlanMode::Vepa => 2,
                MacvlanMode::Bridge => 4,
                MacvlanMode::Passthru => 8,
            };
            info.nest(link::INFO_DATA, |data| {
                data.attribute(link::MODE, &mode.to_ne_bytes());
            });
        }
        LinkKind::Ipvlan(_, mode) => {
            let mode: u16 = match mode {
                IpvlanMode::L2 => 0,
                IpvlanMode::L3 => 1,
                IpvlanMode::L3s => 2,
            };
            info.nest(link::INFO_DATA, |data| {
                data.attribute(link::MODE, &mode.to_ne_bytes());
            });
        }
    }
}

fn far(peer: &mut Writer, far: &Far, known: &Known<'_>) {
    peer.raw(&about_link(0, 0)).text(link::NAME, &far.name);
    if let Some(mac) = far.mac {
        peer.attribute(link::MAC, &mac.0);
    }
    if let Some(mtu) = far.mtu {
        peer.attribute(link::MTU, &mtu.to_ne_bytes());
    }
    if let Some(into) = &far.into {
        peer.attribute(link::NAMESPACE_FD, &known.namespace(into).to_ne_bytes());
    }
}

fn address(kind: u16, verb: &str, name: &str, net: &IpNet, known: &Known<'_>) -> Request {
    let flags = if kind == NEW_ADDRESS { CREATE } else { 0 };
    Request::new(kind, flags, format!("{verb}({net}, {name:?})"), |body| {
        let index = known.index(name).to_ne_bytes();
        body.raw(&[family(net.addr()), net.prefix_len(), 0, 0]).raw(&index);
        body.attribute(address::LOCAL, &bytes(net.addr())).attribute(address::ADDRESS, &bytes(net.addr()));
        if kind == NEW_ADDRESS && net.addr().is_ipv6() {
            body.attribute(address::FLAGS, &address::NO_DETECTION.to_ne_bytes());
        }
    })
}

fn route(kind: u16, verb: &str, wanted: &Route, known: &Known<'_>) -> Request {
    let new = kind == NEW_ROUTE;
    // What has no router is on the link itself. In a removal nothing but what is said is compared.
    let scope = match wanted {
        _ if !new => route::SCOPE_NOWHERE,
        Route { via: None, to: IpNet::V4(_), .. } => route::SCOPE_LINK,
        _ => 0,
    };
    let (protocol, unicast) = if new { (route::BOOT, route::UNICAST) } else { (0, 0) };
    let flags = if new { CREATE } else { 0 };
    Request::new(kind, flags, format!("{verb}({wanted})"), |body| {
        let to = wanted.to;
        body.raw(&[family(to.addr()), to.prefix_len(), 0, 0, route::MAIN, protocol, scope, unicast]).raw(&[0; 4]);
        if to.prefix_len() > 0 {
            body.attribute(route::TO, &bytes(to.network()));
        }
        if let Some(via) = wanted.via {
            body.attribute(route::ROUTER, &bytes(via));
        }
        if let Some(link) = &wanted.link {
            body.attribute(route::LINK, &known.index(link).to_ne_bytes());
        }
        if let Some(metric) = wanted.metric {
            body.attribute(route::METRIC, &metric.to_ne_bytes());
        }
    })
}

/// Returns the number of an address's family.
pub(crate) fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { 2 } else { 10 }
}

/// Returns the bytes of an address as they go over the wire.
pub(crate) fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

impl LinkKind {
    fn name(&self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Dummy => "dummy",
            Self::Veth(_) => "veth",
            Self::Macvlan(..) => "macvlan",
            Self::Ipvlan(..) => "ipvlan",
        }
    }
}
