//! Port 53 led to the resolver, and what is left of it to the endpoint's own programs.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use net::names::redirect::{lead, listen};
use net::names::server::Sockets;
use sys::namespace::NamespaceKind;
use trace::{Format, Recorder};

use crate::place::{ADDRESS, Client, Place, question};

const FRONT: &[(&str, &[&str], &[&str])] = &[("web", &[], &["10.9.0.2"])];
/// How long an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn here() -> OwnedFd {
    sys::namespace::open(Path::new("/proc/thread-self/ns/net")).unwrap()
}

fn led() -> Place {
    let listen = || {
        let sockets = listen(here().as_fd()).unwrap();
        lead(here().as_fd(), Path::new("/ns"), sockets.address().unwrap(), &Recorder::silent()).unwrap();
        sockets
    };
    let place = Place::listening(&["inner"], |_| {}, "", listen);
    place.zone("inner", true, FRONT);
    place
}

/// Makes a network beside the test's own, with its loopback link on.
fn network() -> OwnedFd {
    let make = || {
        sys::namespace::unshare(&[NamespaceKind::Network]).unwrap();
        sys::link::set_up("lo").unwrap();
        here()
    };
    std::thread::spawn(make).join().unwrap()
}

fn within(network: &OwnedFd, script: &str) -> String {
    let run = || Command::new("/bin/sh").args(["-e", "-c", script]).output().unwrap();
    let output = sys::inet::within(network.as_fd(), run).unwrap();
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn names_are_answered_at_port_53_of_the_resolver_over_both_protocols() {
    let place = led();
    assert_eq!(place.short("web A"), ["10.9.0.2"]);
    assert_eq!(place.short("+tcp web A"), ["10.9.0.2"]);
    assert!(place.getent("ahosts", "web").contains("10.9.0.2"));
    // A socket that takes answers from anywhere sees where they come from.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(&question(7, "web", 1), ADDRESS).unwrap();
    let (length, from) = socket.recv_from(&mut [0; 512]).unwrap();
    assert_eq!((from, length > 12), (ADDRESS.parse::<SocketAddr>().unwrap(), true));
}

#[test]
fn a_program_of_the_endpoint_has_port_53_of_all_addresses() {
    let place = led();
    let datagrams = UdpSocket::bind("0.0.0.0:53").unwrap();
    let listener = TcpListener::bind("0.0.0.0:53").unwrap();
    let both = [UdpSocket::bind("[::1]:53").err(), TcpListener::bind("[::1]:53").err()];
    assert!(both.iter().all(Option::is_none), "{both:?}");
    // The resolver is asked as before, and none of it reaches the program.
    assert_eq!(Client::new().ask(1, "web").1, ["10.9.0.2".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(place.short("+tcp web A"), ["10.9.0.2"]);
    datagrams.set_nonblocking(true).unwrap();
    listener.set_nonblocking(true).unwrap();
    assert_eq!(datagrams.recv_from(&mut [0; 512]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    // What is sent to any other address is the program's.
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(b"hello", "127.0.0.1:53").unwrap();
    let mut stream = TcpStream::connect("127.0.0.12:53").unwrap();
    stream.write_all(b"world").unwrap();
    datagrams.set_nonblocking(false).unwrap();
    listener.set_nonblocking(false).unwrap();
    datagrams.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = [0; 5];
    datagrams.recv_from(&mut bytes).unwrap();
    assert_eq!(&bytes, b"hello");
    listener.accept().unwrap().0.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"world");
}

#[test]
fn names_are_answered_where_the_endpoint_tracks_connections_and_drops_what_belongs_to_none() {
    let place = led();
    within(
        &here(),
        "nft 'table inet own {
            chain input {
                type filter hook input priority 0; policy accept;
                ct state invalid drop
                ct direction reply ct state established accept
                ct state new meta l4proto { udp, tcp } th sport 53 drop
            }
            chain output { type nat hook output priority 0; policy accept; udp dport 5353 redirect to :54; }
        }'",
    );
    assert_eq!(Client::new().ask(1, "web").1, ["10.9.0.2".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(place.short("web A"), ["10.9.0.2"]);
    assert_eq!(place.short("+tcp web A"), ["10.9.0.2"]);
}

#[test]
fn what_is_led_again_is_led_to_the_last_port_alone() {
    let network = network();
    let (silent, path) = (Recorder::silent(), PathBuf::from("/ns"));
    let rules = || within(&network, "nft -s list ruleset");
    let to = |port: u16| SocketAddr::from(([127, 0, 0, 11], port));
    for port in [40_001, 40_002] {
        lead(network.as_fd(), &path, to(port), &silent).unwrap();
    }
    let last = rules();
    assert_eq!((last.matches("40002").count(), last.contains("40001")), (4, false), "{last}");
    lead(network.as_fd(), &path, to(40_002), &silent).unwrap();
    assert_eq!(rules(), last);
    within(&network, "nft flush ruleset");
    lead(network.as_fd(), &path, to(40_002), &silent).unwrap();
    assert_eq!(rules(), last);
}

#[test]
fn the_command_that_is_told_makes_the_same_table() {
    let (ours, theirs) = (network(), network());
    let file = |network: &OwnedFd| {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(network)))
    };
    for to in ["127.0.0.11:40001", "[fd00::b]:40001"] {
        let (mut told, sink) = std::io::pipe().unwrap();
        let recorder = Recorder::writing(sink.into(), Format::Json);
        lead(ours.as_fd(), &file(&theirs), to.parse().unwrap(), &recorder).unwrap();
        drop(recorder);
        let mut line = String::new();
        told.read_to_string(&mut line).unwrap();
        let step: serde_json::Value = serde_json::from_str(&line).unwrap();
        within(&here(), step["shell"].as_str().unwrap());
        let list = "nft --debug=netlink -s list ruleset";
        assert_eq!(within(&ours, list), within(&theirs, list));
    }
    assert_eq!(within(&ours, "nft list ruleset").matches("port set").count(), 8);
}

#[test]
fn two_resolvers_in_one_network_have_ports_of_their_own() {
    let network = network();
    let sockets: Vec<Sockets> = (0..50).map(|_| listen(network.as_fd()).unwrap()).collect();
    let mut ports: Vec<_> = sockets.iter().map(|one| one.address().unwrap().port()).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 50);
}
