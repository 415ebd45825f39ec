//! Limits, shown by what a container can and cannot do. The same tests run on cgroup v1 and v2.

use crate::{IMAGE, busybox, in_container};

#[test]
fn two_busy_processes_together_get_half_of_a_cpu() {
    let sandbox = busybox();
    // Children's times are known once they have been waited for; the clock and the sum are the container's own.
    let script = "read from rest < /proc/uptime; (while :; do :; done) & a=$!; (while :; do :; done) & b=$!; sleep 6; \
                  kill $a $b; wait $a $b 2>/dev/null; read to rest < /proc/uptime; echo $from $to; times";
    // Before all others where the machine has more to do, so that it is the limit that is met.
    let text = in_container(&sandbox, &["--cpus", "0.5", "--cpu-shares", "262144"], script);
    let (clock, times) = text.split_once('\n').unwrap();
    let used: f64 = times.split_whitespace().map(seconds).sum();
    let clock: Vec<f64> = clock.split_whitespace().map(|word| word.parse().unwrap()).collect();
    let share = used / (clock[1] - clock[0]);
    assert!((0.475..=0.525).contains(&share), "{share:.3} of a CPU: {text}");
    sandbox.assert_clean();
}

/// Reads a time such as `0m1.23s`.
fn seconds(text: &str) -> f64 {
    let (minutes, seconds) = text.trim_end_matches('s').split_once('m').unwrap();
    minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap()
}

#[test]
fn an_allocator_over_the_limit_is_killed_and_inspect_says_so() {
    let sandbox = busybox();
    let greedy = ["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"];
    sandbox.conductor(["run", "--name", "greedy", "-m", "64m", IMAGE]).args(greedy).fails(137);
    assert_eq!(sandbox.conductor(["inspect", "--format", "{{.State.OOMKilled}}", "greedy"]).ok(), "true");
    sandbox.conductor(["run", "--rm", "-m", "512m", IMAGE]).args(greedy).run().success();
    sandbox.conductor(["rm", "greedy"]).run().success();
    sandbox.assert_clean();
}

#[test]
fn a_fork_bomb_stops_at_the_pids_limit() {
    let sandbox = busybox();
    let bomb = "bomb() { bomb | bomb & }; bomb; sleep 1; echo survived";
    let ran = sandbox.conductor(["run", "--rm", "--pids-limit", "20", IMAGE, "sh", "-c", bomb]).run();
    assert!(ran.stderr.contains("can't fork"), "{ran:?}");
    sandbox.assert_clean();
}

#[test]
fn every_process_is_inside_the_limit_those_of_exec_included() {
    let sandbox = busybox();
    sandbox.conductor(["run", "-d", "--name", "eg", "--pids-limit", "5", IMAGE, "sleep", "1000"]).run().success();
    let script = "for i in 1 2 3 4 5 6 7 8; do sleep 100 & done; wait";
    let ran = sandbox.conductor(["exec", "eg", "sh", "-c", script]).run();
    assert!(ran.stderr.contains("can't fork"), "{ran:?}");
    sandbox.conductor(["rm", "-f", "eg"]).run().success();
    sandbox.assert_clean();
}

#[test]
fn a_container_on_one_cpu_sees_one() {
    let sandbox = busybox();
    assert_eq!(
        in_container(&sandbox, &["--cpuset-cpus", "0"], "grep Cpus_allowed_list /proc/self/status | cut -f2"),
        "0"
    );
}
