//! Published ports: who is answered by them, and whom the server sees.

use std::net::UdpSocket;
use std::time::Duration;

use testkit::World;
use testkit::world::{CLIENT, HOST, Inside, Place};

fn world() -> World {
    World::new(env!("CARGO_BIN_EXE_conductor"))
}

/// Options that publish a port for TCP and UDP.
fn publish(ports: &str) -> [String; 4] {
    ["-p".to_owned(), ports.to_owned(), "-p".to_owned(), format!("{ports}/udp")]
}

/// Starts a container on a network that publishes ports.
fn publishing(world: &World, name: &str, network: &str, ports: &[&str]) -> Inside {
    let options: Vec<String> = ports.iter().flat_map(|ports| publish(ports)).collect();
    let mut options: Vec<&str> = options.iter().map(String::as_str).collect();
    options.extend(["--network", network]);
    world.contain(name, &options)
}

/// Who hears what from a published port, by IPv4 and IPv6.
fn expect_answers(world: &World, web: &Inside, peer: &Inside, other: &Inside, port: u16) {
    let [v4, v6] = [format!("{}:{port}", HOST[0]), format!("[{}]:{port}", HOST[1])];
    let (gateway, gateway6) = (web.gateway(false), web.gateway(true));
    // From outside, as itself.
    assert_eq!(world.client.hears(&v4), format!("web {}", CLIENT[0]));
    assert_eq!(world.client.hears(&v6), format!("web {}", CLIENT[1]));
    assert_eq!(world.client.hears(&format!("{}:{port}", HOST[2])), format!("web {}", CLIENT[0]));
    // From the host, by its addresses and by loopback.
    assert_eq!(world.host.hears(&v4), format!("web {}", HOST[0]));
    assert_eq!(world.host.hears(&v6), format!("web {}", HOST[1]));
    assert_eq!(world.host.hears(&format!("127.0.0.1:{port}")), format!("web {gateway}"));
    assert_eq!(world.host.hears(&format!("127.0.0.2:{port}")), format!("web {gateway}"));
    assert_eq!(world.host.hears(&format!("[::1]:{port}")), format!("web {gateway6}"));
    // From another network, as itself; from the same network and from itself, as the network's router.
    assert_eq!(other.place.hears(&v4), format!("web {}", other.v4()));
    assert_eq!(other.place.hears(&v6), format!("web {}", other.v6()));
    assert_eq!(other.place.hears(&format!("{}:{port}", other.gateway(false))), format!("web {}", other.v4()));
    for inside in [peer, web] {
        assert_eq!(inside.place.hears(&v4), format!("web {gateway}"));
        assert_eq!(inside.place.hears(&v6), format!("web {gateway6}"));
        assert_eq!(inside.place.hears(&format!("{gateway}:{port}")), format!("web {gateway}"));
    }
    // And by its own address it is what it was.
    assert_eq!(peer.place.hears(&format!("{}:80", web.v4())), format!("web {}", peer.v4()));
}

#[test]
fn a_published_port_answers_everybody_and_sees_who_comes() {
    answers_everybody("");
}

#[test]
fn the_same_where_packets_are_checked_strictly_and_bridges_keep_them_from_the_firewall() {
    answers_everybody(
        "for link in all default eth0; do echo 1 > /proc/sys/net/ipv4/conf/$link/rp_filter; done
         for tables in iptables ip6tables; do
             file=/proc/sys/net/bridge/bridge-nf-call-$tables
             ! test -e $file || echo 0 > $file
         done",
    );
}

fn answers_everybody(before: &str) {
    let world = world();
    world.host.shell(before);
    world.network("front", &["--ipv6"]);
    world.network("back", &["--ipv6"]);
    let web = publishing(&world, "web", "front", &["8080:80"]);
    let (peer, other) =
        (world.contain("peer", &["--network", "front"]), world.contain("other", &["--network", "back"]));
    let server = web.serve(&[80]);
    expect_answers(&world, &web, &peer, &other, 8080);
    // Published while it runs, and withdrawn again.
    world.conductor(["update", "--publish-add", "8081:80", "--publish-add", "8081:80/udp", "web"]).run().success();
    expect_answers(&world, &web, &peer, &other, 8081);
    world.conductor(["update", "--publish-rm", "8081:80", "--publish-rm", "8081:80/udp", "web"]).run().success();
    let gone: Vec<String> = ["192.0.2.2", "[2001:db8:1::2]"].iter().map(|address| format!("{address}:8081")).collect();
    let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
    for place in [&world.client, &other.place, &peer.place, &web.place] {
        place.reaches_none(&gone);
    }
    world.host.reaches_none(&[&gone[..], &["127.0.0.1:8081", "[::1]:8081"]].concat());
    assert_eq!(world.client.hears("192.0.2.2:8080"), "web 203.0.113.7");
    // And with the container all of it goes.
    drop((server, web));
    world.remove(&["web"]);
    world.client.reaches_none(&["192.0.2.2:8080", "[2001:db8:1::2]:8080"]);
    drop((peer, other));
    world.remove(&["peer", "other"]);
    world.assert_clean();
}

