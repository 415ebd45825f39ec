//! A cgroup's life: made, joined, frozen, killed, found again, removed.

use std::time::{Duration, Instant};

use cgroup::{Cgroup, CgroupError, Hierarchies, plan};
use sys::process;
use trace::Recorder;

use crate::host::{KILLED, Sandbox, resources, run, spin, start, start_and_meet, wait_for_ever};

#[test]
fn a_process_is_inside_in_every_hierarchy() {
    let sandbox = Sandbox::new("inside");
    let cgroup = sandbox.create("web", "{}");
    let child = start_and_meet(&cgroup, wait_for_ever);
    for dir in sandbox.dirs("web") {
        let procs = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap();
        assert_eq!(procs.trim(), child.pid.to_string(), "{}", dir.display());
    }
    assert_eq!(cgroup.pids().unwrap(), [child.pid]);
    assert!(!cgroup.is_empty().unwrap());
    cgroup.kill().unwrap();
    assert_eq!(process::wait(&child.pidfd).unwrap(), KILLED);
    assert!(cgroup.wait_empty(Duration::from_secs(5)).unwrap());
}

#[test]
fn a_second_process_finds_the_cgroup_by_its_path() {
    let sandbox = Sandbox::new("again");
    let first = sandbox.create("web", "{}").keep();
    drop(first);
    let again = Cgroup::open(&sandbox.path("web"), &sandbox.host);
    assert!(again.exists().unwrap());
    let child = start_and_meet(&again, wait_for_ever);
    assert_eq!(again.pids().unwrap(), [child.pid]);
    again.kill().unwrap();
    process::wait(&child.pidfd).unwrap();
    again.remove().unwrap();
    assert!(!again.exists().unwrap());
    again.remove().unwrap();
    again.kill().unwrap();
}

#[test]
fn a_cgroup_that_is_not_kept_is_removed() {
    let sandbox = Sandbox::new("dropped");
    let cgroup = sandbox.create("web", "{}");
    assert!(sandbox.dirs("web").iter().all(|dir| dir.exists()));
    drop(cgroup);
    assert!(!sandbox.dirs("web").iter().any(|dir| dir.exists()));
}

#[test]
fn a_limit_that_the_kernel_refuses_is_named_and_leaves_nothing() {
    let sandbox = Sandbox::new("refused");
    let error = sandbox.try_create("web", r#"{"cpu": {"cpus": "4000"}}"#).unwrap_err();
    assert_eq!(error.to_string(), "cannot set cpu.cpus to \"4000\"");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("web/cpuset.cpus") && cause.contains("\"4000\""), "{cause}");
    assert!(!sandbox.dirs("web").iter().any(|dir| dir.exists()));
}

#[test]
fn a_cgroup_with_processes_is_not_made_anew() {
    let sandbox = Sandbox::new("occupied");
    let cgroup = sandbox.create("web", "{}");
    let child = start_and_meet(&cgroup, wait_for_ever);
    match sandbox.try_create("web", "{}") {
        Err(CgroupError::Occupied { pids, .. }) => assert_eq!(pids, [child.pid]),
        other => panic!("{other:?}"),
    }
    assert!(cgroup.exists().unwrap());
    cgroup.kill().unwrap();
    process::wait(&child.pidfd).unwrap();
}

#[test]
fn a_cgroup_that_was_left_frozen_is_taken_over() {
    let sandbox = Sandbox::new("leftover");
    let left = sandbox.create("web", "{}").keep();
    left.freeze().unwrap();
    let cgroup = sandbox.create("web", "{}");
    assert_eq!(run(&cgroup, || 7).code(), 7);
    drop(cgroup);
    assert!(left.exists().unwrap(), "what was there before is not ours to remove");
}

#[test]
fn frozen_processes_use_no_time_and_thawed_ones_do() {
    let sandbox = Sandbox::new("frozen");
    let cgroup = sandbox.create("web", "{}");
    let child = start_and_meet(&cgroup, spin);
    cgroup.freeze().unwrap();
    let before = cgroup.stats().cpu.unwrap();
    // The only way to see that nothing happens is to give it the time to happen.
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(cgroup.stats().cpu.unwrap(), before);
    cgroup.thaw().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while cgroup.stats().cpu.unwrap() == before {
        assert!(Instant::now() < deadline, "a thawed process runs");
        std::thread::yield_now();
    }
    cgroup.kill().unwrap();
    assert_eq!(process::wait(&child.pidfd).unwrap(), KILLED);
}

#[test]
fn frozen_processes_are_killed() {
    let sandbox = Sandbox::new("frozenkill");
    let cgroup = sandbox.create("web", "{}");
    let child = start_and_meet(&cgroup, wait_for_ever);
    cgroup.freeze().unwrap();
    cgroup.kill().unwrap();
    assert_eq!(process::wait(&child.pidfd).unwrap(), KILLED);
}

