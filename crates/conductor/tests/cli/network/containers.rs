//! Containers on networks: which ones, under which names and addresses, connected and disconnected, linked and peers.

use testkit::{Conductor, Sandbox};

use super::{addresses, end, idle, inspect, page, page_in, serve};
use crate::{IMAGE, busybox, on_a_network};

fn create(sandbox: &Sandbox, words: &[&str]) {
    sandbox.conductor(["network", "create"]).args(words).run().success();
}

#[test]
fn a_container_that_names_no_network_is_on_the_bridge_and_reaches_others_by_name() {
    let sandbox = busybox();
    serve(&sandbox, "web", &[]);
    idle(&sandbox, "client", &[]);
    assert_eq!(page_in(&sandbox, "client", "http://web/").as_deref(), Some("web"));
    let looked_up = sandbox.conductor(["exec", "client", "nslookup", "web"]).ok();
    let address = inspect(&sandbox, "{{.NetworkSettings.IPAddress}}", "web");
    assert!(looked_up.contains(&address), "{looked_up} is not {address}");
    assert_eq!(page(&format!("http://{address}/")).as_deref(), Some("web"), "the host reaches it too");
    let members = "{{range .Containers}}{{.Name}} {{end}}";
    let mut members: Vec<_> = inspect(&sandbox, members, "bridge").split_whitespace().map(str::to_owned).collect();
    members.sort();
    assert_eq!(members, ["client", "web"]);
    end(&sandbox, &["web", "client"]);
}

#[test]
fn who_is_on_another_network_is_neither_known_nor_reached() {
    let sandbox = busybox();
    create(&sandbox, &["front"]);
    create(&sandbox, &["back"]);
    serve(&sandbox, "web", &["--network", "front"]);
    idle(&sandbox, "near", &["--network", "front"]);
    idle(&sandbox, "far", &["--network", "back"]);
    let address = inspect(&sandbox, "{{.NetworkSettings.Networks.front.IPAddress}}", "web");
    assert_eq!(page_in(&sandbox, "near", "http://web/").as_deref(), Some("web"));
    assert_eq!(page_in(&sandbox, "near", &format!("http://{address}/")).as_deref(), Some("web"));
    assert_eq!(page_in(&sandbox, "far", "http://web/"), None);
    assert_eq!(page_in(&sandbox, "far", &format!("http://{address}/")), None);
    end(&sandbox, &["web", "near", "far"]);
}

#[test]
fn addresses_and_names_are_chosen() {
    let sandbox = busybox();
    create(&sandbox, &["--subnet", "10.91.0.0/24", "front"]);
    create(&sandbox, &["--subnet", "10.92.0.0/24", "--subnet", "fd92::/64", "back"]);
    let back = "name=back,alias=store,ip=10.92.0.7,ip6=fd92::7";
    let options = ["--network", "front", "--ip", "10.91.0.77", "--network-alias", "www", "--network-alias", "home"];
    serve(&sandbox, "web", &[&options[..], &["--mac-address", "02:42:00:00:00:77", "--network", back]].concat());
    assert_eq!(addresses(&sandbox, "web"), ["eth0 10.91.0.77/24", "eth1 10.92.0.7/24"]);
    assert_eq!(sandbox.conductor(["exec", "web", "cat", "/sys/class/net/eth0/address"]).ok(), "02:42:00:00:00:77");
    let settings = "{{.IPAddress}}/{{.IPPrefixLen}} {{.GlobalIPv6Address}} {{.Gateway}} {{join .Aliases \",\"}}";
    let of = |network: &str| {
        inspect(&sandbox, &format!("{{{{with .NetworkSettings.Networks.{network}}}}}{settings}{{{{end}}}}"), "web")
    };
    assert_eq!(of("front"), "10.91.0.77/24  10.91.0.1 www,home");
    assert_eq!(of("back"), "10.92.0.7/24 fd92::7 10.92.0.1 store");
    idle(&sandbox, "near", &["--network", "front"]);
    idle(&sandbox, "far", &["--network", "back"]);
    for url in ["http://www/", "http://home/", "http://web.front/"] {
        assert_eq!(page_in(&sandbox, "near", url).as_deref(), Some("web"), "{url}");
    }
    assert_eq!(page_in(&sandbox, "far", "http://store/").as_deref(), Some("web"));
    assert_eq!(page_in(&sandbox, "far", "http://[fd92::7]/").as_deref(), Some("web"));
    assert_eq!(page_in(&sandbox, "near", "http://store/"), None, "a name is known on its own network alone");
    end(&sandbox, &["web", "near", "far"]);
}

