//! Logs: nothing is lost, doubled or torn, however fast it comes, whatever is killed, and while the files change.

use std::io::{BufRead, BufReader, Read};
use std::process::Child;

use engine::Status;
use serde_json::{Value, json};

use crate::crash::{is_dead, monitor};
use crate::sandbox::Sandbox;

/// A command that prints so many numbered lines.
fn numbers(count: u32) -> Vec<String> {
    let script = format!("i=0; while [ $i -lt {count} ]; do echo line $i; i=$((i+1)); done");
    vec!["sh".into(), "-c".into(), script]
}

fn start(sandbox: &Sandbox, words: &[String], more: Value) {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    sandbox.start("eg", &words, more);
}

fn expected(range: std::ops::Range<u32>) -> String {
    range.map(|number| format!("line {number}\n")).collect()
}

/// Reads the rest of what a child prints, and expects it to end well.
fn rest(mut child: Child, mut out: impl Read) -> String {
    let mut text = String::new();
    out.read_to_string(&mut text).unwrap();
    let status = testkit::until("the reader to end", || child.try_wait().unwrap());
    assert!(status.success(), "{status}");
    text
}

/// Begins to follow the log, and waits for its first line.
fn follow(sandbox: &Sandbox) -> (Child, BufReader<impl Read + use<>>, String) {
    let mut child = sandbox.spawn(&["follow", "eg"]);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    (child, out, line)
}

pub(crate) fn a_flood_is_kept_whole_and_followed_whole() {
    let sandbox = Sandbox::new();
    let log = json!({"driver": "json-file", "max_size": 1 << 20, "max_file": 100});
    start(&sandbox, &numbers(50_000), json!({"log": log}));
    let followers = [sandbox.spawn(&["follow", "eg"]), sandbox.spawn(&["follow", "eg"])];
    for follower in followers {
        let out = follower.wait_with_output().unwrap();
        assert!(out.stdout == expected(0..50_000).as_bytes(), "{} bytes", out.stdout.len());
    }
    assert!(sandbox.call(&["logs", "eg"]).ok() == expected(0..50_000));
}

pub(crate) fn a_compact_log_is_packed_and_read_as_if_it_were_not() {
    let sandbox = Sandbox::new();
    let log = json!({"driver": "local", "max_size": 100_000, "max_file": 100});
    start(&sandbox, &numbers(50_000), json!({"log": log}));
    let (child, out, first) = follow(&sandbox);
    assert!(first + &rest(child, out) == expected(0..50_000));
    let id = sandbox.find("eg").id;
    let directory = sandbox.root().join("containers").join(id.as_str()).join("local-logs");
    let files = || -> Vec<String> {
        let entries = std::fs::read_dir(&directory).unwrap().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
    };
    let is_packed = || files().iter().filter(|name| !name.ends_with(".log.gz")).count() == 1;
    testkit::until("all but the newest to be packed", || is_packed().then_some(()));
    assert!(files().len() > 5, "{:?}", files());
    assert!(sandbox.call(&["logs", "eg"]).ok() == expected(0..50_000));
    sandbox.call(&["start", "eg"]).ok();
    sandbox.call(&["wait", "eg"]).ok();
    assert!(sandbox.call(&["logs", "eg"]).ok() == expected(0..50_000).repeat(2));
    sandbox.call(&["rm", "eg"]).ok();
    sandbox.assert_empty();
}

pub(crate) fn a_killed_packing_loses_nothing_and_a_removal_amid_it_leaves_nothing() {
    let sandbox = Sandbox::new();
    let log = json!({"driver": "local", "max_size": 20_000, "max_file": 1000});
    let packing = || {
        let pids = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
            let line = String::from_utf8_lossy(&std::fs::read(entry.path().join("cmdline")).ok()?).into_owned();
            let ours = line.contains("monitor-pack") && line.contains(sandbox.root().to_str().unwrap());
            entry.file_name().to_str()?.parse::<u32>().ok().filter(|_| ours)
        });
        pids.collect::<Vec<_>>()
    };
    start(&sandbox, &numbers(20_000), json!({"log": log}));
    while sandbox.status("eg") == Status::Running {
        packing().into_iter().for_each(|pid| drop(sys::process::kill(pid, 9)));
    }
    assert!(sandbox.call(&["logs", "eg"]).ok() == expected(0..20_000));
    for _ in 0..5 {
        sandbox.call(&["rmf", "eg"]).ok();
        sandbox.assert_empty();
        start(&sandbox, &numbers(20_000), json!({"log": log}));
        testkit::until("a packing", || {
            (!packing().is_empty() || sandbox.status("eg") != Status::Running).then_some(())
        });
    }
    sandbox.call(&["rmf", "eg"]).ok();
    sandbox.assert_empty();
    testkit::until("nobody to pack any more", || packing().is_empty().then_some(()));
}

pub(crate) fn following_goes_on_over_restarts_until_the_last_end() {
    let sandbox = Sandbox::new();
    let script = "read n < /n || n=0; n=$((n+1)); echo $n > /n; echo run $n; sleep 0.05; echo end $n; exit 1";
    sandbox.start("eg", &["sh", "-c", script], json!({"restart": "on-failure:3"}));
    let (child, out, first) = follow(&sandbox);
    let runs: String = (1..=4).map(|run| format!("run {run}\nend {run}\n")).collect();
    assert_eq!(first + &rest(child, out), runs);
    let state = sandbox.engine().state(&sandbox.find("eg")).unwrap();
    assert_eq!((state.status, state.restarts), (Status::Exited, 3));
    assert_eq!(sandbox.call(&["follow", "eg"]).ok(), runs);
}

