//! The labs, run for real: what they print is what the founding documents show.

#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::process::Command;

/// Runs a lab and returns what it printed, line by line.
fn run(lab: &str, words: &[&str]) -> Vec<String> {
    let out = Command::new(lab).args(words).output().unwrap();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{lab} ended with {}: {errors}", out.status);
    String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Returns what follows `start` on the line that begins with it.
fn after<'a>(lines: &'a [String], start: &str) -> &'a str {
    let found = lines.iter().find_map(|line| line.strip_prefix(start));
    found.unwrap_or_else(|| panic!("no line begins with {start:?}: {lines:#?}"))
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned()
}

#[test]
fn both_children_of_task_1_see_the_same_name_and_numbers() {
    let lines = run(env!("CARGO_BIN_EXE_task1"), &[]);
    let first = after(&lines, "Child 1: PID 1, hostname child-1-hostname, ");
    let second = after(&lines, "Child 2: PID 2, hostname child-1-hostname, ");
    assert_eq!(first, second, "the namespaces themselves are the same");
    assert!(!after(&lines, "Parent: ").ends_with(first));
}

#[test]
fn the_parent_of_task_1_keeps_its_own_name() {
    let lines = run(env!("CARGO_BIN_EXE_task1"), &[]);
    let parents: Vec<_> = lines.iter().filter(|line| line.starts_with("Parent: ")).collect();
    assert_eq!(parents.len(), 2);
    assert_eq!(parents[0], parents[1]);
    assert!(parents[0].contains(&format!("hostname {},", host_name())));
}

#[test]
fn the_root_of_task_2a_holds_the_program_and_its_libraries_and_nothing_else() {
    let lines = run(env!("CARGO_BIN_EXE_task2a"), &["1000"]);
    let start = lines.iter().position(|line| line == "Files/Directories in root directory:").unwrap() + 1;
    let end = lines.iter().position(|line| line.starts_with("Hostname within container:")).unwrap();
    let mut entries = lines[start..end].to_vec();
    entries.sort();
    assert_eq!(entries, ["container_prog", "lib", "lib64", "ls"]);
    assert_eq!(after(&lines, "Hostname within container: "), host_name(), "task 2a has no name of its own");
}

#[test]
fn task_2a_runs_a_dynamic_program_with_the_libraries_it_brought() {
    let lines = run(env!("CARGO_BIN_EXE_task2a"), &["/bin/ls", "/"]);
    assert_eq!(&lines[..3], ["lib", "lib64", "ls"]);
}

#[test]
fn a_program_that_is_not_there_is_named_and_leaves_nothing_behind() {
    let scratch = tempfile::tempdir().unwrap();
    let mut lab = Command::new(env!("CARGO_BIN_EXE_task2a"));
    let out = lab.arg("/no/such/program").env("TMPDIR", scratch.path()).output().unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stderr).contains("/no/such/program"), "{out:?}");
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[test]
fn task_2b_begins_at_number_1_under_a_new_name_and_the_host_keeps_its_own() {
    let lines = run(env!("CARGO_BIN_EXE_task2b"), &["1000"]);
    assert_eq!(after(&lines, "Process PID: "), "1");
    assert_eq!(after(&lines, "Child Process PID: "), "2");
    assert_eq!(after(&lines, "Hostname within container: "), "new_hostname");
    assert_eq!(after(&lines, "Hostname in the host: "), host_name());
    assert!(after(&lines, "Time Taken: ").ends_with(" ms"));
    assert!(lines.iter().any(|line| line == "Computation Benchmark:"));
    assert!(after(&lines, "Value (Ignore): ").parse::<u64>().is_ok());
}

#[test]
fn task_2c_takes_twice_as_long_for_the_value_of_task_2b() {
    let free = run(env!("CARGO_BIN_EXE_task2b"), &["60000000"]);
    // Held against the time that it was really running, which other work on the machine does not change.
    let limited = run("sh", &["-c", "$0 60000000; times", env!("CARGO_BIN_EXE_task2c")]);
    assert_eq!(after(&limited, "Value (Ignore): "), after(&free, "Value (Ignore): "));
    let taken: f64 = after(&limited, "Time Taken: ").trim_end_matches(" ms").parse().unwrap();
    let running: f64 = limited.last().unwrap().split_whitespace().map(milliseconds).sum();
    let ratio = taken / running;
    assert!(ratio > 1.8, "half a CPU took only {ratio:.2} times as long");
}

/// Reads a time as the shell's `times` prints it, such as `0m1.230000s`.
fn milliseconds(text: &str) -> f64 {
    let (minutes, seconds) = text.trim_end_matches('s').split_once('m').unwrap();
    (minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap()) * 1000.0
}

#[test]
fn task_2c_leaves_no_cgroup_behind() {
    run(env!("CARGO_BIN_EXE_task2c"), &["1000"]);
    run(env!("CARGO_BIN_EXE_task2c"), &["/bin/ls", "/"]);
    for hierarchy in std::fs::read_dir("/sys/fs/cgroup").unwrap() {
        let entries = std::fs::read_dir(hierarchy.unwrap().path()).into_iter().flatten().flatten();
        let left: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        let own = |name: &&String| name.starts_with("conductor-labs-") && !is_running(name);
        assert_eq!(left.iter().find(own), None);
    }
}

/// Tells whether the lab that a cgroup is called after still runs, as another test's may.
fn is_running(cgroup: &str) -> bool {
    cgroup.rsplit('-').next().is_some_and(|pid| std::path::Path::new("/proc").join(pid).exists())
}
