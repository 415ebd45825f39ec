//! `--explain`, `explain` and `explain --script`: what is told is what is done.

use std::collections::BTreeMap;

use serde_json::Value;
use testkit::{Conductor, Sandbox};

use crate::{IMAGE, busybox};

#[test]
fn every_step_is_told_in_words_with_its_command_in_order() {
    let sandbox = busybox();
    let ran = sandbox.conductor(["--explain", "run", "--rm", "--network", "none", IMAGE, "true"]).run().success();
    let place = |text: &str| ran.stderr.find(text).unwrap_or_else(|| panic!("no {text:?} in\n{}", ran.stderr));
    assert!(place("overlay") < place("mount -t proc"));
    assert!(place("mount -t proc") < place("pivot_root"));
    assert!(ran.stderr.lines().any(|line| line.starts_with("+ ")), "steps on the host: {}", ran.stderr);
    assert!(ran.stderr.lines().any(|line| line.starts_with("| ")), "steps inside: {}", ran.stderr);
    assert_eq!(ran.stdout, "", "the program's output stays its own");
    sandbox.assert_clean();
}

#[test]
fn steps_in_json_are_objects_of_three_strings() {
    let sandbox = busybox();
    let ran = sandbox.conductor(["--explain=json", "run", "--rm", IMAGE, "true"]).run().success();
    assert!(ran.stderr.lines().count() > 10);
    for line in ran.stderr.lines() {
        let step: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(step["what"].is_string() && step["shell"].is_string() && step["place"].is_string(), "{line}");
    }
}

#[test]
fn explain_applies_nothing() {
    let sandbox = busybox();
    let told = sandbox.conductor(["explain", "run", "--name", "eg", IMAGE, "true"]).ok();
    assert!(told.contains("mount -t proc"), "{told}");
    assert_eq!(sandbox.conductor(["ps", "-aq"]).ok(), "");
    sandbox.assert_clean();
}

#[test]
fn explain_tells_the_steps_that_run_applies() {
    let sandbox = busybox();
    let words = ["run", "--rm", "--network", "none", "--name", "eg", "-m", "64m", IMAGE, "true"];
    let planned = sandbox.conductor(["explain"]).args(words).ok();
    let applied = sandbox.conductor(["--explain"]).args(words).run().success().stderr;
    // What differs from run to run: identities, and the numbers of descriptors and processes.
    let comparable = |text: &str| -> Vec<String> {
        let steps = text.lines().filter(|line| line.starts_with(['+', '|']));
        steps.map(|line| line.chars().filter(|c| !c.is_ascii_hexdigit()).collect()).collect()
    };
    let (planned, applied) = (comparable(&planned), comparable(&applied));
    for step in &planned {
        assert!(applied.contains(step), "planned and not applied: {step}\napplied: {applied:#?}");
    }
}

/// What a program can see of its container, in sections that begin with `== NAME`.
const PROBE: &str = "
echo == namespaces; for n in mnt pid net uts ipc cgroup; do readlink /proc/self/ns/$n; done
echo == mounts; cat /proc/self/mountinfo
echo == status; grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs|Umask):' /proc/self/status
echo == limits; cat /proc/self/limits
echo == cgroup
for f in pids/pids.max cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us memory/memory.limit_in_bytes pids.max cpu.max memory.max; do
  test -e /sys/fs/cgroup/$f && echo $f $(cat /sys/fs/cgroup/$f)
done
echo == devices; ls -l /dev | grep -v ^total | awk '{print $1, $NF}'
echo == environment; env | grep -vE '^(_|SHLVL|OLDPWD)=' | sort
echo == names; hostname; pwd; id";

type Sections = BTreeMap<String, Vec<String>>;

fn sections(text: &str) -> Sections {
    let mut sections = Sections::new();
    let mut current = String::new();
    for line in text.lines() {
        match line.strip_prefix("== ") {
            Some(name) => current = name.to_owned(),
            None => sections.entry(current.clone()).or_default().push(line.to_owned()),
        }
    }
    let own = |link: &String| {
        let kind = link.split(':').next().unwrap_or_default();
        let ours = std::fs::read_link(format!("/proc/thread-self/ns/{kind}")).unwrap();
        format!("{kind} {}", if ours.to_str() == Some(link) { "the host's" } else { "its own" })
    };
    let namespaces = sections["namespaces"].iter().map(own).collect();
    let mounts = sections["mounts"].iter().map(|line| mount(line)).collect();
    sections.insert("namespaces".into(), namespaces);
    sections.insert("mounts".into(), mounts);
    sections
}

/// Takes place, kind and options out of a line of mountinfo; the numbers differ from container to container.
fn mount(line: &str) -> String {
    let (left, right) = line.split_once(" - ").unwrap();
    let left: Vec<_> = left.split(' ').collect();
    format!("{} {} {}", left[4], right.split(' ').next().unwrap(), left[5])
}

fn compare(sandbox: &Sandbox, options: &[&str]) {
    let words = [&["run", "--rm", "--network", "none", "--name", "eg", "--hostname", "box"], options].concat();
    let words = [&words[..], &[IMAGE, "sh", "-c", PROBE]].concat();
    let real = sections(&sandbox.conductor(&words).ok());
    let script = sandbox.conductor(["explain", "--script"]).args(&words).ok();
    let path = sandbox.work().join("container.sh");
    std::fs::write(&path, script).unwrap();
    let made = sections(&Conductor::new("bash").arg(&path).dir(sandbox.work()).ok());
    for (name, lines) in &real {
        assert_eq!(made.get(name), Some(lines), "{name} differ");
    }
    sandbox.assert_clean();
}

#[test]
fn the_script_makes_the_same_container_field_by_field() {
    compare(&busybox(), &[]);
}

#[test]
fn the_script_of_a_limited_and_changed_container_makes_the_same() {
    let sandbox = busybox();
    let options =
        ["-m", "64m", "--cpus", "0.5", "--pids-limit", "50", "-u", "alice", "-w", "/tmp", "-e", "A=two words"];
    let more =
        ["--cap-drop", "ALL", "--cap-add", "CHOWN", "--tmpfs", "/scratch", "--read-only", "--ulimit", "nofile=100:200"];
    compare(&sandbox, &[&options[..], &more[..]].concat());
}
