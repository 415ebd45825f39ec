//! `stop`, `kill`, `rm`, and what happens when somebody else kills.

use std::path::Path;

use testkit::until;

use crate::{IMAGE, busybox};

const TRAP: &str = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done";

#[test]
fn stop_lets_a_program_end_by_itself() {
    let sandbox = busybox();
    sandbox.conductor(["run", "-d", "--name", "polite", IMAGE, "sh", "-c", TRAP]).run().success();
    until("it is ready", || sandbox.conductor(["logs", "polite"]).ok().contains("ready").then_some(()));
    assert_eq!(sandbox.conductor(["stop", "polite"]).ok(), "polite");
    assert_eq!(sandbox.conductor(["logs", "polite"]).ok(), "ready\nbye");
    assert_eq!(sandbox.conductor(["wait", "polite"]).ok(), "7");
    sandbox.conductor(["rm", "polite"]).run().success();
    sandbox.assert_clean();
}

#[test]
fn stop_kills_what_does_not_listen_after_the_grace_period() {
    let sandbox = busybox();
    sandbox.conductor(["run", "-d", "--name", "deaf", IMAGE, "sleep", "1000"]).run().success();
    // The first process of a PID namespace ignores a signal for which it has no handler.
    sandbox.conductor(["stop", "-t", "1", "deaf"]).run().success();
    sandbox.conductor(["ps", "-a"]).run().success().says("Exited (137)");
    sandbox.conductor(["rm", "deaf"]).run().success();
    sandbox.assert_clean();
}

#[test]
fn kill_sends_the_signal_that_is_asked_for() {
    let sandbox = busybox();
    let script = "trap 'exit 11' USR1; echo ready; while :; do sleep 0.05; done";
    sandbox.conductor(["run", "-d", "--name", "eg", IMAGE, "sh", "-c", script]).run().success();
    until("it is ready", || sandbox.conductor(["logs", "eg"]).ok().contains("ready").then_some(()));
    sandbox.conductor(["kill", "-s", "USR1", "eg"]).run().success();
    assert_eq!(sandbox.conductor(["wait", "eg"]).ok(), "11");
    assert!(sandbox.conductor(["kill", "eg"]).fails(1).contains("not running"));
    assert!(sandbox.conductor(["kill", "-s", "NOPE", "eg"]).run().stderr.contains("NOPE"));
}

#[test]
fn a_running_container_is_removed_only_by_force() {
    let sandbox = busybox();
    sandbox.conductor(["run", "-d", "--name", "eg", IMAGE, "sleep", "1000"]).run().success();
    assert!(sandbox.conductor(["rm", "eg"]).fails(1).contains("running"));
    assert_eq!(sandbox.conductor(["rm", "-f", "eg"]).ok(), "eg");
    sandbox.assert_clean();
}

#[test]
fn a_container_whose_monitor_was_killed_is_not_listed_as_running_and_leaves_nothing() {
    let sandbox = busybox();
    sandbox.conductor(["run", "-d", "--name", "eg", IMAGE, "sleep", "1000"]).run().success();
    let pid: u32 = sandbox.conductor(["inspect", "--format", "{{.State.Pid}}", "eg"]).ok().parse().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let monitor: u32 = stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap();
    sys::process::kill(monitor, 9).unwrap();
    until("it is gone from ps", || sandbox.conductor(["ps", "-q"]).ok().is_empty().then_some(()));
    sandbox.conductor(["ps", "-a"]).run().success().says("Exited");
    sandbox.conductor(["rm", "eg"]).run().success();
    sandbox.assert_clean();
}

#[test]
fn a_port_is_free_for_others_as_soon_as_its_monitor_was_killed() {
    let sandbox = busybox();
    let run = |name: &str| sandbox.conductor(["run", "-d", "--name", name, "-p", "8080:80", IMAGE, "sleep", "1000"]);
    run("one").run().success();
    // Nobody looks at all runs again within a second of this.
    sandbox.conductor(["ps"]).run().success();
    let pid: u32 = sandbox.conductor(["inspect", "--format", "{{.State.Pid}}", "one"]).ok().parse().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let monitor: u32 = stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap();
    sys::process::kill(monitor, 9).unwrap();
    until("it has gone", || (!Path::new(&format!("/proc/{pid}")).exists()).then_some(()));
    run("two").run().success();
    sandbox.conductor(["rm", "-f", "one", "two"]).run().success();
    sandbox.conductor(["network", "prune", "-f"]).run().success();
    sandbox.assert_clean();
}

#[test]
fn a_container_whose_first_process_was_killed_has_ended_with_137() {
    let sandbox = busybox();
    sandbox.conductor(["run", "-d", "--name", "eg", IMAGE, "sleep", "1000"]).run().success();
    let pid: u32 = sandbox.conductor(["inspect", "--format", "{{.State.Pid}}", "eg"]).ok().parse().unwrap();
    sys::process::kill(pid, 9).unwrap();
    assert_eq!(sandbox.conductor(["wait", "eg"]).ok(), "137");
    assert_eq!(sandbox.conductor(["inspect", "--format", "{{.State.OOMKilled}}", "eg"]).ok(), "false");
    sandbox.conductor(["rm", "eg"]).run().success();
    sandbox.assert_clean();
}

#[test]
fn an_attached_container_gets_the_signals_of_its_command() {
    let sandbox = busybox();
    let mut command = sandbox.conductor(["run", "--rm", "--name", "eg", IMAGE, "sh", "-c", TRAP]).into_command();
    let mut run = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    until("it is ready", || sandbox.conductor(["logs", "eg"]).run().stdout.contains("ready").then_some(()));
    sys::process::kill(run.id(), 15).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(7));
    sandbox.assert_clean();
}
