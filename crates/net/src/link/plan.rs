//! The steps that make a network's bridge, and an endpoint on it.

use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;

use super::Mac;
use super::step::{Far, LinkChange, LinkKind, LinkStep, NewLink, Route};

/// The bridge of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// The link's name.
    pub name: String,
    /// Its address. One that is said keeps the kernel from taking that of the lowest port, which comes and goes.
    pub mac: Mac,
    /// The largest packet.
    pub mtu: Option<u32>,
    /// The host's own addresses on it, the containers' gateways.
    pub addresses: Vec<IpNet>,
}

/// A place on a network: a link in a container's namespace, and its other end on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The name of the host's end.
    pub host_name: String,
    /// The bridge whose port the host's end becomes; without one it stands alone.
    pub bridge: Option<String>,
    /// Whether the bridge sends back to it what comes from it. An endpoint that reaches itself by a port published on the
    /// host needs that where bridges hand packets to the firewall (`net.bridge.bridge-nf-call-iptables`): what was
    /// translated is then switched, not routed.
    pub hairpin: bool,
    /// The name inside.
    pub name: String,
    /// The MAC address inside.
    pub mac: Mac,
    /// The largest packet, at both ends.
    pub mtu: Option<u32>,
    /// The addresses inside.
    pub addresses: Vec<IpNet>,
    /// The routers of the default routes, at most one for each family.
    pub gateways: Vec<IpAddr>,
}

/// The link-local address that every bridge with IPv6 gets, beside the one that the kernel makes.
///
/// The kernel asks for a neighbour as a router from such an address alone, and its own cannot be used for two seconds, while
/// it asks whether somebody else has it. Until then nothing from outside would reach an endpoint on a new bridge.
const LINK_LOCAL: &str = "fe80::1/64";

/// Plans a bridge that does not exist.
pub fn plan_bridge(bridge: &Bridge) -> Vec<LinkStep> {
    let link =
        NewLink { mac: Some(bridge.mac), mtu: bridge.mtu, up: true, ..NewLink::new(&bridge.name, LinkKind::Bridge) };
    let has_ipv6 = bridge.addresses.iter().any(|address| address.addr().is_ipv6());
    let link_local = LINK_LOCAL.parse().ok().filter(|_| has_ipv6);
    let addresses = bridge.addresses.iter().copied().chain(link_local);
    let addresses = addresses.map(|address| LinkChange::AddAddress(bridge.name.clone(), address));
    std::iter::once(LinkChange::Make(link)).chain(addresses).map(LinkStep::host).collect()
}

/// Plans an endpoint in the namespace that has the file `namespace`.
pub fn plan_endpoint(endpoint: &Endpoint, namespace: &Path) -> Vec<LinkStep> {
    let far = Far {
        name: endpoint.name.clone(),
        mac: Some(endpoint.mac),
        mtu: endpoint.mtu,
        into: Some(namespace.to_owned()),
    };
    let link = NewLink {
        mtu: endpoint.mtu,
        master: endpoint.bridge.clone(),
        up: true,
        ..NewLink::new(&endpoint.host_name, LinkKind::Veth(far))
    };
    let name = || endpoint.name.clone();
    let addresses = endpoint.addresses.iter().map(|address| LinkChange::AddAddress(name(), *address));
    let routes = endpoint
        .gateways
        .iter()
        .map(|router| LinkChange::AddRoute(Route { link: Some(name()), ..Route::default_via(*router) }));
    // What a new link-local address says goes to every port of the bridge: with 500 of them, the 501st took ten times as
    // long as the first. The host's end never needs one, and inside it belongs to IPv6.
    let has_ipv6 = endpoint.addresses.iter().any(|address| address.addr().is_ipv6());
    let quiet = Some(LinkChange::NoLinkLocal(name())).filter(|_| !has_ipv6);
    let up = [LinkChange::Up("lo".into()), LinkChange::Up(name())];
    let inside = quiet.into_iter().chain(addresses).chain(up).chain(routes);
    let mut steps = vec![LinkStep::host(LinkChange::Make(link))];
    if endpoint.bridge.is_some() {
        steps.push(LinkStep::host(LinkChange::NoLinkLocal(endpoint.host_name.clone())));
    }
    if endpoint.hairpin {
        steps.push(LinkStep::host(LinkChange::SetHairpin(endpoint.host_name.clone(), true)));
    }
    steps.extend(inside.map(|change| LinkStep::inside(namespace, change)));
    steps
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use trace::Explain;

    use super::*;

    fn told(steps: &[LinkStep]) -> String {
        steps.iter().map(|step| step.explain().to_string()).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_bridge_is_one_link_with_the_gateways_addresses() {
        let bridge = Bridge {
            name: "cnd0".into(),
            mac: Mac::of_address(Ipv4Addr::new(10, 89, 0, 1)),
            mtu: Some(1400),
            addresses: vec!["10.89.0.1/24".parse().unwrap(), "fd00:89::1/64".parse().unwrap()],
        };
        insta::assert_snapshot!(told(&plan_bridge(&bridge)), @r"
        + make the bridge cnd0
              ip link add name cnd0 address 02:42:0a:59:00:01 mtu 1400 type bridge
              ip link set cnd0 up
        + give the link cnd0 the address 10.89.0.1/24
              ip address add 10.89.0.1/24 dev cnd0
        + give the link cnd0 the address fd00:89::1/64
              ip address add fd00:89::1/64 dev cnd0 nodad
        + give the link cnd0 the address fe80::1/64
              ip address add fe80::1/64 dev cnd0 nodad
        ");
    }

    #[test]
    fn an_endpoint_is_a_pair_of_links_whose_far_end_is_born_inside() {
        let endpoint = Endpoint {
            host_name: "cv1".into(),
            bridge: Some("cnd0".into()),
            hairpin: true,
            name: "eth0".into(),
            mac: Mac::of_address(Ipv4Addr::new(10, 89, 0, 2)),
            mtu: Some(1400),
            addresses: vec!["10.89.0.2/24".parse().unwrap()],
            gateways: vec![Ipv4Addr::new(10, 89, 0, 1).into()],
        };
        insta::assert_snapshot!(told(&plan_endpoint(&endpoint, Path::new("/proc/7/ns/net"))), @r"
        + make the pair of links cv1 and eth0, the latter in the network namespace /proc/7/ns/net; cv1 is a port of cnd0
              ip link add name cv1 mtu 1400 type veth peer name eth0 address 02:42:0a:59:00:02 mtu 1400 netns /proc/7/ns/net
              ip link set cv1 master cnd0
              ip link set cv1 up
        + give the link cv1 no IPv6 link-local address
              ip link set cv1 addrgenmode none
        + let the bridge send back to cv1 what comes from there
              ip link set cv1 type bridge_slave hairpin on
        + give the link eth0 no IPv6 link-local address, in the network namespace /proc/7/ns/net
              nsenter --net=/proc/7/ns/net ip link set eth0 addrgenmode none
        + give the link eth0 the address 10.89.0.2/24, in the network namespace /proc/7/ns/net
              nsenter --net=/proc/7/ns/net ip address add 10.89.0.2/24 dev eth0
        + switch the link lo on, in the network namespace /proc/7/ns/net
              nsenter --net=/proc/7/ns/net ip link set lo up
        + switch the link eth0 on, in the network namespace /proc/7/ns/net
              nsenter --net=/proc/7/ns/net ip link set eth0 up
        + add the default route via 10.89.0.1 over eth0, in the network namespace /proc/7/ns/net
              nsenter --net=/proc/7/ns/net ip route add default via 10.89.0.1 dev eth0
        ");
    }
}
