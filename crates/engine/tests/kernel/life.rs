//! From create to remove.

use std::time::{Duration, Instant};

use engine::Status;
use serde_json::json;

use crate::sandbox::{Sandbox, request};

pub(crate) fn a_command_runs_and_its_status_comes_back() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&["sh", "-c", "echo out; echo err >&2; exit 7"], json!({"name": "one"}));
    assert_eq!((ran.out().as_str(), ran.err().as_str(), ran.code()), ("out\n", "err\n", 7));
    let killed = sandbox.run(&["sh", "-c", "kill -9 $$; sleep 1"], json!({"init": true}));
    assert_eq!(killed.code(), 137);
    let inspect = sandbox.engine().inspect(&sandbox.find("one")).unwrap();
    assert_eq!((inspect.state.status, inspect.state.exit_code, inspect.state.pid), ("exited", 7, 0));
}

pub(crate) fn a_command_that_is_not_there_is_127_and_one_that_cannot_run_is_126() {
    let sandbox = Sandbox::new();
    sandbox.run(&["nonesuch"], json!({"name": "lost"})).fails(127, "cannot start container lost");
    sandbox.run(&["/etc/passwd"], json!({"remove_on_exit": true})).fails(126, "");
    sandbox.run(&[], json!({})).fails(125, "no command");
    assert_eq!(sandbox.engine().state(&sandbox.find("lost")).unwrap().exit_code, 127);
    sandbox.call(&["rm", "lost"]).ok();
    sandbox.assert_empty();
}

pub(crate) fn a_container_that_removes_itself_leaves_nothing() {
    let sandbox = Sandbox::new();
    let out = sandbox.run(&["sh", "-c", "echo hello > /made; cat /made"], json!({"remove_on_exit": true}));
    assert_eq!(out.ok(), "hello\n");
    sandbox.assert_empty();
}

pub(crate) fn a_container_lives_through_create_start_stop_start_and_removal() {
    let sandbox = Sandbox::new();
    let request = request(
        &["sh", "-c", "trap 'exit 3' TERM; echo x >> /count; while :; do sleep 0.05; done"],
        json!({"name": "eg"}),
    );
    sandbox.call(&["create", &request.to_string()]).ok();
    assert_eq!(sandbox.status("eg"), Status::Created);
    for _ in 0..2 {
        sandbox.call(&["start", "eg"]).ok();
        assert_eq!(sandbox.status("eg"), Status::Running);
        sandbox.call(&["start", "eg"]).fails(125, "running already");
        sandbox.call(&["rm", "eg"]).fails(125, "is running");
        wait_for_file(&sandbox, "eg", "/count");
        sandbox.call(&["stop", "eg"]).ok();
        let state = sandbox.engine().state(&sandbox.find("eg")).unwrap();
        assert_eq!((state.status, state.exit_code), (Status::Exited, 3));
    }
    let id = sandbox.find("eg").id;
    let count = sandbox.root().join("containers").join(id.as_str()).join("upper/count");
    assert_eq!(std::fs::read_to_string(count).unwrap(), "x\nx\n");
    sandbox.call(&["rm", "eg"]).ok();
    Sandbox::assert_no_cgroup(&id);
    sandbox.assert_empty();
    sandbox.call(&["rm", "eg"]).fails(125, "no such container: eg");
}

/// Waits until a container has made a file.
fn wait_for_file(sandbox: &Sandbox, name: &str, path: &str) {
    testkit::until(path, || (sandbox.call(&["exec", name, "test", "-e", path]).code() == 0).then_some(()));
}

pub(crate) fn a_name_is_held_by_one_container() {
    let sandbox = Sandbox::new();
    let request = request(&["true"], json!({"name": "eg"})).to_string();
    sandbox.call(&["create", &request]).ok();
    sandbox.call(&["create", &request]).fails(125, "the name eg is in use");
    assert_eq!(std::fs::read_dir(sandbox.root().join("containers")).unwrap().count(), 1);
    sandbox.call(&["rm", "eg"]).ok();
    sandbox.call(&["create", &request]).ok();
}

