//! A container on a terminal of its own.

use std::os::fd::OwnedFd;

use runtime::Process;
use serde_json::json;
use sys::process::{self as processes, ExitStatus};

use crate::harness::Case;

fn on_terminal(script: &str) -> Case {
    Case::sh(script)
        .set("/process/terminal", json!(true))
        .set("/process/consoleSize", json!({ "height": 33, "width": 101 }))
}

/// Reads what the terminal shows until this text has come.
fn sees(terminal: &OwnedFd, text: &str) -> String {
    let mut screen = String::new();
    while !screen.contains(text) {
        let mut bytes = [0; 1024];
        match sys::file::read(terminal, &mut bytes) {
            Ok(length @ 1..) => screen.push_str(&String::from_utf8_lossy(&bytes[..length])),
            _ => panic!("never saw {text:?}, but {screen:?}"),
        }
    }
    screen.replace('\r', "")
}

fn start(case: &Case) -> (Process, cgroup::Cgroup) {
    case.create(None).unwrap().start().unwrap()
}

fn end(case: &Case, (process, cgroup): (Process, cgroup::Cgroup)) -> ExitStatus {
    let status = processes::wait(&process.pidfd).unwrap();
    cgroup.remove().unwrap();
    drop(process);
    case.assert_clean();
    status
}

#[test]
fn the_program_is_on_a_terminal_of_the_size_that_was_asked_for() {
    let case =
        on_terminal("tty; stty size; test -c /dev/console && echo console; ls -l /dev/console | cut -c1; echo end");
    let container = start(&case);
    let screen = sees(container.0.terminal.as_ref().unwrap(), "end");
    assert_eq!(screen.trim(), "/dev/pts/0\n33 101\nconsole\nc\nend");
    assert_eq!(end(&case, container), ExitStatus::Exited(0));
}

#[test]
fn the_terminal_controls_the_session_and_its_jobs() {
    let case =
        on_terminal("trap 'echo interrupted' INT; echo ready; until read line; do :; done; echo \"got $line\"; exit 3");
    let container = start(&case);
    let terminal = container.0.terminal.as_ref().unwrap();
    sees(terminal, "ready");
    sys::file::write_all(terminal, b"\x03").unwrap();
    sees(terminal, "interrupted");
    sys::file::write_all(terminal, b"words\r").unwrap();
    sees(terminal, "got words");
    assert_eq!(end(&case, container), ExitStatus::Exited(3));
}

#[test]
fn jobs_are_stopped_and_taken_up_again() {
    let case = on_terminal("exec sh -i");
    let container = start(&case);
    let terminal = container.0.terminal.as_ref().unwrap();
    sys::file::write_all(terminal, b"sleep 1000\r").unwrap();
    // The shell has put the job into the foreground when it is the group that the terminal names.
    testkit::until("the job runs", || {
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", container.0.pid)).ok()?;
        let job = children.split_whitespace().next()?.to_owned();
        let stat = std::fs::read_to_string(format!("/proc/{job}/stat")).ok()?;
        // The eighth field is the terminal's foreground group.
        (stat.contains("(sleep)") && stat.split(' ').nth(7) == Some(&job)).then_some(())
    });
    sys::file::write_all(terminal, b"\x1a").unwrap();
    sees(terminal, "Stopped");
    sys::file::write_all(terminal, b"kill -9 %1; exit 5\rexit 5\r").unwrap();
    sees(terminal, "exit 5");
    let drain = |terminal: &OwnedFd| {
        let mut bytes = [0; 1024];
        while let Ok(1..) = sys::file::read(terminal, &mut bytes) {}
    };
    drain(terminal);
    assert_eq!(end(&case, container), ExitStatus::Exited(5));
}

#[test]
fn the_terminal_belongs_to_the_user() {
    let case = on_terminal("stat -c %u $(tty); echo end").set("/process/user", json!({ "uid": 1000, "gid": 1000 }));
    let container = start(&case);
    assert!(sees(container.0.terminal.as_ref().unwrap(), "end").starts_with("1000\n"));
    end(&case, container);
}
