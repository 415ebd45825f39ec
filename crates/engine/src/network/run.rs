//! What a run has of networks: a file in the run's directory, written before anything in it is made, so that all of it can
//! be taken back whoever dies. Pure, but for reading and writing that file.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use net::firewall::{Element, NetworkRules, Peers, Publication};
use net::link::plan::{self, Endpoint as LinkEndpoint};
use net::link::{IpvlanMode, LinkChange, LinkKind, LinkStep, Mac, MacvlanMode, NewLink, Route};
use net::names::zone;
use serde::{Deserialize, Serialize};
use sys::file::Durability;

use super::{NetworkId, NetworkName};
use crate::layout::Layout;
use crate::{Container, ContainerId, ContainerName, Error, create, records};

/// What a run has of networks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RunNetwork {
    pub(crate) endpoints: Vec<Endpoint>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) ports: Vec<Publication>,
    /// Whom it reaches whichever networks they are on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) peers: Vec<Peer>,
    /// Something is being leased that does not stand among the endpoints yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) leasing: bool,
    /// What it had before a change that is under way: that may still be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<Box<Self>>,
    /// Its monitor answers questions about names.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) answers: bool,
}

/// A container's place on a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    /// The network; a link between the host and this container alone has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) network: Option<NetworkRef>,
    pub(crate) medium: Medium,
    /// The link's name inside.
    pub(crate) name: String,
    pub(crate) mac: Mac,
    pub(crate) mtu: u32,
    pub(crate) addresses: Vec<IpNet>,
    /// The routers, at most one for each family.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) routers: Vec<IpAddr>,
    /// Whether the default routes lead here.
    #[serde(default)]
    pub(crate) leads_out: bool,
    /// Names beside the container's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) aliases: Vec<String>,
}

/// A network, as an endpoint remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NetworkRef {
    pub(crate) id: NetworkId,
    pub(crate) name: NetworkName,
}

/// What an endpoint is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Medium {
    /// A pair of links, of which the host's end is a port of a bridge.
    Bridge { host: String, bridge: String, hairpin: bool },
    /// A pair of links, of which the host's end stands alone, with these addresses.
    Alone {
        host: String,
        addresses: Vec<IpNet>,
        internet: bool,
        /// The one link by which it goes outside, where the configuration names one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        way: Option<String>,
    },
    /// A link on a link of the host.
    Macvlan { parent: String, mode: MacvlanMode },
    /// The same, with the parent's MAC address.
    Ipvlan { parent: String, mode: IpvlanMode },
}

/// Another container that a container reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Peer {
    pub(crate) id: ContainerId,
    pub(crate) name: ContainerName,
    /// Pairs of addresses, ours first.
    pub(crate) pairs: Vec<Peers>,
    /// The other one has the firewall's elements on its record.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) follows: bool,
}

impl Peer {
    /// Returns the elements that let the two reach each other, where they are ours.
    pub(crate) fn elements(&self) -> Vec<Element> {
        let pairs = self.pairs.iter().filter(|_| !self.follows);
        pairs.flat_map(Peers::elements).collect()
    }
}

/// The metric of a route that is taken when there is no other.
const WORST: u32 = 1 << 16;

impl Endpoint {
    /// Returns the host's link that belongs to it alone, if it has one.
    pub(crate) fn host_link(&self) -> Option<&str> {
        match &self.medium {
            Medium::Bridge { host, .. } | Medium::Alone { host, .. } => Some(host),
            Medium::Macvlan { .. } | Medium::Ipvlan { .. } => None,
        }
    }

    /// Tells whether it is on a network.
    pub(crate) fn is_on(&self, id: &NetworkId) -> bool {
        self.network.as_ref().is_some_and(|network| network.id == *id)
    }

