//! Names of containers, and of everybody else, as containers resolve them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use testkit::World;
use testkit::world::{Asker, Inside, NO_SUCH_NAME, OUTSIDE, OUTSIDE_NAME};

fn world() -> World {
    World::new(env!("CARGO_BIN_EXE_conductor"))
}

fn found<const N: usize>(names: [String; N]) -> (u8, Vec<String>) {
    let mut names = names.to_vec();
    names.sort();
    (0, names)
}

#[test]
fn containers_of_one_network_know_each_other_by_every_name() {
    let world = world();
    world.network("front", &["--ipv6"]);
    world.network("back", &["--ipv6"]);
    let on = |network: &'static str| ["--network", network];
    let web =
        world.contain("web", &[&on("front")[..], &["--network-alias", "www", "--network-alias", "service"]].concat());
    let web2 = world.contain("web2", &[&on("front")[..], &["--network-alias", "service"]].concat());
    let db = world.contain("db", &[&on("back")[..], &["--network-alias", "www"]].concat());
    let short = world.conductor(["ps", "--filter", "name=^web$", "--format", "{{.ID}}"]).ok();
    for name in ["web", "WEB", "www", "web.front", "www.front", short.trim()] {
        assert_eq!(web2.place.resolves(name, "A"), found([web.v4()]), "{name}");
        assert_eq!(web2.place.resolves(name, "AAAA"), found([web.v6()]), "{name}");
    }
    assert_eq!(web2.place.resolves("service", "A"), found([web.v4(), web2.v4()]));
    assert_eq!(web.place.resolves("web", "A"), found([web.v4()]), "itself");
    assert_eq!(web2.place.resolves(&web.v4(), "PTR"), found(["web.front".to_owned()]));
    assert_eq!(web2.place.resolves(&web.v6(), "PTR"), found(["web.front".to_owned()]));
    assert_eq!(web.place.resolves("host.docker.internal", "A"), found([web.gateway(false)]));

    // What belongs to another network is not known: neither name nor address.
    assert_eq!(web.place.resolves("db", "A"), (NO_SUCH_NAME, Vec::new()));
    assert_eq!(web.place.resolves(&db.v4(), "PTR"), (NO_SUCH_NAME, Vec::new()));
    assert_eq!(db.place.resolves("web", "A"), (NO_SUCH_NAME, Vec::new()));
    assert_eq!(db.place.resolves("www", "A"), found([db.v4()]));
    // Until it is on that network too; and then no more.
    world.conductor(["network", "connect", "--alias", "store", "front", "db"]).run().success();
    let other = db.place.address("eth1", false).to_string();
    assert_eq!(web.place.resolves("db", "A"), found([other.clone()]));
    assert_eq!(web.place.resolves("store", "A"), found([other.clone()]));
    assert_eq!(db.place.resolves("web", "A"), found([web.v4()]));
    assert_eq!(db.place.resolves("www", "A"), found([db.v4()]), "the first network comes first");
    world.conductor(["network", "disconnect", "front", "db"]).run().success();
    for name in ["db", "store"] {
        assert_eq!(web.place.resolves(name, "A"), (NO_SUCH_NAME, Vec::new()));
    }
    assert_eq!(web.place.resolves(&other, "PTR"), (NO_SUCH_NAME, Vec::new()));
    drop((web, web2, db));
    world.remove(&["web", "web2", "db"]);
    world.assert_clean();
}

#[test]
fn programs_of_a_container_resolve_as_its_resolver_does() {
    let world = world();
    world.network("front", &[]);
    let web = world.contain("web", &["--network", "front", "--hostname", "www1", "--add-host", "printer:192.0.2.77"]);
    world.contain("two", &["--network", "front"]);
    let _server = web.serve(&[8080]);
    let sh = |name: &str, script: &str| world.conductor(["exec", name, "sh", "-c", script]).ok();
    assert!(sh("two", "nslookup web").contains(&format!("Address: {}", web.v4())));
    assert!(sh("two", "wget -qO- http://web:8080/").starts_with("web "));
    assert!(sh("two", &format!("nslookup {OUTSIDE_NAME}")).contains(OUTSIDE[0]));
    assert_eq!(sh("two", &format!("wget -qO- http://{OUTSIDE_NAME}/")), "web 192.0.2.2");
    assert!(sh("web", "cat /etc/hosts").contains(&format!("{}\twww1", web.v4())));
    assert!(sh("web", "cat /etc/hosts").contains("192.0.2.77\tprinter"));
    assert!(sh("two", "cat /etc/resolv.conf").contains("nameserver 127.0.0.11"));
}

