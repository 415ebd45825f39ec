//! The whole plan of a container such as Docker would ask for, step by step, as `explain` tells it.

use std::path::{Path, PathBuf};

use cgroup::hierarchy::Hierarchy;
use cgroup::{ControllerSet, Hierarchies};
use oci::runtime::Spec;
use serde_json::json;

use super::{ContainerPlan, Inputs, Lower, Overlay, PlanError, RootSource, container};

fn plan(spec: serde_json::Value, root: Option<RootSource>) -> Result<ContainerPlan, PlanError> {
    let spec: Spec = serde_json::from_value(spec).unwrap();
    let v2 = Hierarchy { mount: "/sys/fs/cgroup".into(), controllers: ControllerSet::default() };
    let hierarchies = Hierarchies::new(Vec::new(), Some(v2));
    let cgroup = "conductor/web".parse().unwrap();
    let bundle = Path::new("/bundle");
    container(&spec, &Inputs { id: "web", bundle, root, cgroup: &cgroup, hierarchies: &hierarchies, init: false })
}

fn told(plan: &ContainerPlan) -> String {
    plan.steps().iter().map(|step| format!("{step}\n")).collect()
}

fn docker_like() -> serde_json::Value {
    let mut spec = testkit::fixture::spec(&["/bin/sh", "-c", "echo hello"]);
    spec["linux"].as_object_mut().unwrap().remove("seccomp");
    spec["linux"]["sysctl"] = json!({ "net.ipv4.ip_unprivileged_port_start": "0" });
    spec["process"]["user"] = json!({ "uid": 1000, "gid": 1000, "additionalGids": [50] });
    spec["process"]["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "soft": 1024, "hard": 4096 }]);
    spec["process"]["oomScoreAdj"] = json!(100);
    spec["process"]["terminal"] = json!(true);
    spec["process"]["cwd"] = json!("/srv");
    spec["root"]["readonly"] = json!(true);
    let volume = json!({ "destination": "/data", "type": "bind", "source": "/volumes/data", "options": ["rbind", "rro", "rprivate"] });
    spec["mounts"].as_array_mut().unwrap().push(volume);
    spec
}

#[test]
fn the_plan_of_a_container_such_as_docker_asks_for() {
    let overlay = Overlay {
        lowers: vec![Lower::Directory("/layers/b".into()), Lower::Directory("/layers/a".into())],
        upper: PathBuf::from("/run/web/upper"),
        work: PathBuf::from("/run/web/work"),
        volatile: true,
    };
    let plan = plan(docker_like(), Some(RootSource::Overlay(overlay))).unwrap();
    assert_eq!(plan.warnings, Vec::<String>::new());
    insta::assert_snapshot!(told(&plan));
}

#[test]
fn parameters_are_set_before_anything_can_cover_the_new_procfs() {
    let mut spec = docker_like();
    let text = told(&plan(spec.clone(), None).unwrap());
    let at = |text: &str, words: &str| text.find(words).unwrap_or_else(|| panic!("{words} in {text}"));
    assert!(at(&text, "mount a new proc on /proc") < at(&text, "set the kernel parameter"));
    assert!(at(&text, "set the kernel parameter") < at(&text, "mount a new tmpfs on /dev"));
    // Without one that can be written the host's is used, before anything else is mounted.
    spec["mounts"][0]["options"] = json!(["ro"]);
    let text = told(&plan(spec, None).unwrap());
    assert!(at(&text, "set the kernel parameter") < at(&text, "mount a new proc on /proc"));
}

#[test]
fn a_parameter_of_the_host_is_refused_under_every_name() {
    for key in ["kernel.panic", "net/../kernel/panic", "net.//.kernel.panic", "fs/mqueue/../file-max"] {
        let mut spec = docker_like();
        spec["linux"]["sysctl"] = json!({ key: "1" });
        let error = plan(spec, None).map(drop).unwrap_err();
        assert!(error.to_string().contains("is not a parameter of any namespace"), "{key}: {error}");
    }
}

#[test]
fn what_is_not_applied_is_told() {
    let mut spec = docker_like();
    spec["linux"]["intelRdt"] = json!({ "closID": "x" });
    spec["process"]["execCPUAffinity"] = json!({ "initial": "0" });
    let warnings = plan(spec, None).unwrap().warnings.join("\n");
    assert!(warnings.contains("execCPUAffinity") && warnings.contains("intelRdt"), "{warnings}");
}

#[test]
fn a_filter_that_notifies_needs_somebody_to_notify() {
    let mut spec = docker_like();
    let rule = |name: &str| json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": [name], "action": "SCMP_ACT_NOTIFY" }] });
    spec["linux"]["seccomp"] = rule("mkdir");
    let error = plan(spec.clone(), None).unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("listenerPath"));
    // The listener itself is sent under the filter.
    spec["linux"]["seccomp"] = rule("sendmsg");
    spec["linux"]["seccomp"]["listenerPath"] = json!("/agent");
    assert!(plan(spec, None).is_err());
}