#[test]
fn a_running_container_is_put_on_a_network_and_taken_off() {
    let sandbox = busybox();
    create(&sandbox, &["--subnet", "10.91.0.0/24", "front"]);
    create(&sandbox, &["--subnet", "10.92.0.0/24", "back"]);
    serve(&sandbox, "web", &["--network", "front"]);
    idle(&sandbox, "client", &["--network", "back"]);
    assert_eq!(page_in(&sandbox, "client", "http://db/"), None);
    sandbox.conductor(["network", "connect", "--alias", "db", "--ip", "10.92.0.50", "back", "web"]).run().success();
    assert_eq!(addresses(&sandbox, "web"), ["eth0 10.91.0.2/24", "eth1 10.92.0.50/24"]);
    assert_eq!(page_in(&sandbox, "client", "http://db/").as_deref(), Some("web"));
    assert!(sandbox.conductor(["network", "connect", "back", "web"]).fails(1).contains("on network back already"));
    sandbox.conductor(["network", "disconnect", "front", "web"]).run().success();
    assert_eq!(addresses(&sandbox, "web"), ["eth1 10.92.0.50/24"]);
    assert_eq!(page_in(&sandbox, "client", "http://db/").as_deref(), Some("web"));
    // What was changed while it ran is so at the next start too.
    sandbox.conductor(["restart", "-t", "0", "web"]).run().success();
    assert_eq!(addresses(&sandbox, "web"), ["eth0 10.92.0.50/24"]);
    assert!(sandbox.conductor(["network", "disconnect", "front", "web"]).fails(1).contains("is not on network front"));
    sandbox.conductor(["network", "disconnect", "-f", "front", "web"]).run().success();
    end(&sandbox, &["web", "client"]);
}

#[test]
fn a_stopped_container_is_on_its_networks_when_it_is_started() {
    let sandbox = busybox();
    create(&sandbox, &["--subnet", "10.91.0.0/24", "front"]);
    create(&sandbox, &["--subnet", "10.92.0.0/24", "back"]);
    sandbox.conductor(["create", "--name", "eg", "--network", "front", IMAGE, "sleep", "1000"]).run().success();
    sandbox.conductor(["network", "connect", "--ip", "10.92.0.9", "back", "eg"]).run().success();
    sandbox.conductor(["network", "disconnect", "front", "eg"]).run().success();
    assert_eq!(sandbox.conductor(["ps", "-a", "--format", "{{.Networks}}"]).ok(), "back");
    sandbox.conductor(["start", "eg"]).run().success();
    assert_eq!(addresses(&sandbox, "eg"), ["eth0 10.92.0.9/24"]);
    sandbox.conductor(["stop", "-t", "0", "eg"]).run().success();
    sandbox.conductor(["network", "rm", "front"]).run().success();
    end(&sandbox, &["eg"]);
}

#[test]
fn names_and_servers_are_what_the_command_line_says() {
    let sandbox = busybox();
    let options = ["--add-host", "db:10.1.0.5", "--add-host", "outside:host-gateway", "--dns-search", "example.org"];
    let options = [&options[..], &["--dns-opt", "ndots:3"]].concat();
    let script = "grep -w -e db -e outside /etc/hosts | tr '\\t' ' '; grep -e ^search -e ^options /etc/resolv.conf; \
                  ip route | awk '/default/ { print $3 }'";
    let said = on_a_network(&sandbox, &options, script);
    let lines: Vec<_> = said.lines().collect();
    let [db, outside, search, settings, gateway] = lines[..] else { panic!("{said}") };
    assert_eq!((db, search), ("10.1.0.5 db", "search example.org"));
    assert_eq!(outside, format!("{gateway} outside"), "the host is known by the name that was asked for");
    assert!(settings.split(' ').any(|word| word == "ndots:3"), "{settings}");
    end(&sandbox, &[]);
}

#[test]
fn a_container_without_a_network_is_linked_with_the_host_later() {
    let sandbox = busybox();
    serve(&sandbox, "eg", &["--network", "none"]);
    assert_eq!(addresses(&sandbox, "eg"), [""; 0]);
    sandbox.conductor(["addnetwork", "eg"]).run().success();
    let link = addresses(&sandbox, "eg");
    assert!(link.len() == 1 && link[0].starts_with("eg-inside 192.168."), "{link:?}");
    let address = link[0].split([' ', '/']).nth(1).unwrap().to_owned();
    assert_eq!(page(&format!("http://{address}/")).as_deref(), Some("eg"));
    let told = || sandbox.conductor(["network", "firewall"]).ok();
    assert!(told().contains("it reaches nobody else"), "{}", told());
    sandbox.conductor(["addnetwork", "eg", "-i", "-e", "8080:80", "-e", "8081-80"]).run().success();
    for port in [8080, 8081] {
        assert_eq!(page(&format!("http://127.0.0.1:{port}/")).as_deref(), Some("eg"), "port {port}");
    }
    for words in ["Container eg:", "it reaches the outside", "by port 8080 (published)"] {
        assert!(told().contains(words), "no {words:?} in {}", told());
    }
    sandbox.conductor(["restart", "-t", "0", "eg"]).run().success();
    testkit::until("eg serves again", || page("http://127.0.0.1:8081/").filter(|page| page == "eg"));
    assert!(sandbox.conductor(["addnetwork", "eg", "-e", "8082"]).fails(1).contains("HOST:CONTAINER"));
    end(&sandbox, &["eg"]);
}

