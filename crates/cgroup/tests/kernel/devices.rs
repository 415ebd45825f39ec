//! Which devices can be used, by v1's controller or by the eBPF program.

use std::fs::File;

use cgroup::Cgroup;
use trace::Recorder;

use crate::host::{Sandbox, resources, run};

/// Returns which of null, zero and kmsg can be opened inside, as bits; kmsg (1:11) is on nobody's list.
fn usable(cgroup: &Cgroup) -> i32 {
    let status = run(cgroup, || {
        let opens = |path: &str| i32::from(File::open(path).is_ok());
        opens("/dev/null") | opens("/dev/zero") << 1 | opens("/dev/kmsg") << 2
    });
    status.code()
}

const DENY_ALL: &str = r#"{"devices": [{"allow": false, "access": "rwm"}]}"#;
const WITH_KMSG: &str = r#"{"devices": [{"allow": false, "access": "rwm"},
    {"allow": true, "type": "c", "major": 1, "minor": 11, "access": "r"}]}"#;

#[test]
fn a_device_that_is_not_listed_is_denied() {
    let sandbox = Sandbox::new("devices");
    assert_eq!(usable(&sandbox.create("open", "{}")), 0b111);
    assert_eq!(usable(&sandbox.create("closed", DENY_ALL)), 0b011);
    assert_eq!(usable(&sandbox.create("listed", WITH_KMSG)), 0b111);
}

#[test]
fn a_way_that_is_not_listed_is_denied() {
    let sandbox = Sandbox::new("ways");
    let cgroup = sandbox.create("web", WITH_KMSG);
    let status = run(&cgroup, || i32::from(File::options().write(true).open("/dev/kmsg").is_ok()));
    assert_eq!(status.code(), 0);
}

#[test]
fn an_update_replaces_the_devices() {
    let sandbox = Sandbox::new("devupdate");
    let cgroup = sandbox.create("web", DENY_ALL);
    for (limits, bits) in [(WITH_KMSG, 0b111), (DENY_ALL, 0b011), (WITH_KMSG, 0b111)] {
        assert_eq!(cgroup.update(&resources(limits), &Recorder::silent()).unwrap(), []);
        assert_eq!(usable(&cgroup), bits);
    }
}

#[test]
fn the_program_of_v2_works_beside_v1_trees() {
    let sandbox = Sandbox::new("bpf");
    let Some(tree) = sandbox.host.v2() else {
        eprintln!("this host has no v2 tree, where alone a program can be attached");
        return;
    };
    let host = cgroup::Hierarchies::v2_only(&tree.mount, tree.controllers);
    for (name, limits, bits) in [("closed", DENY_ALL, 0b011), ("listed", WITH_KMSG, 0b111)] {
        let plan = cgroup::plan(&sandbox.path(name), Some(&resources(limits)), &host).unwrap();
        let cgroup = Cgroup::create(&plan, &Recorder::silent()).unwrap();
        assert_eq!(usable(&cgroup), bits, "{name}");
        cgroup.update(&resources(DENY_ALL), &Recorder::silent()).unwrap();
        assert_eq!(usable(&cgroup), 0b011, "{name}, updated");
    }
}
