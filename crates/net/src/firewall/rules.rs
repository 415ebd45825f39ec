//! From networks, published ports and peers to elements.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::set::{Element, Part, Set, Transport};

/// What a network may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRules {
    /// The host's end of it: a bridge, or a link that stands alone.
    pub link: String,
    /// Its subnets.
    pub subnets: Vec<IpNet>,
    /// Whether its endpoints may talk to each other.
    pub together: bool,
    /// Whether they may go outside, and to the published ports of other networks.
    pub open: bool,
    /// Whether they do so with the host's address.
    pub masquerade: bool,
}

impl NetworkRules {
    /// Returns the elements that say so.
    pub fn elements(&self) -> Vec<Element> {
        let link = || Part::Interface(self.link.clone());
        let mut elements = vec![Element::of_set(Set::Inside, [link()])];
        if self.together {
            elements.push(Element::of_set(Set::Joined, [link(), link()]));
        }
        if !self.open {
            elements.push(Element::of_set(Set::Closed, [link()]));
        }
        for subnet in &self.subnets {
            let subnet = subnet.trunc();
            let (hairpin, masquerade) = match subnet {
                IpNet::V4(_) => (Set::Hairpin4, Set::Masquerade4),
                IpNet::V6(_) => (Set::Hairpin6, Set::Masquerade6),
            };
            elements.push(Element::of_set(hairpin, [Part::Subnet(subnet), link()]));
            if self.open && self.masquerade {
                elements.push(Element::of_set(masquerade, [Part::Subnet(subnet)]));
            }
        }
        elements
    }

    /// Returns the elements of a network whose way out is one link of the host alone. Otherwise it is as an open one, but
    /// reaches no other network, not even by the ports that are published there.
    pub fn elements_by(&self, way: &str) -> Vec<Element> {
        let link = |name: &str| Part::Interface(name.to_owned());
        let mut elements = Self { open: true, ..self.clone() }.elements();
        elements.push(Element::of_set(Set::Closed, [link(&self.link)]));
        elements.push(Element::of_set(Set::Joined, [link(&self.link), link(way)]));
        elements
    }
}

/// A published port: who comes to the host's port is sent on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// The host's address, or the unspecified one for all addresses of its family.
    pub address: IpAddr,
    /// The host's port.
    pub port: u16,
    /// The protocol.
    pub transport: Transport,
    /// Where it is sent, an address of the same family.
    pub to: SocketAddr,
    /// The host's address on the network, as which clients on the host's loopback appear. Without one they find nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
}

impl Publication {
    /// Returns the elements that say so.
    pub fn elements(&self) -> Vec<Element> {
        let service = || [Part::Transport(self.transport), Part::Port(self.port)];
        let at_address = || std::iter::once(Part::Address(self.address)).chain(service());
        let to = [Part::Address(self.to.ip()), Part::Port(self.to.port())];
        let (by_address, by_port) = match self.address {
            IpAddr::V4(_) => (Set::Published4, Set::Ports4),
            IpAddr::V6(_) => (Set::Published6, Set::Ports6),
        };
        let mut elements = vec![match self.address.is_unspecified() {
            true => Element::of_map(by_port, service(), to),
            false => Element::of_map(by_address, at_address(), to),
        }];
        let source = self.gateway.filter(|gateway| gateway.is_ipv4() == self.address.is_ipv4()).map(Part::Address);
        elements.extend(source.and_then(|source| match self.address {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Some(Element::of_map(Set::LoopbackPorts4, service(), [source])),
            IpAddr::V4(own) if own.is_loopback() => Some(Element::of_map(Set::Loopback4, at_address(), [source])),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED | Ipv6Addr::LOCALHOST) => {
                Some(Element::of_map(Set::Loopback6, service(), [source]))
            }
            _ => None,
        }));
        elements
    }
}

impl fmt::Display for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} -> {}", SocketAddr::new(self.address, self.port), self.transport, self.to)
    }
}

