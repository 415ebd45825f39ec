//! Beside other people's firewalls and engines: ours work, and theirs go on working.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use testkit::world::{IMAGE, Inside, Place, Server};
use testkit::{Conductor, World, fixture};

fn world() -> World {
    World::new(env!("CARGO_BIN_EXE_conductor"))
}

/// A machine behind the host that is no container of ours: what the host forwards for others.
fn machine_behind(world: &World) -> Place {
    let machine = Place::new();
    world.host.shell(&format!("ip link add vm0 type veth peer name eth0 netns {}", machine.path().display()));
    world.host.shell("ip address add 10.44.0.1/24 dev vm0; ip link set vm0 up");
    machine.shell("ip address add 10.44.0.2/24 dev eth0; ip link set eth0 up; ip route add default via 10.44.0.1");
    world.router.shell("ip route add 10.44.0.0/24 via 192.0.2.2");
    machine
}

const PUBLISHED: [&str; 4] = ["-p", "8080:80", "-p", "8080:80/udp"];

/// Expects that a container's port and its way out work, by IPv4.
#[track_caller]
fn works(world: &World, web: &Inside, port: u16) {
    assert_eq!(world.client.hears(&format!("192.0.2.2:{port}")), format!("{} 203.0.113.7", web.name));
    assert_eq!(web.place.hears("198.51.100.9:80"), "web 192.0.2.2");
}

/// Runs a command when all there is has not been looked at for a second: after that long, the next one does it again.
fn a_command_later(world: &World, words: &[&str]) {
    let start = std::time::Instant::now();
    testkit::until("a second passes", || (start.elapsed().as_millis() > 1100).then_some(()));
    world.conductor(words).run().success();
}

#[test]
fn a_firewall_that_forwards_nothing_forwards_ours() {
    let world = world();
    let machine = machine_behind(&world);
    let own = Server::start(&machine, "machine", &["[::]:80"]);
    world.host.shell("iptables -P FORWARD DROP; ip6tables -P FORWARD DROP; iptables -A FORWARD -i lo -j ACCEPT");
    let before = world.host.shell("iptables-save; ip6tables-save");
    world.network("front", &["--ipv6"]);
    let web = world.contain("web", &[&["--network", "front"][..], &PUBLISHED].concat());
    let peer = world.contain("peer", &["--network", "front"]);
    let other = world.contain("other", &[]);
    let server = web.serve(&[80]);
    works(&world, &web, 8080);
    assert_eq!(world.client.hears("[2001:db8:1::2]:8080"), "web 2001:db8:3::7");
    assert_eq!(web.place.hears("[2001:db8:2::9]:80"), "web 2001:db8:1::2");
    assert_eq!(other.place.hears("192.0.2.2:8080"), format!("web {}", other.v4()));
    assert_eq!(peer.place.hears(&format!("{}:80", web.v4())), format!("web {}", peer.v4()));
    // What was forbidden to others still is, and what is forbidden between us too.
    world.client.reaches_none(&["10.44.0.2:80"]);
    machine.reaches_none(&["198.51.100.9:80", &format!("{}:80", web.v4())]);
    other.place.reaches_none(&[&format!("{}:80", web.v4())]);
    world.host.reaches_all(&["10.44.0.2:80"]);
    // And when we are gone, the firewall is as it was.
    drop((server, web, peer, other, own));
    world.remove(&["web", "peer", "other"]);
    world.conductor(["network", "prune", "-f"]).run().success();
    let rules = |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    let without_counts = |lines: Vec<String>| -> Vec<String> {
        lines.into_iter().map(|line| line.split(" [").next().unwrap_or_default().to_owned()).collect()
    };
    let after = world.host.shell("iptables-save; ip6tables-save");
    assert_eq!(without_counts(rules(&after)), without_counts(rules(&before)));
}

#[test]
fn a_firewall_that_comes_to_forward_nothing_is_noticed_by_the_next_command() {
    let world = world();
    let web = world.contain("web", &PUBLISHED);
    let _server = web.serve(&[80]);
    works(&world, &web, 8080);
    world.host.shell("iptables -P FORWARD DROP; ip6tables -P FORWARD DROP");
    world.client.reaches_none(&["192.0.2.2:8080"]);
    a_command_later(&world, &["network", "ls"]);
    works(&world, &web, 8080);
}

