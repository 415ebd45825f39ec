//! The table itself: what nft says of it, what is read back, what is refused.

use net::firewall::{
    Element, Firewall, FirewallError, FirewallStep, NetworkRules, Peers, Publication, State, Transport,
};
use trace::{Explain, Recorder};

use crate::space::{Space, shell};

/// Something in every set and map.
fn everything() -> Vec<Element> {
    let network = |link: &str, net: u8, open| NetworkRules {
        link: link.into(),
        subnets: vec![format!("10.89.{net}.0/24").parse().unwrap(), format!("fd00:89:{net}::/64").parse().unwrap()],
        together: true,
        open,
        masquerade: true,
    };
    let publish = |address: &str, to: &str, gateway: &str, transport| {
        let (address, to) = (address.parse().unwrap(), to.parse().unwrap());
        Publication { address, port: 8080, transport, to, gateway: Some(gateway.parse().unwrap()) }.elements()
    };
    let mut all = network("cnd0", 0, true).elements();
    all.extend(network("cnd1", 1, true).elements());
    all.extend(network("cnd2", 2, false).elements());
    for transport in [Transport::Tcp, Transport::Udp, Transport::Sctp] {
        all.extend(publish("0.0.0.0", "10.89.0.2:80", "10.89.0.1", transport));
        all.extend(publish("127.0.0.1", "10.89.0.3:80", "10.89.0.1", transport));
        all.extend(publish("::", "[fd00:89:0::2]:80", "fd00:89:0::1", transport));
        all.extend(publish("2001:db8::1", "[fd00:89:0::2]:80", "fd00:89:0::1", transport));
    }
    all.extend(Peers("10.89.0.2".parse().unwrap(), "10.89.1.2".parse().unwrap()).elements());
    all.extend(Peers("fd00:89:0::2".parse().unwrap(), "fd00:89:1::2".parse().unwrap()).elements());
    all.sort();
    all.dedup();
    all
}

fn listed() -> String {
    shell("nft -s list table inet conductor")
}

/// Returns a listing with the elements of each set in order: the kernel hashes with a secret of its own.
fn sorted(listing: &str) -> Vec<&str> {
    let mut lines: Vec<_> = listing.lines().map(|line| line.trim_matches(&[' ', '\t', ',', '}'][..])).collect();
    for line in &mut lines {
        *line = line.trim_start_matches("elements = { ");
    }
    let mut sorted = Vec::new();
    for set in lines.split(|line| line.is_empty()) {
        let mut set = set.to_vec();
        // Rules stand in their order.
        if set.first().is_some_and(|first| !first.starts_with("chain")) {
            set.sort_unstable();
        }
        sorted.extend(set);
    }
    sorted
}

fn in_a_new_namespace<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    let inside = || {
        let _space = Space::enter_new();
        act()
    };
    std::thread::spawn(inside).join().unwrap()
}

#[test]
fn the_commands_about_the_firewall_make_the_same_table() {
    let steps = || {
        let all = everything();
        let some: Vec<_> = all.iter().step_by(3).cloned().collect();
        [
            FirewallStep::Make,
            FirewallStep::add("add all", all.clone()),
            FirewallStep::Change { what: "remove some".into(), remove: some, add: vec![] },
        ]
    };
    for count in 1..=3 {
        let ours = in_a_new_namespace(move || {
            let recorder = Recorder::silent();
            let mut firewall = Firewall::open(None, &recorder).unwrap();
            steps()[..count].iter().for_each(|step| firewall.apply(step).unwrap());
            (listed(), shell("nft --debug=netlink list ruleset | grep -F '  ['"))
        });
        let theirs = in_a_new_namespace(move || {
            steps()[..count].iter().for_each(|step| drop(shell(&step.explain().shell)));
            (listed(), shell("nft --debug=netlink list ruleset | grep -F '  ['"))
        });
        assert_eq!(sorted(&ours.0), sorted(&theirs.0));
        assert_eq!(ours.1, theirs.1);
        assert_eq!(ours.0.lines().count(), theirs.0.lines().count());
    }
}