#[test]
fn peers_reach_each_other_and_nobody_else() {
    let sandbox = busybox();
    serve(&sandbox, "c1", &["--network", "none"]);
    serve(&sandbox, "c2", &["--network", "none"]);
    serve(&sandbox, "c3", &["--network", "none"]);
    sandbox.conductor(["addnetwork", "c3"]).run().success();
    sandbox.conductor(["peer", "c1", "c2"]).run().success();
    let address = |name: &str| addresses(&sandbox, name)[0].split([' ', '/']).nth(1).unwrap().to_owned();
    for (here, there) in [("c1", "c2"), ("c2", "c1")] {
        assert_eq!(page_in(&sandbox, here, &format!("http://{}/", address(there))).as_deref(), Some(there));
        assert_eq!(page_in(&sandbox, here, &format!("http://{there}/")).as_deref(), Some(there));
        assert_eq!(page_in(&sandbox, here, &format!("http://{}/", address("c3"))), None);
    }
    assert!(sandbox.conductor(["peer", "c1", "c1"]).fails(1).contains("its own peer"));
    end(&sandbox, &["c1", "c2", "c3"]);
}

#[test]
fn the_founding_grammar_adds_networks_and_makes_peers() {
    let sandbox = busybox();
    let founding = |words: &[&str]| sandbox.face("conductor.sh", words).run().success();
    for name in ["c1", "c2"] {
        sandbox
            .conductor(["run", "-d", "--network", "none", "--name", name])
            .args([IMAGE, "httpd", "-f", "-h", "/etc"])
            .run()
            .success();
    }
    founding(&["addnetwork", "c1", "-i", "-e", "3000-80"]);
    founding(&["addnetwork", "c2"]);
    founding(&["peer", "c1", "c2"]);
    let passwd = |page: Option<String>| page.is_some_and(|text| text.starts_with("root:"));
    testkit::until("c1 serves", || passwd(page("http://127.0.0.1:3000/passwd")).then_some(()));
    let address = addresses(&sandbox, "c2")[0].split([' ', '/']).nth(1).unwrap().to_owned();
    assert!(passwd(page_in(&sandbox, "c1", &format!("http://{address}/passwd"))));
    founding(&["stop", "c1"]);
    founding(&["stop", "c2"]);
    end(&sandbox, &[]);
}

#[test]
fn peers_that_are_started_at_the_same_time_find_each_other() {
    let sandbox = busybox();
    for name in ["c1", "c2"] {
        serve(&sandbox, name, &["--network", "none"]);
    }
    sandbox.conductor(["peer", "c1", "c2"]).run().success();
    for _ in 0..4 {
        sandbox.conductor(["stop", "-t", "0", "c1", "c2"]).run().success();
        let start = |name| sandbox.conductor(["start", name]).into_command().spawn().unwrap();
        for mut starting in ["c1", "c2"].map(start) {
            assert!(starting.wait().unwrap().success());
        }
        for (here, there) in [("c1", "c2"), ("c2", "c1")] {
            let url = format!("http://{there}/");
            let asked = || page_in(&sandbox, here, &url).filter(|page| page == there);
            testkit::until(&format!("{here} reaches {there}"), asked);
        }
    }
    end(&sandbox, &["c1", "c2"]);
}

#[test]
fn on_a_full_disk_containers_leave_their_networks() {
    let sandbox = busybox();
    let state = sandbox.state().display().to_string();
    let tool = |name: &str, words: &[&str]| Conductor::new(name).args(words).ok();
    tool("mount", &["-t", "tmpfs", "-o", "size=2m", "tmpfs", &state]);
    sandbox.conductor(["network", "create", "alpha"]).run().success();
    for (name, port) in [("one", "8081:80"), ("two", "8082:80")] {
        idle(&sandbox, name, &["--network", "alpha", "-p", port]);
    }
    let fill = std::fs::write(sandbox.state().join("fill"), vec![0; 4 << 20]).unwrap_err();
    assert_eq!(fill.kind(), std::io::ErrorKind::StorageFull);
    // What cannot be made is not half made.
    sandbox.conductor(["run", "--rm", "--name", "three", "--network", "alpha", IMAGE, "true"]).fails(125);
    sandbox.conductor(["update", "--publish-add", "8083:80", "two"]).fails(1);
    sandbox.conductor(["stop", "-t", "0", "one"]).run().success();
    sandbox.conductor(["rm", "one"]).run().success();
    let rules = tool("nft", &["list", "table", "inet", "conductor"]);
    assert!(!rules.contains("8081") && rules.contains("8082") && !rules.contains("8083"), "{rules}");
    sandbox.conductor(["rm", "-f", "two"]).run().success();
    assert_eq!(sandbox.conductor(["ps", "-aq"]).ok(), "");
    std::fs::remove_file(sandbox.state().join("fill")).unwrap();
    sandbox.conductor(["network", "rm", "alpha"]).run().success();
    tool("umount", &[&state]);
    end(&sandbox, &[]);
}