#[test]
fn rules_that_another_tool_flushes_are_put_back_by_the_next_command() {
    let world = world();
    world.network("front", &["--ipv6"]);
    let web = world.contain("web", &[&["--network", "front"][..], &PUBLISHED].concat());
    let own = world.contain("own", &["--network", "none"]);
    world.conductor(["addnetwork", "own", "-e", "3000:80"]).run().success();
    world.network("back", &["--ipv6"]);
    let other = world.contain("other", &["--network", "back"]);
    world.conductor(["peer", "web", "other"]).run().success();
    let servers = [web.serve(&[80]), own.serve(&[80]), other.serve(&[80])];
    let there = format!("{}:80", other.v4());
    let all_well = || {
        works(&world, &web, 8080);
        world.client.reaches_all(&["[2001:db8:1::2]:8080", "tcp 192.0.2.2:3000"]);
        world.host.reaches_all(&["127.0.0.1:8080", "[::1]:8080"]);
        web.place.reaches_all(&[&there]);
        own.place.reaches_none(&[&there, "198.51.100.9:80"]);
    };
    all_well();
    // The last one leaves the table and its elements there, without a rule.
    let flushes = ["nft flush ruleset", "nft flush ruleset", "nft flush ruleset", "nft flush table inet conductor"];
    let commands = [&["network", "ls"][..], &["exec", "web", "true"], &["run", "--rm", IMAGE, "true"], &["ps"]];
    for (flush, command) in flushes.into_iter().zip(commands) {
        world.host.shell(flush);
        world.client.reaches_none(&["192.0.2.2:8080", "[2001:db8:1::2]:8080", "tcp 192.0.2.2:3000"]);
        web.place.reaches_none(&["198.51.100.9:80"]);
        a_command_later(&world, command);
        all_well();
    }
    drop((servers, web, own, other));
    world.remove(&["web", "own", "other"]);
    world.assert_clean();
}

/// Another engine of the same host.
struct Neighbour {
    program: &'static str,
    options: Vec<String>,
    configuration: Option<String>,
    daemon: Option<Child>,
    directory: PathBuf,
}

impl Neighbour {
    /// Debian's podman, which keeps what it has in this sandbox.
    fn podman(world: &World, backend: &str) -> Self {
        cover_state();
        let dir = world.sandbox.work();
        let path = |name: &str| dir.join(name).display().to_string();
        let text = format!(
            "[containers]\ndefault_ulimits = []\n[engine]\ncgroup_manager = \"cgroupfs\"\nruntime = \"runc\"\n\
             events_logger = \"file\"\nlock_type = \"file\"\n[network]\nnetwork_backend = \"{backend}\"\n\
             network_config_dir = \"{}\"\n",
            path("podman-networks")
        );
        std::fs::write(dir.join("containers.conf"), text).unwrap();
        let options = ["--root", &path("podman-root"), "--runroot", &path("podman-run"), "--storage-driver", "vfs"];
        let options = options.map(str::to_owned).into();
        Self { program: "podman", options, configuration: Some(path("containers.conf")), daemon: None, directory: dir }
    }

    /// Debian's docker, with a daemon of its own in this sandbox.
    fn docker(world: &World) -> Self {
        cover_state();
        let dir = world.sandbox.work();
        let path = |name: &str| dir.join(name).display().to_string();
        let socket = format!("unix://{}", path("docker.sock"));
        let mut daemon = Command::new("dockerd");
        daemon.args(["--host", &socket, "--data-root", &path("docker"), "--exec-root", &path("docker-run")]);
        daemon.args(["--pidfile", &path("docker.pid"), "--storage-driver", "vfs", "--log-level", "error"]);
        let log = std::fs::File::create(dir.join("docker.log")).unwrap();
        let daemon = daemon.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let options = vec!["--host".to_owned(), socket];
        let docker =
            Self { program: "docker", options, configuration: None, daemon: Some(daemon), directory: dir.clone() };
        let is_up = || docker.call(&["version"]).run().exit_code() == 0;
        let log = || std::fs::read_to_string(dir.join("docker.log")).unwrap_or_default();
        testkit::until("dockerd answers", || {
            is_up().then_some(()).or_else(|| {
                assert!(!log().contains("failed to start daemon"), "{}", log());
                None
            })
        });
        docker
    }

    fn call(&self, words: &[&str]) -> Conductor {
        let call = Conductor::new(self.program).args(&self.options).args(words);
        match &self.configuration {
            Some(path) => call.env("CONTAINERS_CONF", path),
            None => call,
        }
    }

    /// Removes a container at once: what runs in ours is deaf to all signals but one.
    fn remove(&self, name: &str) {
        let at_once = if self.daemon.is_none() { &["--time", "0"][..] } else { &[] };
        self.call(&["rm", "-f"]).args(at_once).arg(name).run().success();
    }