#[test]
fn what_is_added_is_read_back_and_what_is_removed_is_gone() {
    let _host = Space::enter_new();
    let recorder = Recorder::silent();
    let mut firewall = Firewall::open(None, &recorder).unwrap();
    assert_eq!(firewall.state().unwrap(), State::Missing);
    assert_eq!(firewall.elements().unwrap(), []);
    firewall.apply(&FirewallStep::Make).unwrap();
    firewall.apply(&FirewallStep::Make).unwrap();
    assert_eq!(firewall.state().unwrap(), State::Current);
    let empty = listed();
    let all = everything();
    firewall.apply(&FirewallStep::add("add", all.clone())).unwrap();
    assert_eq!(firewall.elements().unwrap(), all);
    // What is there is added once more, and what is gone removed once more.
    firewall.apply(&FirewallStep::add("add", all.clone())).unwrap();
    firewall.apply(&FirewallStep::remove("remove", all[..5].to_vec())).unwrap();
    firewall.apply(&FirewallStep::remove("remove", all.clone())).unwrap();
    firewall.apply(&FirewallStep::remove("remove", all.clone())).unwrap();
    assert_eq!(listed(), empty);
    firewall.apply(&FirewallStep::Rebuild(all.clone())).unwrap();
    assert_eq!(firewall.elements().unwrap(), all);
    firewall.apply(&FirewallStep::Remove).unwrap();
    firewall.apply(&FirewallStep::Remove).unwrap();
    firewall.apply(&FirewallStep::remove("remove", all)).unwrap();
    assert_eq!(shell("nft list ruleset"), "");
}

#[test]
fn one_element_is_asked_for_by_itself() {
    let _host = Space::enter_new();
    let recorder = Recorder::silent();
    let mut firewall = Firewall::open(None, &recorder).unwrap();
    let all = everything();
    assert!(!firewall.holds(&all[0]).unwrap());
    firewall.apply(&FirewallStep::Make).unwrap();
    for element in &all {
        assert!(!firewall.holds(element).unwrap(), "{element}");
    }
    firewall.apply(&FirewallStep::add("add", all.clone())).unwrap();
    for element in &all {
        assert!(firewall.holds(element).unwrap(), "{element}");
    }
    // Another value, another length, an address within, and neighbours that are not there.
    let publication = |to: &str| Publication {
        address: "0.0.0.0".parse().unwrap(),
        port: 8080,
        transport: Transport::Tcp,
        to: to.parse().unwrap(),
        gateway: None,
    };
    let network = |link: &str, subnet: &str| NetworkRules {
        link: link.into(),
        subnets: vec![subnet.parse().unwrap()],
        together: false,
        open: true,
        masquerade: true,
    };
    assert!(firewall.holds(&publication("10.89.0.2:80").elements()[0]).unwrap());
    assert!(!firewall.holds(&publication("10.89.0.3:80").elements()[0]).unwrap());
    assert!(!firewall.holds(&publication("10.89.0.2:81").elements()[0]).unwrap());
    let subnets = ["10.89.0.0/25", "10.89.0.0/23", "10.89.0.0/16", "10.89.0.128/25", "10.89.0.1/32", "10.89.1.0/25"];
    for subnet in [&subnets[..], &["fd00:89:0::/65", "fd00:89:0::/63", "10.89.3.0/24"]].concat() {
        for element in &network("cnd0", subnet).elements()[1..] {
            assert!(!firewall.holds(element).unwrap(), "{element}");
        }
    }
    assert!(!firewall.holds(&network("cnd", "10.89.0.0/24").elements()[0]).unwrap());
    // The whole of IPv4, and its end.
    for subnet in ["255.255.255.0/24", "0.0.0.0/0"] {
        let whole = network("cnd0", subnet).elements();
        firewall.apply(&FirewallStep::Rebuild(whole.clone())).unwrap();
        assert!(whole.iter().all(|element| firewall.holds(element).unwrap()), "{subnet}");
    }
}

#[test]
fn a_flushed_or_foreign_table_is_told() {
    let _host = Space::enter_new();
    let recorder = Recorder::silent();
    let mut firewall = Firewall::open(None, &recorder).unwrap();
    firewall.apply(&FirewallStep::Make).unwrap();
    shell("nft flush ruleset");
    assert_eq!(firewall.state().unwrap(), State::Missing);
    let error = firewall.apply(&FirewallStep::add("open the network", everything())).unwrap_err();
    assert_eq!(error.errno(), sys::Errno::NOENT);
    shell("nft add table inet conductor");
    assert_eq!(firewall.state().unwrap(), State::Other);
    firewall.apply(&FirewallStep::Rebuild(everything())).unwrap();
    assert_eq!((firewall.state().unwrap(), firewall.elements().unwrap()), (State::Current, everything()));
}

