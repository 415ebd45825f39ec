//! The operations over records on disk, and what is left when somebody is killed half-way.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use runtime::{CreateRequest, LifecycleError, Runtime, Status};
use serde_json::json;
use sys::process::{self as processes, ExitStatus, Fork};
use trace::{Format, Recorder};

use crate::harness::{Case, chain};

struct Life {
    case: Case,
    runtime: Runtime,
}

impl Life {
    fn new(script: &str) -> Self {
        // So that a container whose creator has gone is reaped, and its status can be seen.
        processes::become_subreaper().unwrap();
        let mut case = Case::sh(script);
        case.bundle.spec["linux"]["cgroupsPath"] = json!(format!("/conductor/{}", case.id));
        fs::write(case.bundle.path.join("config.json"), case.bundle.spec.to_string()).unwrap();
        let runtime = Runtime::open(case.path("state")).unwrap();
        Self { case, runtime }
    }

    fn request<'r>(&'r self, recorder: &'r Recorder) -> CreateRequest<'r> {
        CreateRequest { id: &self.case.id, bundle: &self.case.bundle.path, console: None, preserve_fds: 0, recorder }
    }

    /// Creates in a process of its own, as the command does, which then leaves; standard output goes to /dev/null.
    fn create(&self) -> ExitStatus {
        let creator = self.creator(&Recorder::silent());
        processes::wait(&creator.pidfd).unwrap()
    }

    fn creator(&self, recorder: &Recorder) -> processes::Child {
        match processes::clone_into(&[], None).unwrap() {
            Fork::Parent(child) => child,
            Fork::Child => {
                let failed = |error: LifecycleError| {
                    let _ = sys::path::write_stderr(format!("{}\n", chain(&error)).as_bytes());
                    match error {
                        LifecycleError::Exists(_) => 3,
                        _ => 1,
                    }
                };
                processes::exit(self.runtime.create(self.request(recorder)).map_or_else(failed, |_| 0))
            }
        }
    }

    fn status(&self) -> Status {
        self.runtime.state(&self.case.id).unwrap().status
    }

    fn ends(&self) {
        testkit::until("it ends", || {
            while let Ok(Some(_)) = processes::reap_any() {}
            (self.status() == Status::Stopped).then_some(())
        });
    }

    fn assert_gone(&self) {
        let left: Vec<PathBuf> =
            fs::read_dir(self.case.path("state")).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, Vec::<PathBuf>::new());
        testkit::until("children are reaped", || processes::reap_any().err());
        self.case.assert_clean();
    }
}

#[test]
fn a_container_lives_from_create_to_delete() {
    let life = Life::new("touch /ran; exec sleep 1000");
    let id = &life.case.id;
    assert_eq!(life.create(), ExitStatus::Exited(0));
    assert_eq!(life.status(), Status::Created);
    assert!(!life.case.rootfs().join("ran").exists());
    life.runtime.start(id).unwrap();
    assert_eq!(life.status(), Status::Running);
    testkit::until("the program runs", || life.case.rootfs().join("ran").exists().then_some(()));
    assert!(matches!(life.runtime.start(id), Err(LifecycleError::Status { status: Status::Running, .. })));
    assert!(matches!(life.runtime.delete(id, false), Err(LifecycleError::Status { status: Status::Running, .. })));
    life.runtime.kill(id, 9, false).unwrap();
    life.ends();
    assert!(matches!(life.runtime.kill(id, 9, false), Err(LifecycleError::Status { status: Status::Stopped, .. })));
    life.runtime.delete(id, false).unwrap();
    assert!(matches!(life.runtime.state(id), Err(LifecycleError::Unknown(_))));
    life.assert_gone();
}

#[test]
fn a_container_that_was_never_started_is_deleted() {
    let life = Life::new("touch /ran");
    assert_eq!(life.create(), ExitStatus::Exited(0));
    life.runtime.delete(&life.case.id, false).unwrap();
    assert!(!life.case.rootfs().join("ran").exists());
    life.assert_gone();
}

#[test]
fn a_running_container_is_deleted_by_force() {
    let life = Life::new("exec sleep 1000");
    life.create();
    life.runtime.start(&life.case.id).unwrap();
    life.runtime.delete(&life.case.id, true).unwrap();
    life.assert_gone();
}

#[test]
fn an_id_is_taken_by_one_of_two_at_once() {
    for _ in 0..5 {
        let life = Life::new("exec sleep 1000");
        let recorder = Recorder::silent();
        let both = [life.creator(&recorder), life.creator(&recorder)];
        let mut codes = both.map(|child| processes::wait(&child.pidfd).unwrap().code());
        codes.sort_unstable();
        assert_eq!(codes, [0, 3]);
        life.runtime.delete(&life.case.id, true).unwrap();
        life.assert_gone();
    }
}

