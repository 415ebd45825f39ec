//! A network of a test's own, a resolver in it, and clients.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use net::names::server::{Server, Sockets};
use net::names::setup::Setup;
use net::names::upstream::HostFiles;
use net::names::zone::{Endpoint, Zone};
use sys::event::{EventFlags, Poller};
use sys::namespace::NamespaceKind;
use tempfile::TempDir;

/// Where the resolver listens.
pub(crate) const ADDRESS: &str = "127.0.0.11:53";
const STOP: u64 = 0;
const FIRST: u64 = 1 << 32;
/// How long the loop is quiet before the resolver is told to be small, as the monitor does.
const SETTLED: Duration = Duration::from_millis(20);

/// A network of a test's own with a resolver that serves it; it ends when it is dropped.
pub(crate) struct Place {
    dir: TempDir,
    resolver: Option<Resolver>,
}

/// A resolver in a loop of its own.
struct Resolver {
    stop: Option<std::io::PipeWriter>,
    thread: Option<JoinHandle<u64>>,
}

impl Place {
    /// Moves the calling thread into a new network and starts a resolver there with this setup and the zones `front`
    /// (outward) and `inner` (internal). `resolv_conf` is the host's.
    pub(crate) fn new(networks: &[&str], change: impl FnOnce(&mut Setup), resolv_conf: &str) -> Self {
        Self::listening(networks, change, resolv_conf, || Sockets::bind(ADDRESS.parse().unwrap()).unwrap())
    }

    /// The same with a resolver that listens where `listen` makes it, in the new network.
    pub(crate) fn listening(
        networks: &[&str],
        change: impl FnOnce(&mut Setup),
        resolv_conf: &str,
        listen: impl FnOnce() -> Sockets,
    ) -> Self {
        sys::namespace::unshare(&[NamespaceKind::Mount, NamespaceKind::Network]).unwrap();
        sys::mount::set_propagation(Path::new("/"), sys::mount::Propagation::Private, true).unwrap();
        sys::link::set_up("lo").unwrap();
        let mut place = Self { dir: tempfile::tempdir().unwrap(), resolver: None };
        for (network, internal) in [("front", false), ("inner", true)] {
            place.zone(network, internal, &[]);
        }
        let mut setup = Setup { networks: networks.iter().map(|name| place.path(name)).collect(), ..Setup::default() };
        change(&mut setup);
        setup.write(&place.path("setup")).unwrap();
        std::fs::write(place.path("resolv.conf"), resolv_conf).unwrap();
        place.resolver = Some(place.run(listen(), None));
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Replaces a network's zone.
    pub(crate) fn zone(&self, network: &str, internal: bool, endpoints: &[(&str, &[&str], &[&str])]) {
        let endpoints = endpoints.iter().map(|(name, aliases, addresses)| {
            let aliases = aliases.iter().map(|&alias| alias.to_owned()).collect();
            let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
            ((*name).to_owned(), Endpoint { name: (*name).to_owned(), aliases, addresses })
        });
        let host = vec!["10.9.0.1".parse().unwrap()];
        let endpoints = endpoints.collect();
        let zone = Zone { network: network.to_owned(), internal, host, endpoints, given: Vec::new() };
        zone.write(&self.path(network)).unwrap();
    }

    /// Runs `dig` with these words against the resolver and returns what it prints.
    pub(crate) fn dig(&self, words: &str) -> String {
        let mut command = Command::new("dig");
        command.args(["@127.0.0.11", "+tries=1", "+time=15"]).args(words.split_whitespace());
        output(&mut command)
    }

    /// Runs `dig +short` and returns the lines in order.
    pub(crate) fn short(&self, words: &str) -> Vec<String> {
        let mut lines: Vec<String> = self.dig(&format!("+short {words}")).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// Runs `getent` as a program of the endpoint would, with its own resolv.conf.
    pub(crate) fn getent(&self, database: &str, name: &str) -> String {
        let host = net::names::upstream::ResolvConf::default();
        let text = host.for_endpoint("127.0.0.11".parse().unwrap(), &net::names::upstream::Wishes::default());
        std::fs::write(self.path("inside"), text).unwrap();
        let file = sys::mount::clone_tree_at(None, self.path("inside"), false).unwrap();
        sys::mount::attach(file, sys::path::open_host(Path::new("/etc/resolv.conf")).unwrap()).unwrap();
        output(Command::new("getent").args([database, name]))
    }

    /// Stops the resolver and returns how often its loop has turned.
    pub(crate) fn stop(mut self) -> u64 {
        let mut resolver = self.resolver.take().unwrap();
        resolver.stop = None;
        resolver.thread.take().unwrap().join().unwrap()
    }

    /// Moves the calling thread into yet another network, whose questions are answered from this one.
    pub(crate) fn serve_another_network(&self) -> impl Drop + use<> {
        let here = sys::namespace::open(Path::new("/proc/thread-self/ns/net")).unwrap();
        sys::namespace::unshare(&[NamespaceKind::Network]).unwrap();
        sys::link::set_up("lo").unwrap();
        let sockets = Sockets::bind(ADDRESS.parse().unwrap()).unwrap();
        self.run(sockets, Some(here))
    }

    fn run(&self, sockets: Sockets, network: Option<OwnedFd>) -> Resolver {
        let (stopped, stop) = std::io::pipe().unwrap();
        let host = HostFiles::at(self.path("resolv.conf"), self.path("behind"));
        let setup = self.path("setup");
        let thread = std::thread::spawn(move || {
            if let Some(network) = network {
                sys::namespace::enter(network.as_fd(), NamespaceKind::Network).unwrap();
            }
            let poller = Poller::new().unwrap();
            poller.add(stopped.as_fd(), STOP, EventFlags::IN).unwrap();
            serve(Server::new(sockets, setup, host, &poller, FIRST).unwrap(), &poller)
        });
        Resolver { stop: Some(stop), thread: Some(thread) }
    }
}

/// The loop that the resolver lives in.
fn serve(mut server: Server, poller: &Poller) -> u64 {
    for turn in 0.. {
        let settle = server.is_large().then_some(SETTLED);
        let ready = poller.wait(settle.into_iter().chain(server.patience()).min()).unwrap();
        if ready.is_empty() {
            server.rest();
        }
        for event in ready {
            if event.token == STOP {
                return turn;
            }
            assert!(server.owns(event.token));
            server.ready(poller, event.token);
        }
        server.tick(poller);
    }
    0
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the resolver has failed");
        }
    }
}

