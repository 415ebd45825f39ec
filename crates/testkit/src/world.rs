//! A small internet of the test's own, of network namespaces: a host, a router, a server, a client.
//!
//! ```text
//!   host                     router                        internet
//!   eth0 192.0.2.2, .3  ---  host0 192.0.2.1
//!        2001:db8:1::2             2001:db8:1::1
//!                            net0 198.51.100.1       ---   eth0 198.51.100.9 (web), .53 (names)
//!                                 2001:db8:2::1                 2001:db8:2::9
//!                            out0 203.0.113.1        ---   client: eth0 203.0.113.7, 2001:db8:3::7
//!                                 2001:db8:3::1
//! ```
//!
//! The host is the test's own namespace: what the test runs, runs there, with the name server of the internet in its
//! `/etc/resolv.conf`. Nobody outside knows a way to the networks behind the host.

mod dns;
mod place;
mod talk;

use std::path::{Path, PathBuf};

use sys::mount::Propagation;
use sys::namespace::{self, NamespaceKind};
use tempfile::TempDir;

use crate::{Conductor, Sandbox, fixture, until};

pub use dns::{Asker, NO_SUCH_NAME, NameServer};
pub use place::Place;
pub use talk::Server;

/// The image of busybox that every world has.
pub const IMAGE: &str = "busybox";
/// The name that the internet's name server knows, of its web server.
pub const OUTSIDE_NAME: &str = "www.outside.test";
/// The addresses of the internet's web server.
pub const OUTSIDE: [&str; 2] = ["198.51.100.9", "2001:db8:2::9"];
/// The addresses of the host; the first two are those by which it is known outside.
pub const HOST: [&str; 3] = ["192.0.2.2", "2001:db8:1::2", "192.0.2.3"];
/// The addresses of the client outside.
pub const CLIENT: [&str; 2] = ["203.0.113.7", "2001:db8:3::7"];
/// The address of the internet's name server.
const NAMES: &str = "198.51.100.53";

/// A sandbox whose network is the host of a small internet.
#[derive(Debug)]
pub struct World {
    /// Where the program runs.
    pub sandbox: Sandbox,
    /// The host, which is where the test itself is.
    pub host: Place,
    /// The router that is the host's way out; it is also the host's neighbour.
    pub router: Place,
    /// The server in the internet.
    pub internet: Place,
    /// The client outside.
    pub client: Place,
    /// The internet's name server.
    pub names: NameServer,
    ruleset: String,
    _web: Server,
    _files: TempDir,
}

/// A container of a world that runs, and its network.
#[derive(Debug)]
pub struct Inside {
    /// Its name.
    pub name: String,
    /// Its network.
    pub place: Place,
}

impl World {
    /// Makes a world and a sandbox in it for the program at `program`, with an image of busybox, and moves the calling
    /// thread into it.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        namespace::unshare(&[NamespaceKind::Mount, NamespaceKind::Network]).expect("namespaces for the test, as root");
        sys::mount::set_propagation(Path::new("/"), Propagation::Private, true).expect("private mounts");
        sys::link::set_up("lo").expect("the loopback link");
        let (host, router, internet, client) = (Place::here(), Place::new(), Place::new(), Place::new());
        lay_out(&host, &router, &internet, &client);
        let files = tempfile::tempdir().expect("a directory for the world");
        cover(&files.path().join("resolv.conf"), &format!("nameserver {NAMES}\n"), "/etc/resolv.conf");
        let names = OUTSIDE.map(|address| (OUTSIDE_NAME, address));
        let names = NameServer::start(&internet, NAMES.parse().expect("an address"), &names);
        let web = Server::start(&internet, "web", &["[::]:80", "[::]:443"]);
        // Last, so that all of this counts as having been there before.
        let sandbox = Sandbox::with_network(program);
        let archive = fixture::busybox_tar_file(&sandbox.work());
        sandbox.conductor(["import"]).arg(archive).arg(IMAGE).run().success();
        let ruleset = ruleset();
        Self { sandbox, host, router, internet, client, names, ruleset, _web: web, _files: files }
    }

    /// Makes a call of the program on this world's host.
    pub fn conductor<S: AsRef<std::ffi::OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Conductor {
        self.sandbox.conductor(words)
    }

    /// Creates a network.
    pub fn network(&self, name: &str, options: &[&str]) {
        self.conductor(["network", "create"]).args(options).arg(name).run().success();
    }

    /// Removes containers, whatever they do.
    pub fn remove(&self, names: &[&str]) {
        self.conductor(["rm", "-f"]).args(names).run().success();
    }

    /// Starts a container that does nothing, and enters its network.
    pub fn contain(&self, name: &str, options: &[&str]) -> Inside {
        let run = self.conductor(["run", "-d", "--name", name]).args(options);
        run.args([IMAGE, "sleep", "infinity"]).run().success();
        self.inside(name)
    }

    /// Enters the network of a container that runs.
    pub fn inside(&self, name: &str) -> Inside {
        let pid = self.conductor(["inspect", "-f", "{{.State.Pid}}", name]).ok();
        let pid = pid.trim().parse().unwrap_or_else(|_| panic!("{pid:?} is the PID of {name}"));
        Inside { name: name.to_owned(), place: Place::of(pid) }
    }

    /// Expects that nothing is left once all networks that nobody uses are pruned: no link, rule, process, mount or file.
    /// Every [`Inside`] and what was opened in it must be gone, since they keep their networks alive.
    #[track_caller]
    pub fn assert_clean(&self) {
        self.conductor(["network", "prune", "-f"]).run().success();
        self.assert_nothing_left();
    }

    /// The same without pruning.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        // The kernel takes a namespace's links away some time after its last process.
        let links = || -> Vec<String> {
            let text = self.host.shell("ip -oneline link show");
            let names = text.lines().filter_map(|line| line.split(": ").nth(1)).map(str::to_owned);
            names.filter(|name| name != "lo" && !name.starts_with("eth0@")).collect()
        };
        until(&format!("the links {:?} go", links()), || links().is_empty().then_some(()));
        self.sandbox.assert_clean();
        assert_eq!(ruleset(), self.ruleset, "the firewall's rules");
    }
}

