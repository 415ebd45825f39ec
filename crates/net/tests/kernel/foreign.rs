//! The host's other firewalls: being let through by them, and leaving them as they were.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use net::firewall::{Firewall, FirewallStep};
use trace::{Format, Recorder};

use crate::links::attach;
use crate::reach::{World, heard, join, publish};
use crate::space::{Space, shell};
use crate::talk::{Server, reaches};

/// What Docker and ufw do to a host, and a rule of somebody's.
const DROPPING: &str = "for tables in iptables ip6tables; do
        $tables -P FORWARD DROP
        $tables -A FORWARD -i strange+ -j ACCEPT
    done";
/// What firewalld makes, as far as it matters.
const FIREWALLD: &str = "nft 'table inet firewalld {
        chain filter_FORWARD {
            type filter hook forward priority 10; policy accept;
            ct state { established, related } accept
            iifname \"lo\" accept
            reject with icmpx admin-prohibited
        }
    }'";

/// All that iptables tells, without the times at which it did.
fn told() -> String {
    shell("for tables in iptables ip6tables; do $tables-save | grep -v '^#'; $tables -vnL FORWARD; done")
}

fn in_a_new_namespace<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    let inside = || {
        let _space = Space::enter_new();
        act()
    };
    std::thread::spawn(inside).join().unwrap()
}

fn admit(prefix: &str) -> bool {
    Firewall::open(None, &Recorder::silent()).unwrap().admit(prefix).unwrap()
}

