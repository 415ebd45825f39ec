//! The network sessions of the founding documents, typed into a real terminal, word for word.
//!
//! Their image is Debian's, made by debootstrap, and their services are Python programs. Here it is bash, ip, ping and ps of
//! this machine with busybox for the rest, and the services are web servers of busybox with a shell script behind.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use testkit::{Terminal, World, fixture};

use crate::founding::{host, shell};

/// Makes a world with the documents' image under a name.
fn world(image: &str) -> World {
    let world = World::new(env!("CARGO_BIN_EXE_conductor"));
    let archive = world.sandbox.work().join("image.tar");
    fixture::programs_tar(std::fs::File::create(&archive).unwrap(), &["/bin/bash", "/bin/ping", "/bin/ps", "/sbin/ip"]);
    world.conductor(["import"]).arg(&archive).arg(image).run().success();
    std::fs::remove_file(archive).unwrap();
    world
}

/// Types a line at the host's prompt, which must succeed, and returns what it prints.
#[track_caller]
fn done(terminal: &mut Terminal, line: &str) -> String {
    let text = host(terminal, line);
    // By two words, so that the line typed is not what is seen.
    terminal.enters("echo co\"\"de=$?");
    let code = terminal.sees("host> ");
    assert!(code.contains("code=0"), "{line}\n{text}\n{code}");
    text
}

/// Starts containers in the background and waits until they are listed.
fn sleeping(terminal: &mut Terminal, image: &str, names: &[&str]) {
    for name in names {
        host(terminal, &format!("sudo ./conductor.sh run {image} {name} -- sleep infinity &"));
    }
    for name in names {
        let is_listed = |terminal: &mut Terminal| host(terminal, "sudo ./conductor.sh ps").contains(name);
        testkit::until(name, || is_listed(terminal).then_some(()));
    }
}

const RESET: &str = "sudo ./conductor.sh ps | grep -v \"No containers\" | while read name date; do sudo ./conductor.sh stop \"$name\"; done";

/// Stops all containers as the documents do, and expects that nothing is left of them.
fn reset(world: &World, terminal: &mut Terminal) {
    host(terminal, RESET);
    assert_eq!(host(terminal, "sudo ./conductor.sh ps"), "No containers");
    terminal.enters("exit");
    terminal.ends();
    world.assert_nothing_left();
}

#[test]
fn the_network_testing_session() {
    let mut world = world("mydebian");
    let mut terminal = shell(&mut world.sandbox);
    let mut another = shell_again(&world);
    terminal.enters("sudo ./conductor.sh run mydebian eg").sees("# ");
    another.enters("sudo ./conductor.sh addnetwork eg; echo co\"\"de=$?").sees("code=0");
    terminal.enters("ip a").sees("inet 192.168.1.");
    terminal.sees("# ");
    terminal.enters("ping -c 3 192.168.1.1").sees("3 packets transmitted, 3 received, 0% packet loss");
    // The host alone: it was asked for neither -i nor a port.
    terminal.enters("ping -c 1 -W 1 198.51.100.9 && echo rea\"\"ched || echo not rea\"\"ched").sees("not reached");
    terminal.enters("exit").sees("host> ");
    another.enters("exit");
    another.ends();
    reset(&world, &mut terminal);
}

#[test]
fn addnetwork_lets_host_and_container_reach_each_other_and_stop_leaves_nothing() {
    let mut world = world("mydebian");
    let mut terminal = shell(&mut world.sandbox);
    sleeping(&mut terminal, "mydebian", &["mycontainer"]);
    done(&mut terminal, "sudo ./conductor.sh addnetwork mycontainer");
    let mine = world.inside("mycontainer");
    let address = mine.place.any_address().to_string();
    done(&mut terminal, &format!("ping -c 1 {address}"));
    let server = mine.serve(&[80]);
    assert_eq!(world.host.hears(&format!("{address}:80")), "mycontainer 192.168.1.1");
    world.router.shell(&format!("ip route add {address} via 192.0.2.2"));
    world.client.reaches_none(&[&format!("{address}:80")]);
    mine.place.reaches_none(&["198.51.100.9:80", "192.0.2.1:80"]);
    let (code, found) = mine.place.resolves("www.outside.test", "A");
    assert!(code != 0 && found.is_empty(), "{code} {found:?}");
    assert_eq!(world.names.asked(), [""; 0], "no name leaves where nothing else does");
    // Asked again, and for more.
    done(&mut terminal, "sudo ./conductor.sh addnetwork mycontainer");
    done(&mut terminal, "sudo ./conductor.sh addnetwork mycontainer -i");
    assert_eq!(mine.place.hears("198.51.100.9:80"), "web 192.0.2.2");
    let got = done(&mut terminal, "sudo ./conductor.sh exec mycontainer -- wget -qO- http://www.outside.test/");
    assert_eq!(got, "web 192.0.2.2");
    world.client.reaches_none(&[&format!("{address}:80"), "192.0.2.2:80"]);
    drop((server, mine));
    done(&mut terminal, "sudo ./conductor.sh stop mycontainer");
    reset(&world, &mut terminal);
}