impl Inside {
    /// Returns its IPv4 address on its first network.
    pub fn v4(&self) -> String {
        self.place.address("eth0", false).to_string()
    }

    /// Returns its IPv6 address on its first network.
    pub fn v6(&self) -> String {
        self.place.address("eth0", true).to_string()
    }

    /// Returns the addresses of its first network's router.
    pub fn gateway(&self, ipv6: bool) -> String {
        let family = if ipv6 { 6 } else { 4 };
        let text = self.place.shell(&format!("ip -{family} route show default"));
        let gateway = text.split_whitespace().skip_while(|word| *word != "via").nth(1);
        gateway.unwrap_or_else(|| panic!("no default route: {text:?}")).to_owned()
    }

    /// Starts a [`Server`] in it that answers with the container's name, at these ports of all its addresses.
    pub fn serve(&self, ports: &[u16]) -> Server {
        let at: Vec<_> = ports.iter().map(|port| format!("[::]:{port}")).collect();
        Server::start(&self.place, &self.name, &at.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// Makes the links, addresses and routes.
fn lay_out(host: &Place, router: &Place, internet: &Place, client: &Place) {
    for place in [router, internet, client] {
        // What has just come up may be used at once.
        place.shell("echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad");
    }
    join(
        router,
        "host0",
        &["192.0.2.1/24", "2001:db8:1::1/64"],
        host,
        &["192.0.2.2/24", "192.0.2.3/24", "2001:db8:1::2/64"],
    );
    join(
        router,
        "net0",
        &["198.51.100.1/24", "2001:db8:2::1/64"],
        internet,
        &["198.51.100.9/24", "198.51.100.53/24", "2001:db8:2::9/64"],
    );
    join(router, "out0", &["203.0.113.1/24", "2001:db8:3::1/64"], client, &["203.0.113.7/24", "2001:db8:3::7/64"]);
    router.shell("echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding");
    // The host is as the distributions deliver it: it does not forward, and it listens to the routers around it.
    host.shell("echo 0 > /proc/sys/net/ipv4/ip_forward; echo 0 > /proc/sys/net/ipv6/conf/all/forwarding");
}

/// Joins a place's `eth0` with a link of the router, which becomes its way out.
fn join(router: &Place, link: &str, addresses: &[&str], place: &Place, far: &[&str]) {
    router.shell(&format!("ip link add {link} type veth peer name eth0 netns {}", place.path().display()));
    let add = |link: &str, addresses: &[&str]| {
        let add = |address: &&str| {
            let no_check = if address.contains(':') { "nodad" } else { "" };
            format!("ip address add {address} dev {link} {no_check}\n")
        };
        let lines: String = addresses.iter().map(add).collect();
        format!("echo 0 > /proc/sys/net/ipv6/conf/{link}/accept_dad\n{lines}ip link set {link} up\n")
    };
    router.shell(&add(link, addresses));
    place.shell(&add("eth0", far));
    for address in addresses {
        let gateway = address.split('/').next().unwrap_or_default();
        let family = if gateway.contains(':') { 6 } else { 4 };
        place.shell(&format!("ip -{family} route add default via {gateway}"));
    }
}

/// Writes a file and lays it over another one, in the calling thread's mounts.
fn cover(file: &Path, text: &str, over: &str) {
    std::fs::write(file, text).expect("a file");
    let mount = sys::mount::clone_tree_at(None, file, false).expect("a mount of the file");
    sys::mount::attach(mount, sys::path::open_host(Path::new(over)).expect(over)).expect("a mount over another file");
}

/// Returns all rules of the thread's network, as nft(8) tells them.
fn ruleset() -> String {
    let out = std::process::Command::new("nft").args(["list", "ruleset"]).output().expect("nft of nftables");
    String::from_utf8_lossy(&out.stdout).into_owned()
}
