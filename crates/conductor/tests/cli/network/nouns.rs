//! `network create`, `ls`, `inspect`, `rm`, `prune`.

use testkit::Conductor;

use super::{addresses, end, idle, inspect};
use crate::{IMAGE, busybox, sandbox};

#[test]
fn a_network_is_made_listed_inspected_and_removed() {
    let sandbox = sandbox();
    let listed = |words: &[&str]| sandbox.conductor(["network", "ls"]).args(words).ok();
    let names = ["--format", "{{.Name}} {{.Driver}}"];
    assert_eq!(listed(&names), "bridge bridge\nhost host\nnone null", "three are always there");
    let id = sandbox
        .conductor(["network", "create", "--subnet", "10.91.0.0/24", "--gateway", "10.91.0.254", "--label", "role=web"])
        .args(["--ip-range", "10.91.0.128/25", "--aux-address", "printer=10.91.0.200", "--internal", "front"])
        .ok();
    assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_eq!(listed(&names), "bridge bridge\nfront bridge\nhost host\nnone null");
    assert_eq!(listed(&["-q", "--no-trunc", "-f", "label=role=web"]), id);
    assert_eq!(listed(&["-q", "-f", "dangling=true"]), id[..12]);
    let table = sandbox.conductor(["network", "list"]).ok();
    assert!(table.starts_with("NETWORK ID     NAME      DRIVER    SCOPE\n"), "{table}");

    let pool = "{{range .IPAM.Config}}{{.Subnet}} {{.Gateway}} {{.IPRange}} {{.AuxiliaryAddresses.printer}}{{end}}";
    let expected = "10.91.0.0/24 10.91.0.254 10.91.0.128/25 10.91.0.200";
    for name in ["front", &id, &id[..12]] {
        assert_eq!(sandbox.conductor(["network", "inspect", "-f", pool, name]).ok(), expected);
    }
    // What is no container and no image may be a network.
    assert_eq!(inspect(&sandbox, "{{.Name}} {{.Internal}} {{.Labels.role}}", "front"), "front true web");
    assert_eq!(sandbox.conductor(["inspect", "--type", "network", "-f", "{{.Driver}}", "none"]).ok(), "null");
    let all = sandbox.conductor(["network", "inspect", "front", "host", "bridge"]).ok();
    assert!(all.starts_with("[\n    {\n        \"Name\": \"front\",\n"), "{all}");

    let removed = sandbox.conductor(["network", "rm", "gone", "front", "host"]).run().code(1);
    assert_eq!(removed.stdout, "front\n", "it goes on past what cannot be removed");
    let removed = removed.remarks("error: no such network: gone").remarks("error: host is a network");
    assert!(removed.stderr.contains("hint: 'conductor network ls'"), "{removed:?}");
    assert_eq!(listed(&names), "bridge bridge\nhost host\nnone null");
    sandbox.conductor(["network", "rm", "-f", "front"]).run().success().remarks("no such network: front");
    end(&sandbox, &[]);
}

#[test]
fn what_no_container_is_on_is_pruned_and_the_rest_stays() {
    let sandbox = busybox();
    for name in ["running", "stopped", "idle", "kept"] {
        let label = format!("name={name}");
        sandbox.conductor(["network", "create", "--label", &label, name]).run().success();
    }
    idle(&sandbox, "runs", &["--network", "running"]);
    sandbox.conductor(["create", "--name", "created", "--network", "stopped", IMAGE, "true"]).run().success();
    let pruned = sandbox.conductor(["network", "prune", "-f", "--filter", "label!=name=kept"]).ok();
    assert_eq!(pruned, "Deleted Networks:\nidle");
    assert!(sandbox.conductor(["network", "prune"]).fails(1).contains("--force"), "nobody is there to ask");
    let left = sandbox.conductor(["network", "ls", "-f", "type=custom", "--format", "{{.Name}}"]).ok();
    assert_eq!(left, "kept\nrunning\nstopped");
    sandbox.conductor(["rm", "-f", "runs", "created"]).run().success();
    let pruned = sandbox.conductor(["system", "prune", "-f"]).ok();
    assert!(pruned.contains("Deleted Networks:\nkept\nrunning\nstopped\n"), "{pruned}");
    end(&sandbox, &[]);
}

