//! Many containers at once, and many one after the other: all are told of truthfully, and nothing is left of any.

use std::collections::BTreeSet;
use std::thread;

use testkit::{Census, Sandbox};

use crate::{IMAGE, busybox};

/// How many run at once.
const CROWD: usize = 200;

/// How many commands are given at once, so that they meet at every lock.
const AT_ONCE: usize = 4;

#[test]
fn two_hundred_containers_are_listed_as_they_are_and_leave_nothing() {
    let sandbox = busybox();
    let names: Vec<String> = (0..CROWD).map(|number| format!("eg-{number}")).collect();
    side_by_side(&names, |name| {
        sandbox.conductor(["run", "-d", "--network", "none", "--name", name, IMAGE, "sleep", "1000"]).run().success();
    });
    assert_eq!(listed(&sandbox, &["ps"]), set(&names));
    let pids = sandbox.conductor(["inspect", "--format", "{{.State.Pid}}"]).args(&names).ok();
    let pids: Vec<u32> = pids.lines().map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids.iter().collect::<BTreeSet<_>>().len(), CROWD, "each has a process of its own: {pids:?}");
    assert!(pids.iter().all(|pid| words_of(*pid) == "sleep 1000 "), "and it is the container's");

    let (killed, rest) = names.split_at(20);
    pids[..20].iter().for_each(|pid| sys::process::kill(*pid, 9).unwrap());
    side_by_side(killed, |name| assert_eq!(sandbox.conductor(["wait", name]).ok(), "137"));
    assert_eq!(listed(&sandbox, &["ps"]), set(rest));

    let (stopped, rest) = rest.split_at(100);
    assert_eq!(sandbox.conductor(["stop", "-t", "0"]).args(stopped).ok().lines().collect::<Vec<_>>(), stopped);
    assert_eq!(listed(&sandbox, &["ps"]), set(rest));
    assert_eq!(listed(&sandbox, &["ps", "-a", "--filter", "status=exited"]), set(&names[..120]));
    assert_eq!(listed(&sandbox, &["ps", "-a"]), set(&names));

    side_by_side(&names[..120], |name| assert_eq!(sandbox.conductor(["rm", name]).ok(), *name));
    sandbox.conductor(["rm", "-f"]).args(rest).run().success();
    assert_eq!(listed(&sandbox, &["ps", "-a"]), BTreeSet::new());
    sandbox.assert_clean();
}

#[test]
fn three_hundred_containers_one_after_the_other_leave_nothing() {
    let sandbox = busybox();
    // What the first container of all makes stays: it is the engine's own furniture.
    cycle(&sandbox, "first");
    let directories = [sandbox.root(), sandbox.state()];
    let directories: Vec<_> = directories.iter().map(AsRef::as_ref).collect();
    let before = Census::take(&directories);
    let names: Vec<String> = (0..AT_ONCE).map(|number| format!("eg-{number}")).collect();
    // The same few names come and go again and again.
    side_by_side(&names, |name| (0..25).for_each(|_| cycle(&sandbox, name)));
    assert_eq!(listed(&sandbox, &["ps", "-a"]), BTreeSet::new());
    sandbox.assert_clean();
    assert_eq!(Census::take(&directories).more_than(&before), Vec::<String>::new());
}

/// Three containers of one name, each on another way to its end.
fn cycle(sandbox: &Sandbox, name: &str) {
    let run = |options: &[&str]| sandbox.conductor(["run", "--network", "none", "--name", name]).args(options);
    assert_eq!(run(&["--rm", IMAGE, "echo", name]).ok(), name);
    run(&[IMAGE, "sh", "-c", "exit 3"]).run().code(3);
    sandbox.conductor(["rm", name]).run().success();
    run(&["-d", IMAGE, "sleep", "1000"]).run().success();
    sandbox.conductor(["rm", "-f", name]).run().success();
}

/// Does the same for each name, a few at once.
fn side_by_side(names: &[String], act: impl Fn(&String) + Sync) {
    thread::scope(|scope| {
        for part in names.chunks(names.len().div_ceil(AT_ONCE)) {
            scope.spawn(|| part.iter().for_each(&act));
        }
    });
}

fn listed(sandbox: &Sandbox, words: &[&str]) -> BTreeSet<String> {
    let list = sandbox.conductor(words).args(["--format", "{{.Names}}"]).ok();
    let names: BTreeSet<String> = list.lines().map(str::to_owned).collect();
    assert_eq!(names.len(), list.lines().count(), "no container is listed twice: {list}");
    names
}

fn set(names: &[String]) -> BTreeSet<String> {
    names.iter().cloned().collect()
}

fn words_of(pid: u32) -> String {
    String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()).replace('\0', " ")
}
