//! Who reaches whom, as whom, through the table: a host with three networks, a router, and what lies behind it.

use std::net::IpAddr;
use std::path::Path;

use net::firewall::{Element, Firewall, FirewallStep, NetworkRules, Peers, Publication, Transport, forget};
use net::link::plan::plan_bridge;
use net::link::{Far, LinkChange, LinkKind, LinkStep, NewLink, Route};
use trace::Recorder;

use crate::links::{attach, bridge};
use crate::space::{Space, apply};
use crate::talk::{Server, reaches};

static SILENT: std::sync::LazyLock<Recorder> = std::sync::LazyLock::new(Recorder::silent);

/// The host is 192.0.2.2; the internet is 198.51.100.9, and knows no way to the networks behind the host.
pub(crate) struct World {
    pub(crate) host: Space,
    router: Space,
    pub(crate) internet: Space,
    pub(crate) firewall: Firewall<'static>,
}

impl World {
    pub(crate) fn new() -> Self {
        let host = Space::enter_new();
        let (router, internet) = (Space::new(), Space::new());
        join(
            &host,
            "up",
            &["192.0.2.2/24", "2001:db8:1::2/64"],
            &router,
            "down",
            &["192.0.2.1/24", "2001:db8:1::1/64"],
        );
        join(
            &router,
            "out",
            &["198.51.100.1/24", "2001:db8:2::1/64"],
            &internet,
            "eth0",
            &["198.51.100.9/24", "2001:db8:2::9/64"],
        );
        host.apply(defaults(&["192.0.2.1", "2001:db8:1::1"]));
        internet.apply(defaults(&["198.51.100.1", "2001:db8:2::1"]));
        host.run(forward);
        router.run(forward);
        let mut firewall = Firewall::open(None, &SILENT).unwrap();
        firewall.apply(&FirewallStep::Make).unwrap();
        for net in 0..3 {
            apply(&plan_bridge(&bridge(net)), &[]);
        }
        let mut world = Self { host, router, internet, firewall };
        world.add([rules(0, true), rules(1, true), rules(2, false)].iter().flat_map(NetworkRules::elements));
        world
    }

    pub(crate) fn add(&mut self, elements: impl IntoIterator<Item = Element>) {
        self.firewall.apply(&FirewallStep::add("add", elements.into_iter().collect())).unwrap();
    }

    fn remove(&mut self, elements: impl IntoIterator<Item = Element>) {
        self.firewall.apply(&FirewallStep::remove("remove", elements.into_iter().collect())).unwrap();
    }
}

/// Networks 0 and 1 are open, network 2 is not.
fn rules(net: u8, open: bool) -> NetworkRules {
    let bridge = bridge(net);
    NetworkRules { link: bridge.name, subnets: bridge.addresses, together: true, open, masquerade: true }
}

pub(crate) fn join(one: &Space, name: &str, addresses: &[&str], other: &Space, far: &str, far_addresses: &[&str]) {
    let far_end = Far { name: far.into(), mac: None, mtu: None, into: Some(other.path()) };
    let link = NewLink { up: true, ..NewLink::new(name, LinkKind::Veth(far_end)) };
    let step = LinkStep::inside(&one.path(), LinkChange::Make(link));
    apply(&[step], &[one, other]);
    let give = |link: &str, addresses: &[&str]| {
        let add = |text: &&str| LinkChange::AddAddress(link.to_owned(), text.parse().unwrap());
        addresses.iter().map(add).chain([LinkChange::Up(link.to_owned())]).collect::<Vec<_>>()
    };
    // Routers ask for neighbours from their link-local addresses, and the kernel's own are not usable at once.
    one.apply(give(name, &[addresses, &["fe80::1/64"]].concat()));
    other.apply(give(far, &[far_addresses, &["fe80::2/64"]].concat()));
}

fn defaults(routers: &[&str]) -> Vec<LinkChange> {
    routers.iter().map(|router| LinkChange::AddRoute(Route::default_via(router.parse().unwrap()))).collect()
}

fn forward() {
    for file in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        std::fs::write(format!("/proc/sys/net/{file}"), "1").unwrap();
    }
}