    /// Returns its names and addresses, as a network tells them.
    pub(crate) fn named(&self, container: &Container) -> zone::Endpoint {
        let hostname = create::own_hostname(container);
        let own = [container.id.short(), hostname].into_iter().filter(|name| *name != container.name.as_str());
        let mut aliases = self.aliases.clone();
        aliases.extend(own.map(str::to_owned));
        aliases.dedup();
        zone::Endpoint {
            name: container.name.to_string(),
            aliases,
            addresses: self.addresses.iter().map(IpNet::addr).collect(),
        }
    }

    /// Returns its address of a family.
    pub(crate) fn address(&self, ipv6: bool) -> Option<IpAddr> {
        self.addresses.iter().map(IpNet::addr).find(|address| address.is_ipv6() == ipv6)
    }

    /// Returns the host's addresses on the other side of it: none where the host is not the router.
    pub(crate) fn host_addresses(&self) -> Vec<IpAddr> {
        match &self.medium {
            Medium::Bridge { .. } => self.routers.clone(),
            Medium::Alone { addresses, .. } => addresses.iter().map(IpNet::addr).collect(),
            Medium::Macvlan { .. } | Medium::Ipvlan { .. } => Vec::new(),
        }
    }

    /// Lets a port lead here; `None` where there is no address of its family.
    fn published(&self, port: Publication) -> Option<Publication> {
        let ipv6 = port.address.is_ipv6();
        let gateway = self.host_addresses().into_iter().find(|address| address.is_ipv6() == ipv6);
        Some(Publication { to: SocketAddr::new(self.address(ipv6)?, port.to.port()), gateway, ..port })
    }

    /// Tells whether ports can be published on it.
    pub(crate) fn can_publish(&self) -> bool {
        self.leads_out && !matches!(self.medium, Medium::Macvlan { .. } | Medium::Ipvlan { .. })
            || matches!(self.medium, Medium::Alone { .. })
    }

    /// Returns the steps that make it in the namespace that has the file `namespace`.
    pub(crate) fn steps(&self, namespace: &std::path::Path) -> Vec<LinkStep> {
        match &self.medium {
            Medium::Bridge { host, bridge, hairpin } => {
                plan::plan_endpoint(&self.pair(host, Some(bridge.clone()), *hairpin), namespace)
            }
            Medium::Alone { host, addresses, .. } => {
                let mut steps = plan::plan_endpoint(&self.pair(host, None, false), namespace);
                let own = |address: &IpNet| LinkStep::host(LinkChange::AddAddress(host.clone(), *address));
                let at = 1.min(steps.len());
                steps.splice(at..at, addresses.iter().map(own));
                if !self.leads_out {
                    // Who comes from afar by a published port is answered this way. Nothing else gets anywhere by it: the
                    // firewall sees to that, and any other way out is a better one.
                    let last_resort = |router: &IpAddr| {
                        let route = Route::default_via(*router);
                        LinkChange::AddRoute(Route { link: Some(self.name.clone()), metric: Some(WORST), ..route })
                    };
                    let routes = self.routers.iter().map(last_resort);
                    steps.extend(routes.map(|change| LinkStep::inside(namespace, change)));
                }
                steps
            }
            Medium::Macvlan { parent, mode } => self.on_parent(LinkKind::Macvlan(parent.clone(), *mode), namespace),
            Medium::Ipvlan { parent, mode } => self.on_parent(LinkKind::Ipvlan(parent.clone(), *mode), namespace),
        }
    }

    fn pair(&self, host: &str, bridge: Option<String>, hairpin: bool) -> LinkEndpoint {
        LinkEndpoint {
            host_name: host.to_owned(),
            bridge,
            hairpin,
            name: self.name.clone(),
            mac: self.mac,
            mtu: Some(self.mtu),
            addresses: self.addresses.clone(),
            gateways: if self.leads_out { self.routers.clone() } else { Vec::new() },
        }
    }

