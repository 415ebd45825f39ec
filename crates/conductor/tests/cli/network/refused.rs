//! What is refused: one clear error with what to do, and nothing left behind. And what a configuration says.

use testkit::{Conductor, Sandbox};

use super::{end, idle, page, serve};
use crate::{IMAGE, busybox, sandbox};

/// Expects that `network create` with these words is refused with this.
#[track_caller]
fn refused(sandbox: &Sandbox, words: &str, what: &str) {
    let said = sandbox.conductor(["network", "create"]).args(words.split_whitespace()).run();
    assert_ne!(said.exit_code(), 0, "{words}: {said:?}");
    assert!(said.stderr.starts_with("error: "), "{words}: {said:?}");
    assert!(said.stderr.contains(what), "{words} does not name {what:?}: {}", said.stderr);
}

#[test]
fn networks_that_cannot_be_are_refused() {
    let sandbox = sandbox();
    Conductor::new("ip").args(["link", "add", "uplink", "type", "bridge"]).run().success();
    Conductor::new("ip").args(["addr", "add", "10.77.0.1/16", "dev", "uplink"]).run().success();
    Conductor::new("ip").args(["link", "set", "uplink", "up"]).run().success();
    sandbox.conductor(["network", "create", "--subnet", "10.91.0.0/24", "front"]).run().success();
    for (words, what) in [
        ("front", "the network front exists already"),
        ("host", "always there"),
        ("a/b", "invalid network name \"a/b\""),
        ("--subnet 10.91.0.128/25 late", "overlaps with network front"),
        ("--subnet 10.0.0.0/8 late", "overlaps with"),
        ("--subnet 10.77.3.0/24 late", "overlaps with the host's route to 10.77.0.0/16"),
        ("--subnet 10.78.0.0/33 late", "invalid value for --subnet"),
        ("--subnet 10.78.0.0 late", "has no prefix length"),
        ("--subnet 10.78.0.0/32 late", "10.78.0.0/32"),
        ("--subnet 10.78.0.0/24 --subnet 10.79.0.0/24 late", "at most one subnet"),
        ("--subnet 10.78.0.0/24 --gateway 10.79.0.1 late", "10.79.0.1"),
        ("--subnet 10.78.0.0/24 --gateway 10.78.0.255 late", "10.78.0.255"),
        ("--subnet 10.78.0.0/24 --ip-range 10.79.0.0/25 late", "10.79.0.0/25"),
        ("--subnet 10.78.0.0/24 --aux-address p=10.79.0.9 late", "10.79.0.9"),
        ("-d overlay late", "\"overlay\""),
        ("-d macvlan late", "parent"),
        ("-o colour=red late", "colour"),
        ("-o mtu=1 late", "MTU"),
    ] {
        refused(&sandbox, words, what);
    }
    assert_eq!(sandbox.conductor(["network", "ls", "-f", "type=custom", "--format", "{{.Name}}"]).ok(), "front");
    Conductor::new("ip").args(["link", "del", "uplink"]).run().success();
    end(&sandbox, &[]);
}