#[test]
fn a_refused_change_names_the_element_and_leaves_nothing_of_itself() {
    let _host = Space::enter_new();
    let recorder = Recorder::silent();
    let mut firewall = Firewall::open(None, &recorder).unwrap();
    firewall.apply(&FirewallStep::Make).unwrap();
    let publish = |to: &str| {
        let to = to.parse().unwrap();
        let address = "192.0.2.1".parse().unwrap();
        Publication { address, port: 80, transport: Transport::Tcp, to, gateway: None }.elements()
    };
    firewall.apply(&FirewallStep::add("publish", publish("10.89.0.2:80"))).unwrap();
    let mut more = Peers("10.89.0.2".parse().unwrap(), "10.89.1.2".parse().unwrap()).elements();
    more.extend(publish("10.89.0.3:80"));
    let error = firewall.apply(&FirewallStep::add("publish the port again", more)).unwrap_err();
    let FirewallError::Step { what, source } = &error else { panic!("{error:?}") };
    assert_eq!(what, "publish the port again");
    let call = "NFT_MSG_NEWSETELEM(published4, 192.0.2.1 . tcp . 80 : 10.89.0.3 . 80)";
    assert!(source.call().starts_with(call), "{source}");
    assert_eq!(firewall.elements().unwrap(), publish("10.89.0.2:80"));
}

#[test]
fn thousands_of_elements_are_one_transaction() {
    let _host = Space::enter_new();
    let recorder = Recorder::silent();
    let mut firewall = Firewall::open(None, &recorder).unwrap();
    let publish = |port: u16| {
        let to = "10.89.0.2:80".parse().unwrap();
        let gateway = "10.89.0.1".parse().ok();
        Publication { address: "0.0.0.0".parse().unwrap(), port, transport: Transport::Tcp, to, gateway }.elements()
    };
    let all: Vec<_> = (1..=3000).flat_map(publish).collect();
    firewall.apply(&FirewallStep::Rebuild(all.clone())).unwrap();
    assert_eq!(firewall.elements().unwrap().len(), all.len());
    firewall.apply(&FirewallStep::remove("remove", all)).unwrap();
    assert_eq!(firewall.elements().unwrap(), []);
}

#[test]
fn a_table_is_settled_whatever_it_holds() {
    let _host = Space::enter_new();
    let recorder = Recorder::silent();
    let mut firewall = Firewall::open(None, &recorder).unwrap();
    let all = everything();
    let (some, others) = all.split_at(all.len() / 2);
    for wanted in [some, &all[..], others, &[]] {
        assert!(firewall.settle("settle the firewall", wanted).unwrap());
        assert_eq!(firewall.elements().unwrap(), wanted);
        assert!(!firewall.settle("settle the firewall", wanted).unwrap());
    }
    firewall.settle("settle the firewall", &all).unwrap();
    shell("nft flush ruleset");
    assert!(firewall.settle("settle the firewall", &all).unwrap());
    assert_eq!(firewall.elements().unwrap(), all);
}

#[test]
fn many_changes_at_once_lose_nothing() {
    let host = Space::enter_new();
    let recorder = Recorder::silent();
    let peers = |number: u8| {
        Peers(std::net::Ipv4Addr::new(10, 1, 0, number).into(), std::net::Ipv4Addr::new(10, 2, 0, number).into())
            .elements()
    };
    let steady = everything();
    Firewall::open(None, &recorder).unwrap().apply(&FirewallStep::Rebuild(steady.clone())).unwrap();
    let changing = |worker: u8| {
        let recorder = Recorder::silent();
        let mut firewall = Firewall::open(Some(host.fd()), &recorder).unwrap();
        for _ in 0..50 {
            firewall.apply(&FirewallStep::add("add", peers(worker))).unwrap();
            firewall.apply(&FirewallStep::remove("remove", peers(worker))).unwrap();
        }
        firewall.apply(&FirewallStep::add("add", peers(worker))).unwrap();
    };
    std::thread::scope(|scope| (1..=4).for_each(|worker| drop(scope.spawn(move || changing(worker)))));
    let mut expected = steady;
    expected.extend((1..=4).flat_map(peers));
    expected.sort();
    assert_eq!(Firewall::open(None, &recorder).unwrap().elements().unwrap(), expected);
}