    fn on_parent(&self, kind: LinkKind, namespace: &std::path::Path) -> Vec<LinkStep> {
        // The parent of an ipvlan lends its MAC address.
        let mac = matches!(kind, LinkKind::Macvlan(..)).then_some(self.mac);
        let link =
            NewLink { into: Some(namespace.to_owned()), mac, mtu: Some(self.mtu), ..NewLink::new(&self.name, kind) };
        let name = || self.name.clone();
        let addresses = self.addresses.iter().map(|address| LinkChange::AddAddress(name(), *address));
        let up = [LinkChange::Up("lo".into()), LinkChange::Up(name())];
        let routers = self.routers.iter().filter(|_| self.leads_out);
        let routes =
            routers.map(|router| LinkChange::AddRoute(Route { link: Some(name()), ..Route::default_via(*router) }));
        let inside = addresses.chain(up).chain(routes).map(|change| LinkStep::inside(namespace, change));
        std::iter::once(LinkStep::host(LinkChange::Make(link))).chain(inside).collect()
    }

    /// Returns the elements of a link that stands alone.
    fn own_elements(&self) -> Vec<Element> {
        let Medium::Alone { host, addresses, internet, way } = &self.medium else { return Vec::new() };
        let rules = NetworkRules {
            link: host.clone(),
            subnets: addresses.iter().map(IpNet::trunc).collect(),
            together: false,
            open: *internet,
            masquerade: *internet,
        };
        match way {
            Some(way) if *internet => rules.elements_by(way),
            _ => rules.elements(),
        }
    }

    /// Tells whether it leads outside without being on a network.
    pub(crate) fn is_open_alone(&self) -> bool {
        matches!(self.medium, Medium::Alone { internet: true, .. })
    }
}

impl RunNetwork {
    /// Reads what a run has; `None` when it has nothing.
    pub(crate) fn read(layout: &Layout, id: &ContainerId) -> Result<Option<Self>, Error> {
        records::read(&layout.run_network(id))
    }

    /// Writes it down.
    pub(crate) fn write(&self, layout: &Layout, id: &ContainerId) -> Result<(), Error> {
        records::write(&layout.run_network(id), self, Durability::Cached)
    }

    /// Returns the elements of the firewall that belong to the run alone.
    pub(crate) fn elements(&self) -> Vec<Element> {
        let rules = self.endpoints.iter().flat_map(Endpoint::own_elements);
        let ports = self.ports.iter().flat_map(Publication::elements);
        let peers = self.peers.iter().flat_map(Peer::elements);
        let before = self.before.iter().flat_map(|before| before.elements());
        let mut elements: Vec<_> = rules.chain(ports).chain(peers).chain(before).collect();
        elements.sort();
        elements.dedup();
        elements
    }

    /// Returns its endpoints, and those that are just going.
    pub(crate) fn all_endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().chain(self.before.iter().flat_map(|before| &before.endpoints))
    }

    /// Lets the default routes lead to the first endpoint that leads outside.
    pub(crate) fn choose_way_out(&mut self) {
        let leads = |endpoint: &Endpoint| match endpoint.medium {
            Medium::Alone { internet, .. } => internet,
            _ => !endpoint.routers.is_empty(),
        };
        let first = self.endpoints.iter().position(leads);
        for (at, endpoint) in self.endpoints.iter_mut().enumerate() {
            endpoint.leads_out = Some(at) == first;
        }
    }

    /// Returns what is left when an endpoint goes, and that endpoint: its ports lead to another one, or go as well.
    pub(crate) fn without(&self, name: &str) -> Option<(Self, Endpoint)> {
        let mut left = self.clone();
        let at = left.endpoints.iter().position(|endpoint| endpoint.name == name)?;
        let gone = left.endpoints.remove(at);
        left.choose_way_out();
        let is_gone = |address: IpAddr| gone.addresses.iter().any(|own| own.addr() == address);
        let next = left.publishing().cloned();
        let moved = |port: Publication| match is_gone(port.to.ip()) {
            true => next.as_ref().and_then(|next| next.published(port)),
            false => Some(port),
        };
        left.ports = std::mem::take(&mut left.ports).into_iter().filter_map(moved).collect();
        left.peers.iter_mut().for_each(|peer| peer.pairs.retain(|pair| !is_gone(pair.0)));
        left.peers.retain(|peer| !peer.pairs.is_empty());
        Some((left, gone))
    }

    /// Tells whether it publishes the same port of the host, wherever that leads.
    pub(crate) fn publishes(&self, port: &Publication) -> bool {
        let same =
            |one: &Publication| (one.address, one.port, one.transport) == (port.address, port.port, port.transport);
        self.ports.iter().any(same)
    }

    /// Returns the endpoint on which ports are published.
    pub(crate) fn publishing(&self) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.can_publish())
    }

    /// Returns the endpoint on a network.
    pub(crate) fn on(&self, id: &NetworkId) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.is_on(id))
    }

    /// Returns the first name for a link that none of the endpoints has.
    pub(crate) fn free_name(&self) -> String {
        let is_taken = |name: &String| self.endpoints.iter().any(|endpoint| endpoint.name == *name);
        let mut names = (0..).map(|number| format!("eth{number}"));
        names.find(|name| !is_taken(name)).unwrap_or_default()
    }

    /// Returns all addresses.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.endpoints.iter().flat_map(|endpoint| endpoint.addresses.iter().map(IpNet::addr))
    }
}

