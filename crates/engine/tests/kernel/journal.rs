//! The journal as a place for output: Docker's fields, a journal that hangs or is not there, and the real one.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use engine::Status;
use serde_json::json;
use sys::mount::Propagation;
use sys::namespace::NamespaceKind;

use crate::sandbox::{Sandbox, request};

const SOCKET: &str = "/run/systemd/journal/socket";

/// Makes a sandbox whose `/run/systemd`, `/run/log` and `/var/log` are its own, and empty.
fn alone() -> Sandbox {
    sys::namespace::unshare(&[NamespaceKind::Mount]).unwrap();
    sys::mount::set_propagation(Path::new("/"), Propagation::Private, true).unwrap();
    for path in ["/run/systemd", "/run/log", "/var/log"].map(Path::new) {
        std::fs::create_dir_all(path).unwrap();
        let memory = sys::mount::Filesystem::open("tmpfs").unwrap();
        let memory = memory.mount(sys::mount::MountAttrFlags::empty()).unwrap();
        sys::mount::attach(&memory, sys::path::open_host(path).unwrap()).unwrap();
    }
    for path in ["/run/systemd/journal", "/run/log/journal"] {
        std::fs::create_dir(path).unwrap();
    }
    Sandbox::new()
}

fn receive(socket: &UnixDatagram) -> String {
    let mut buffer = vec![0; 1 << 16];
    let length = socket.recv(&mut buffer).unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

pub(crate) fn entries_carry_docker_s_fields() {
    let sandbox = alone();
    let socket = UnixDatagram::bind(SOCKET).unwrap();
    socket.set_read_timeout(Some(testkit::PATIENCE)).unwrap();
    let log =
        json!({"driver": "journald", "tag": "{{.ImageName}}/{{.Name}}", "labels": ["com.eg.kind"], "env": ["WHO"]});
    let more =
        json!({"log": log, "name": "eg", "labels": {"com.eg.kind": "test", "other": "x"}, "env": ["WHO=me", "X=y"]});
    sandbox.run(&["sh", "-c", "echo out; echo err >&2; printf part"], more).ok();
    let container = sandbox.find("eg");
    let messages = [(); 3].map(|()| receive(&socket));
    for message in &messages {
        for field in [
            format!("CONTAINER_ID={}\n", container.id.short()),
            format!("CONTAINER_ID_FULL={}\n", container.id),
            "CONTAINER_NAME=eg\nCONTAINER_TAG=busybox/eg\nIMAGE_NAME=busybox\nSYSLOG_IDENTIFIER=busybox/eg\n"
                .to_owned(),
            "COM_EG_KIND=test\nWHO=me\n".to_owned(),
        ] {
            assert!(message.contains(&field), "no {field:?} in {message:?}");
        }
    }
    let all = messages.concat();
    for end in
        ["PRIORITY=6\nMESSAGE=out\n", "PRIORITY=3\nMESSAGE=err\n", "CONTAINER_PARTIAL_MESSAGE=true\nMESSAGE=part\n"]
    {
        assert!(all.contains(end), "no {end:?} in {all:?}");
    }
}

pub(crate) fn a_journal_that_hangs_stops_no_container() {
    let sandbox = alone();
    let socket = UnixDatagram::bind(SOCKET).unwrap();
    let script = "i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done; exit 7";
    sandbox.run(&["sh", "-c", script], json!({"log": {"driver": "journald"}, "name": "eg"})).fails(7, "");
    assert!(receive(&socket).ends_with("MESSAGE=line 0\n"));
}

pub(crate) fn without_a_journal_nothing_is_started_or_read() {
    let sandbox = alone();
    let request = request(&["true"], json!({"log": {"driver": "journald"}, "remove_on_exit": true})).to_string();
    sandbox.call(&["run", &request]).fails(125, "there is no journal to write to");
    sandbox.assert_empty();
    let _socket = UnixDatagram::bind(SOCKET).unwrap();
    sandbox.run(&["true"], json!({"log": {"driver": "journald"}, "name": "eg"})).ok();
    let out = sandbox.verb(&["logs", "eg"]).env("PATH", "/nowhere").output().unwrap();
    assert!(String::from_utf8_lossy(&out.stderr).contains("there is no journalctl"), "{out:?}");
}

/// The real journal, which ends with the test.
struct Journald(Child);

impl Drop for Journald {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn journald() -> Option<Journald> {
    let program = "/lib/systemd/systemd-journald";
    if !Path::new(program).exists() || Command::new("journalctl").arg("--version").output().is_err() {
        println!("skipped: there is no systemd-journald here (Debian's package systemd)");
        return None;
    }
    let child = Command::new(program).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let journald = Journald(child);
    testkit::until("the journal to listen", || Path::new(SOCKET).exists().then_some(()));
    Some(journald)
}

pub(crate) fn the_real_journal_gives_back_what_was_said() {
    let sandbox = alone();
    let Some(_journald) = journald() else { return };
    let log = json!({"driver": "journald"});
    let long = "x".repeat(20_000);
    let script = format!("echo out; echo err >&2; echo {long}; printf '\\377\\n'; printf part");
    sandbox.run(&["sh", "-c", &script], json!({"log": log, "name": "said"})).ok();
    let logs = sandbox.verb(&["logs", "said"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&logs.stderr), "err\n");
    assert!(logs.stdout == [format!("out\n{long}\n").as_bytes(), b"\xff\npart"].concat(), "{logs:?}");

    let script = "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; sleep 0.2; echo last; exit 1";
    sandbox.start("eg", &["sh", "-c", script], json!({"log": log, "restart": "on-failure:1"}));
    let run: String = (0..2000).map(|number| format!("line {number}\n")).chain(["last\n".to_owned()]).collect();
    let followed = sandbox.call(&["follow", "eg"]).ok();
    assert!(followed == run.repeat(2), "{} lines", followed.lines().count());
    assert_eq!(sandbox.status("eg"), Status::Exited);
    assert!(sandbox.call(&["logs", "eg"]).ok() == run.repeat(2));
}
