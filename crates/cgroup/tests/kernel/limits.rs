//! What the limits do to processes.

use std::time::{Duration, Instant};

use cgroup::Cgroup;
use sys::process::{self, Fork};
use trace::Recorder;

use crate::host::{KILLED, Sandbox, resources, run, spin, start, start_and_meet, wait_for_ever};

#[test]
fn two_busy_processes_share_half_a_cpu() {
    let sandbox = Sandbox::favoured("cpu");
    let cgroup = sandbox.create("web", r#"{"cpu": {"quota": 50000, "period": 100000}}"#);
    let children = [start_and_meet(&cgroup, spin), start_and_meet(&cgroup, spin)];
    // A measure may begin and end anywhere in a period of 0.1 s, so it takes many.
    let share = measure_share(&cgroup, Duration::from_secs(4));
    cgroup.kill().unwrap();
    children.iter().for_each(|child| assert_eq!(process::wait(&child.pidfd).unwrap(), KILLED));
    println!("share of one CPU: {share:.4}");
    assert!((0.475..=0.525).contains(&share), "{share}");
    assert!(cgroup.stats().throttled.unwrap() > Duration::ZERO);
}

/// Returns how much of one CPU is used over about this time.
fn measure_share(cgroup: &Cgroup, time: Duration) -> f64 {
    let used = || (Instant::now(), cgroup.stats().cpu.unwrap());
    let (start, before) = used();
    std::thread::sleep(time);
    let (end, after) = used();
    (after - before).as_secs_f64() / (end - start).as_secs_f64()
}

#[test]
fn a_process_that_takes_too_much_memory_is_killed_and_counted() {
    let sandbox = Sandbox::new("memory");
    let cgroup = sandbox.create("web", r#"{"memory": {"limit": 16777216, "swap": 16777216}}"#);
    assert_eq!(cgroup.oom_kills().unwrap(), 0);
    assert_eq!(cgroup.stats().memory_limit, Some(16 << 20));
    assert_eq!(run(&cgroup, || fill(4 << 20)).code(), 0);
    assert_eq!(cgroup.oom_kills().unwrap(), 0);
    assert_eq!(run(&cgroup, || fill(64 << 20)), KILLED);
    assert_eq!(cgroup.oom_kills().unwrap(), 1);
}

/// Takes memory and writes to each page.
fn fill(amount: usize) -> i32 {
    let mut memory = vec![0u8; amount];
    memory.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    std::hint::black_box(&memory);
    0
}

#[test]
fn an_oom_kill_in_a_nested_cgroup_is_counted() {
    let sandbox = Sandbox::new("nestedoom");
    let outer = sandbox.create("web", r#"{"memory": {"limit": 16777216, "swap": 16777216}}"#);
    let inner = sandbox.create("web/inner", "{}");
    assert_eq!(run(&inner, || fill(64 << 20)), KILLED);
    assert_eq!(outer.oom_kills().unwrap(), 1);
    drop(inner);
}

#[test]
fn forks_end_at_the_limit_of_processes() {
    let sandbox = Sandbox::new("pids");
    let cgroup = sandbox.create("web", r#"{"pids": {"limit": 8}}"#);
    let status = run(&cgroup, || {
        let mut children = Vec::new();
        // Bounded, so that a limit that does not hold harms nobody.
        for _ in 0..32 {
            match process::clone_into(&[], None) {
                Ok(Fork::Parent(child)) => children.push(child),
                Ok(Fork::Child) => process::exit(wait_for_ever()),
                Err(_) => break,
            };
        }
        i32::try_from(children.len()).unwrap_or(-1)
    });
    assert_eq!(status.code(), 7);
    cgroup.kill().unwrap();
    assert!(cgroup.wait_empty(Duration::from_secs(5)).unwrap());
    assert_eq!(cgroup.stats().pids_limit, Some(8));
}

#[test]
fn limits_are_changed_while_processes_run() {
    let sandbox = Sandbox::favoured("update");
    let cgroup = sandbox.create(
        "web",
        r#"{"memory": {"limit": 16777216, "swap": 16777216}, "cpu": {"quota": 20000, "period": 100000}, "pids": {"limit": 10}}"#,
    );
    let child = start_and_meet(&cgroup, spin);
    let update = |limits: &str| {
        let warnings = cgroup.update(&resources(limits), &Recorder::silent()).unwrap();
        assert_eq!(warnings, []);
        cgroup.stats()
    };
    // Upward and downward again: v1 takes the two memory limits in one order only, and in another each way.
    let raised = update(r#"{"memory": {"limit": 67108864, "swap": 67108864}, "pids": {"limit": 20}}"#);
    assert_eq!((raised.memory_limit, raised.pids_limit), (Some(64 << 20), Some(20)));
    let lowered = update(r#"{"memory": {"limit": 33554432, "swap": 33554432}, "pids": {"limit": -1}}"#);
    assert_eq!((lowered.memory_limit, lowered.pids_limit), (Some(32 << 20), None));
    // A period alone leaves the quota as it is: 20000 of 50000 us.
    update(r#"{"cpu": {"period": 50000}}"#);
    let share = measure_share(&cgroup, Duration::from_secs(2));
    assert!((0.36..=0.44).contains(&share), "{share}");
    cgroup.kill().unwrap();
    process::wait(&child.pidfd).unwrap();
}

#[test]
fn an_update_below_what_is_in_use_is_refused_when_asked_to_check() {
    let sandbox = Sandbox::new("check");
    let cgroup = sandbox.create("web", r#"{"memory": {"limit": 67108864}}"#);
    let (filled, filling) = std::io::pipe().unwrap();
    let child = start(&cgroup, move || {
        let memory = std::hint::black_box(vec![1u8; 16 << 20]);
        let _ = std::io::Write::write_all(&mut &filling, &memory[..1]);
        wait_for_ever()
    });
    std::io::Read::read_exact(&mut &filled, &mut [0]).unwrap();
    let limits = resources(r#"{"memory": {"limit": 8388608, "checkBeforeUpdate": true}}"#);
    let error = cgroup.update(&limits, &Recorder::silent()).unwrap_err();
    assert!(error.to_string().starts_with("cannot set memory.limit to 8388608: "), "{error}");
    cgroup.kill().unwrap();
    process::wait(&child.pidfd).unwrap();
}

#[test]
fn processes_run_on_the_cpus_of_their_set() {
    let sandbox = Sandbox::new("cpuset");
    let cgroup = sandbox.create("web", r#"{"cpu": {"cpus": "0", "mems": "0"}}"#);
    let status = run(&cgroup, || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        i32::from(!status.lines().any(|line| line == "Cpus_allowed_list:\t0"))
    });
    assert_eq!(status.code(), 0);
}