pub(crate) fn publish(address: &str, port: u16, to: &str, net: u8) -> Vec<Element> {
    let address: IpAddr = address.parse().unwrap();
    let gateway = if address.is_ipv4() { format!("10.89.{net}.1") } else { format!("fd00:89:{net}::1") };
    let publication = |transport| Publication {
        address,
        port,
        transport,
        to: to.parse().unwrap(),
        gateway: Some(gateway.parse().unwrap()),
    };
    [Transport::Tcp, Transport::Udp].into_iter().flat_map(|transport| publication(transport).elements()).collect()
}

/// Both protocols, which must tell the same.
#[track_caller]
pub(crate) fn heard(server: &Server, client: &Space, to: &str) -> String {
    let tcp = server.hears(client, to);
    assert_eq!(server.hears_datagram(client, to), tcp, "udp and tcp differ");
    tcp.to_string()
}

#[test]
fn an_open_network_reaches_the_internet_as_the_host() {
    let mut world = World::new();
    let web = Server::start(&world.internet, 80);
    let (one, closed) = (attach(0, 2), attach(2, 2));
    assert_eq!(heard(&web, &one, "198.51.100.9:80"), "192.0.2.2");
    assert_eq!(heard(&web, &one, "[2001:db8:2::9]:80"), "2001:db8:1::2");
    assert!(!reaches(&closed, "198.51.100.9:80"));
    assert!(!reaches(&closed, "[2001:db8:2::9]:80"));
    // The host reaches both, and the closed one reaches the host.
    let inside = Server::start(&closed, 80);
    assert_eq!(heard(&inside, &world.host, "10.89.2.2:80"), "10.89.2.1");
    let service = Server::start(&world.host, 22);
    assert_eq!(heard(&service, &closed, "10.89.2.1:22"), "10.89.2.2");
    // Opened while it runs.
    let (before, after) = (rules(2, false).elements(), rules(2, true).elements());
    world.remove(before);
    world.add(after);
    assert_eq!(heard(&web, &closed, "198.51.100.9:80"), "192.0.2.2");
}

#[test]
fn a_network_with_one_way_out_goes_by_no_other() {
    let mut world = World::new();
    let side = Space::new();
    join(&world.host, "side", &["203.0.113.1/24"], &side, "eth0", &["203.0.113.9/24"]);
    let (web, beside) = (Server::start(&world.internet, 80), Server::start(&side, 80));
    let (one, two) = (attach(2, 2), attach(0, 2));
    world.remove(rules(2, false).elements());
    world.add(rules(2, true).elements_by("up"));
    assert_eq!(heard(&web, &one, "198.51.100.9:80"), "192.0.2.2");
    assert_eq!(heard(&web, &one, "[2001:db8:2::9]:80"), "2001:db8:1::2");
    assert!(!reaches(&one, "203.0.113.9:80"));
    assert_eq!(heard(&beside, &two, "203.0.113.9:80"), "203.0.113.1");
    // Its published ports are reached from both sides, and those of others are beyond it.
    let (inside, other) = (Server::start(&one, 80), Server::start(&two, 80));
    world.add(publish("0.0.0.0", 8080, "10.89.2.2:80", 2));
    world.add(publish("0.0.0.0", 8081, "10.89.0.2:80", 0));
    assert_eq!(heard(&inside, &side, "203.0.113.1:8080"), "203.0.113.9");
    assert_eq!(heard(&inside, &two, "192.0.2.2:8080"), "10.89.0.2");
    assert_eq!(heard(&other, &side, "203.0.113.1:8081"), "203.0.113.9");
    assert!(!reaches(&one, "192.0.2.2:8081"));
}

#[test]
fn a_published_port_is_reached_from_everywhere_and_sees_who_comes() {
    reached_from_everywhere("0");
}

#[test]
fn the_same_where_bridges_hand_packets_to_the_firewall() {
    if Path::new(BRIDGED).with_file_name("bridge-nf-call-iptables").exists() {
        reached_from_everywhere("1");
    } else {
        eprintln!("skipped: this kernel has no br_netfilter");
    }
}

const BRIDGED: &str = "/proc/sys/net/bridge/bridge-nf-call-";