#[test]
fn places_that_cannot_be_had_are_refused() {
    let sandbox = busybox();
    sandbox.conductor(["network", "create", "--subnet", "10.91.0.0/24", "front"]).run().success();
    sandbox.conductor(["network", "create", "--subnet", "10.92.0.0/30", "tiny"]).run().success();
    idle(&sandbox, "eg", &["--network", "front", "--ip", "10.91.0.5"]);
    idle(&sandbox, "only", &["--network", "tiny"]);
    for (words, what) in [
        ("--network front --ip 10.99.0.5", "10.99.0.5"),
        ("--network front --ip 10.91.0.0", "10.91.0.0"),
        ("--network front --ip 10.91.0.255", "10.91.0.255"),
        ("--network front --ip 10.91.0.1", "router"),
        ("--network front --ip 10.91.0.5", "container eg"),
        ("--network front --ip6 fd00::5", "fd00::5"),
        ("--network tiny", "network tiny has no address left in 10.92.0.0/30"),
        ("--network nosuch", "no such network: nosuch"),
        ("--network front --network nosuch", "no such network: nosuch"),
        ("--network front --network none", "conflicting options"),
        ("--network container:eg -p 8080:80", "ports"),
        ("-p 70000:80", "70000:80"),
        ("-p 8080:0", "8080:0"),
        ("-p 10.1.2.3:8080:80", "10.1.2.3"),
    ] {
        let run = sandbox
            .conductor(["run", "-d", "--rm", "--name", "late"])
            .args(words.split(' '))
            .args([IMAGE, "sleep", "1000"]);
        let said = run.fails(125);
        assert!(said.starts_with("error: ") && said.contains(what), "{words} does not name {what:?}: {said}");
    }
    assert!(sandbox.conductor(["run", "--network", "nosuch", IMAGE, "true"]).fails(125).contains("network create"));
    assert!(sandbox.conductor(["create", "--network", "nosuch", IMAGE, "true"]).fails(125).contains("nosuch"));
    for (words, what) in [
        ("connect tiny eg", "no address left"),
        ("connect --ip 10.91.0.5 front only", "container eg"),
        ("connect nosuch eg", "no such network: nosuch"),
        ("connect front nosuch", "nosuch"),
        ("connect host eg", "host"),
        ("disconnect tiny eg", "is not on network tiny"),
        ("rm front", "in use by eg"),
    ] {
        let said = sandbox.conductor(["network"]).args(words.split(' ')).fails(1);
        assert!(said.starts_with("error: ") && said.contains(what), "{words} does not name {what:?}: {said}");
    }
    assert_eq!(sandbox.conductor(["ps", "-a", "--format", "{{.Names}}"]).ok(), "only\neg");
    end(&sandbox, &["eg", "only"]);
}

#[test]
fn the_configuration_is_read_and_a_broken_one_is_named() {
    let sandbox = busybox();
    let path = sandbox.work().join("config.json");
    let with = |words: &[&str]| sandbox.conductor(words).env("CONDUCTOR_CONFIG", &path);
    let said = with(&["ps"]).fails(1);
    assert!(said.contains("config.json") && said.contains("hint: "), "a file that is not there: {said}");
    for broken in ["{", "{\"default_interfaces\": \"eth0\"}", "{\"publish_address\": \"here\"}"] {
        std::fs::write(&path, broken).unwrap();
        let said = with(&["ps"]).fails(1);
        assert!(said.starts_with("error: ") && said.contains("config.json"), "{broken}: {said}");
    }
    let pools = r#"{"publish_address": "127.0.0.1", "address_pools": [{"base": "10.123.0.0/16", "size": 24}]}"#;
    std::fs::write(&path, pools).unwrap();
    with(&["network", "create", "front"]).run().success();
    let subnet = "{{range .IPAM.Config}}{{.Subnet}}{{end}}";
    assert_eq!(with(&["network", "inspect", "-f", subnet, "front"]).ok(), "10.123.0.0/24");
    with(&["run", "-d", "--name", "eg", "-p", "8080:80", IMAGE, "sleep", "1000"]).run().success();
    assert_eq!(with(&["port", "eg"]).ok(), "80/tcp -> 127.0.0.1:8080");
    end(&sandbox, &["eg"]);
}

#[test]
fn the_founding_grammar_takes_its_way_out_from_default_ifc() {
    let sandbox = busybox();
    serve(&sandbox, "eg", &["--network", "none"]);
    let add = |words: &[&str]| sandbox.face("conductor.sh", ["--explain", "addnetwork", "eg"]).args(words);
    std::fs::write(sandbox.work().join("config.sh"), "DEFAULT_IFC=\"uplink\" # the one that leads out\n").unwrap();
    let added = add(&["-i", "-e", "8080:80"]).run().success();
    let is_step = |line: &str| line.contains("uplink") && !line.starts_with("warning");
    assert!(added.stderr.lines().any(is_step), "no step knows the way out: {added:?}");
    let added = added.remarks("warning: eg is to reach the outside through uplink, and this host has no such link now");
    assert_eq!(added.stdout, "");
    assert_eq!(page("http://127.0.0.1:8080/").as_deref(), Some("eg"), "a port is published all the same");
    // The variable is nearer than the file.
    let added = add(&["-i", "-e", "8081:80"]).env("DEFAULT_IFC", "lo").run().success();
    assert!(!added.stderr.contains("warning"), "{added:?}");
    end(&sandbox, &["eg"]);
}
