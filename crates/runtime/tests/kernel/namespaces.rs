//! New, joined and the host's.

use serde_json::json;
use sys::namespace;

use crate::harness::{Case, Running};

const KINDS: [(&str, &str); 6] =
    [("pid", "pid"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("mount", "mnt"), ("cgroup", "cgroup")];

fn own(file: &str) -> String {
    std::fs::read_link(format!("/proc/thread-self/ns/{file}")).unwrap().to_string_lossy().into_owned()
}

fn look(kinds: &[&str]) -> String {
    kinds.iter().map(|kind| format!("readlink /proc/self/ns/{kind};")).collect()
}

#[test]
fn a_container_has_new_namespaces_of_each_kind_it_names() {
    let files: Vec<_> = KINDS.iter().map(|(_, file)| *file).chain(["time"]).collect();
    let text = Case::sh(&look(&files)).namespace("time", None).run().prints();
    for (line, file) in text.lines().zip(&files) {
        assert_ne!(line, own(file), "{file}");
    }
    assert_eq!(text.lines().count(), 7);
}

#[test]
fn what_it_does_not_name_is_the_hosts() {
    let files = ["net", "ipc", "uts", "cgroup", "time", "user"];
    let mut case = Case::sh(&look(&files)).edit(|spec| drop(spec.as_object_mut().unwrap().remove("hostname")));
    for kind in ["network", "ipc", "uts", "cgroup"] {
        case = case.without(kind);
    }
    let text = case.run().prints();
    for (line, file) in text.lines().zip(files) {
        assert_eq!(line, own(file), "{file}");
    }
}

#[test]
fn the_hosts_pid_namespace_shows_the_hosts_processes() {
    let case = Case::sh("echo $$").without("pid");
    let pid: u32 = case.run().prints().trim().parse().unwrap();
    assert!(pid > 1);
}

fn holder() -> (Case, Running) {
    let case = Case::sh("hostname held; echo up; exec sleep 1000").privileged();
    let running = case.start().unwrap();
    assert_eq!(running.line(), "up");
    (case, running)
}

#[test]
fn namespaces_are_joined_by_path() {
    let (_held, running) = holder();
    let files = ["net", "ipc", "uts", "cgroup", "pid"];
    let path = |file: &str| format!("/proc/{}/ns/{file}", running.process.pid);
    let mut case = Case::sh(&format!("{} hostname", look(&files)))
        .edit(|spec| drop(spec.as_object_mut().unwrap().remove("hostname")));
    for (kind, file) in KINDS.iter().filter(|(kind, _)| *kind != "mount") {
        case = case.namespace(kind, Some(&path(file)));
    }
    let outcome = case.start().unwrap().ends();
    let text = outcome.prints();
    let lines: Vec<_> = text.lines().collect();
    for (line, file) in lines.iter().zip(files) {
        assert_eq!(*line, std::fs::read_link(path(file)).unwrap().to_string_lossy(), "{file}");
    }
    assert_eq!(lines[5], "held");
    running.kill();
}

fn with_users(case: Case) -> Case {
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
    case.namespace("user", None).set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map)
}

/// The root of a bundle belongs to the users of its container.
fn chown_root(case: &Case) {
    for path in ["", "dev", "proc", "sys", "tmp", "etc", "root", "bin"] {
        std::os::unix::fs::chown(case.rootfs().join(path), Some(100_000), Some(100_000)).unwrap();
    }
}

#[test]
fn a_new_user_namespace_maps_the_containers_root() {
    let script = "id -u; cat /proc/self/uid_map | tr -s ' '; test -c /dev/null && echo x > /dev/null && echo null; \
                  touch /tmp/f && stat -c %u /tmp/f; cat /proc/self/setgroups; mount | grep -c ' /proc '";
    let case = with_users(Case::sh(script));
    chown_root(&case);
    let owner = case.rootfs();
    case.run().says(&["0", " 0 100000 65536", "null", "0", "allow", "1"]);
    use std::os::unix::fs::MetadataExt as _;
    assert_eq!(owner.join("tmp/f").metadata().unwrap().uid(), 100_000);
}

