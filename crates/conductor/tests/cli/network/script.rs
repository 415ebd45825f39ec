//! The script of a container on a network: it makes what a run makes, with `ip` and `nft`.

use testkit::{Conductor, Sandbox};

use crate::{IMAGE, busybox};

/// What a program can see of its network.
const NETWORK_PROBE: &str = "ip addr show eth0 | grep -v valid_lft | sed 's/@if[0-9]*//'; ip route; ip -6 route | sed 's/ *metric.*//'; \
                             cat /etc/hosts";

#[test]
fn the_script_makes_the_same_network_and_takes_it_away() {
    let sandbox = busybox();
    sandbox.conductor(["network", "create", "--ipv6", "--subnet", "10.77.0.0/24", "alpha"]).run().success();
    let words = ["run", "--rm", "--name", "eg", "--hostname", "box", "--network", "alpha", "--ip", "10.77.0.9"];
    let ipv6 = wanted_address(&sandbox);
    let words = [&words[..], &["--ip6", &ipv6, "-p", "8080:80", IMAGE, "sh", "-c", NETWORK_PROBE]].concat();
    let script = sandbox.conductor(["explain", "--script"]).args(&words).ok();
    let path = sandbox.work().join("container.sh");
    std::fs::write(&path, script).unwrap();
    // As on a machine that has never seen us: the script makes the bridge and the table, too.
    let told = |script: &str| Conductor::new("bash").args(["-c", script]).ok();
    let before = told("ip -br link; nft list ruleset");
    let made = Conductor::new("bash").arg(&path).dir(sandbox.work()).ok();
    assert_eq!(told("ip -br link; nft list ruleset"), before, "the script left something");
    let made = made.lines().filter(|line| !line.starts_with("net.ipv")).collect::<Vec<_>>().join("\n");
    let real = sandbox.conductor(&words).ok();
    assert_eq!(made.trim(), real.lines().collect::<Vec<_>>().join("\n").trim());
    assert!(real.contains("inet 10.77.0.9/24") && real.contains("default via 10.77.0.1"), "{real}");
    // The way that the steps tell is the way that is gone.
    let planned = sandbox.conductor(["explain"]).args(&words).ok();
    for part in [
        "make the pair of links",
        "10.77.0.9/24",
        "default route via 10.77.0.1",
        "ports4 { tcp . 8080 : 10.77.0.9 . 80 }",
    ] {
        assert!(planned.contains(part), "{part} is not told:\n{planned}");
    }
}

/// Returns an address in the network's IPv6 subnet, which follows from its id.
fn wanted_address(sandbox: &Sandbox) -> String {
    let subnet = sandbox.conductor(["network", "inspect", "-f", "{{(index .IPAM.Config 1).Subnet}}", "alpha"]).ok();
    subnet.trim().replace("::/64", "::9")
}
