//! Ports of the host that lead to containers.

use std::net::TcpListener;
use std::thread;

use super::{end, idle, inspect, page, serve};
use crate::{IMAGE, busybox};

#[test]
fn a_published_port_answers_and_is_told_everywhere() {
    let sandbox = busybox();
    serve(&sandbox, "web", &["-p", "8080:80", "-p", "127.0.0.1:8081:80/tcp", "-p", "5353:53/udp"]);
    for url in ["http://127.0.0.1:8080/", "http://127.0.0.1:8081/"] {
        assert_eq!(page(url).as_deref(), Some("web"), "{url}");
    }
    let listed = sandbox.conductor(["ps", "--format", "{{.Ports}}"]).ok();
    for port in ["0.0.0.0:8080->80/tcp", "127.0.0.1:8081->80/tcp", "0.0.0.0:5353->53/udp"] {
        assert!(listed.split(", ").any(|word| word == port), "no {port} in {listed}");
    }
    assert!(sandbox.conductor(["ps"]).ok().contains(&listed), "the table has the column");
    let all = "53/udp -> 0.0.0.0:5353\n80/tcp -> 0.0.0.0:8080\n80/tcp -> 127.0.0.1:8081";
    assert_eq!(sandbox.conductor(["port", "web"]).ok(), all);
    assert_eq!(sandbox.conductor(["port", "web", "80"]).ok(), "0.0.0.0:8080\n127.0.0.1:8081");
    assert_eq!(sandbox.conductor(["port", "web", "53/udp"]).ok(), "0.0.0.0:5353");
    assert!(sandbox.conductor(["port", "web", "53"]).fails(1).contains("53/tcp"));
    let bound = "{{range index .NetworkSettings.Ports \"80/tcp\"}}{{.HostIp}}:{{.HostPort}} {{end}}";
    assert_eq!(inspect(&sandbox, bound, "web").trim(), "0.0.0.0:8080 127.0.0.1:8081");
    sandbox.conductor(["stop", "-t", "0", "web"]).run().success();
    assert_eq!(page("http://127.0.0.1:8080/"), None);
    assert_eq!(sandbox.conductor(["port", "web"]).ok(), "");
    assert_eq!(sandbox.conductor(["ps", "-a", "--format", "{{.Ports}}"]).ok(), "");
    end(&sandbox, &["web"]);
}

#[test]
fn all_exposed_ports_are_published_on_ports_that_are_free() {
    let sandbox = busybox();
    serve(&sandbox, "web", &["-P", "--expose", "80", "--expose", "90-91/udp"]);
    let lines = sandbox.conductor(["port", "web"]).ok();
    let inside: Vec<_> = lines.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(inside, ["80/tcp", "90/udp", "91/udp"]);
    let port = sandbox.conductor(["port", "web", "80"]).ok().rsplit(':').next().unwrap().to_owned();
    assert_eq!(page(&format!("http://127.0.0.1:{port}/")).as_deref(), Some("web"));
    end(&sandbox, &["web"]);
}