fn reached_from_everywhere(bridged: &str) {
    let mut world = World::new();
    for tables in ["iptables", "ip6tables"] {
        // Absent where the kernel has no br_netfilter, which is as good as off.
        let _ = std::fs::write(format!("{BRIDGED}{tables}"), bridged);
    }
    let (one, peer, other, closed) = (attach(0, 2), attach(0, 3), attach(1, 2), attach(2, 2));
    let server = Server::start(&one, 80);
    assert!(!reaches(&world.internet, "192.0.2.2:8080"));
    let published = [publish("0.0.0.0", 8080, "10.89.0.2:80", 0), publish("::", 8080, "[fd00:89:0::2]:80", 0)].concat();
    world.add(published.clone());
    // From outside.
    assert_eq!(heard(&server, &world.internet, "192.0.2.2:8080"), "198.51.100.9");
    assert_eq!(heard(&server, &world.internet, "[2001:db8:1::2]:8080"), "2001:db8:2::9");
    // From the host, by its address, by the gateway's, and by loopback.
    assert_eq!(heard(&server, &world.host, "192.0.2.2:8080"), "192.0.2.2");
    assert_eq!(heard(&server, &world.host, "10.89.1.1:8080"), "10.89.1.1");
    assert_eq!(heard(&server, &world.host, "[2001:db8:1::2]:8080"), "2001:db8:1::2");
    assert_eq!(heard(&server, &world.host, "127.0.0.1:8080"), "10.89.0.1");
    assert_eq!(heard(&server, &world.host, "127.0.0.2:8080"), "10.89.0.1");
    assert_eq!(heard(&server, &world.host, "[::1]:8080"), "fd00:89::1");
    // From another network, as itself; from the same network and from itself, as the gateway.
    assert_eq!(heard(&server, &other, "192.0.2.2:8080"), "10.89.1.2");
    assert_eq!(heard(&server, &peer, "192.0.2.2:8080"), "10.89.0.1");
    assert_eq!(heard(&server, &one, "192.0.2.2:8080"), "10.89.0.1");
    assert_eq!(heard(&server, &one, "[2001:db8:1::2]:8080"), "fd00:89::1");
    // A closed network goes nowhere.
    assert!(!reaches(&closed, "192.0.2.2:8080"));
    world.remove(published);
    for (client, to) in [(&world.internet, "192.0.2.2:8080"), (&world.host, "127.0.0.1:8080"), (&one, "10.89.0.1:8080")]
    {
        assert!(!reaches(client, to), "{to}");
    }
}

#[test]
fn a_port_published_on_one_address_is_not_on_the_others() {
    let mut world = World::new();
    let one = attach(0, 2);
    let server = Server::start(&one, 80);
    world.add(publish("127.0.0.1", 8080, "10.89.0.2:80", 0));
    assert_eq!(heard(&server, &world.host, "127.0.0.1:8080"), "10.89.0.1");
    assert!(!reaches(&world.host, "127.0.0.2:8080"));
    assert!(!reaches(&world.host, "192.0.2.2:8080"));
    assert!(!reaches(&world.internet, "192.0.2.2:8080"));
    world.add(publish("192.0.2.2", 8081, "10.89.0.2:80", 0));
    assert_eq!(heard(&server, &world.internet, "192.0.2.2:8081"), "198.51.100.9");
    assert!(!reaches(&world.host, "127.0.0.1:8081"));
    // And a service of the host's own keeps its port on loopback.
    let own = Server::start(&world.host, 8081);
    assert_eq!(heard(&own, &world.host, "127.0.0.1:8081"), "127.0.0.1");
}

#[test]
fn nobody_on_the_wire_gets_at_loopback() {
    let mut world = World::new();
    let one = attach(0, 2);
    world.add(publish("127.0.0.1", 8080, "10.89.0.2:80", 0));
    let _secret = Server::start(&world.host, 9000);
    // A neighbour sends what is for 127.0.0.1 to the host.
    one.shell("ip address delete 127.0.0.1/8 dev lo; ip route add 127.0.0.1/32 via 10.89.0.1");
    one.run(|| std::fs::write("/proc/sys/net/ipv4/conf/all/route_localnet", "1").unwrap());
    assert!(!reaches(&one, "127.0.0.1:9000"));
    assert!(!reaches(&one, "127.0.0.1:8080"));
}

