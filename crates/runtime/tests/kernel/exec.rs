//! One more process in a container.

use std::os::fd::AsFd;

use runtime::{CreateError, ExecOptions, FailureKind, Process};
use serde_json::{Value, json};
use sys::process::{self as processes, ExitStatus};
use trace::Recorder;

use crate::harness::{Case, Outcome, Running, chain, read_all};

fn container() -> (Case, Running) {
    let case = Case::sh("echo up; exec sleep 1000").namespace("time", None);
    let running = case.start().unwrap();
    assert_eq!(running.line(), "up");
    (case, running)
}

fn process(script: &str) -> Value {
    json!({
        "user": { "uid": 0, "gid": 0 }, "args": ["/bin/sh", "-c", script], "env": ["PATH=/bin:/usr/bin:/sbin"],
        "cwd": "/", "noNewPrivileges": true,
    })
}

fn exec(case: &Case, running: &Running, process: Value, stdio: runtime::Stdio<'_>) -> Result<Process, CreateError> {
    let process = serde_json::from_value(process).unwrap();
    let entry = running.cgroup.entry().unwrap();
    let spec = case.spec();
    let recorder = Recorder::silent();
    runtime::exec(&ExecOptions {
        pid: running.process.pid,
        pidfd: &running.process.pidfd,
        process: &process,
        seccomp: spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref()),
        state: None,
        entry: &entry,
        stdio,
        preserve_fds: 0,
        recorder: &recorder,
    })
}

fn run(case: &Case, running: &Running, process: Value) -> Result<Outcome, CreateError> {
    let (stdout, theirs) = std::io::pipe().unwrap();
    let null = std::fs::File::open("/dev/null").unwrap();
    let started = exec(case, running, process, Some([null.as_fd(), theirs.as_fd(), theirs.as_fd()]))?;
    drop(theirs);
    let stdout = read_all(stdout.into());
    Ok(Outcome { status: processes::wait(&started.pidfd).unwrap(), stdout, stderr: String::new() })
}

fn finish(case: &Case, running: Running) {
    drop(running.kill());
    case.assert_clean();
}

#[test]
fn it_is_in_all_namespaces_and_the_cgroup() {
    let (case, running) = container();
    let kinds = ["mnt", "pid", "net", "ipc", "uts", "cgroup", "time"];
    let look: String = kinds.iter().map(|kind| format!("readlink /proc/self/ns/{kind};")).collect();
    let text = run(&case, &running, process(&format!("{look} hostname; cat /proc/self/cgroup"))).unwrap().prints();
    let lines: Vec<_> = text.lines().collect();
    for (line, kind) in lines.iter().zip(kinds) {
        let theirs = std::fs::read_link(format!("/proc/{}/ns/{kind}", running.process.pid)).unwrap();
        assert_eq!(*line, theirs.to_string_lossy(), "{kind}");
    }
    assert_eq!(lines[7], "bundle");
    // A cgroup other than the container's would show as a way out of its root.
    assert!(lines[8..].iter().all(|line| line.ends_with(":/")), "{text}");
    finish(&case, running);
}

#[test]
fn its_exit_code_is_its_own() {
    let (case, running) = container();
    for (script, status) in [
        ("exit 0", ExitStatus::Exited(0)),
        ("exit 42", ExitStatus::Exited(42)),
        ("kill -9 $$", ExitStatus::Signaled(9)),
    ] {
        assert_eq!(run(&case, &running, process(script)).unwrap().status, status);
    }
    finish(&case, running);
}

#[test]
fn a_program_that_cannot_be_run_is_told_apart() {
    let (case, running) = container();
    for (program, kind) in [
        ("/no/such", FailureKind::NotFound),
        ("nosuch", FailureKind::NotFound),
        ("/etc/passwd", FailureKind::NotExecutable),
    ] {
        let mut process = process("");
        process["args"] = json!([program]);
        let error = run(&case, &running, process).unwrap_err();
        assert_eq!(error.kind(), kind, "{}", chain(&error));
    }
    assert_eq!(running.cgroup.pids().unwrap(), [running.process.pid], "nothing is left in the cgroup");
    finish(&case, running);
}

#[test]
fn it_has_the_user_capabilities_limits_and_mask_of_its_own() {
    let (case, running) = container();
    let mut process = process(
        "id -u; id -G; grep CapBnd /proc/self/status | cut -f2; umask; ulimit -n; cat /proc/self/oom_score_adj; echo $A; pwd",
    );
    process["user"] = json!({ "uid": 1000, "gid": 1000, "additionalGids": [50] });
    process["capabilities"] = json!({ "bounding": ["CAP_CHOWN"] });
    process["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "soft": 55, "hard": 66 }]);
    process["oomScoreAdj"] = json!(400);
    process["env"] = json!(["PATH=/bin:/usr/bin", "A=b"]);
    process["cwd"] = json!("/tmp");
    run(&case, &running, process).unwrap().says(&[
        "1000",
        "1000 50",
        "0000000000000001",
        "0022",
        "55",
        "400",
        "b",
        "/tmp",
    ]);
    finish(&case, running);
}

#[test]
fn it_has_a_terminal_when_it_asks() {
    let (case, running) = container();
    let mut process = process("tty; stty size; exit 4");
    process["terminal"] = json!(true);
    process["consoleSize"] = json!({ "height": 10, "width": 20 });
    let started = exec(&case, &running, process, None).unwrap();
    let terminal = started.terminal.unwrap();
    let mut screen = String::new();
    let mut bytes = [0; 256];
    while let Ok(length @ 1..) = sys::file::read(&terminal, &mut bytes) {
        screen.push_str(&String::from_utf8_lossy(&bytes[..length]));
    }
    assert_eq!(screen.replace('\r', ""), "/dev/pts/0\n10 20\n");
    assert_eq!(processes::wait(&started.pidfd).unwrap(), ExitStatus::Exited(4));
    finish(&case, running);
}

#[test]
fn no_descriptor_of_ours_leaks_into_it() {
    let (case, running) = container();
    let text = run(&case, &running, process("ls /proc/self/fd | tr '\\n' ' '")).unwrap().prints();
    assert_eq!(text, "0 1 2 3 ");
    finish(&case, running);
}

#[test]
fn a_container_that_has_ended_takes_nobody() {
    let (case, running) = container();
    processes::pidfd_send_signal(&running.process.pidfd, 9).unwrap();
    sys::signal::wait_readable(&running.process.pidfd, None).unwrap();
    assert!(run(&case, &running, process("true")).is_err());
    drop(running.ends());
    case.assert_clean();
}