#[test]
fn a_user_namespace_gets_its_limits_score_and_user_all_the_same() {
    let case = with_users(Case::sh("id -u; ulimit -n; cat /proc/self/oom_score_adj; hostname"))
        .set("/process/user", json!({ "uid": 1000, "gid": 1000, "additionalGids": [50] }))
        .set("/process/oomScoreAdj", json!(300))
        .set("/process/rlimits", json!([{ "type": "RLIMIT_NOFILE", "soft": 77, "hard": 88 }]));
    chown_root(&case);
    case.run().says(&["1000", "77", "300", "bundle"]);
}

#[test]
fn a_new_user_namespace_goes_with_a_joined_network() {
    let (_held, running) = holder();
    let path = format!("/proc/{}/ns/net", running.process.pid);
    let expected = std::fs::read_link(&path).unwrap().to_string_lossy().into_owned();
    // sysfs belongs to the network namespace's owner, so a container of other users cannot mount it.
    let case =
        with_users(Case::sh("id -u; readlink /proc/self/ns/net")).namespace("network", Some(&path)).edit(|spec| {
            spec["mounts"]
                .as_array_mut()
                .unwrap()
                .retain(|mount| mount["type"] != "sysfs" && mount["type"] != "cgroup");
        });
    chown_root(&case);
    let outcome = case.start().unwrap().ends();
    outcome.says(&["0", &expected]);
    running.kill();
}

#[test]
fn a_user_namespace_is_joined_with_the_network_it_owns() {
    let held = with_users(Case::sh("echo up; exec sleep 1000"));
    chown_root(&held);
    let running = held.start().unwrap();
    assert_eq!(running.line(), "up");
    let path = |file: &str| format!("/proc/{}/ns/{file}", running.process.pid);
    let case = Case::sh("id -u; readlink /proc/self/ns/user; readlink /proc/self/ns/net")
        .namespace("user", Some(&path("user")))
        .namespace("network", Some(&path("net")));
    chown_root(&case);
    let [user, net] =
        ["user", "net"].map(|file| std::fs::read_link(path(file)).unwrap().to_string_lossy().into_owned());
    case.start().unwrap().ends().says(&["0", &user, &net]);
    running.kill();
}

#[test]
fn a_user_namespace_without_mappings_is_refused() {
    let (_, text) = Case::sh("true").namespace("user", None).fails();
    assert!(text.contains("uidMappings"), "{text}");
}

#[test]
fn a_time_namespace_moves_the_clocks() {
    let case = Case::sh("cut -d. -f1 /proc/uptime").namespace("time", None).set(
        "/linux/timeOffsets",
        json!({ "boottime": { "secs": 1_000_000 }, "monotonic": { "secs": 5, "nanosecs": 1 } }),
    );
    let uptime: u64 = case.run().prints().trim().parse().unwrap();
    let host = std::fs::read_to_string("/proc/uptime").unwrap();
    let host: u64 = host.split('.').next().unwrap().parse().unwrap();
    assert!((uptime - 1_000_000).abs_diff(host) < 60, "{uptime} and {host}");
}

#[test]
fn time_offsets_need_a_time_namespace() {
    let (_, text) = Case::sh("true").set("/linux/timeOffsets", json!({ "boottime": { "secs": 1 } })).fails();
    assert!(text.contains("time namespace"), "{text}");
}

#[test]
fn the_containers_cgroup_is_the_root_of_what_it_sees() {
    let text = Case::sh("cut -d: -f3 /proc/self/cgroup | sort -u").run().prints();
    assert!(text.lines().any(|line| line == "/"), "{text}");
    assert!(!text.contains("runtime-test"), "{text}");
}

#[test]
fn a_namespace_that_does_not_exist_is_named() {
    let (_, text) = Case::sh("true").namespace("network", Some("/run/netns/no-such")).fails();
    assert!(text.contains("/run/netns/no-such") && text.contains("ENOENT"), "{text}");
    let (_, text) = with_users(Case::sh("true")).namespace("network", Some("/run/netns/no-such")).fails();
    assert!(text.contains("/run/netns/no-such") && text.contains("ENOENT"), "{text}");
}

#[test]
fn host_and_domain_name_are_set() {
    let case = Case::sh("hostname; cat /proc/sys/kernel/domainname").set("/domainname", json!("example"));
    case.run().says(&["bundle", "example"]);
    assert_ne!(namespace::host_name(), "bundle");
}