#[test]
fn v1_trees_alone_can_freeze_and_kill_too() {
    let sandbox = Sandbox::new("v1");
    if sandbox.host.is_pure_v2() {
        eprintln!("this host has no v1 tree: what v1 trees can do alone is shown on a host that has them");
        return;
    }
    let host = Hierarchies::new(sandbox.host.v1().to_vec(), None);
    let plan = plan(&sandbox.path("web"), Some(&resources("{}")), &host).unwrap();
    let cgroup = Cgroup::create(&plan, &Recorder::silent()).unwrap();
    let children = [start_and_meet(&cgroup, spin), start_and_meet(&cgroup, wait_for_ever)];
    let mut pids = children.iter().map(|child| child.pid).collect::<Vec<_>>();
    pids.sort_unstable();
    assert_eq!(cgroup.pids().unwrap(), pids);
    cgroup.freeze().unwrap();
    cgroup.thaw().unwrap();
    // Killed processes stay in v1's lists until they are reaped, so the killing and the reaping go side by side.
    let waiters = children.map(|child| std::thread::spawn(move || process::wait(&child.pidfd).unwrap()));
    cgroup.kill().unwrap();
    waiters.into_iter().for_each(|waiter| assert_eq!(waiter.join().unwrap(), KILLED));
    assert!(cgroup.wait_empty(Duration::from_secs(5)).unwrap());
    cgroup.remove().unwrap();
}

#[test]
fn nested_cgroups_are_listed_killed_and_removed() {
    let sandbox = Sandbox::new("nested");
    let cgroup = sandbox.create("web", "{}");
    let nested = sandbox.create("web/inner/deep", "{}");
    let child = start_and_meet(&nested, wait_for_ever);
    assert_eq!(cgroup.pids().unwrap(), [child.pid]);
    cgroup.kill().unwrap();
    assert_eq!(process::wait(&child.pidfd).unwrap(), KILLED);
    cgroup.remove().unwrap();
    assert!(!cgroup.exists().unwrap());
    drop(nested.keep());
}

#[test]
fn a_cgroup_with_processes_can_limit_none_inside_it_on_v2() {
    let sandbox = Sandbox::new("internal");
    if !sandbox.host.is_pure_v2() {
        eprintln!("this host has v1 trees, where processes and nested cgroups may stand side by side");
        return;
    }
    let cgroup = sandbox.create("web", "{}");
    let child = start_and_meet(&cgroup, wait_for_ever);
    match sandbox.try_create("web/inner", r#"{"memory": {"limit": 67108864}}"#) {
        Err(CgroupError::Enable { controller, dir, .. }) => {
            assert_eq!((controller.name(), dir.ends_with("web")), ("memory", true));
        }
        other => panic!("{other:?}"),
    }
    assert!(sandbox.dirs("web/inner").iter().all(|dir| !dir.exists()));
    cgroup.kill().unwrap();
    process::wait(&child.pidfd).unwrap();
}

#[test]
fn a_cgroup_that_is_gone_cannot_be_frozen_and_is_empty() {
    let sandbox = Sandbox::new("gone");
    let cgroup = Cgroup::open(&sandbox.path("web"), &sandbox.host);
    assert!(matches!(cgroup.freeze(), Err(CgroupError::Access { .. })));
    assert!(cgroup.is_empty().unwrap() && cgroup.wait_empty(Duration::from_secs(5)).unwrap());
    assert_eq!((cgroup.pids().unwrap(), cgroup.oom_kills().unwrap()), (vec![], 0));
    assert!(cgroup.entry().is_err());
}

#[test]
fn a_cgroup_in_use_is_not_removed_and_says_by_whom() {
    let sandbox = Sandbox::new("inuse");
    let cgroup = sandbox.create("web", "{}");
    let child = start_and_meet(&cgroup, wait_for_ever);
    match cgroup.remove() {
        Err(CgroupError::Remove { pids, .. }) => assert_eq!(pids, [child.pid]),
        other => panic!("{other:?}"),
    }
    cgroup.kill().unwrap();
    process::wait(&child.pidfd).unwrap();
}

#[test]
fn a_removal_waits_for_processes_that_are_just_exiting() {
    let sandbox = Sandbox::new("exiting");
    for _ in 0..20 {
        let cgroup = sandbox.create("web", "{}");
        let child = start(&cgroup, wait_for_ever);
        cgroup.kill().unwrap();
        // Not reaped yet: the removal must not depend on who is first.
        let waiter = std::thread::spawn(move || process::wait(&child.pidfd).unwrap());
        cgroup.remove().unwrap();
        waiter.join().unwrap();
    }
}

#[test]
fn a_cgroup_costs_little() {
    let sandbox = Sandbox::new("cost");
    let limits = r#"{"cpu": {"quota": 50000, "period": 100000}, "memory": {"limit": 67108864}, "pids": {"limit": 100}, "devices": []}"#;
    sandbox.create("first", "{}");
    let rounds = 20;
    let started = Instant::now();
    for _ in 0..rounds {
        Hierarchies::detect().unwrap();
    }
    let detected = started.elapsed() / rounds;
    let (mut made, mut joined, mut removed) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for _ in 0..rounds {
        let at = Instant::now();
        let cgroup = sandbox.create("web", limits);
        made += at.elapsed();
        let at = Instant::now();
        run(&cgroup, || 0);
        joined += at.elapsed();
        let at = Instant::now();
        cgroup.remove().unwrap();
        removed += at.elapsed();
    }
    let (made, joined, removed) = (made / rounds, joined / rounds, removed / rounds);
    println!("detect {detected:?}, make {made:?}, clone and join and exit {joined:?}, remove {removed:?}");
    assert!(made < Duration::from_millis(50), "{made:?}");
}
