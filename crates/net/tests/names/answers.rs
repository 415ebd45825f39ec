//! What the resolver answers itself, asked by dig and by the C library.

use std::io::{Read, Write};

use net::names::zone::Host;

use crate::place::{ADDRESS, Client, Place, question};

const FRONT: &[(&str, &[&str], &[&str])] = &[
    ("web-1", &["web", "0123456789ab"], &["10.9.0.2", "fd09::2"]),
    ("web-2", &["web"], &["10.9.0.3", "fd09::3"]),
    ("db", &[], &["10.9.0.4"]),
];

fn inward() -> Place {
    let place = Place::new(&["inner"], |_| {}, "nameserver 127.0.0.1\n");
    place.zone("inner", true, FRONT);
    place
}

#[test]
fn dig_finds_names_aliases_services_and_addresses() {
    let place = inward();
    assert_eq!(place.short("web-1 A"), ["10.9.0.2"]);
    assert_eq!(place.short("WEB-1.Inner AAAA"), ["fd09::2"]);
    assert_eq!(place.short("0123456789ab A"), ["10.9.0.2"]);
    assert_eq!(place.short("web A"), ["10.9.0.2", "10.9.0.3"]);
    assert_eq!(place.short("+tcp web AAAA"), ["fd09::2", "fd09::3"]);
    assert_eq!(place.short("-x 10.9.0.4"), ["db.inner."]);
    assert_eq!(place.short("-x fd09::3"), ["web-2.inner."]);
    assert_eq!(place.short("host.docker.internal A"), ["10.9.0.1"]);
}

#[test]
fn a_known_name_without_such_an_address_is_there_all_the_same() {
    let place = inward();
    for kind in ["AAAA", "MX", "HTTPS"] {
        let told = place.dig(&format!("db {kind}"));
        assert!(told.contains("status: NOERROR") && told.contains("ANSWER: 0"), "{told}");
    }
}

#[test]
fn behind_an_internal_network_there_is_no_other_name() {
    let told = inward().dig("elsewhere.test A");
    assert!(told.contains("status: NXDOMAIN"), "{told}");
}

#[test]
fn the_c_library_finds_names_of_both_families() {
    let place = inward();
    let told = place.getent("ahosts", "web-1");
    assert!(told.contains("10.9.0.2") && told.contains("fd09::2"), "{told}");
    assert!(place.getent("hosts", "10.9.0.4").contains("db.inner"));
    assert_eq!(place.getent("ahosts", "elsewhere"), "");
}

#[test]
fn no_name_comes_from_a_network_that_the_asker_is_not_on() {
    let place = Place::new(&["inner"], |_| {}, "");
    place.zone("front", false, FRONT);
    assert_eq!(Client::new().ask(1, "db"), (3, Vec::new()));
    assert_eq!(Client::new().ask(2, "db.front"), (3, Vec::new()));
    assert!(place.short("-x 10.9.0.4").is_empty());
    // It joins.
    let networks = vec![place.path("inner"), place.path("front")];
    net::names::setup::Setup { networks, ..Default::default() }.write(&place.path("setup")).unwrap();
    assert_eq!(Client::new().ask(3, "db.front").1, ["10.9.0.4".parse::<std::net::IpAddr>().unwrap()]);
}

#[test]
fn the_addresses_of_a_service_come_in_turn() {
    let place = inward();
    let client = Client::new();
    let firsts: std::collections::BTreeSet<_> = (0..4).map(|id| client.ask(id, "web").1[0]).collect();
    assert_eq!(firsts.len(), 2);
    drop(place);
}

#[test]
fn edns_is_spoken_and_newer_versions_are_refused_by_name() {
    let place = inward();
    assert!(place.dig("+edns=0 +nocookie db A").contains("EDNS: version: 0"));
    assert!(place.dig("+edns=1 +noednsnegotiation db A").contains("status: BADVERS"));
    assert!(place.dig("+opcode=UPDATE db A").contains("status: NOTIMP"));
    assert!(place.dig("db AXFR").contains("Transfer failed"));
}

#[test]
fn a_service_with_many_addresses_is_cut_for_datagrams_and_whole_over_tcp() {
    let place = inward();
    let many: Vec<(String, String)> = (0..200).map(|n| (format!("many-{n}"), format!("10.9.1.{n}"))).collect();
    let addresses: Vec<[&str; 1]> = many.iter().map(|(_, address)| [address.as_str()]).collect();
    let endpoints: Vec<(&str, &[&str], &[&str])> =
        many.iter().zip(&addresses).map(|((name, _), address)| (name.as_str(), &["many"][..], &address[..])).collect();
    place.zone("inner", true, &endpoints);
    let cut = place.dig("+noedns +ignore many A");
    assert!(cut.contains("flags: qr aa tc rd ra") && cut.contains("ANSWER: 30"), "{cut}");
    assert_eq!(place.short("+noedns many A").len(), 200);
    assert_eq!(place.short("+bufsize=4096 +ignore many A").len(), 200);
}

#[test]
fn two_questions_in_one_piece_of_a_stream_are_answered_in_order() {
    let place = inward();
    let mut stream = std::net::TcpStream::connect(ADDRESS).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let framed = |id, kind| {
        let bytes = question(id, "web-1", kind);
        [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], &bytes].concat()
    };
    stream.write_all(&[framed(7, 1), framed(8, 28)].concat()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    let first = 2 + usize::from(heard[1]);
    assert_eq!((heard[3], heard[first + 3]), (7, 8));
    assert_eq!((&heard[first - 4..first], heard.ends_with(&[0, 2])), (&[10, 9, 0, 2][..], true));
    drop(place);
}

#[test]
fn hosts_of_its_own_come_before_all_others() {
    let host = |name: &str, address: &str| Host { name: name.to_owned(), address: address.parse().unwrap() };
    let hosts = vec![host("Db", "192.0.2.9"), host("db", "2001:db8::9")];
    let place = Place::new(&["inner"], |setup| setup.hosts = hosts, "");
    place.zone("inner", true, FRONT);
    assert_eq!(place.short("db A"), ["192.0.2.9"]);
    assert_eq!(place.short("db AAAA"), ["2001:db8::9"]);
    assert_eq!(place.short("-x 192.0.2.9"), ["Db."]);
}