pub(crate) fn a_stop_is_the_signal_then_the_grace_then_the_kill() {
    let sandbox = Sandbox::new();
    sandbox.start("deaf", &["sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"], json!({"stop_timeout": 1}));
    let before = Instant::now();
    sandbox.call(&["stop", "deaf"]).ok();
    assert!(before.elapsed() >= Duration::from_secs(1) && before.elapsed() < Duration::from_secs(5));
    assert_eq!(sandbox.engine().state(&sandbox.find("deaf")).unwrap().exit_code, 137);
    sandbox.call(&["stop", "deaf"]).ok();
}

pub(crate) fn several_containers_stop_at_the_same_time() {
    let sandbox = Sandbox::new();
    let names: Vec<String> = (0..3).map(|number| format!("deaf{number}")).collect();
    for name in &names {
        sandbox.start(name, &["sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"], json!({"stop_timeout": 1}));
    }
    let before = Instant::now();
    let words: Vec<&str> = std::iter::once("stop").chain(names.iter().map(String::as_str)).collect();
    sandbox.call(&words).ok();
    assert!(before.elapsed() < Duration::from_millis(2500), "{:?}", before.elapsed());
    assert!(names.iter().all(|name| sandbox.status(name) == Status::Exited));
}

pub(crate) fn ps_lists_what_runs_and_ps_all_the_rest() {
    let sandbox = Sandbox::new();
    sandbox.start("runs", &["sleep", "60"], json!({}));
    sandbox.run(&["true"], json!({"name": "ran"})).ok();
    sandbox.call(&["create", &request(&["true"], json!({"name": "made"})).to_string()]).ok();
    assert_eq!(sandbox.call(&["ps"]).ok(), "runs running sleep 60\n");
    let all = sandbox.call(&["ps-a"]).ok();
    assert_eq!(all, "made created true\nran exited true\nruns running sleep 60\n");
    sandbox.call(&["kill", "runs", "KILL"]).ok();
    assert_eq!(sandbox.call(&["ps"]).ok(), "");
}

pub(crate) fn a_container_is_found_by_name_and_by_the_beginning_of_its_id() {
    let sandbox = Sandbox::new();
    sandbox.call(&["create", &request(&["true"], json!({"name": "eg"})).to_string()]).ok();
    let container = sandbox.find("eg");
    for word in [container.id.as_str(), container.id.short(), &container.id.as_str()[..3], "/eg"] {
        assert_eq!(sandbox.find(word).id, container.id);
    }
    for word in ["", "g", "..", "../containers", "zz", "a/b"] {
        assert!(sandbox.engine().find(word).is_err_and(|error| error.to_string().contains("no such")), "{word:?}");
    }
}

pub(crate) fn output_is_logged_and_shown_again() {
    let sandbox = Sandbox::new();
    sandbox.run(&["sh", "-c", "echo one; echo two >&2; printf three"], json!({"name": "eg"})).ok();
    let logs = sandbox.call(&["logs", "eg"]);
    assert_eq!((logs.out().as_str(), logs.err().as_str()), ("one\nthree", "two\n"));
    sandbox.run(&["echo", "x"], json!({"name": "mute", "log": {"driver": "none"}})).ok();
    sandbox.call(&["logs", "mute"]).fails(125, "keeps no log");
}

pub(crate) fn a_log_is_followed_until_the_container_ends() {
    let sandbox = Sandbox::new();
    let log = json!({"max_size": 300, "max_file": 2, "driver": "json-file"});
    let script = "for i in 1 2 3 4 5 6 7 8 9; do echo line $i; sleep 0.05; done";
    sandbox.start("eg", &["sh", "-c", script], json!({"log": log}));
    let lines: String = (1..10).map(|number| format!("line {number}\n")).collect();
    assert_eq!(sandbox.call(&["follow", "eg"]).ok(), lines);
}

pub(crate) fn waiting_brings_the_status() {
    let sandbox = Sandbox::new();
    sandbox.start("eg", &["sh", "-c", "sleep 0.2; exit 9"], json!({}));
    assert_eq!(sandbox.call(&["wait", "eg"]).ok(), "9\n");
    assert_eq!(sandbox.call(&["wait", "eg"]).ok(), "9\n");
}