#[test]
fn a_port_published_on_one_address_is_on_no_other() {
    let world = world();
    world.network("front", &["--ipv6"]);
    let web = publishing(&world, "web", "front", &["127.0.0.1:8081:80", "[::1]:8081:80", "192.0.2.3:8082:80"]);
    let other = world.contain("other", &[]);
    let _server = web.serve(&[80]);
    let all = [
        "127.0.0.1:8081",
        "127.0.0.2:8081",
        "[::1]:8081",
        "192.0.2.2:8081",
        "192.0.2.3:8081",
        "[2001:db8:1::2]:8081",
        "127.0.0.1:8082",
        "[::1]:8082",
        "192.0.2.2:8082",
        "192.0.2.3:8082",
        "[2001:db8:1::2]:8082",
    ];
    world.host.reaches_only(&["127.0.0.1:8081", "[::1]:8081", "192.0.2.3:8082"], &all);
    // Loopback is the host's own; everybody else has another one.
    for place in [&world.client, &world.router, &other.place, &web.place] {
        place.reaches_only(&["192.0.2.3:8082"], &all);
    }
    assert_eq!(world.host.hears("127.0.0.1:8081"), format!("web {}", web.gateway(false)));
    assert_eq!(world.host.hears("[::1]:8081"), format!("web {}", web.gateway(true)));
    assert_eq!(world.client.hears("192.0.2.3:8082"), "web 203.0.113.7");
}

#[test]
fn a_container_without_ipv6_answers_by_ipv4_alone() {
    let world = world();
    let web = world.contain("web", &["-p", "8080:80", "-p", "8080:80/udp"]);
    let server = web.serve(&[80]);
    let all = ["192.0.2.2:8080", "[2001:db8:1::2]:8080"];
    world.client.reaches_only(&all[..1], &all);
    world
        .host
        .reaches_only(&["192.0.2.2:8080", "127.0.0.1:8080"], &[&all[..], &["127.0.0.1:8080", "[::1]:8080"]].concat());
    drop((server, web));
    world.remove(&["web"]);
    world.assert_clean();
}

#[test]
fn ports_that_the_kernel_chooses_are_told_and_answer() {
    let world = world();
    let web = world.contain("web", &["-p", "80", "-p", "9000-9001:443", "-p", "7000-7001:7000-7001"]);
    let _server = web.serve(&[80, 443, 7000, 7001]);
    let told = |port: &str| {
        let told = world.conductor(["port", "web", port]).ok();
        told.lines().next().unwrap().rsplit_once(':').unwrap().1.to_owned()
    };
    assert_eq!((told("443/tcp"), told("7001/tcp")), ("9000".to_owned(), "7001".to_owned()));
    let targets = ["80", "443", "7000", "7001"].map(|port| format!("tcp {}:{}", HOST[0], told(port)));
    world.client.reaches_all(&targets.each_ref().map(String::as_str));
    world.client.reaches_none(&["192.0.2.2:9001", "192.0.2.2:80", "192.0.2.2:443"]);
}

/// A client that goes on sending from the same port, as a game or a name server's client does.
struct Stubborn(UdpSocket);

impl Stubborn {
    fn new(place: &Place) -> Self {
        let socket = place.run(|| UdpSocket::bind("0.0.0.0:5000").unwrap());
        Self(socket)
    }

    /// Sends to a port, again while nobody answers, and returns who answers; nobody within the time given is `None`.
    fn asks(&self, to: &str, patience: Duration) -> Option<String> {
        let start = std::time::Instant::now();
        self.0.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut bytes = [0; 64];
        while start.elapsed() < patience {
            let _ = self.0.send_to(b"hello", to);
            if let Ok((length, _)) = self.0.recv_from(&mut bytes) {
                return Some(String::from_utf8_lossy(&bytes[..length]).into_owned());
            }
        }
        None
    }
}

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(700);

#[test]
fn a_udp_client_that_goes_on_sending_follows_the_port() {
    let world = world();
    let (one, two) = (world.contain("one", &[]), world.contain("two", &[]));
    let servers = [one.serve(&[53]), two.serve(&[53])];
    let to = "192.0.2.2:5300";
    let clients = [Stubborn::new(&world.client), Stubborn::new(&world.host)];
    let expect = |who: Option<&str>| {
        for client in &clients {
            let heard = client.asks(to, if who.is_some() { LONG } else { SHORT });
            assert_eq!(heard.as_deref().and_then(|text| text.split(' ').next()), who);
        }
    };
    // The kernel notes a flow that leads nowhere too.
    expect(None);
    let update = |words: &[&str]| world.conductor(["update"]).args(words).run().success();
    update(&["--publish-add", "5300:53/udp", "one"]);
    expect(Some("one"));
    update(&["--publish-rm", "5300:53/udp", "one"]);
    expect(None);
    update(&["--publish-add", "5300:53/udp", "two"]);
    expect(Some("two"));
    // The same when a container goes and another one comes.
    world.remove(&["two"]);
    expect(None);
    let three = world.contain("three", &["-p", "5300:53/udp"]);
    let third = three.serve(&[53]);
    expect(Some("three"));
    drop((servers, third, one, two, three));
    world.remove(&["one", "three"]);
    world.assert_clean();
}
