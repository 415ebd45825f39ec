//! Whatever is killed, at whatever point: the next command settles it.

use std::path::Path;

use engine::Status;
use serde_json::json;

use crate::sandbox::{Sandbox, request};

/// Returns the monitor of a container: the parent of its first process.
fn monitor(sandbox: &Sandbox, name: &str) -> (u32, u32) {
    let pid = sandbox.engine().state(&sandbox.find(name)).unwrap().pid.unwrap().unsigned_abs();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:\t")).unwrap();
    (parent.parse().unwrap(), pid)
}

fn is_gone(pid: u32) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}

pub(crate) fn a_killed_monitor_is_settled_by_the_next_command() {
    let sandbox = Sandbox::new();
    sandbox.start("eg", &["sleep", "60"], json!({}));
    sandbox.start("gone", &["sleep", "60"], json!({"remove_on_exit": true}));
    let ids = [sandbox.find("eg").id, sandbox.find("gone").id];
    let pids = [monitor(&sandbox, "eg"), monitor(&sandbox, "gone")];
    pids.iter().for_each(|(monitor, _)| sys::process::kill(*monitor, 9).unwrap());
    testkit::until("the monitors to die", || pids.iter().all(|(monitor, _)| is_dead(*monitor)).then_some(()));
    assert_eq!(sandbox.call(&["ps"]).ok(), "");
    assert_eq!(sandbox.call(&["ps-a"]).ok(), "eg exited sleep 60\n");
    let state = sandbox.engine().state(&sandbox.find("eg")).unwrap();
    assert_eq!((state.status, state.exit_code), (Status::Exited, 137));
    assert!(state.error.contains("monitor was killed"));
    testkit::until("the processes to go", || pids.iter().all(|(_, pid)| is_dead(*pid)).then_some(()));
    ids.iter().for_each(Sandbox::assert_no_cgroup);
    sandbox.call(&["start", "eg"]).ok();
    assert_eq!(sandbox.status("eg"), Status::Running);
}

fn is_dead(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    is_gone(pid) || stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with(['Z', 'X']))
}

pub(crate) fn a_killed_command_leaves_the_container_running() {
    let sandbox = Sandbox::new();
    let run = request(&["sh", "-c", "echo ready; sleep 60"], json!({"name": "eg"})).to_string();
    let mut child = sandbox.spawn(&["run", &run]);
    let mut ready = [0; 6];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
    sys::process::kill(child.id(), 9).unwrap();
    child.wait().unwrap();
    assert_eq!(sandbox.status("eg"), Status::Running);
    sandbox.call(&["rmf", "eg"]).ok();
    sandbox.assert_empty();
}

pub(crate) fn a_lost_machine_is_told() {
    let sandbox = Sandbox::new();
    sandbox.start("eg", &["sleep", "60"], json!({}));
    let (monitor, _) = monitor(&sandbox, "eg");
    let id = sandbox.find("eg").id;
    // What a power cut leaves of it: the record on the disk, and nothing of what was in memory.
    sys::process::kill(monitor, 9).unwrap();
    testkit::until("the monitor to die", || is_dead(monitor).then_some(()));
    let saved = sandbox.root().join("saved");
    std::fs::rename(sandbox.state().join("containers").join(id.as_str()), &saved).unwrap();
    let state = sandbox.engine().state(&sandbox.find("eg")).unwrap();
    assert_eq!((state.status, state.exit_code), (Status::Exited, 137));
    assert!(state.error.contains("the machine went down"));
    // Back for the sweep, which ends the processes that a power cut would have ended.
    std::fs::rename(saved, sandbox.state().join("containers").join(id.as_str())).unwrap();
    sandbox.call(&["ps"]).ok();
    Sandbox::assert_no_cgroup(&id);
}

pub(crate) fn a_dead_process_is_never_listed() {
    let sandbox = Sandbox::new();
    for round in 0..10 {
        let name = format!("eg{round}");
        sandbox.start(&name, &["sleep", "60"], json!({}));
        let pid = sandbox.engine().state(&sandbox.find(&name)).unwrap().pid.unwrap().unsigned_abs();
        sys::process::kill(pid, 9).unwrap();
        let pidfd = sys::process::pidfd_open(pid);
        if let Ok(pidfd) = pidfd {
            sys::signal::wait_readable(&pidfd, None).unwrap();
        }
        assert_eq!(sandbox.call(&["ps"]).ok(), "", "round {round}");
    }
}
