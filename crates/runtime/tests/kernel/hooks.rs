//! Hooks: when they run, what they are told, and what their failure does.

use std::fs;

use runtime::CreateError;
use serde_json::{Value, json};

use crate::harness::{Case, chain};

fn hook(script: &str) -> Value {
    json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"] }])
}

#[test]
fn hooks_run_in_order_and_are_told_the_state() {
    let case = Case::sh("echo program >> /log");
    let log = case.rootfs().join("log");
    // startContainer runs inside, the others outside; createContainer in the container's namespaces before the pivot.
    let outside = |name: &str| hook(&format!("{{ echo {name}; cat; echo; hostname; }} >> {}", log.display()));
    let hooks = json!({
        "prestart": outside("prestart"),
        "createRuntime": outside("createRuntime"),
        "createContainer": outside("createContainer"),
        "startContainer": hook("{ echo startContainer; cat; echo; hostname; } >> /log"),
    });
    let case = case.edit(|spec| {
        spec["hooks"] = hooks;
        spec["annotations"] = json!({ "a": "b" });
    });
    case.run().prints();
    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let host = sys::namespace::host_name();
    let names: Vec<_> = lines.iter().step_by(3).collect();
    assert_eq!(names, [&"prestart", &"createRuntime", &"createContainer", &"startContainer", &"program"], "{text}");
    for (at, (inside, host_name)) in
        [(false, &host), (false, &host), (true, &"bundle".to_owned())].into_iter().enumerate()
    {
        let state: Value = serde_json::from_str(lines[at * 3 + 1]).unwrap();
        assert_eq!(state["id"], case.id);
        assert_eq!(state["bundle"], case.bundle.path.to_str().unwrap());
        assert_eq!(state["annotations"], json!({ "a": "b" }));
        assert_eq!(state["status"], "creating");
        assert_eq!(state["pid"] == 1, inside, "{state}");
        assert_eq!(lines[at * 3 + 2], host_name);
    }
}

#[test]
fn a_hook_that_fails_undoes_everything() {
    for point in ["prestart", "createRuntime", "createContainer", "startContainer"] {
        let case =
            Case::sh("touch /ran").edit(|spec| spec["hooks"] = json!({ point: hook("echo no way >&2; exit 7") }));
        let error = match case.start() {
            Ok(running) => panic!("{point}: {:?}", running.ends()),
            Err(error) => error,
        };
        let text = chain(&error);
        assert!(text.contains("no way") && text.contains('7'), "{point}: {text}");
        case.assert_clean();
        assert!(!case.rootfs().join("ran").exists(), "{point}");
    }
}

#[test]
fn a_hook_that_is_not_there_is_named() {
    let case = Case::sh("true").edit(|spec| spec["hooks"] = json!({ "createRuntime": [{ "path": "/no/such/hook" }] }));
    let (error, text) = case.fails();
    assert!(matches!(error, CreateError::Hook(_)) && text.contains("/no/such/hook"), "{text}");
}

#[test]
fn a_hook_in_the_network_namespace_can_prepare_what_a_parameter_needs() {
    let up = "read state; pid=${state#*\\\"pid\\\":}; nsenter -t ${pid%%,*} -n ip link add dummy7 type dummy";
    if std::process::Command::new("ip").arg("-V").output().is_err() {
        println!("left out: ip(8) is not installed");
        return;
    }
    let case = Case::sh("cat /proc/sys/net/ipv4/conf/dummy7/rp_filter")
        .edit(|spec| spec["hooks"] = json!({ "createRuntime": hook(up) }))
        .set("/linux/sysctl", json!({ "net.ipv4.conf.dummy7.rp_filter": "2" }));
    match case.start() {
        Ok(running) => running.ends().says(&["2"]),
        Err(error) => println!("left out: this kernel has no dummy links: {}", chain(&error)),
    }
}
