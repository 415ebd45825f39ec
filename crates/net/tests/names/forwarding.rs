//! What the resolver asks the host's name servers.

use std::net::{IpAddr, TcpStream};

use crate::place::{ADDRESS, Client, Place, question};
use crate::upstreams::{Dnsmasq, Misbehaving, failing, honest, silent, spoofed};

const TRUE_ANSWER: [IpAddr; 1] = [IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1))];

fn outward(resolv_conf: &str) -> Place {
    let place = Place::new(&["front"], |_| {}, resolv_conf);
    place.zone("front", false, &[("db", &[], &["10.9.0.4"])]);
    place
}

#[test]
fn other_names_are_the_host_s_and_known_ones_never_leave() {
    let place = outward("nameserver 127.0.0.1\n");
    // The server says otherwise about a name of ours, and has IPv6 addresses for everything.
    let words = ["--address=/outside.test/192.0.2.80", "--address=/db/203.0.113.66", "--address=/#/2001:db8::66"];
    let _server = Dnsmasq::start("127.0.0.1", &place.path(""), &words);
    assert_eq!(place.short("outside.test A"), ["192.0.2.80"]);
    assert_eq!(place.short("+tcp outside.test A"), ["192.0.2.80"]);
    assert_eq!(place.short("db A"), ["10.9.0.4"]);
    assert!(place.short("db AAAA").is_empty());
    assert!(place.getent("ahosts", "outside.test").contains("192.0.2.80"));
}

#[test]
fn servers_of_its_own_are_asked_in_place_of_the_host_s() {
    let place =
        Place::new(&["front"], |setup| setup.servers = vec!["127.0.0.2".parse().unwrap()], "nameserver 127.0.0.1\n");
    let (own, host) = (Misbehaving::start("127.0.0.2", honest), Misbehaving::start("127.0.0.1", failing));
    assert_eq!(Client::new().ask(1, "outside.test"), (0, TRUE_ANSWER.to_vec()));
    assert_eq!((own.asked(), host.asked()), (1, 0));
    drop(place);
}

#[test]
fn a_truncated_answer_is_fetched_over_tcp() {
    let place = outward("nameserver 127.0.0.1\n");
    let records: Vec<String> = (0..60).map(|n| format!("--host-record=big.test,198.51.100.{n}")).collect();
    let mut words: Vec<&str> = records.iter().map(String::as_str).collect();
    words.push("--edns-packet-max=512");
    let _server = Dnsmasq::start("127.0.0.1", &place.path(""), &words);
    // The asker takes 4096 bytes and is not willing to ask over TCP; the server sends no more than 512 by UDP.
    assert_eq!(place.short("+bufsize=4096 +ignore big.test A").len(), 60);
    // One that takes 512 bytes is told, and then asks over TCP.
    let cut = place.dig("+noedns +ignore big.test A");
    assert!(cut.contains(" tc "), "{cut}");
    assert_eq!(place.short("+noedns big.test A").len(), 60);
    assert_eq!(place.getent("ahosts", "big.test").matches("STREAM").count(), 60);
}

#[test]
fn a_dead_server_is_passed_over_and_then_asked_last() {
    let dead = "nameserver 127.0.0.3\nnameserver 127.0.0.4\noptions timeout:1\n";
    let place = outward(dead);
    let (silent, honest) = (Misbehaving::start("127.0.0.3", silent), Misbehaving::start("127.0.0.4", honest));
    let client = Client::new();
    for id in 0..3 {
        assert_eq!(client.ask(id, "outside.test"), (0, TRUE_ANSWER.to_vec()));
    }
    assert_eq!((silent.asked(), honest.asked()), (1, 3));
    drop(place);
}

