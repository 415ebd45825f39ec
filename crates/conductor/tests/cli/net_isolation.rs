//! What does not connect: internal networks, networks beside each other, peers and those who are none.
//!
//! Each of these tests shows first, or beside it, that the same server is reached by somebody: nothing is proved by a
//! connection that nobody could have made.

use testkit::World;
use testkit::world::{HOST, Inside, OUTSIDE, OUTSIDE_NAME, Server};

fn world() -> World {
    World::new(env!("CARGO_BIN_EXE_conductor"))
}

const PORTS: [u16; 4] = [22, 80, 443, 8080];

/// Returns all ports of all addresses of containers.
fn all_ports(of: &[&Inside]) -> Vec<String> {
    let addresses = of.iter().flat_map(|one| [one.v4(), format!("[{}]", one.v6())]);
    addresses.flat_map(|address| PORTS.map(|port| format!("{address}:{port}"))).collect()
}

fn words(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}

#[test]
fn the_world_itself_is_as_it_is_drawn() {
    let world = world();
    let _ssh = Server::start(&world.host, "ssh", &["192.0.2.2:22", "[2001:db8:1::2]:22"]);
    assert_eq!(world.client.hears("192.0.2.2:22"), "ssh 203.0.113.7");
    assert_eq!(world.client.hears("[2001:db8:1::2]:22"), "ssh 2001:db8:3::7");
    assert_eq!(world.host.hears("198.51.100.9:80"), "web 192.0.2.2");
    assert_eq!(world.host.hears("[2001:db8:2::9]:80"), "web 2001:db8:1::2");
    world.client.reaches_only(&["192.0.2.2:22"], &["192.0.2.2:22", "192.0.2.2:23", "192.0.2.3:22", "10.9.9.9:80"]);
    let found = world.host.shell(&format!("getent ahostsv4 {OUTSIDE_NAME}"));
    assert_eq!(found.split_whitespace().next(), Some(OUTSIDE[0]));
    assert!(world.names.asked().contains(&format!("{OUTSIDE_NAME} A udp")));
    assert_eq!(world.host.shell("curl -s 198.51.100.9"), "web 192.0.2.2\n");
    world.assert_nothing_left();
}

#[test]
fn an_internal_network_reaches_nothing_beyond_it_names_included() {
    let world = world();
    world.network("closed", &["--internal", "--ipv6"]);
    world.network("open", &["--ipv6"]);
    let (one, two) = (world.contain("one", &["--network", "closed"]), world.contain("two", &["--network", "closed"]));
    let open = world.contain("other", &["--network", "open", "-p", "8080:80", "-p", "8080:80/udp"]);
    let servers = [two.serve(&PORTS), open.serve(&PORTS)];
    let ssh = Server::start(&world.host, "ssh", &["192.0.2.2:22", "[2001:db8:1::2]:22"]);
    let beyond: Vec<String> = OUTSIDE.iter().map(|&address| bracketed(address, 80)).collect();
    let beyond =
        [beyond, HOST[..2].iter().flat_map(|address| [bracketed(address, 22), bracketed(address, 8080)]).collect()]
            .concat();
    open.place.reaches_all(&words(&beyond));
    let (inside, others) = (all_ports(&[&two]), all_ports(&[&open]));
    let all = [inside.clone(), others, beyond].concat();
    one.place.reaches_only(&words(&inside), &words(&all));

    // The same when the container gives itself a way out, which takes more rights than it has.
    let (gateway, gateway6) = gateways(&world, "closed");
    one.place.shell(&format!("ip route add default via {gateway}; ip -6 route add default via {gateway6}"));
    let (inside, others) = (all_ports(&[&two]), all_ports(&[&open]));
    let web = OUTSIDE.map(|address| bracketed(address, 80));
    let published = [bracketed(HOST[0], 8080), bracketed(HOST[1], 8080)];
    let all = [inside.clone(), others, web.to_vec(), published.to_vec()].concat();
    one.place.reaches_only(&words(&inside), &words(&all));

    // Names: those of its own network alone, and no question leaves it.
    assert_eq!(open.place.resolves(OUTSIDE_NAME, "A"), (0, vec![OUTSIDE[0].to_owned()]));
    assert_eq!(one.place.resolves("two", "A"), (0, vec![two.v4()]));
    assert_eq!(world.names.asked(), [format!("{OUTSIDE_NAME} A udp"), format!("{OUTSIDE_NAME} A tcp")]);
    for (name, kind) in [(OUTSIDE_NAME, "A"), (OUTSIDE_NAME, "AAAA"), ("other", "A"), (OUTSIDE[0], "PTR")] {
        let (code, found) = one.place.resolves(name, kind);
        assert!(code != 0 && found.is_empty(), "{name} {kind}: {code} {found:?}");
    }
    assert_eq!(world.names.asked(), [""; 0]);

    // And nobody gets in: not from the other network, not from outside with a way to it.
    route_to(&world, &[&one, &two, &open]);
    world.client.reaches_none(&words(&all_ports(&[&two, &open])));
    open.place.reaches_none(&words(&all_ports(&[&two])));
    world.host.reaches_all(&words(&all_ports(&[&two, &open])));
    drop((servers, ssh, one, two, open));
    world.remove(&["one", "two", "other"]);
    world.assert_clean();
}