#[test]
fn ports_are_published_and_withdrawn_while_a_container_runs() {
    let sandbox = busybox();
    serve(&sandbox, "web", &["-p", "8080:80"]);
    sandbox
        .conductor(["update", "--publish-add", "8081:80", "--publish-rm", "8080:80", "web"])
        .run()
        .success()
        .says("web");
    assert_eq!(sandbox.conductor(["port", "web"]).ok(), "80/tcp -> 0.0.0.0:8081");
    assert_eq!(page("http://127.0.0.1:8081/").as_deref(), Some("web"));
    assert_eq!(page("http://127.0.0.1:8080/"), None);
    drop(TcpListener::bind("0.0.0.0:8080").expect("the port is free for programs of the host"));
    assert!(
        sandbox.conductor(["update", "--publish-rm", "9090:80", "web"]).fails(1).contains("publishes no port 9090:80")
    );
    // One that is taken leaves the others as they were.
    let taken = TcpListener::bind("0.0.0.0:8082").unwrap();
    let said = sandbox.conductor(["update", "--publish-add", "8082:80", "web"]).fails(1);
    assert!(said.contains("8082") && said.contains(&std::process::id().to_string()), "{said}");
    assert_eq!(sandbox.conductor(["port", "web"]).ok(), "80/tcp -> 0.0.0.0:8081");
    drop(taken);
    // What is changed is so at the next start, and can be changed before it.
    sandbox.conductor(["stop", "-t", "0", "web"]).run().success();
    sandbox.conductor(["update", "--publish-add", "8083:80", "web"]).run().success();
    sandbox.conductor(["start", "web"]).run().success();
    assert_eq!(sandbox.conductor(["port", "web"]).ok(), "80/tcp -> 0.0.0.0:8081\n80/tcp -> 0.0.0.0:8083");
    sandbox.conductor(["update", "--publish-rm", "80", "web"]).run().success();
    assert_eq!(sandbox.conductor(["port", "web"]).ok(), "");
    end(&sandbox, &["web"]);
}

#[test]
fn ports_without_a_network_are_warned_of() {
    let sandbox = busybox();
    for network in ["host", "none"] {
        let ran =
            sandbox.conductor(["run", "--rm", "--network", network, "-p", "8080:80", IMAGE, "true"]).run().success();
        assert!(ran.stderr.starts_with("warning: published ports are discarded"), "{network}: {ran:?}");
    }
    end(&sandbox, &[]);
}

#[test]
fn a_port_that_is_taken_is_refused_with_its_holder() {
    let sandbox = busybox();
    let run = |port: &str| sandbox.conductor(["run", "--rm", "-p", port, IMAGE, "true"]);
    let listener = TcpListener::bind("127.0.0.1:8080").unwrap();
    let said = run("8080:80").fails(125);
    assert!(said.starts_with("error: ") && said.contains("8080"), "{said}");
    assert!(said.contains(&std::process::id().to_string()), "the program is not named: {said}");
    drop(listener);
    idle(&sandbox, "holder", &["-p", "8080:80"]);
    let said = run("8080:90").fails(125);
    assert!(said.contains("container holder"), "{said}");
    let said =
        sandbox.conductor(["run", "-d", "--rm", "--name", "late", "-p", "127.0.0.1:8080:80", IMAGE, "true"]).fails(125);
    assert!(said.contains("container holder"), "{said}");
    assert_eq!(
        sandbox.conductor(["ps", "-a", "--format", "{{.Names}}"]).ok(),
        "holder",
        "nothing is left of the others"
    );
    assert!(run("8080:80/udp").run().exit_code() == 0, "the same number of another protocol is another port");
    end(&sandbox, &["holder"]);
}

#[test]
fn of_twenty_that_want_one_port_at_once_one_has_it() {
    let sandbox = busybox();
    let names: Vec<_> = (0..20).map(|number| format!("eg-{number}")).collect();
    let run = |name: &String| {
        let run =
            sandbox.conductor(["run", "-d", "--rm", "--name", name, "-p", "8080:80", IMAGE, "sleep", "1000"]).run();
        (run.exit_code(), run.stderr)
    };
    let outcomes: Vec<_> = thread::scope(|scope| {
        let started: Vec<_> = names.iter().map(|name| scope.spawn(move || run(name))).collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (won, lost): (Vec<_>, Vec<_>) = names.iter().zip(outcomes).partition(|(_, (code, _))| *code == 0);
    assert_eq!((won.len(), lost.len()), (1, 19), "{lost:?}");
    for (name, (code, said)) in &lost {
        assert_eq!(*code, 125, "{name}: {said}");
        assert!(said.starts_with("error: ") && said.contains("8080"), "{name}: {said}");
    }
    assert_eq!(
        sandbox.conductor(["ps", "-a", "--format", "{{.Names}}"]).ok(),
        *won[0].0,
        "nothing is left of the others"
    );
    end(&sandbox, &[won[0].0]);
}