#[test]
fn a_server_is_asked_over_ipv6_and_found_anew_when_the_host_s_file_changes() {
    let place = outward("nameserver ::1\n");
    let (new, old) = (Misbehaving::start("::1", honest), Misbehaving::start("127.0.0.9", failing));
    let client = Client::new();
    assert_eq!(client.ask(1, "outside.test"), (0, TRUE_ANSWER.to_vec()));
    std::fs::write(place.path("resolv.conf"), "nameserver 127.0.0.9\n").unwrap();
    assert_eq!(client.ask(2, "outside.test").0, 2);
    // The stub of systemd-resolved leads to the servers behind it.
    std::fs::write(place.path("behind"), "nameserver ::1\n").unwrap();
    std::fs::write(place.path("resolv.conf"), "nameserver 127.0.0.53\noptions edns0 trust-ad\n").unwrap();
    assert_eq!(client.ask(3, "outside.test"), (0, TRUE_ANSWER.to_vec()));
    assert_eq!((new.asked(), old.asked()), (2, 1));
}

#[test]
fn a_server_that_refuses_or_fails_is_passed_over_at_once() {
    // Nobody listens at the first.
    let place = outward("nameserver 127.0.0.7\nnameserver 127.0.0.5\nnameserver 127.0.0.6\n");
    let (failing, honest) = (Misbehaving::start("127.0.0.5", failing), Misbehaving::start("127.0.0.6", honest));
    assert_eq!(Client::new().ask(1, "outside.test"), (0, TRUE_ANSWER.to_vec()));
    assert_eq!((failing.asked(), honest.asked()), (1, 1));
    drop(place);
}

#[test]
fn where_all_servers_are_dead_the_asker_is_told() {
    let place = outward("nameserver 127.0.0.7\nnameserver 127.0.0.3\noptions timeout:1\n");
    let _silent = Misbehaving::start("127.0.0.3", silent);
    assert_eq!(Client::new().ask(1, "outside.test"), (2, Vec::new()));
    assert!(place.dig("+tcp outside.test A").contains("status: SERVFAIL"));
    assert_eq!(Client::new().ask(1, "db").0, 0);
}

#[test]
fn only_the_server_s_own_answer_to_this_question_is_believed() {
    let place = outward("nameserver 127.0.0.8\n");
    let server = Misbehaving::start("127.0.0.8", spoofed);
    let client = Client::new();
    for id in 0..50 {
        assert_eq!(client.ask(id, "outside.test"), (0, TRUE_ANSWER.to_vec()));
    }
    assert_eq!(server.asked(), 50);
    drop(place);
}

#[test]
fn a_flood_takes_a_bounded_number_of_descriptors_and_keeps_nobody_from_names() {
    let place = outward("nameserver 127.0.0.3\noptions timeout:30\n");
    let silent = Misbehaving::start("127.0.0.3", silent);
    let before = descriptors();
    let client = Client::new();
    for id in 0..2000 {
        client.send(&question(id, &format!("n{id}.test"), 1));
        if id % 50 == 0 {
            // Kept in step, so that the kernel drops none of them.
            assert_eq!(Client::new().ask(id, "db").0, 0);
        }
    }
    let streams: Vec<_> = (0..100).map(|_| TcpStream::connect(ADDRESS).unwrap()).collect();
    assert_eq!(place.short("+tcp db A"), ["10.9.0.4"]);
    let ours = descriptors() - before - streams.len();
    assert!(ours <= 128 + 16 + 8, "{ours} descriptors");
    assert!((100..=128).contains(&silent.asked()), "{}", silent.asked());
    drop(streams);
    // Nothing turns while nothing happens.
    let turns = place.stop();
    assert!(turns < 20_000, "{turns}");
}

#[test]
fn the_servers_are_asked_from_the_resolver_s_own_network() {
    // The sockets are the endpoint's, the way out is the host's: 127.0.0.1 is another machine here than there.
    let place = outward("nameserver 127.0.0.1\n");
    let server = Misbehaving::start("127.0.0.1", honest);
    let answer = std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            let resolver = place.serve_another_network();
            let answer = (Client::new().ask(1, "outside.test"), Client::new().ask(2, "db").1);
            drop(resolver);
            answer
        });
        inside.join().unwrap()
    });
    assert_eq!(answer, ((0, TRUE_ANSWER.to_vec()), vec![IpAddr::from([10, 9, 0, 4])]));
    assert_eq!(server.asked(), 1);
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