#[test]
fn networks_beside_each_other_are_apart_on_every_port() {
    let world = world();
    for name in ["front", "back"] {
        world.network(name, &["--ipv6"]);
    }
    let (one, two) = (world.contain("one", &["--network", "front"]), world.contain("two", &["--network", "front"]));
    let other = world.contain("other", &["--network", "back"]);
    let between = world.contain("between", &["--network", "front"]);
    let servers = [one.serve(&PORTS), two.serve(&PORTS), other.serve(&PORTS), between.serve(&PORTS)];
    let all = all_ports(&[&one, &two, &other]);
    let front = all_ports(&[&one, &two]);
    one.place.reaches_only(&words(&front), &words(&all));
    other.place.reaches_only(&words(&all_ports(&[&other])), &words(&all));
    // Who is on both reaches both, and is a way from one to the other for nobody.
    world.conductor(["network", "connect", "back", "between"]).run().success();
    between.place.reaches_all(&words(&all));
    one.place.shell(&format!("ip route add {} via {}", other.v4(), between.v4()));
    one.place.reaches_none(&words(&all_ports(&[&other])));
    one.place.shell(&format!("ip route delete {}", other.v4()));
    world.conductor(["network", "disconnect", "back", "between"]).run().success();
    between.place.reaches_only(&words(&front), &words(&all));
    drop((servers, one, two, other, between));
    world.remove(&["one", "two", "other", "between"]);
    world.assert_clean();
}

#[test]
fn nobody_gets_at_what_the_host_keeps_on_loopback() {
    let world = world();
    let one = world.contain("one", &["-p", "127.0.0.1:8080:80"]);
    let servers = [one.serve(&[80]), Server::start(&world.host, "secret", &["127.0.0.1:9000", "[::1]:9000"])];
    assert_eq!(world.host.hears("127.0.0.1:9000"), "secret 127.0.0.1");
    world.host.reaches_only(&["tcp 127.0.0.1:8080"], &["127.0.0.1:8080", "192.0.2.2:8080", "192.0.2.2:9000"]);
    // A container, and the router that is the host's neighbour, send what is for 127.0.0.1 to the host.
    let gateway = one.gateway(false);
    for (place, gateway) in [(&one.place, gateway.as_str()), (&world.router, HOST[0])] {
        place.shell("ip address delete 127.0.0.1/8 dev lo; echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet");
        place.shell(&format!("ip route add 127.0.0.1/32 via {gateway}"));
        place.reaches_none(&[
            "127.0.0.1:9000",
            "127.0.0.1:8080",
            &format!("{gateway}:8080"),
            &format!("{gateway}:9000"),
        ]);
    }
    drop((servers, one));
    world.remove(&["one"]);
    world.assert_clean();
}