#[test]
fn a_port_is_exposed_with_either_mark_and_with_or_without_the_internet() {
    let mut world = world("testimage");
    let mut terminal = shell(&mut world.sandbox);
    sleeping(&mut terminal, "testimage", &["mycontainer", "eg"]);
    done(&mut terminal, "sudo ./conductor.sh addnetwork mycontainer -e 8080-80");
    done(&mut terminal, "sudo ./conductor.sh addnetwork eg -i -e 3000-8080");
    let (mine, eg) = (world.inside("mycontainer"), world.inside("eg"));
    let servers = [mine.serve(&[80, 8080]), eg.serve(&[80, 8080])];
    let says = |port: u16, from: &str| {
        let got = |place: &testkit::world::Place, address: &str| {
            place.shell(&format!("curl -s --max-time 10 http://{address}:{port}"))
        };
        assert_eq!(got(&world.client, "192.0.2.2"), format!("{from} 203.0.113.7\n"));
        assert_eq!(got(&world.host, "192.0.2.2"), format!("{from} 192.0.2.2\n"));
        assert!(got(&world.host, "localhost").starts_with(from));
    };
    says(8080, "mycontainer");
    says(3000, "eg");
    done(&mut terminal, "sudo ./conductor.sh addnetwork eg --expose 3001:80");
    says(3001, "eg");
    mine.place.reaches_none(&["198.51.100.9:80"]);
    world.client.reaches_none(&["192.0.2.2:80", "192.0.2.2:8081", "192.0.2.2:3002"]);
    drop((servers, mine, eg));
    reset(&world, &mut terminal);
}

#[test]
fn default_ifc_is_the_only_way_out() {
    let mut world = world("mydebian");
    let mut terminal = shell(&mut world.sandbox);
    std::fs::write(world.sandbox.work().join("config.sh"), "DEFAULT_IFC=\"eth9\" # Example interface name\n").unwrap();
    sleeping(&mut terminal, "mydebian", &["eg"]);
    done(&mut terminal, "sudo ./conductor.sh addnetwork eg -i");
    let eg = world.inside("eg");
    eg.place.reaches_none(&["198.51.100.9:80"]);
    drop(eg);
    done(&mut terminal, "sudo ./conductor.sh stop eg");
    done(&mut terminal, "sed -i s/eth9/eth0/ config.sh");
    sleeping(&mut terminal, "mydebian", &["eg"]);
    done(&mut terminal, "sudo ./conductor.sh addnetwork eg -i");
    let eg = world.inside("eg");
    eg.place.reaches_all(&["198.51.100.9:80"]);
    drop(eg);
    reset(&world, &mut terminal);
}

#[test]
fn the_whole_topology_of_task_4() {
    let mut world = world("service-image");
    let mut terminal = shell(&mut world.sandbox);
    write_services(&world.sandbox.work());
    sleeping(&mut terminal, "service-image", &["c1", "c2"]);
    for line in [
        "cp -r external-service .containers/c1/rootfs/",
        "cp -r counter-service .containers/c2/rootfs/",
        "sudo ./conductor.sh addnetwork c1 --internet --expose 3000:8080",
        "sudo ./conductor.sh addnetwork c2 --internet",
        "sudo ./conductor.sh peer c1 c2",
        "C2_IP=$(sudo ./conductor.sh exec c2 -- ip route get 1 | grep -oP 'src \\K\\S+')",
    ] {
        done(&mut terminal, line);
    }
    let address = done(&mut terminal, "echo $C2_IP");
    assert!(address.starts_with("192.168."), "{address}");
    // Each in a terminal of its own, as they stay in the foreground.
    host(&mut terminal, "sudo ./conductor.sh exec c2 -- bash /counter-service/run.sh &");
    host(&mut terminal, "sudo ./conductor.sh exec c1 -- bash /external-service/run.sh \"http://$C2_IP:8080/\" &");
    let curl = |place: &testkit::world::Place| place.tries("curl -s --max-time 10 http://192.0.2.2:3000").0;
    testkit::until("the services answer", || curl(&world.host).starts_with("external: counter: ").then_some(()));
    let first = curl(&world.host);
    let second = curl(&world.client);
    let count = |text: &str| text.rsplit(' ').next().unwrap().trim().parse::<u32>().unwrap();
    assert_eq!(count(&second), count(&first) + 1, "{first}{second}");
    // c1 is reached by its port alone, c2 by c1 alone; both reach the internet.
    world
        .client
        .reaches_only(&["tcp 192.0.2.2:3000"], &["192.0.2.2:3000", "192.0.2.2:8080", &format!("{address}:8080")]);
    for name in ["c1", "c2"] {
        let inside = world.inside(name);
        assert_eq!(inside.place.hears("198.51.100.9:80"), "web 192.0.2.2");
    }
    reset(&world, &mut terminal);
}

/// Opens a second shell in the same sandbox.
fn shell_again(world: &World) -> Terminal {
    let bin = world.sandbox.link("conductor.sh").parent().unwrap().to_owned();
    let mut bash = std::process::Command::new("bash");
    bash.args(["--norc", "--noprofile", "--noediting", "-i"]).current_dir(world.sandbox.work());
    bash.env("PS1", "host> ").env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    let mut terminal = Terminal::start(&bash);
    terminal.sees("host> ");
    terminal
}

/// Writes the two services: one counts, the other shows what the first one says.
fn write_services(directory: &Path) {
    let page = |service: &str, script: &str| {
        let pages = directory.join(service).join("pages/cgi-bin");
        std::fs::create_dir_all(&pages).unwrap();
        let file = pages.join("index.cgi");
        std::fs::write(&file, format!("#!/bin/sh\necho Content-Type: text/plain\necho\n{script}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        let run = format!("export COUNTER=\"$1\"\nexec httpd -f -p 8080 -h /{service}/pages\n");
        std::fs::write(directory.join(service).join("run.sh"), run).unwrap();
    };
    let count = "count=$(cat /tmp/count 2>/dev/null || echo 0); count=$((count + 1)); echo $count > /tmp/count; echo counter: $count";
    page("counter-service", count);
    page("external-service", "echo \"external: $(wget -qO- \"$COUNTER\")\"");
}