#[test]
fn poststart_and_poststop_run_when_they_should() {
    let life = Life::new("echo program >> /log");
    let log = life.case.rootfs().join("log");
    let hook =
        |name: &str| json!([{ "path": "/bin/sh", "args": ["sh", "-c", format!("echo {name} >> {}", log.display())] }]);
    let mut spec = life.case.bundle.spec.clone();
    spec["hooks"] = json!({ "poststart": hook("poststart"), "poststop": hook("poststop") });
    fs::write(life.case.bundle.path.join("config.json"), spec.to_string()).unwrap();
    life.create();
    life.runtime.start(&life.case.id).unwrap();
    life.ends();
    life.runtime.delete(&life.case.id, false).unwrap();
    let text = fs::read_to_string(&log).unwrap();
    let mut lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.pop(), Some("poststop"));
    lines.sort_unstable();
    assert_eq!(lines, ["poststart", "program"]);
    life.assert_gone();
}

#[test]
fn garbage_in_the_records_is_named_and_can_be_deleted() {
    let life = Life::new("true");
    let dir = life.case.path("state").join("broken");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("state.json"), "{\"id\":").unwrap();
    let error = life.runtime.state("broken").unwrap_err();
    assert!(chain(&error).contains("state.json"), "{}", chain(&error));
    assert_eq!(life.runtime.records().ids(), ["broken"]);
    life.runtime.delete("broken", true).unwrap();
    life.assert_gone();
}

/// Kills somebody when the first process is about to do its nth step; returns false when there are fewer.
fn kill_at(life: &Life, step: usize, whom: impl Fn(u32) -> Option<u32>) -> bool {
    let (steps, sink) = std::io::pipe().unwrap();
    let steps = OwnedFd::from(steps);
    let recorder = Recorder::writing(sink.into(), Format::Json);
    let creator = life.creator(&recorder);
    drop(recorder);
    let mut left = step;
    let mut byte = [0];
    while left > 0 {
        // The first process holds the other end as long as it waits at its gate, so there is no end of file.
        if !sys::signal::wait_readable(&steps, Some(Duration::from_millis(5))).unwrap() {
            match processes::peek(&creator.pidfd).unwrap() {
                Some(_) if !sys::signal::wait_readable(&steps, Some(Duration::ZERO)).unwrap() => break,
                _ => continue,
            }
        }
        if sys::file::read(steps.as_fd(), &mut byte).unwrap() == 0 {
            break;
        }
        left -= usize::from(byte[0] == b'\n');
    }
    if left == 0
        && let Some(pid) = whom(creator.pid)
    {
        // It may have got away by now, having done all its steps.
        let _ = processes::kill(pid, 9);
    }
    processes::wait(&creator.pidfd).unwrap();
    left == 0
}

fn child_of(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

#[test]
fn a_creator_that_is_killed_at_any_step_leaves_nothing_that_the_next_does_not_find() {
    let mut step = 1;
    loop {
        let life = Life::new("exec sleep 1000");
        let reached = kill_at(&life, step, Some);
        // Whatever came of it, the first process is gone or waits at the gate of a container on record.
        if life.runtime.state(&life.case.id).is_err() {
            testkit::until("the first process ends", || {
                while let Ok(Some(_)) = processes::reap_any() {}
                life.case.cgroup().pids().unwrap_or_default().is_empty().then_some(())
            });
            assert_eq!(life.create(), ExitStatus::Exited(0), "step {step}: the ID is free again");
        }
        life.runtime.delete(&life.case.id, true).unwrap();
        life.assert_gone();
        if !reached {
            break;
        }
        step += 3;
    }
    assert!(step > 20, "there were {step} steps");
}

#[test]
fn a_first_process_that_is_killed_at_any_step_is_told_and_leaves_nothing() {
    let mut step = 1;
    loop {
        let life = Life::new("exec sleep 1000");
        let reached = kill_at(&life, step, child_of);
        // Killed at the gate, it is a stopped container on record.
        if life.runtime.state(&life.case.id).is_ok() {
            life.runtime.delete(&life.case.id, true).unwrap();
        }
        life.assert_gone();
        if !reached {
            break;
        }
        step += 3;
    }
    assert!(step > 20, "there were {step} steps");
}

#[test]
fn a_process_joins_a_container_by_its_id() {
    let life = Life::new("exec sleep 1000");
    life.create();
    let process = json!({ "user": { "uid": 0, "gid": 0 }, "args": ["/bin/sh", "-c", "touch /joined; exit 6"], "cwd": "/", "env": ["PATH=/bin"] });
    let process = serde_json::from_value(process).unwrap();
    life.runtime.start(&life.case.id).unwrap();
    let joined = life.runtime.exec(&life.case.id, &process, 0, &Recorder::silent()).unwrap();
    assert_eq!(processes::wait(&joined.pidfd).unwrap(), ExitStatus::Exited(6));
    assert!(life.case.rootfs().join("joined").exists());
    life.runtime.delete(&life.case.id, true).unwrap();
    assert!(matches!(
        life.runtime.exec(&life.case.id, &process, 0, &Recorder::silent()),
        Err(LifecycleError::Unknown(_))
    ));
    life.assert_gone();
}