#[test]
fn peers_are_two_and_no_third() {
    let world = world();
    for name in ["front", "back"] {
        world.network(name, &["--ipv6"]);
    }
    let (one, third) = (world.contain("one", &["--network", "front"]), world.contain("third", &["--network", "front"]));
    let (other, fourth) =
        (world.contain("other", &["--network", "back"]), world.contain("fourth", &["--network", "back"]));
    let servers = [one.serve(&PORTS), third.serve(&PORTS), other.serve(&PORTS), fourth.serve(&PORTS)];
    let (front, back) = (all_ports(&[&one, &third]), all_ports(&[&other, &fourth]));
    let all = [front.clone(), back.clone()].concat();
    one.place.reaches_only(&words(&front), &words(&all));
    world.conductor(["peer", "one", "other"]).run().success();
    one.place.reaches_only(&words(&[front.clone(), all_ports(&[&other])].concat()), &words(&all));
    other.place.reaches_only(&words(&[back.clone(), all_ports(&[&one])].concat()), &words(&all));
    third.place.reaches_only(&words(&front), &words(&all));
    fourth.place.reaches_only(&words(&back), &words(&all));
    route_to(&world, &[&one, &other]);
    world.client.reaches_none(&words(&all));

    // Whoever gets a peer's address later is nobody's peer.
    let (address, address6) = (other.v4(), other.v6());
    drop((servers, other));
    world.remove(&["other"]);
    let heir = world.contain("heir", &["--network", "back", "--ip", &address, "--ip6", &address6]);
    let servers = [one.serve(&PORTS), heir.serve(&PORTS)];
    fourth.place.reaches_all(&words(&all_ports(&[&heir])));
    one.place.reaches_none(&words(&all_ports(&[&heir])));
    heir.place.reaches_none(&words(&all_ports(&[&one])));
    drop((servers, one, third, fourth, heir));
    world.remove(&["one", "third", "fourth", "heir"]);
    world.assert_clean();
}

#[test]
fn containers_with_links_of_their_own_meet_as_peers_alone() {
    let world = world();
    let names = ["one", "two", "three"];
    for name in names {
        world.contain(name, &["--network", "none"]);
        world.conductor(["addnetwork", name]).run().success();
    }
    let [one, two, three] = names.map(|name| world.inside(name));
    let link = |inside: &Inside| inside.place.any_address().to_string();
    let servers = [&one, &two, &three].map(|inside| inside.serve(&PORTS));
    let ports = |of: &[&Inside]| -> Vec<String> {
        of.iter().flat_map(|one| PORTS.map(|port| format!("{}:{port}", link(one)))).collect()
    };
    let all = ports(&[&one, &two, &three]);
    let web = [bracketed(OUTSIDE[0], 80)];
    let tried = [all.clone(), web.to_vec()].concat();
    for inside in [&one, &two, &three] {
        inside.place.reaches_only(&words(&ports(&[inside])), &words(&tried));
    }
    world.host.reaches_all(&words(&tried));
    world.conductor(["peer", "one", "two"]).run().success();
    let both = ports(&[&one, &two]);
    one.place.reaches_only(&words(&both), &words(&tried));
    two.place.reaches_only(&words(&both), &words(&tried));
    three.place.reaches_only(&words(&ports(&[&three])), &words(&tried));
    // Even with a way: the firewall stands between.
    let router = link(&three).rsplit_once('.').map(|(net, _)| format!("{net}.1")).unwrap();
    three.place.shell(&format!("ip route replace default via {router}"));
    three.place.reaches_only(&words(&ports(&[&three])), &words(&tried));
    drop((servers, one, two, three));
    world.remove(&names);
    world.assert_nothing_left();
}

fn bracketed(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

/// Returns the host's addresses on a network.
fn gateways(world: &World, network: &str) -> (String, String) {
    let told =
        world.conductor(["network", "inspect", "-f", "{{range .IPAM.Config}}{{.Gateway}} {{end}}", network]).ok();
    let (v4, v6) = told.trim().split_once(' ').unwrap();
    (v4.to_owned(), v6.to_owned())
}

/// Teaches the router a way to containers, so that the firewall is all that stands between.
fn route_to(world: &World, containers: &[&Inside]) {
    for inside in containers {
        world.router.shell(&format!("ip route replace {} via {}", inside.v4(), HOST[0]));
        world.router.shell(&format!("ip -6 route replace {} via {}", inside.v6(), HOST[1]));
    }
}
