//! Links, addresses and routes as they come to be and go.

use net::link::plan::{Bridge, Endpoint, plan_bridge, plan_endpoint};
use net::link::{IpvlanMode, LinkChange, LinkError, LinkKind, LinkStep, Mac, MacvlanMode, Network, NewLink, Route};
use trace::Recorder;

use crate::space::{Space, apply, links, shell};
use crate::talk::Server;

/// The usual bridge: 10.89.`net`.1 and fd00:89:`net`::1.
pub(crate) fn bridge(net: u8) -> Bridge {
    Bridge {
        name: format!("cnd{net}"),
        mac: Mac([2, 0x42, 10, 89, net, 1]),
        mtu: Some(1400),
        addresses: vec![format!("10.89.{net}.1/24").parse().unwrap(), format!("fd00:89:{net}::1/64").parse().unwrap()],
    }
}

/// An endpoint on it.
pub(crate) fn endpoint(net: u8, number: u8) -> Endpoint {
    Endpoint {
        host_name: format!("cv{net}-{number}"),
        bridge: Some(format!("cnd{net}")),
        hairpin: true,
        name: "eth0".into(),
        mac: Mac([2, 0x42, 10, 89, net, number]),
        mtu: Some(1400),
        addresses: vec![
            format!("10.89.{net}.{number}/24").parse().unwrap(),
            format!("fd00:89:{net}::{number:x}/64").parse().unwrap(),
        ],
        gateways: vec![format!("10.89.{net}.1").parse().unwrap(), format!("fd00:89:{net}::1").parse().unwrap()],
    }
}

/// Puts a new namespace on the bridge of a network.
pub(crate) fn attach(net: u8, number: u8) -> Space {
    let space = Space::new();
    apply(&plan_endpoint(&endpoint(net, number), &space.path()), &[&space]);
    space
}

fn fails(steps: &[LinkStep], spaces: &[&Space]) -> LinkError {
    links(&Recorder::silent(), spaces).apply(steps).unwrap_err()
}

/// Returns what a user would read, without the kernel's own words, which other kernels have not.
fn chain(error: &LinkError) -> String {
    let whole = format!("{error}: {}", std::error::Error::source(error).unwrap());
    match (whole.find(" (\""), whole.find("\"): ")) {
        (Some(start), Some(end)) => format!("{}{}", &whole[..start], &whole[end + 2..]),
        _ => whole,
    }
}

#[test]
fn two_namespaces_on_a_bridge_reach_each_other_and_the_host() {
    let host = Space::enter_new();
    apply(&plan_bridge(&bridge(0)), &[]);
    let (one, two) = (attach(0, 2), attach(0, 3));
    let server = Server::start(&two, 80);
    assert_eq!(server.hears(&one, "10.89.0.3:80").to_string(), "10.89.0.2");
    assert_eq!(server.hears(&one, "[fd00:89:0::3]:80").to_string(), "fd00:89::2");
    assert_eq!(server.hears(&host, "10.89.0.3:80").to_string(), "10.89.0.1");
    assert_eq!(server.hears_datagram(&one, "10.89.0.3:80").to_string(), "10.89.0.2");
}

#[test]
fn the_far_end_is_born_with_name_mac_and_mtu() {
    let _host = Space::enter_new();
    apply(&plan_bridge(&bridge(0)), &[]);
    let one = attach(0, 2);
    let inside = Network::read(Some(one.fd())).unwrap();
    let link = inside.link("eth0").unwrap();
    assert_eq!((link.mac, link.mtu, link.up), (Some(Mac([2, 0x42, 10, 89, 0, 2])), 1400, true));
    assert_eq!(inside.uplink().unwrap().name, "eth0");
    let here = Network::read(None).unwrap();
    let host_end = here.link("cv0-2").unwrap();
    assert_eq!((host_end.master, host_end.up), (Some(here.link("cnd0").unwrap().index), true));
    assert_eq!(host_end.kind.as_deref(), Some("veth"));
    assert_eq!(here.collision(&"10.89.0.0/16".parse().unwrap()), Some("10.89.0.0/24".parse().unwrap()));
}

#[test]
fn undoing_leaves_what_was_before() {
    let _host = Space::enter_new();
    let before = shell("ip link; ip address; ip route show table all; ip -6 route show table all");
    let space = Space::new();
    let inside = space.shell("ip link; ip address; ip route show table all");
    let mut steps = plan_bridge(&bridge(0));
    steps.extend(plan_endpoint(&endpoint(0, 2), &space.path()));
    // Without the loopback link, which is on in this namespace, and stays so.
    steps.retain(|step| step.change != LinkChange::Up("lo".into()));
    apply(&steps, &[&space]);
    let silent = Recorder::silent();
    assert_eq!(links(&silent, &[&space]).undo(&steps), []);
    assert_eq!(shell("ip link; ip address; ip route show table all; ip -6 route show table all"), before);
    assert_eq!(space.shell("ip link; ip address; ip route show table all"), inside);
    // Once more, where nothing is left to undo.
    assert_eq!(links(&silent, &[&space]).undo(&steps), []);
}