#[test]
fn docker_s_grammar_has_the_same_verbs() {
    let sandbox = busybox();
    let docker = |words: &[&str]| sandbox.face("docker", words).run().success().stdout;
    docker(&["network", "create", "-d", "bridge", "--attachable", "-o", "com.docker.network.driver.mtu=1400", "front"]);
    docker(&["container", "run", "-d", "--name", "eg", "--net=front", "-p", "80", IMAGE, "sleep", "1000"]);
    assert_eq!(docker(&["inspect", "-f", "{{.HostConfig.NetworkMode}}", "eg"]), "front\n");
    assert_eq!(docker(&["ps", "--format", "{{.Networks}}"]), "front\n");
    assert!(docker(&["container", "port", "eg"]).starts_with("80/tcp -> 0.0.0.0:"));
    let mtu = docker(&["exec", "eg", "cat", "/sys/class/net/eth0/mtu"]);
    assert_eq!(mtu, "1400\n");
    docker(&["rm", "-f", "eg"]);
    docker(&["network", "remove", "front"]);
    end(&sandbox, &[]);
}

#[test]
fn what_is_damaged_costs_nobody_else_anything() {
    let sandbox = busybox();
    let id = sandbox.conductor(["network", "create", "good"]).ok();
    let evil = sandbox.conductor(["network", "create", "evil"]).ok();
    idle(&sandbox, "one", &["--network", "good", "--network-alias", "db"]);
    sandbox.conductor(["run", "--rm", "--network", "evil", IMAGE, "true"]).run().success();
    // Who is on a network is known to the runs as well: no address is given twice, and no name is lost.
    let names = sandbox.state().join("networks").join(id.trim()).join("names");
    std::fs::write(&names, "{garbage").unwrap();
    idle(&sandbox, "two", &["--network", "good"]);
    assert_ne!(addresses(&sandbox, "one"), addresses(&sandbox, "two"));
    for name in ["one", "db"] {
        sandbox.conductor(["exec", "two", "nslookup", name]).run().success();
    }
    std::fs::write(&names, "{garbage").unwrap();
    let refused = sandbox.conductor(["network", "rm", "good"]).fails(1);
    assert!(refused.contains("in use by one, two") || refused.contains("in use by two, one"), "{refused}");
    // A network's record: the others go on, and it can be removed with its bridge and its rules.
    std::fs::write(sandbox.root().join("networks/evil/network.json"), "{garbage").unwrap();
    assert!(sandbox.conductor(["network", "ls", "--format", "{{.Name}}"]).ok().contains("good"));
    let bridge = format!("cnd-{}", &evil[..8]);
    let there = || Conductor::new("ip").args(["link", "show", &bridge]).run().exit_code() == 0;
    assert!(there());
    sandbox.conductor(["network", "rm", "evil"]).run().success();
    assert!(!there());
    let rules = Conductor::new("nft").args(["list", "table", "inet", "conductor"]).ok();
    assert!(!rules.contains(&bridge), "{rules}");
    sandbox.conductor(["network", "create", "evil"]).run().success();
    // What one container asks for.
    let one = sandbox.conductor(["inspect", "-f", "{{.Id}}", "one"]).ok();
    std::fs::write(sandbox.root().join("containers").join(one.trim()).join("network.json"), "{garbage").unwrap();
    sandbox.conductor(["network", "prune", "-f"]).run().success();
    assert!(sandbox.conductor(["network", "ls", "--format", "{{.Name}}"]).ok().contains("good"));
    end(&sandbox, &["one", "two"]);
}

#[test]
fn a_bridge_of_somebody_else_is_left_alone() {
    let sandbox = busybox();
    let ip = |words: &str| Conductor::new("ip").args(words.split(' ')).run().exit_code();
    assert_eq!(ip("link add br0 type bridge") + ip("address add 10.66.0.1/24 dev br0") + ip("link set br0 up"), 0);
    let named = ["network", "create", "-o", "com.docker.network.bridge.name=br0"];
    sandbox.conductor(named).args(["--subnet", "10.67.0.0/24", "alpha"]).run().success();
    let refused = sandbox.conductor(["run", "--rm", "--network", "alpha", IMAGE, "true"]).fails(125);
    assert!(refused.contains("needs the name br0 for its bridge, and another link has it"), "{refused}");
    sandbox.conductor(["network", "rm", "alpha"]).run().success();
    assert_eq!(ip("link show br0"), 0);
    assert_eq!(ip("link delete br0"), 0);
    end(&sandbox, &[]);
}
