//! Whatever is killed, at whatever point: the next command settles it.

use std::path::Path;

use engine::Status;
use serde_json::json;

use crate::sandbox::{Sandbox, request};

/// Returns the monitor of a container: the parent of its first process.
pub(crate) fn monitor(sandbox: &Sandbox, name: &str) -> (u32, u32) {
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

pub(crate) fn is_dead(pid: u32) -> bool {
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

pub(crate) fn a_damaged_record_costs_that_container_alone() {
    let sandbox = Sandbox::new();
    for name in ["cut", "empty", "runs", "well"] {
        sandbox.start(name, &["sleep", "60"], json!({}));
    }
    sandbox.call(&["kill", "cut", "KILL"]).ok();
    sandbox.call(&["kill", "empty", "KILL"]).ok();
    let record = |name: &str| {
        let link = std::fs::read_link(sandbox.root().join("container-names").join(name)).unwrap();
        sandbox.root().join("container-names").join(link).join("container.json")
    };
    for (name, length) in [("cut", 40), ("empty", 0), ("runs", 7)] {
        std::fs::OpenOptions::new().write(true).open(record(name)).unwrap().set_len(length).unwrap();
    }
    let listed = sandbox.call(&["ps-a"]).ok();
    let mut lines: Vec<_> = listed.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["cut dead ", "empty dead ", "runs running sleep 60", "well running sleep 60"]);
    let path = record("cut").canonicalize().unwrap();
    for verb in [&["start", "cut"][..], &["inspect", "cut"], &["rm", "cut"], &["exec", "runs", "true"]] {
        sandbox.call(verb).fails(125, "is damaged: ");
    }
    assert!(sandbox.call(&["inspect", "cut"]).err().contains(path.to_str().unwrap()));
    sandbox.call(&["exec", "well", "true"]).ok();
    sandbox.call(&["rmf", "well"]).ok();
    for name in ["cut", "empty", "runs"] {
        sandbox.call(&["rmf", name]).ok();
    }
    sandbox.assert_empty();
}

pub(crate) fn a_damaged_state_is_asked_from_the_monitor() {
    let sandbox = Sandbox::new();
    sandbox.start("eg", &["sleep", "60"], json!({}));
    let id = sandbox.find("eg").id;
    let state = sandbox.state().join("containers").join(id.as_str()).join("state.json");
    let pid = sandbox.engine().state(&sandbox.find("eg")).unwrap().pid;
    std::fs::write(&state, "{\"pid\":").unwrap();
    assert_eq!(sandbox.call(&["ps"]).ok(), "eg running sleep 60\n");
    assert_eq!(sandbox.engine().state(&sandbox.find("eg")).unwrap().pid, pid);
    sandbox.call(&["exec", "eg", "true"]).ok();
    sandbox.call(&["kill", "eg", "KILL"]).ok();
    let exit = sandbox.root().join("containers").join(id.as_str()).join("exit.json");
    std::fs::write(exit, "").unwrap();
    assert_eq!(sandbox.call(&["ps-a"]).ok(), "eg exited sleep 60\n");
    sandbox.call(&["start", "eg"]).ok();
    sandbox.call(&["rmf", "eg"]).ok();
    sandbox.assert_empty();
}

pub(crate) fn a_removal_that_was_killed_is_brought_to_its_end() {
    let sandbox = Sandbox::new();
    let request = request(&["true"], json!({"name": "eg"}));
    sandbox.call(&["create", &request.to_string()]).ok();
    // What a removal leaves that is killed after its first step: the name is gone, the run is claimed by nobody.
    std::fs::create_dir_all(sandbox.state().join("containers").join(sandbox.find("eg").id.as_str())).unwrap();
    std::fs::remove_file(sandbox.root().join("container-names").join("eg")).unwrap();
    assert_eq!(sandbox.call(&["ps-a"]).ok(), "");
    sandbox.assert_empty();
}

pub(crate) fn a_name_that_cannot_be_read_removes_nothing() {
    let sandbox = Sandbox::new();
    let request = request(&["true"], json!({"name": "eg"}));
    sandbox.call(&["create", &request.to_string()]).ok();
    let container = sandbox.find("eg");
    let run = sandbox.state().join("containers").join(container.id.as_str());
    std::fs::create_dir_all(&run).unwrap();
    // A file in the link's place: readlink(2) fails, and not for want of a name.
    let link = sandbox.root().join("container-names").join("eg");
    std::fs::remove_file(&link).unwrap();
    std::fs::write(&link, "").unwrap();
    assert_eq!(sandbox.call(&["ps-a"]).out(), "eg created true\n");
    assert!(sandbox.root().join("containers").join(container.id.as_str()).join("container.json").exists());
    // Nor is it said that there is no such container.
    sandbox.call(&["rm", "eg"]).fails(125, "look up the name eg");
    // Mended, it is there as before.
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(format!("../containers/{}", container.id), &link).unwrap();
    sandbox.call(&["rm", "eg"]).ok();
    sandbox.assert_empty();
}

pub(crate) fn a_removal_that_was_killed_takes_its_own_volumes_along() {
    let sandbox = Sandbox::new();
    let mounts = json!([{"target": "/data", "type": "volume", "name": null, "no_copy": false}]);
    let more = json!({"name": "eg", "remove_on_exit": true, "mounts": mounts});
    sandbox.call(&["create", &request(&["true"], more).to_string()]).ok();
    let container = sandbox.find("eg");
    let volume = sandbox.root().join("volumes").join(container.anonymous_volumes[0].as_str());
    std::fs::create_dir_all(volume.join("_data")).unwrap();
    std::fs::create_dir_all(sandbox.state().join("containers").join(container.id.as_str())).unwrap();
    std::fs::remove_file(sandbox.root().join("container-names").join("eg")).unwrap();
    assert_eq!(sandbox.call(&["ps-a"]).ok(), "");
    assert!(!volume.exists());
    sandbox.assert_empty();
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

pub(crate) fn a_full_disk_stops_no_command_and_loses_no_end() {
    let sandbox = Sandbox::small(12 << 20);
    sandbox.start("eg", &["sh", "-c", "while [ ! -e /dev/shm/go ]; do sleep 0.02; done; exit 5"], json!({}));
    let fill = sandbox.root().join("fill");
    let full = std::io::copy(&mut std::io::repeat(0), &mut std::fs::File::create(&fill).unwrap());
    assert_eq!(full.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    sandbox.call(&["exec", "eg", "touch", "/dev/shm/go"]).ok();
    assert_eq!(sandbox.call(&["wait", "eg"]).ok(), "5\n");
    assert_eq!(
        sandbox.call(&["ps-a"]).out(),
        "eg exited sh -c while [ ! -e /dev/shm/go ]; do sleep 0.02; done; exit 5\n"
    );
    sandbox.run(&["true"], json!({"remove_on_exit": true})).fails(125, "no space left on device (ENOSPC)");
    assert_eq!(std::fs::read_dir(sandbox.root().join("containers")).unwrap().count(), 1);
    std::fs::remove_file(fill).unwrap();
    sandbox.call(&["ps"]).ok();
    assert_eq!(sandbox.engine().state(&sandbox.find("eg")).unwrap().exit_code, 5);
    assert_eq!(std::fs::read_dir(sandbox.state().join("containers")).unwrap().count(), 0);
    sandbox.call(&["rm", "eg"]).ok();
}

pub(crate) fn a_step_whose_builder_died_before_it_ran_leaves_nothing() {
    let sandbox = Sandbox::new();
    let scratch = sandbox.root().join("tmp/scratch");
    let more = json!({"name": "step", "remove_on_exit": true, "scratch": scratch});
    let create = || sandbox.call(&["create", &request(&["true"], more.clone()).to_string()]).ok();
    create();
    // It was on record, and its run open; nothing told yet of a process.
    std::fs::create_dir(sandbox.state().join("containers").join(sandbox.find("step").id.as_str())).unwrap();
    assert_eq!(sandbox.call(&["ps"]).ok(), "");
    sandbox.assert_empty();
    // A power cut takes the run as well.
    create();
    std::fs::remove_dir_all(sandbox.state()).unwrap();
    assert_eq!(sandbox.call(&["ps-a"]).ok(), "");
    sandbox.assert_empty();
}

pub(crate) fn whatever_is_killed_at_any_moment_leaves_nothing() {
    let sandbox = Sandbox::new();
    let ours = || processes_of(&sandbox);
    for round in 0..40_u64 {
        let more = json!({"name": format!("eg{round}"), "remove_on_exit": round % 2 == 0});
        let mut child = sandbox.spawn(&["run-detached", &request(&["sleep", "60"], more).to_string()]);
        // Not to wait for something, but to strike at another moment in each round.
        std::thread::sleep(std::time::Duration::from_micros(round * 1500));
        testkit::until("all of ours to be killed", || {
            ours().into_iter().for_each(|pid| drop(sys::process::kill(pid, 9)));
            // The command, once reaped, is not among them any more; its fork dies beside it.
            (child.try_wait().unwrap().is_some() && ours().is_empty()).then_some(())
        });
        testkit::until("nothing to run", || (sandbox.call(&["ps"]).ok().is_empty()).then_some(()));
        for line in sandbox.call(&["ps-a"]).ok().lines() {
            sandbox.call(&["rm", line.split(' ').next().unwrap()]).ok();
        }
        sandbox.assert_empty();
    }
}

/// Returns the processes whose command line names the sandbox and which are not dead yet.
fn processes_of(sandbox: &Sandbox) -> Vec<u32> {
    let needle = sandbox.root().to_str().unwrap().to_owned();
    let pids =
        std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let names = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&needle)
    };
    pids.filter(|pid| *pid != std::process::id()).filter(names).collect()
}

pub(crate) fn a_removal_that_a_power_cut_interrupted_is_undone_or_finished() {
    let sandbox = Sandbox::new();
    let create = |name: &str| sandbox.call(&["create", &request(&["true"], json!({"name": name})).to_string()]).ok();
    create("eg");
    let (first, name) = (sandbox.find("eg"), sandbox.root().join("container-names/eg"));
    let cut = || std::fs::remove_dir_all(sandbox.state()).unwrap();
    // The name is gone, the run that was to tell of it as well: the container was not removed, and has its name again.
    std::fs::remove_file(&name).unwrap();
    cut();
    assert_eq!(sandbox.call(&["ps-a"]).ok(), "eg created true\n");
    assert_eq!(sandbox.find("eg").id, first.id);
    // The name is another one's: the removal had come to its end for all to see, and is finished.
    std::fs::remove_file(&name).unwrap();
    create("eg");
    let second = sandbox.find("eg");
    assert_ne!(second.id, first.id);
    cut();
    assert_eq!(sandbox.call(&["ps-a"]).ok(), "eg created true\n");
    assert!(!sandbox.root().join("containers").join(first.id.as_str()).exists());
    // What was already moved aside, what had no record yet, and a name without even that, are cleared away.
    let containers = sandbox.root().join("containers");
    std::fs::create_dir_all(containers.join(format!(".{}.1/upper", first.id))).unwrap();
    std::fs::create_dir_all(containers.join(first.id.as_str())).unwrap();
    let names = sandbox.root().join("container-names");
    std::os::unix::fs::symlink(format!("../containers/{}", "7".repeat(64)), names.join("nobody")).unwrap();
    // Changes whose record is gone are no work that was interrupted, and nobody else's to remove.
    let kept = containers.join("8".repeat(64));
    std::fs::create_dir_all(kept.join("upper")).unwrap();
    cut();
    sandbox.call(&["ps-a"]).ok();
    assert!(kept.join("upper").exists());
    std::fs::remove_dir_all(kept).unwrap();
    assert_eq!(std::fs::read_dir(containers).unwrap().count(), 1);
    assert_eq!(std::fs::read_dir(names).unwrap().count(), 1);
    sandbox.call(&["rm", "eg"]).ok();
    sandbox.assert_empty();
}