#[test]
fn links_on_another_link_are_made_inside() {
    let _host = Space::enter_new();
    let space = Space::new();
    let below = NewLink { up: true, ..NewLink::new("below", LinkKind::Dummy) };
    let macvlan = NewLink {
        into: Some(space.path()),
        ..NewLink::new("eth0", LinkKind::Macvlan("below".into(), MacvlanMode::Bridge))
    };
    let ipvlan =
        NewLink { into: Some(space.path()), ..NewLink::new("eth1", LinkKind::Ipvlan("below".into(), IpvlanMode::L2)) };
    let make = |link| LinkStep::host(LinkChange::Make(link));
    // Not every kernel has these kinds of links, and a refusal that says so is as good.
    for (kind, link) in [("dummy", below), ("macvlan", macvlan), ("ipvlan", ipvlan)] {
        let name = link.name.clone();
        match links(&Recorder::silent(), &[&space]).apply(&[make(link)]) {
            Ok(()) if kind == "dummy" => assert!(Network::read(None).unwrap().link(&name).is_some()),
            Ok(()) => {
                let inside = Network::read(Some(space.fd())).unwrap();
                assert_eq!(inside.link(&name).unwrap().kind.as_deref(), Some(kind));
            }
            Err(error) => {
                eprintln!("skipped: {}", chain(&error));
                assert!(chain(&error).contains(kind) || chain(&error).contains("below"), "{}", chain(&error));
            }
        }
    }
}

#[test]
fn a_link_is_found_by_a_further_name() {
    let _host = Space::enter_new();
    apply(&plan_bridge(&bridge(0)), &[]);
    let name = "the-front-network-of-a-project";
    let add = || LinkStep::host(LinkChange::AddAltName("cnd0".into(), name.into()));
    apply(&[add()], &[]);
    assert!(shell(&format!("ip link show dev {name}")).contains("cnd0"));
    assert_eq!(fails(&[add()], &[]).errno(), sys::Errno::EXIST);
    assert_eq!(add().undo(), None);
    apply(&[LinkStep::host(LinkChange::Remove("cnd0".into()))], &[]);
    assert!(!shell("ip -d link").contains(name));
}

#[test]
fn a_refusal_names_what_was_tried() {
    let _host = Space::enter_new();
    apply(&plan_bridge(&bridge(0)), &[]);
    let told = |changes: &[LinkChange]| {
        let steps: Vec<_> = changes.iter().cloned().map(LinkStep::host).collect();
        chain(&fails(&steps, &[]))
    };
    let again = LinkChange::Make(NewLink::new("cnd0", LinkKind::Bridge));
    let follows = LinkChange::Down("cnd0".into());
    insta::assert_snapshot!(told(&[again, follows]), @r#"cannot make the bridge cnd0: RTM_NEWLINK("cnd0", bridge): file exists (EEXIST)"#);
    // What followed the refused step did not meet the link that was there.
    assert!(Network::read(None).unwrap().link("cnd0").unwrap().up);
    let address = "10.89.0.1/24".parse().unwrap();
    insta::assert_snapshot!(told(&[LinkChange::AddAddress("cnd0".into(), address)]), @r#"cannot give the link cnd0 the address 10.89.0.1/24: RTM_NEWADDR(10.89.0.1/24, "cnd0"): file exists (EEXIST)"#);
    insta::assert_snapshot!(told(&[LinkChange::AddAddress("none".into(), address)]), @r#"cannot give the link none the address 10.89.0.1/24: RTM_GETLINK("none"): no such device (ENODEV)"#);
    insta::assert_snapshot!(told(&[LinkChange::Up("none".into())]), @r#"cannot switch the link none on: RTM_SETLINK("none", IFF_UP): no such device (ENODEV)"#);
    insta::assert_snapshot!(told(&[LinkChange::SetMtu("cnd0".into(), 7)]), @r#"cannot set the MTU of the link cnd0 to 7: RTM_SETLINK("cnd0", mtu 7): invalid argument (EINVAL)"#);
    insta::assert_snapshot!(told(&[LinkChange::Make(NewLink::new("a/b", LinkKind::Bridge))]), @r#"cannot make the bridge a/b: RTM_NEWLINK("a/b", bridge): invalid argument (EINVAL)"#);
    let route = Route::default_via("192.0.2.1".parse().unwrap());
    insta::assert_snapshot!(told(&[LinkChange::AddRoute(route)]), @r#"cannot add the default route via 192.0.2.1: RTM_NEWROUTE(default route via 192.0.2.1): network is unreachable (ENETUNREACH)"#);
}

#[test]
fn hundreds_of_steps_are_a_few_batches() {
    let _host = Space::enter_new();
    apply(&plan_bridge(&bridge(0)), &[]);
    let add = |number: u32| {
        let address = std::net::Ipv4Addr::from(0x0a5a_0000 + number);
        LinkStep::host(LinkChange::AddAddress("cnd0".into(), ipnet::IpNet::new(address.into(), 32).unwrap()))
    };
    let steps: Vec<_> = (1..=700).map(add).collect();
    apply(&steps, &[]);
    let count = |network: &Network| network.addresses.iter().filter(|entry| entry.address.prefix_len() == 32).count();
    assert_eq!(count(&Network::read(None).unwrap()), 700);
    assert_eq!(links(&Recorder::silent(), &[]).undo(&steps), []);
    assert_eq!(count(&Network::read(None).unwrap()), 0);
}