#[cfg(test)]
mod tests {
    use net::firewall::Transport;

    use super::*;

    fn endpoint(number: u8, internal: bool) -> Endpoint {
        let router: IpAddr = [10, 0, number, 1].into();
        let bridge = format!("cnd-{number}");
        Endpoint {
            network: None,
            medium: Medium::Bridge { host: format!("cnd{number}"), bridge, hairpin: false },
            name: format!("eth{number}"),
            mac: Mac([2, 0, 0, 0, 0, number]),
            mtu: 1500,
            addresses: vec![format!("10.0.{number}.2/24").parse().unwrap()],
            routers: if internal { Vec::new() } else { vec![router] },
            leads_out: false,
            aliases: Vec::new(),
        }
    }

    #[test]
    fn what_depends_on_an_endpoint_moves_or_goes_with_it() {
        let port = Publication {
            address: "0.0.0.0".parse().unwrap(),
            port: 8080,
            transport: Transport::Tcp,
            to: "10.0.0.2:80".parse().unwrap(),
            gateway: None,
        };
        let peers = vec![Peers("10.0.0.2".parse().unwrap(), "10.9.0.2".parse().unwrap())];
        let id = ContainerId::from_bytes([1; 32]);
        let peer = Peer { id, name: "other".parse().unwrap(), pairs: peers, follows: false };
        let mut run = RunNetwork {
            endpoints: vec![endpoint(0, false), endpoint(1, false), endpoint(2, true)],
            ports: vec![port],
            peers: vec![peer],
            ..RunNetwork::default()
        };
        run.choose_way_out();
        let leads = |run: &RunNetwork| run.endpoints.iter().map(|endpoint| endpoint.leads_out).collect::<Vec<_>>();
        assert_eq!(leads(&run), [true, false, false]);
        let (left, gone) = run.without("eth0").unwrap();
        assert_eq!((gone.name.as_str(), leads(&left)), ("eth0", vec![true, false]));
        assert_eq!(
            (left.ports[0].to.to_string(), left.ports[0].gateway),
            ("10.0.1.2:80".into(), Some([10, 0, 1, 1].into()))
        );
        assert!(left.peers.is_empty());
        assert!(left.publishes(&run.ports[0]));
        // Nowhere to lead to.
        let (left, _) = left.without("eth1").unwrap();
        assert_eq!((left.ports.len(), leads(&left)), (0, vec![false]));
        assert!(left.without("eth9").is_none());
        // While it changes, both are its own.
        let changing = RunNetwork { before: Some(Box::new(run.clone())), ..left };
        assert!(run.elements().iter().all(|element| changing.elements().contains(element)));
        assert_eq!(changing.all_endpoints().count(), 4);
    }
}