/// A client of ours, quicker than a process a question.
pub(crate) struct Client(UdpSocket);

impl Client {
    pub(crate) fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(ADDRESS).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(socket)
    }

    pub(crate) fn send(&self, bytes: &[u8]) {
        // A full queue is no failure of the resolver.
        let _ = self.0.send(bytes);
    }

    /// Asks for the IPv4 addresses of a name; returns the code and the addresses.
    pub(crate) fn ask(&self, id: u16, name: &str) -> (u8, Vec<IpAddr>) {
        self.send(&question(id, name, 1));
        let mut reply = [0; 4096];
        loop {
            let length = self.0.recv(&mut reply).unwrap();
            if reply[..2] == id.to_be_bytes() {
                return (reply[3] & 15, addresses(&reply[..length]));
            }
        }
    }
}

/// Writes a question.
pub(crate) fn question(id: u16, name: &str, kind: u16) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1]);
    bytes
}

fn addresses(reply: &[u8]) -> Vec<IpAddr> {
    let message = domain::base::Message::from_octets(reply).unwrap();
    let records = message.answer().unwrap().limit_to::<domain::rdata::A>();
    records.map(|record| record.unwrap().data().addr().into()).collect()
}

/// Waits until something has come to listen there.
pub(crate) fn wait_for_server(address: SocketAddr) {
    let start = Instant::now();
    while std::net::TcpStream::connect(address).is_err() {
        assert!(start.elapsed() < Duration::from_secs(30), "nobody listens at {address}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
