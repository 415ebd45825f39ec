//! The sandbox itself: what it hides, what it counts, what it cleans.

use testkit::{Conductor, Sandbox};

fn shell(script: &str) -> Conductor {
    Conductor::new("/bin/sh").args(["-c", script])
}

#[test]
fn a_sandbox_has_a_network_and_cgroups_of_its_own() {
    let sandbox = Sandbox::new("/bin/true");
    assert_eq!(shell("ls /proc/self/net/dev_snmp6 2>/dev/null | tr '\\n' ' '").ok().trim(), "lo");
    let text = shell("cat /proc/self/cgroup").ok();
    assert!(text.lines().all(|line| line.ends_with(":/") || line.ends_with(":/testkit")), "{text}");
    sandbox.assert_clean();
}

#[test]
fn a_clean_sandbox_is_told_from_one_with_a_mount_left() {
    let sandbox = Sandbox::new("/bin/true");
    shell("mount -t tmpfs left /mnt").run().success();
    let told = std::panic::catch_unwind(|| sandbox.assert_clean());
    let told = *told.unwrap_err().downcast::<String>().unwrap();
    assert!(told.contains("mount: "), "{told}");
    shell("umount /mnt").run().success();
    sandbox.assert_clean();
}

#[test]
fn a_cgroup_left_in_any_hierarchy_is_told() {
    let sandbox = Sandbox::new("/bin/true");
    let script = "for d in /sys/fs/cgroup /sys/fs/cgroup/pids; do test -e $d/cgroup.procs && mkdir $d/left; done; true";
    shell(script).run().success();
    let told = std::panic::catch_unwind(|| sandbox.assert_clean());
    let told = *told.unwrap_err().downcast::<String>().unwrap();
    assert!(told.contains("cgroup: ") && told.contains("left"), "{told}");
}

#[test]
fn a_process_that_ran_far_from_its_parents_is_found_and_killed() {
    let pid: u32 = {
        let sandbox = Sandbox::new("/bin/true");
        let pid = shell("setsid sh -c 'sleep 1000 >/dev/null 2>&1 & echo $!'").ok().parse().unwrap();
        assert!(sandbox.processes().contains(&pid));
        pid
    };
    testkit::until("the process is gone", || {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        state.map_or(Some(()), |state| state.contains(") Z ").then_some(()))
    });
}

#[test]
fn a_sandbox_leaves_no_cgroup_behind() {
    drop(Sandbox::new("/bin/true"));
    let own = format!("testkit-{}-", std::process::id());
    for hierarchy in std::fs::read_dir("/sys/fs/cgroup").unwrap() {
        let entries = std::fs::read_dir(hierarchy.unwrap().path()).into_iter().flatten().flatten();
        let left: Vec<_> = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&own)).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