#[test]
fn networks_are_apart_until_two_are_peers() {
    let mut world = World::new();
    let (one, other, third) = (attach(0, 2), attach(1, 2), attach(1, 3));
    let (here, there) = (Server::start(&one, 80), Server::start(&other, 80));
    let _third = Server::start(&third, 80);
    let apart = [(&one, "10.89.1.2:80"), (&other, "10.89.0.2:80"), (&one, "[fd00:89:1::2]:80")];
    for (client, to) in apart {
        assert!(!reaches(client, to), "{to}");
    }
    assert_eq!(heard(&there, &third, "10.89.1.2:80"), "10.89.1.3");
    let peers = ["10.89.0.2 10.89.1.2", "fd00:89:0::2 fd00:89:1::2"].map(|pair| {
        let (one, other) = pair.split_once(' ').unwrap();
        Peers(one.parse().unwrap(), other.parse().unwrap())
    });
    world.add(peers.iter().flat_map(Peers::elements));
    assert_eq!(heard(&there, &one, "10.89.1.2:80"), "10.89.0.2");
    assert_eq!(heard(&here, &other, "10.89.0.2:80"), "10.89.1.2");
    assert_eq!(heard(&there, &one, "[fd00:89:1::2]:80"), "fd00:89::2");
    // Nobody else is opened up.
    assert!(!reaches(&one, "10.89.1.3:80"));
    assert!(!reaches(&third, "10.89.0.2:80"));
    world.remove(peers.iter().flat_map(Peers::elements));
    for (client, to) in apart {
        assert!(!reaches(client, to), "{to}");
    }
}

#[test]
fn nobody_outside_reaches_what_is_not_published() {
    let world = World::new();
    let one = attach(0, 2);
    let _server = Server::start(&one, 80);
    // The router knows the way to the network, and the firewall is all that stands between.
    world.router.shell("ip route add 10.89.0.0/24 via 192.0.2.2");
    assert!(!reaches(&world.internet, "10.89.0.2:80"));
    assert!(reaches(&world.host, "10.89.0.2:80"));
}

#[test]
fn a_client_that_goes_on_sending_follows_a_port_that_moves() {
    let mut world = World::new();
    let (one, two) = (attach(0, 2), attach(0, 3));
    let (first, second) = (Server::start(&one, 80), Server::start(&two, 80));
    let client = world.internet.run(|| std::net::UdpSocket::bind("0.0.0.0:5000").unwrap());
    let before = publish("0.0.0.0", 8080, "10.89.0.2:80", 0);
    world.add(before.clone());
    client.send_to(b"one", "192.0.2.2:8080").unwrap();
    assert_eq!(first.datagram().as_deref(), Some("one"));
    world.remove(before);
    world.add(publish("0.0.0.0", 8080, "10.89.0.3:80", 0));
    client.send_to(b"two", "192.0.2.2:8080").unwrap();
    assert_eq!(first.datagram().as_deref(), Some("two"), "the kernel remembers");
    let publication = Publication {
        address: "0.0.0.0".parse().unwrap(),
        port: 8080,
        transport: Transport::Udp,
        to: "10.89.0.3:80".parse().unwrap(),
        gateway: None,
    };
    assert_eq!(forget(None, |flow| flow.came_by(&publication)).unwrap(), 1);
    client.send_to(b"three", "192.0.2.2:8080").unwrap();
    assert_eq!(second.datagram().as_deref(), Some("three"));
    assert_eq!(forget(None, |flow| flow.is_of("10.89.0.3".parse().unwrap())).unwrap(), 1);
    assert_eq!(forget(None, |flow| flow.came_by(&publication)).unwrap(), 0);
}

#[test]
fn a_port_of_loopback_is_closed_to_a_neighbour_who_sends_to_the_loopback_address() {
    let mut world = World::new();
    let one = attach(0, 2);
    let server = Server::start(&one, 80);
    world.add(publish("127.0.0.1", 8080, "10.89.0.2:80", 0));
    world.add(publish("0.0.0.0", 8081, "10.89.0.2:80", 0));
    assert_eq!(heard(&server, &world.host, "127.0.0.1:8080"), "10.89.0.1");
    // A neighbour may put any address on the wire: here it takes its own loopback network for one behind the host.
    world.router.shell(
        "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet
         ip address del 127.0.0.1/8 dev lo
         ip route add 127.0.0.0/8 via 192.0.2.2 dev down src 192.0.2.1",
    );
    assert_eq!(heard(&server, &world.router, "192.0.2.2:8081"), "192.0.2.1");
    assert!(!reaches(&world.router, "127.0.0.1:8080"));
    assert!(!reaches(&world.router, "127.0.0.1:8081"));
    assert!(!reaches(&world.router, "127.9.9.9:8081"));
}