#[test]
fn names_of_outside_are_those_of_the_host_over_both_transports() {
    let world = world();
    let one = world.contain("one", &[]);
    for (kind, address) in [("A", OUTSIDE[0]), ("AAAA", OUTSIDE[1])] {
        assert_eq!(one.place.resolves(OUTSIDE_NAME, kind), found([address.to_owned()]));
    }
    assert_eq!(one.place.resolves("nobody.outside.test", "A"), (NO_SUCH_NAME, Vec::new()));
    let asked = world.names.asked();
    for (kind, transport) in [("A", "udp"), ("A", "tcp"), ("AAAA", "udp"), ("AAAA", "tcp")] {
        assert!(asked.contains(&format!("{OUTSIDE_NAME} {kind} {transport}")), "{asked:?}");
    }
    // Names of ours never leave.
    assert_eq!(one.place.resolves("one", "A"), found([one.v4()]));
    assert_eq!(one.place.resolves("one", "AAAA"), (0, Vec::new()));
    assert_eq!(world.names.asked(), [""; 0]);
}

/// A question and its answer.
struct Answer {
    sent: Instant,
    came: Instant,
    found: Vec<String>,
}

/// What `web` is from a command on: not before the command begins, and for certain from 100 ms after its end.
struct Change {
    began: Instant,
    ended: Instant,
    is: Vec<String>,
}

const STALE: Duration = Duration::from_millis(100);

#[test]
fn two_hundred_changes_under_constant_questions_give_no_wrong_answer_and_no_stale_one() {
    let world = world();
    world.network("front", &["--subnet", "10.77.0.0/16"]);
    world.network("side", &[]);
    let db = world.contain("db", &["--network", "front", "--ip", "10.77.0.9"]);
    world.contain("web", &["--network", "side"]);
    let stop = AtomicBool::new(false);
    let (mut changes, mut answers) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        let askers = [0, 1].map(|_| scope.spawn(|| question_all_the_time(&db, &stop)));
        let mut change = |words: &[&str], is: Option<&str>| {
            let began = Instant::now();
            world.conductor(words).run().success();
            changes.push(Change { began, ended: Instant::now(), is: is.map(str::to_owned).into_iter().collect() });
        };
        for round in 1..=80 {
            let address = format!("10.77.1.{round}");
            change(&["network", "connect", "--ip", &address, "front", "web"], Some(&address));
            change(&["network", "disconnect", "front", "web"], None);
        }
        world.remove(&["web"]);
        for round in 1..=20 {
            let address = format!("10.77.2.{round}");
            let run =
                ["run", "-d", "--name", "web", "--network", "front", "--ip", &address, "busybox", "sleep", "9999"];
            change(&run, Some(&address));
            change(&["rm", "-f", "web"], None);
        }
        stop.store(true, Ordering::Relaxed);
        answers.extend(askers.into_iter().flat_map(|asker| asker.join().unwrap()));
    });
    assert_eq!(changes.len(), 200);
    let late = judge(&changes, &answers);
    assert!(answers.len() > 1000, "only {} questions were asked", answers.len());
    let telling = answers.iter().filter(|answer| !answer.found.is_empty()).count();
    assert!(telling > 100, "only {telling} answers had an address");
    eprintln!("200 changes, {} answers, {late} of them late, none by more than {STALE:?}", answers.len());
    drop(db);
    world.remove(&["db"]);
    world.assert_clean();
}

fn question_all_the_time(from: &Inside, stop: &AtomicBool) -> Vec<Answer> {
    let (mut asker, mut answers) = (Asker::new(&from.place), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let sent = Instant::now();
        let (code, found) = asker.ask("web", "A");
        answers.push(Answer { sent, came: Instant::now(), found });
        assert_eq!(code, if answers.last().is_some_and(|last| last.found.is_empty()) { NO_SUCH_NAME } else { 0 });
        assert_eq!(asker.ask("db", "A"), (0, vec!["10.77.0.9".to_owned()]), "who has not moved");
        // Many a second, and still some of the machine is left for the changes.
        std::thread::park_timeout(Duration::from_micros(500));
    }
    answers
}

/// Expects of every answer that it was true at some moment between question and answer, or 100 ms before the question.
/// Returns how many were true only before the question.
fn judge(changes: &[Change], answers: &[Answer]) -> usize {
    let mut late = 0;
    for answer in answers {
        let nothing = Vec::new();
        // What may be told: the state after the last change that had ended before the question, and all newer ones that
        // had begun before the answer.
        let may_be = |before: Instant| {
            let last = changes.iter().rposition(|change| change.ended <= before);
            let first = last.map_or(&nothing, |at| &changes[at].is);
            let newer = changes[last.map_or(0, |at| at + 1)..].iter().take_while(|change| change.began <= answer.came);
            std::iter::once(first).chain(newer.map(|change| &change.is)).any(|is| *is == answer.found)
        };
        if !may_be(answer.sent) {
            late += 1;
            let before = answer.sent.checked_sub(STALE).unwrap_or(answer.sent);
            assert!(may_be(before), "{:?} is wrong, or older than {STALE:?}", answer.found);
        }
    }
    late
}