/// Two addresses that may talk to each other, whichever networks they are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peers(pub IpAddr, pub IpAddr);

impl Peers {
    /// Returns the elements that say so; none if the two are of different families and so never meet.
    pub fn elements(&self) -> Vec<Element> {
        let set = match (self.0, self.1) {
            (IpAddr::V4(_), IpAddr::V4(_)) => Set::Peers4,
            (IpAddr::V6(_), IpAddr::V6(_)) => Set::Peers6,
            _ => return Vec::new(),
        };
        let way = |from, to| Element::of_set(set, [Part::Address(from), Part::Address(to)]);
        vec![way(self.0, self.1), way(self.1, self.0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(elements: &[Element]) -> String {
        elements.iter().map(|element| format!("{}: {element}", element.set)).collect::<Vec<_>>().join("\n")
    }

    fn published(address: &str) -> String {
        let address: IpAddr = address.parse().unwrap();
        let (to, gateway) = if address.is_ipv4() { ("10.89.0.2:80", "10.89.0.1") } else { ("[fd00::2]:80", "fd00::1") };
        let publication = Publication {
            address,
            port: 8080,
            transport: Transport::Tcp,
            to: to.parse().unwrap(),
            gateway: Some(gateway.parse().unwrap()),
        };
        told(&publication.elements())
    }

    #[test]
    fn a_published_port_is_one_element_and_one_for_loopback() {
        insta::assert_snapshot!(published("0.0.0.0"), @r"
        ports4: tcp . 8080 : 10.89.0.2 . 80
        loopback_ports4: tcp . 8080 : 10.89.0.1
        ");
        insta::assert_snapshot!(published("127.0.0.1"), @r"
        published4: 127.0.0.1 . tcp . 8080 : 10.89.0.2 . 80
        loopback4: 127.0.0.1 . tcp . 8080 : 10.89.0.1
        ");
        insta::assert_snapshot!(published("192.0.2.7"), @"published4: 192.0.2.7 . tcp . 8080 : 10.89.0.2 . 80");
        insta::assert_snapshot!(published("::"), @r"
        ports6: tcp . 8080 : fd00::2 . 80
        loopback6: tcp . 8080 : fd00::1
        ");
        insta::assert_snapshot!(published("::1"), @r"
        published6: ::1 . tcp . 8080 : fd00::2 . 80
        loopback6: tcp . 8080 : fd00::1
        ");
    }

    #[test]
    fn a_network_is_open_or_closed() {
        let mut rules = NetworkRules {
            link: "cnd0".into(),
            subnets: vec!["10.89.0.1/24".parse().unwrap(), "fd00::1/64".parse().unwrap()],
            together: true,
            open: true,
            masquerade: true,
        };
        insta::assert_snapshot!(told(&rules.elements()), @r#"
        inside: "cnd0"
        joined: "cnd0" . "cnd0"
        hairpin4: 10.89.0.0/24 . "cnd0"
        masquerade4: 10.89.0.0/24
        hairpin6: fd00::/64 . "cnd0"
        masquerade6: fd00::/64
        "#);
        rules.open = false;
        insta::assert_snapshot!(told(&rules.elements()), @r#"
        inside: "cnd0"
        joined: "cnd0" . "cnd0"
        closed: "cnd0"
        hairpin4: 10.89.0.0/24 . "cnd0"
        hairpin6: fd00::/64 . "cnd0"
        "#);
    }

    #[test]
    fn a_network_goes_out_by_one_link_alone() {
        let rules = NetworkRules {
            link: "cnd0".into(),
            subnets: vec!["10.89.0.1/24".parse().unwrap()],
            together: false,
            open: true,
            masquerade: true,
        };
        insta::assert_snapshot!(told(&rules.elements_by("wg0")), @r#"
        inside: "cnd0"
        hairpin4: 10.89.0.0/24 . "cnd0"
        masquerade4: 10.89.0.0/24
        closed: "cnd0"
        joined: "cnd0" . "wg0"
        "#);
    }
}