    /// Starts a container that publishes a port, and enters its network.
    fn contain(&self, name: &str, port: u16) -> Inside {
        let [tcp, udp] = [format!("{port}:80"), format!("{port}:80/udp")];
        let words = ["run", "-d", "--name", name, "-p", &tcp, "-p", &udp, "theirs", "sleep", "9999"];
        self.call(&words).run().success();
        let pid = self.call(&["inspect", "-f", "{{.State.Pid}}", name]).ok();
        Inside { name: name.to_owned(), place: Place::of(pid.trim().parse().unwrap()) }
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        // What it has mounted in its directories would keep these from being removed.
        let mounts = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
        let places = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(Path::new);
        let below: Vec<_> = places.filter(|place| place.starts_with(&self.directory)).collect();
        below.into_iter().rev().for_each(|place| drop(sys::mount::unmount(place)));
    }
}

/// Lays empty directories over those where other engines keep what they have, in this sandbox's mounts.
fn cover_state() {
    for directory in ["/run", "/dev/shm", "/var/lib/cni", "/etc/cni"] {
        std::fs::create_dir_all(directory).unwrap();
        let empty = sys::mount::Filesystem::open("tmpfs").unwrap().mount(sys::mount::MountAttrFlags::empty()).unwrap();
        sys::mount::attach(empty, sys::path::open_host(Path::new(directory)).unwrap()).unwrap();
    }
}

/// Containers of both come and go, each while one of the other runs, and all of them work all the time.
/// `mark` stands in the rules of the other one.
fn go_on_beside(world: &World, neighbour: &Neighbour, mark: &str) {
    let archive = fixture::busybox_tar_file(&world.sandbox.work());
    neighbour.call(&["import", &archive.display().to_string(), "theirs"]).run().success();
    let web = world.contain("web", &PUBLISHED);
    let server = web.serve(&[80]);
    works(world, &web, 8080);
    let first = neighbour.contain("first", 9090);
    let their_server = first.serve(&[80]);
    let both = |web: &Inside, theirs: &Inside, ports: [u16; 2]| {
        works(world, web, ports[0]);
        works(world, theirs, ports[1]);
        web.place.reaches_all(&[&format!("192.0.2.2:{}", ports[1])]);
        theirs.place.reaches_all(&[&format!("192.0.2.2:{}", ports[0])]);
        world.host.reaches_all(&[&format!("192.0.2.2:{}", ports[0]), &format!("192.0.2.2:{}", ports[1])]);
        // By their own addresses ours are none of their business.
        theirs.place.reaches_none(&[&format!("{}:80", web.v4())]);
    };
    both(&web, &first, [8080, 9090]);
    assert!(world.host.shell("nft list ruleset").contains(mark), "{mark}");
    // One of ours starts beside theirs, one of theirs beside ours; the first ones of each go.
    let second = world.contain("second", &["-p", "8081:80", "-p", "8081:80/udp"]);
    let (servers, third) = (second.serve(&[80]), neighbour.contain("third", 9091));
    let third_server = third.serve(&[80]);
    drop((server, web, their_server));
    world.remove(&["web"]);
    drop(first);
    neighbour.remove("first");
    both(&second, &third, [8081, 9091]);
    // With all of ours gone, and our table with them, theirs go on.
    drop((servers, second));
    world.remove(&["second"]);
    world.conductor(["network", "prune", "-f"]).run().success();
    works(world, &third, 9091);
    drop((third_server, third));
    neighbour.remove("third");
}

#[test]
fn podman_with_its_old_network_goes_on_beside_ours() {
    let world = world();
    go_on_beside(&world, &Neighbour::podman(&world, "cni"), "CNI-");
}

#[test]
fn podman_with_netavark_goes_on_beside_ours() {
    let world = world();
    go_on_beside(&world, &Neighbour::podman(&world, "netavark"), "NETAVARK-");
}

#[test]
fn docker_goes_on_beside_ours() {
    let world = world();
    let docker = Neighbour::docker(&world);
    // Who switches forwarding on is the one who forbids it to others.
    assert!(world.host.shell("iptables -S FORWARD").contains("-P FORWARD DROP"));
    go_on_beside(&world, &docker, "DOCKER-USER");
}

#[test]
fn docker_that_comes_later_goes_on_beside_ours() {
    let world = world();
    let early = world.contain("early", &["-p", "8070:80", "-p", "8070:80/udp"]);
    let _server = early.serve(&[80]);
    works(&world, &early, 8070);
    let docker = Neighbour::docker(&world);
    a_command_later(&world, &["network", "ls"]);
    works(&world, &early, 8070);
    go_on_beside(&world, &docker, "DOCKER-USER");
    works(&world, &early, 8070);
}
