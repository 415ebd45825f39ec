//! The OCI runtime's command line, as other people's engines call it.

use serde_json::{Value, json};
use testkit::fixture::Bundle;
use testkit::{Conductor, Sandbox, until};

use crate::sandbox;

fn runtime(sandbox: &Sandbox, words: &[&str]) -> Conductor {
    sandbox.bare().args(["runtime", "--root"]).arg(sandbox.state()).args(words)
}

fn bundle(sandbox: &Sandbox, words: &[&str]) -> Bundle {
    Bundle::busybox(sandbox.work().join("bundle"), words)
}

fn state(sandbox: &Sandbox, id: &str) -> Value {
    serde_json::from_str(&runtime(sandbox, &["state", id]).ok()).unwrap()
}

#[test]
fn run_gives_back_what_the_program_does_and_leaves_nothing() {
    let sandbox = sandbox();
    let bundle = bundle(&sandbox, &["sh", "-c", "echo hello; hostname; exit 4"]).write();
    let ran = runtime(&sandbox, &["run", "--bundle", bundle.path.to_str().unwrap(), "eg"]).run().code(4);
    assert_eq!(ran.stdout, "hello\nbundle\n");
    runtime(&sandbox, &["delete", "--force", "eg"]).run();
    sandbox.assert_clean();
}

#[test]
fn a_container_goes_from_created_over_running_to_stopped_and_is_deleted() {
    let sandbox = sandbox();
    let bundle = bundle(&sandbox, &["sleep", "1000"]).write();
    let path = bundle.path.to_str().unwrap();
    let pid_file = sandbox.work().join("pid");
    let words = ["create", "--bundle", path, "--pid-file", pid_file.to_str().unwrap(), "eg"];
    runtime(&sandbox, &words)
        .into_command()
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    let created = state(&sandbox, "eg");
    assert_eq!((&created["status"], &created["id"]), (&json!("created"), &json!("eg")));
    assert_eq!(created["bundle"], json!(path));
    let pid = std::fs::read_to_string(pid_file).unwrap();
    assert_eq!(created["pid"], json!(pid.trim().parse::<u32>().unwrap()));
    runtime(&sandbox, &["start", "eg"]).run().success();
    assert_eq!(state(&sandbox, "eg")["status"], json!("running"));
    assert_ne!(runtime(&sandbox, &["delete", "eg"]).run().exit_code(), 0, "it still runs");
    runtime(&sandbox, &["kill", "eg", "KILL"]).run().success();
    until("it has stopped", || (state(&sandbox, "eg")["status"] == json!("stopped")).then_some(()));
    runtime(&sandbox, &["delete", "eg"]).run().success();
    assert_ne!(runtime(&sandbox, &["state", "eg"]).run().exit_code(), 0);
    sandbox.assert_clean();
}

#[test]
fn a_second_container_of_the_same_id_is_refused_and_the_first_untouched() {
    let sandbox = sandbox();
    let bundle = bundle(&sandbox, &["sleep", "1000"]).write();
    let path = bundle.path.to_str().unwrap();
    runtime(&sandbox, &["run", "--detach", "--bundle", path, "eg"])
        .into_command()
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(runtime(&sandbox, &["run", "--bundle", path, "eg"]).run().stderr.contains("eg"));
    assert_eq!(state(&sandbox, "eg")["status"], json!("running"));
    runtime(&sandbox, &["delete", "--force", "eg"]).run().success();
    sandbox.assert_clean();
}

#[test]
fn a_root_whose_proc_dev_and_sys_lead_outside_is_never_followed() {
    let sandbox = sandbox();
    let bundle = bundle(&sandbox, &["/bin/busybox", "true"]).write();
    let outside = sandbox.work().join("outside");
    std::fs::create_dir(&outside).unwrap();
    for name in ["proc", "dev", "sys"] {
        let path = bundle.rootfs().join(name);
        std::fs::remove_dir(&path).unwrap();
        std::os::unix::fs::symlink(&outside, &path).unwrap();
    }
    runtime(&sandbox, &["run", "--bundle", bundle.path.to_str().unwrap(), "eg"]).run();
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    runtime(&sandbox, &["delete", "--force", "eg"]).run();
    sandbox.assert_clean();
}

#[test]
fn a_bundle_that_is_none_is_refused_and_leaves_nothing() {
    let sandbox = sandbox();
    let empty = sandbox.work().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let ran = runtime(&sandbox, &["run", "--bundle", empty.to_str().unwrap(), "eg"]).run();
    assert_ne!(ran.exit_code(), 0);
    assert!(ran.stderr.contains("config.json"), "{ran:?}");
    let mut broken = bundle(&sandbox, &["true"]);
    broken.spec["linux"]["namespaces"] = json!([{ "type": "nonsense" }]);
    let broken = broken.write();
    assert_ne!(runtime(&sandbox, &["run", "--bundle", broken.path.to_str().unwrap(), "eg"]).run().exit_code(), 0);
    sandbox.assert_clean();
}

#[test]
fn namespaces_are_joined_by_path() {
    let sandbox = sandbox();
    let mut bundle = bundle(&sandbox, &["readlink", "/proc/self/ns/net"]);
    for namespace in bundle.spec["linux"]["namespaces"].as_array_mut().unwrap() {
        if namespace["type"] == json!("network") {
            namespace["path"] = json!("/proc/self/ns/net");
        }
    }
    let bundle = bundle.write();
    let ours = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    let theirs = runtime(&sandbox, &["run", "--bundle", bundle.path.to_str().unwrap(), "eg"]).ok();
    assert_eq!(theirs, ours.to_str().unwrap());
}