/// Does something with a firewall, and returns the steps that it recorded.
fn recorded(act: impl FnOnce(&mut Firewall<'_>)) -> Vec<serde_json::Value> {
    let (mut told, sink) = std::io::pipe().unwrap();
    let recorder = Recorder::writing(sink.into(), Format::Json);
    act(&mut Firewall::open(None, &recorder).unwrap());
    drop(recorder);
    let mut lines = String::new();
    told.read_to_string(&mut lines).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn our_rules_are_those_that_iptables_makes_and_nft_makes() {
    let state = || (told(), shell("nft --debug=netlink list ruleset"));
    let (ours, steps) = in_a_new_namespace(move || {
        shell(DROPPING);
        let steps = recorded(|firewall| assert!(firewall.admit("cnd-").unwrap()));
        (state(), steps)
    });
    let by_iptables = in_a_new_namespace(move || {
        shell(DROPPING);
        shell(
            "for tables in iptables ip6tables; do
                $tables -I FORWARD -o cnd-+ -j ACCEPT; $tables -I FORWARD -i cnd-+ -j ACCEPT
            done",
        );
        state()
    });
    let scripts: Vec<_> = steps.iter().map(|step| step["shell"].as_str().unwrap().to_owned()).collect();
    let by_nft = in_a_new_namespace(move || {
        shell(DROPPING);
        shell(&scripts.join("\n"));
        state()
    });
    assert_eq!(ours.0, by_iptables.0);
    assert_eq!(ours.1, by_iptables.1);
    assert_eq!(ours, by_nft);
    assert!(ours.0.contains("-A FORWARD -i cnd-+ -j ACCEPT\n-A FORWARD -o cnd-+ -j ACCEPT\n-A FORWARD -i strange+"));
    let told: Vec<_> = steps.iter().map(|step| step["what"].as_str().unwrap()).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    let what = "have the firewall chain ip filter FORWARD let pass what comes from and goes to links cnd-*";
    assert!(told.contains(&what), "{told:?}");
}

#[test]
fn what_lets_us_pass_is_added_once_and_put_back() {
    let _host = Space::enter_new();
    assert!(!admit("cnd-"));
    assert_eq!(shell("nft list ruleset"), "");
    shell("iptables -A FORWARD -i strange -j DROP");
    assert!(!admit("cnd-"), "a chain that lets pass what it does not know");
    shell(DROPPING);
    assert!(admit("cnd-"));
    let whole = told();
    assert!(!admit("cnd-"));
    assert_eq!(told(), whole);
    shell("iptables -D FORWARD -o cnd-+ -j ACCEPT");
    assert_ne!(told(), whole);
    assert!(admit("cnd-"));
    assert_eq!(shell("iptables-save | grep -c cnd"), "2\n");
    shell("iptables -F FORWARD");
    assert!(admit("cnd-"));
    assert_eq!(
        shell("iptables -S FORWARD"),
        "-P FORWARD DROP\n-A FORWARD -i cnd-+ -j ACCEPT\n-A FORWARD -o cnd-+ -j ACCEPT\n"
    );
    // Another engine's links are another matter.
    assert!(admit("other-"));
    assert_eq!((admit("cnd-"), admit("other-")), (false, false));
}

#[test]
fn what_was_added_is_taken_back_and_nothing_else() {
    let _host = Space::enter_new();
    shell(DROPPING);
    shell(FIREWALLD);
    shell(
        "nft 'table inet filter { chain forward { type filter hook forward priority 0; policy drop; }; chain other { }; }'",
    );
    // Much alike, and not ours.
    shell(
        "iptables -A FORWARD -i cnd-+ -j DROP; iptables -A FORWARD -i cnd+ -j ACCEPT; iptables -A FORWARD -i cnd- -j ACCEPT
        iptables -A FORWARD -i cnd-+ -o up -j ACCEPT; iptables -A FORWARD ! -i cnd-+ -j ACCEPT
        iptables -A FORWARD -i cnd-+ -p tcp -j ACCEPT; iptables -A INPUT -i cnd-+ -j ACCEPT
        nft add rule inet filter other 'iifname \"cnd-*\" counter accept'",
    );
    let state = || (told(), shell("nft list ruleset"));
    let before = state();
    let recorder = Recorder::silent();
    let mut firewall = Firewall::open(None, &recorder).unwrap();
    firewall.apply(&FirewallStep::Make).unwrap();
    assert!(firewall.admit("cnd-").unwrap());
    assert_eq!(shell("nft list ruleset | grep -c '[io]ifname \"cnd-\\*\" counter packets 0 bytes 0 accept'"), "10\n");
    shell("iptables -P FORWARD ACCEPT");
    firewall.withdraw("cnd-").unwrap();
    shell("iptables -P FORWARD DROP");
    assert_eq!(state(), before);
    let steps = recorded(|firewall| firewall.withdraw("cnd-").unwrap());
    assert_eq!(steps.len(), 1, "{steps:?}");
    assert_eq!(state(), before);
}

#[test]
fn a_host_that_drops_what_it_forwards_lets_our_networks_pass() {
    let mut world = World::new();
    shell(DROPPING);
    passes(&mut world);
}

#[test]
fn a_host_with_firewalld_lets_our_networks_pass() {
    let mut world = World::new();
    shell(FIREWALLD);
    passes(&mut world);
}

#[test]
fn a_host_with_both_and_bridges_that_ask_the_firewall_lets_our_networks_pass() {
    let mut world = World::new();
    for tables in ["iptables", "ip6tables"] {
        // Absent where the kernel has no br_netfilter, which is as good as off.
        let _ = std::fs::write(format!("/proc/sys/net/bridge/bridge-nf-call-{tables}"), "1");
    }
    shell(DROPPING);
    shell(FIREWALLD);
    passes(&mut world);
}

/// Nothing passes before we are admitted; then our networks do, by our own rules, and nobody else.
fn passes(world: &mut World) {
    let side = Space::new();
    join(&world.host, "side", &["203.0.113.1/24"], &side, "eth0", &["203.0.113.9/24"]);
    side.shell("ip route add default via 203.0.113.1");
    let (one, two, other, closed) = (attach(0, 2), attach(0, 3), attach(1, 2), attach(2, 2));
    let web = Server::start(&world.internet, 80);
    let server = Server::start(&two, 80);
    let inside = Server::start(&closed, 80);
    world.add(publish("0.0.0.0", 8080, "10.89.0.3:80", 0));
    world.add(publish("::", 8080, "[fd00:89:0::3]:80", 0));
    assert!(!reaches(&one, "198.51.100.9:80") && !reaches(&one, "[2001:db8:2::9]:80"));
    assert!(!reaches(&world.internet, "192.0.2.2:8080"));
    assert!(world.firewall.admit("cnd").unwrap());
    assert_eq!(heard(&web, &one, "198.51.100.9:80"), "192.0.2.2");
    assert_eq!(heard(&web, &one, "[2001:db8:2::9]:80"), "2001:db8:1::2");
    assert_eq!(heard(&server, &one, "10.89.0.3:80"), "10.89.0.2");
    assert_eq!(heard(&server, &one, "[fd00:89:0::3]:80"), "fd00:89::2");
    assert_eq!(heard(&server, &world.internet, "192.0.2.2:8080"), "198.51.100.9");
    assert_eq!(heard(&server, &world.internet, "[2001:db8:1::2]:8080"), "2001:db8:2::9");
    assert_eq!(heard(&server, &other, "192.0.2.2:8080"), "10.89.1.2");
    assert_eq!(heard(&server, &two, "192.0.2.2:8080"), "10.89.0.1");
    // Our own table decides as before, and theirs about all others.
    assert!(!reaches(&closed, "198.51.100.9:80"));
    assert!(!reaches(&other, "10.89.0.3:80"));
    assert!(!reaches(&side, "198.51.100.9:80"));
    assert_eq!(heard(&inside, &world.host, "10.89.2.2:80"), "10.89.2.1");
}

#[test]
fn a_table_that_belongs_to_another_process_is_left_to_it() {
    let _host = Space::enter_new();
    let mut owner = Command::new("nft").arg("-i").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut tell = owner.stdin.take().unwrap();
    let chain = "add chain inet firewalld filter_FORWARD { type filter hook forward priority 10; policy drop; }";
    write!(tell, "add table inet firewalld {{ flags owner; }}\n{chain}\n").unwrap();
    let start = Instant::now();
    while !shell("nft list ruleset").contains("filter_FORWARD") {
        assert!(start.elapsed() < Duration::from_secs(30), "no table was made");
        std::thread::sleep(Duration::from_millis(5));
    }
    shell(DROPPING);
    let before = told();
    let recorder = Recorder::silent();
    let mut firewall = Firewall::open(None, &recorder).unwrap();
    assert!(firewall.admit("cnd-").unwrap());
    assert!(!firewall.admit("cnd-").unwrap());
    assert!(!shell("nft list table inet firewalld").contains("cnd-"));
    firewall.withdraw("cnd-").unwrap();
    assert_eq!(told(), before);
    drop(tell);
    owner.wait().unwrap();
}

#[test]
fn many_who_are_admitted_at_once_are_admitted_once() {
    let host = Space::enter_new();
    shell(DROPPING);
    let admit = || host.run(|| admit("cnd-"));
    let new = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(admit)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|new| *new).count()
    });
    assert!(new >= 1);
    assert_eq!(shell("iptables-save | grep -c cnd; ip6tables-save | grep -c cnd"), "2\n2\n");
}
