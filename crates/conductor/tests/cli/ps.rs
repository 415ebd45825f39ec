//! `ps` and `inspect`: what is told of containers.

use serde_json::Value;

use crate::{IMAGE, busybox};

#[test]
fn columns_and_forms_are_dockers() {
    let sandbox = busybox();
    sandbox.conductor(["run", "-d", "--name", "eg", "--label", "tier=web", IMAGE, "sleep", "1000"]).run().success();
    let table = sandbox.conductor(["ps"]).ok();
    let head: Vec<_> =
        table.lines().next().unwrap().split("  ").map(str::trim).filter(|word| !word.is_empty()).collect();
    assert_eq!(head, ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]);
    assert_eq!(sandbox.conductor(["ps", "--format", "{{.Names}} {{.Image}}"]).ok(), "eg busybox");
    let object: Value = serde_json::from_str(&sandbox.conductor(["ps", "--format", "json"]).ok()).unwrap();
    assert_eq!((&object["Names"], &object["State"]), (&"eg".into(), &"running".into()));
    assert_eq!(sandbox.conductor(["ps", "-q", "--filter", "label=tier=web"]).ok().len(), 12);
    assert_eq!(sandbox.conductor(["ps", "-q", "--filter", "name=other"]).ok(), "");
    sandbox.conductor(["rm", "-f", "eg"]).run().success();
    sandbox.assert_clean();
}

#[test]
fn a_container_is_found_by_name_id_and_a_part_of_the_id() {
    let sandbox = busybox();
    let id = sandbox.conductor(["create", "--name", "eg", IMAGE, "true"]).ok();
    for word in ["eg", &id, &id[..6]] {
        assert_eq!(sandbox.conductor(["inspect", "--format", "{{.Id}}", word]).ok(), id);
    }
    assert!(sandbox.conductor(["inspect", "nothing"]).fails(1).contains("nothing"));
}

#[test]
fn inspect_tells_state_limits_and_mounts() {
    let sandbox = busybox();
    let shared = sandbox.work().join("shared");
    std::fs::create_dir(&shared).unwrap();
    let volume = format!("{}:/data:ro", shared.display());
    let options = ["-d", "--name", "eg", "-m", "64m", "--cpus", "0.5", "--pids-limit", "50", "-v", &volume];
    sandbox.conductor(["run"]).args(options).args([IMAGE, "sleep", "1000"]).run().success();
    let document: Value = serde_json::from_str(&sandbox.conductor(["inspect", "eg"]).ok()).unwrap();
    let eg = &document[0];
    assert_eq!(eg["State"]["Status"], "running");
    assert_eq!(eg["HostConfig"]["Memory"], 64 << 20);
    assert_eq!(eg["HostConfig"]["NanoCpus"], 500_000_000);
    assert_eq!(eg["HostConfig"]["PidsLimit"], 50);
    assert_eq!((&eg["Mounts"][0]["Destination"], &eg["Mounts"][0]["RW"]), (&"/data".into(), &false.into()));
    sandbox.conductor(["rm", "-f", "eg"]).run().success();
    sandbox.assert_clean();
}

#[test]
fn help_is_everywhere() {
    let sandbox = busybox();
    sandbox.bare().arg("help").run().success().says("run").says("exec").says("explain");
    for verb in [
        "run", "create", "start", "exec", "attach", "logs", "wait", "stop", "kill", "rm", "ps", "inspect", "build",
        "images", "rmi", "import", "explain",
    ] {
        sandbox.bare().args([verb, "--help"]).run().success().says("Usage:");
    }
    for shell in ["bash", "zsh", "fish"] {
        sandbox.bare().args(["completion", shell]).run().success().says("conductor");
    }
    let said = sandbox.bare().arg("rnu").fails(1);
    assert!(said.contains("run"), "a word that is nearly one is suggested: {said}");
}
