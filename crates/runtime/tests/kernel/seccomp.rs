//! Filters that are loaded, and the agent of one that notifies.

use std::os::fd::AsFd;

use serde_json::{Value, json};
use sys::process::{self as processes, ExitStatus};

use crate::harness::Case;

fn filter(action: &str, names: &[&str]) -> Value {
    json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": names, "action": action, "errnoRet": 42 }] })
}

#[test]
fn a_filter_holds_with_and_without_no_new_privs() {
    for no_new_privileges in [true, false] {
        let case = Case::sh("grep -w Seccomp: /proc/self/status | cut -f2; mkdir /made 2>&1")
            .set("/process/noNewPrivileges", json!(no_new_privileges))
            .set("/linux/seccomp", filter("SCMP_ACT_ERRNO", &["mkdir", "mkdirat"]));
        let outcome = case.run();
        assert_eq!(outcome.stdout.lines().next(), Some("2"));
        assert_ne!(outcome.status, ExitStatus::Exited(0));
        assert!(!case.rootfs().join("made").exists());
    }
}

#[test]
fn with_no_new_privs_the_filter_need_allow_no_call_of_ours() {
    let refused = [
        "setresuid",
        "setresgid",
        "setgroups",
        "capset",
        "prctl",
        "sendmsg",
        "recvmsg",
        "poll",
        "ppoll",
        "close_range",
        "dup2",
        "chdir",
        "umask",
        "newfstatat",
        "openat2",
        "sendto",
    ];
    Case::sh("echo runs").set("/linux/seccomp", filter("SCMP_ACT_ERRNO", &refused)).run().says(&["runs"]);
}

#[test]
fn the_listener_goes_to_the_agent_with_the_containers_state() {
    for no_new_privileges in [true, false] {
        let mut list = filter("SCMP_ACT_NOTIFY", &["mkdir", "mkdirat"]);
        list["syscalls"][0].as_object_mut().unwrap().remove("errnoRet");
        let case = Case::sh("sleep 1000");
        let dir = sys::path::Root::open(case.dir.path()).unwrap();
        let listener = sys::socket::listen_at(&dir, "agent").unwrap();
        list["listenerPath"] = json!(case.path("agent"));
        list["listenerMetadata"] = json!("A=b");
        let case = case.set("/linux/seccomp", list).set("/process/noNewPrivileges", json!(no_new_privileges));
        let running = case.start().unwrap();
        let agent = sys::socket::accept(&listener).unwrap().unwrap();
        let mut bytes = [0; 8192];
        sys::signal::wait_readable(&agent, Some(testkit::PATIENCE)).unwrap();
        let (length, descriptors) = sys::socket::receive(&agent, &mut bytes).unwrap();
        let message: Value = serde_json::from_slice(&bytes[..length]).unwrap();
        assert_eq!(descriptors.len(), 1);
        assert_eq!(message["fds"], json!(["seccompFd"]));
        assert_eq!(message["metadata"], "A=b");
        assert_eq!(message["pid"], running.process.pid);
        assert_eq!(message["state"]["id"], case.id);
        assert_eq!(message["state"]["pid"], running.process.pid);
        assert_eq!(message["state"]["bundle"], case.bundle.path.to_str().unwrap());
        let info =
            std::fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&descriptors[0].as_fd())));
        assert_eq!(info.unwrap().to_str(), Some("anon_inode:seccomp notify"));
        drop(descriptors);
        drop(running.kill());
        case.assert_clean();
    }
}

#[test]
fn an_agent_that_is_not_there_is_an_error() {
    let mut list = filter("SCMP_ACT_NOTIFY", &["mkdir"]);
    list["syscalls"][0].as_object_mut().unwrap().remove("errnoRet");
    let (_, text) = Case::sh("true").set("/linux/seccomp", list.clone()).fails();
    assert!(text.contains("listenerPath"), "{text}");
    list["listenerPath"] = json!("/no/such/agent");
    let (_, text) = Case::sh("true").set("/linux/seccomp", list).fails();
    assert!(text.contains("agent of the system call filter") && text.contains("/no/such/agent"), "{text}");
    assert!(processes::is_sealed());
}
