//! The commands that a plan tells do what applying it does.

use std::path::Path;
use std::process::Command;

use cgroup::{Cgroup, CgroupPlan, CgroupStep, plan};
use trace::Explain;

use crate::host::{Sandbox, resources};

const LIMITS: &str = r#"{
    "cpu": {"quota": 50000, "period": 200000, "shares": 512, "cpus": "0"},
    "memory": {"limit": 67108864, "swap": 134217728, "reservation": 33554432},
    "pids": {"limit": 10}
}"#;

#[test]
fn the_commands_of_a_plan_make_the_same_cgroup() {
    let sandbox = Sandbox::new("told");
    let applied = sandbox.create("applied", LIMITS);
    let by_hand = plan(&sandbox.path("hand/made"), Some(&resources(LIMITS)), &sandbox.host).unwrap();
    let script = script(&by_hand);
    let ran = Command::new("/bin/sh").args(["-e", "-c", &script]).status().unwrap();
    assert!(ran.success(), "{script}");
    let by_hand = Cgroup::open(&sandbox.path("hand/made"), &sandbox.host);
    for (ours, theirs) in applied.dirs().zip(by_hand.dirs()) {
        assert_eq!(limits(&ours), limits(&theirs), "{}", ours.display());
    }
}

#[test]
fn the_commands_about_devices_on_v1_do_the_same() {
    let sandbox = Sandbox::new("tolddevices");
    let limits = r#"{"devices": [{"allow": false, "access": "rwm"},
        {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"}]}"#;
    let by_hand = plan(&sandbox.path("hand"), Some(&resources(limits)), &sandbox.host).unwrap();
    let Some(CgroupStep::ListDevices { dir, .. }) = by_hand.steps().iter().find(|step| is_list(step)) else {
        eprintln!("this host limits devices by a program, which no command attaches");
        return;
    };
    let applied = sandbox.create("applied", limits);
    assert!(Command::new("/bin/sh").args(["-e", "-c", &script(&by_hand)]).status().unwrap().success());
    let list = |dir: &Path| std::fs::read_to_string(dir.join("devices.list")).unwrap();
    assert_eq!(list(dir), list(&dir.with_file_name("applied")));
    drop(applied);
}

fn is_list(step: &CgroupStep) -> bool {
    matches!(step, CgroupStep::ListDevices { .. })
}

/// Returns the commands of a plan without the last, which would move the shell inside.
fn script(plan: &CgroupPlan) -> String {
    let steps = plan.steps().iter().filter(|step| !matches!(step, CgroupStep::Join { .. }));
    steps.map(|step| step.explain().shell).collect::<Vec<_>>().join("\n")
}

/// Returns names and contents of the files that hold limits.
fn limits(dir: &Path) -> Vec<(String, String)> {
    let names = [
        "cpu.max",
        "cpu.weight",
        "cpu.shares",
        "cpu.cfs_quota_us",
        "cpu.cfs_period_us",
        "cpuset.cpus",
        "cpuset.mems",
        "memory.max",
        "memory.low",
        "memory.swap.max",
        "memory.limit_in_bytes",
        "memory.memsw.limit_in_bytes",
        "memory.soft_limit_in_bytes",
        "pids.max",
        "cgroup.controllers",
    ];
    let read = |name: &str| Some((name.to_owned(), std::fs::read_to_string(dir.join(name)).ok()?));
    names.into_iter().filter_map(read).collect()
}