pub(crate) fn following_ends_when_a_container_is_stopped_in_its_pause() {
    let sandbox = Sandbox::new();
    sandbox.start("eg", &["sh", "-c", "echo run; exit 1"], json!({"restart": "always"}));
    let (child, out, first) = follow(&sandbox);
    testkit::until("some restarts", || {
        let state = sandbox.engine().state(&sandbox.find("eg")).unwrap();
        (state.status == Status::Restarting && state.restarts >= 3).then_some(())
    });
    sandbox.call(&["stop", "eg"]).ok();
    let seen = first + &rest(child, out);
    assert_eq!(seen, sandbox.call(&["logs", "eg"]).ok());
    assert!(seen.lines().count() >= 3, "{seen:?}");
}

pub(crate) fn following_notices_a_killed_monitor_and_the_run_after_it() {
    let sandbox = Sandbox::new();
    sandbox.start("eg", &["sh", "-c", "echo ready; sleep 60"], json!({}));
    let (child, out, first) = follow(&sandbox);
    sys::process::kill(monitor(&sandbox, "eg").0, 9).unwrap();
    assert_eq!(first + &rest(child, out), "ready\n");
    assert_eq!(sandbox.status("eg"), Status::Exited);
    sandbox.call(&["rm", "eg"]).ok();

    sandbox.start("eg", &["sh", "-c", "echo ready; sleep 60"], json!({"restart": "unless-stopped"}));
    let (child, mut out, first) = follow(&sandbox);
    for _ in 0..3 {
        let (monitor, _) = monitor(&sandbox, "eg");
        sys::process::kill(monitor, 9).unwrap();
        // No other command looks at the run: the follower has it settled.
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
    }
    assert_eq!(first, "ready\n");
    sandbox.call(&["rmf", "eg"]).ok();
    assert_eq!(rest(child, out), "");
    sandbox.assert_empty();
}

pub(crate) fn a_log_whose_monitor_was_killed_holds_whole_lines_and_goes_on() {
    let sandbox = Sandbox::new();
    let script = "echo begin; while true; do echo a line that is as long as lines are, more or less; done";
    let log = json!({"driver": "json-file", "max_size": 100_000, "max_file": 4});
    sandbox.start("eg", &["sh", "-c", script], json!({"log": log}));
    for round in 0..10 {
        testkit::until("output", || (!sandbox.call(&["logs", "eg"]).ok().is_empty()).then_some(()));
        let (monitor, _) = monitor(&sandbox, "eg");
        sys::process::kill(monitor, 9).unwrap();
        testkit::until("the monitor to die", || is_dead(monitor).then_some(()));
        for line in sandbox.call(&["logs", "eg"]).ok().lines() {
            assert!(matches!(line, "begin" | "a line that is as long as lines are, more or less"), "{round}: {line:?}");
        }
        sandbox.call(&["start", "eg"]).ok();
    }
    sandbox.call(&["kill", "eg", "KILL"]).ok();
    let id = sandbox.find("eg").id;
    for age in ["", ".1", ".2", ".3"] {
        let path = sandbox.root().join("containers").join(id.as_str()).join(format!("{id}-json.log{age}"));
        let text = std::fs::read_to_string(path).unwrap_or_default();
        for line in text.lines() {
            assert!(serde_json::from_str::<Value>(line).is_ok(), "{line:?} in the file {age:?}");
        }
    }
}

pub(crate) fn a_full_disk_tears_no_line() {
    let sandbox = Sandbox::small(12 << 20);
    let script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; \
                  touch /dev/shm/full; while [ ! -e /dev/shm/go ]; do sleep 0.02; done; echo after; echo all";
    let log = json!({"driver": "json-file", "max_size": 1 << 30, "max_file": 1});
    let fill = sandbox.root().join("fill");
    // Room for some of the lines.
    std::fs::File::create(sandbox.root().join("room")).unwrap();
    std::fs::write(sandbox.root().join("room"), vec![1; 300 << 10]).unwrap();
    let full = std::io::copy(&mut std::io::repeat(0), &mut std::fs::File::create(&fill).unwrap());
    assert_eq!(full.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    std::fs::remove_file(sandbox.root().join("room")).unwrap();
    sandbox.start("eg", &["sh", "-c", script], json!({"log": log}));
    let written = || sandbox.call(&["exec", "eg", "ls", "/dev/shm/full"]).code() == 0;
    testkit::until("the disk to be full", || written().then_some(()));
    std::fs::remove_file(&fill).unwrap();
    let (child, out, first) = follow(&sandbox);
    sandbox.call(&["exec", "eg", "touch", "/dev/shm/go"]).ok();
    let seen = first + &rest(child, out);
    let kept = seen.strip_suffix("after\nall\n").expect("what is written after the disk was full");
    // What was in the pipe when there was room again is kept too, so there is one hole at most, and no torn line.
    let numbers: Vec<u32> = kept.lines().map(|line| line.strip_prefix("line ").unwrap().parse().unwrap()).collect();
    let (count, holes) = (numbers.len(), numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1).count());
    assert!(count > 1000 && holes <= 1 && numbers.is_sorted(), "{count} lines, {holes} holes");
    let id = sandbox.find("eg").id;
    let path = sandbox.root().join("containers").join(id.as_str()).join(format!("{id}-json.log"));
    let text = std::fs::read_to_string(path).unwrap();
    assert!(count < 20_000 && text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
}
