//! Those who are attached: input, output, signals, terminals.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Stdio;

use engine::Status;
use serde_json::json;

use crate::sandbox::{Sandbox, request, terminal};

pub(crate) fn input_goes_in_and_output_comes_out_whole() {
    let sandbox = Sandbox::new();
    let run = request(&["cat"], json!({"open_stdin": true, "stdin_once": true, "remove_on_exit": true})).to_string();
    let input: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[0] ^ number.to_le_bytes()[1]).collect();
    let ran = sandbox.call_with(&["run", &run], &input);
    assert_eq!(ran.code(), 0, "{}", ran.err());
    assert!(ran.0.stdout == input, "{} of {} bytes came back", ran.0.stdout.len(), input.len());
    let file = sandbox.root().join("input");
    std::fs::write(&file, &input).unwrap();
    let child = sandbox.verb(&["run", &run]).stdin(File::open(file).unwrap()).output().unwrap();
    assert!(child.stdout == input, "{} of {} bytes came back from a file", child.stdout.len(), input.len());
}

pub(crate) fn a_slow_reader_loses_nothing() {
    let sandbox = Sandbox::new();
    let run = request(&["sh", "-c", "seq 1 200000; echo end"], json!({"name": "eg"})).to_string();
    let mut child = sandbox.spawn(&["run", &run]);
    // Nothing is read until the log has come to a halt; then all of it is still there.
    testkit::until("the container to be held up or done", || sandbox.engine().find("eg").ok());
    std::thread::sleep(std::time::Duration::from_millis(300));
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(out.lines().count(), 200_001);
    assert!(out.ends_with("200000\nend\n"));
}

pub(crate) fn a_signal_is_handed_on() {
    let sandbox = Sandbox::new();
    let script = "trap 'echo got it; exit 6' INT; echo ready; while :; do sleep 0.05; done";
    let run = request(&["sh", "-c", script], json!({"name": "eg"})).to_string();
    let mut child = sandbox.spawn(&["run", &run]);
    let mut out = child.stdout.take().unwrap();
    let mut ready = [0; 6];
    out.read_exact(&mut ready).unwrap();
    sys::process::kill(child.id(), 2).unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), child.wait().unwrap().code()), ("got it\n", Some(6)));
}

fn read_until(master: &mut File, text: &str) -> String {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&seen).contains(text) {
        let patience = Some(std::time::Duration::from_secs(20));
        assert!(
            sys::signal::wait_readable(&*master, patience).unwrap(),
            "no {text:?} in {:?}",
            String::from_utf8_lossy(&seen)
        );
        let length = master.read(&mut buffer).unwrap_or(0);
        assert!(length > 0, "no {text:?} before the end of {:?}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..length]);
    }
    String::from_utf8_lossy(&seen).into_owned()
}

pub(crate) fn a_terminal_is_a_terminal() {
    let sandbox = Sandbox::new();
    let more = json!({"tty": true, "open_stdin": true, "stdin_once": true, "name": "eg"});
    let run = request(&["sh"], more).to_string();
    sandbox.call(&["run", &run]).fails(125, "the input device is not a TTY");
    sandbox.assert_empty();
    let (master, slave) = terminal();
    let mut master = File::from(master);
    let copy = || Stdio::from(slave.try_clone().unwrap());
    let mut child = sandbox.verb(&["run", &run]).stdin(copy()).stdout(copy()).stderr(copy()).spawn().unwrap();
    read_until(&mut master, "# ");
    master.write_all(b"tty; stty size; echo $((40+2))\n").unwrap();
    let seen = read_until(&mut master, "\r\n42\r\n");
    assert!(seen.contains("/dev/pts/0\r\n33 99\r\n"), "{seen:?}");
    let exec = sandbox.verb(&["exec", "eg", "tty"]).env("TTY", "1").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&exec.stdout), "/dev/pts/1\r\n");
    master.write_all(b"exit 3\n").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

pub(crate) fn the_detach_keys_leave_the_container_running() {
    let sandbox = Sandbox::new();
    let more = json!({"tty": true, "open_stdin": true, "name": "eg"});
    sandbox.call(&["run-detached", &request(&["sh"], more).to_string()]).ok();
    let (master, slave) = terminal();
    let mut master = File::from(master);
    let copy = || Stdio::from(slave.try_clone().unwrap());
    let attach = || sandbox.verb(&["attach", "eg"]).stdin(copy()).stdout(copy()).stderr(copy()).spawn().unwrap();
    let mut child = attach();
    master.write_all(b"echo $((40+2))\n").unwrap();
    read_until(&mut master, "\r\n42\r\n");
    master.write_all(b"\x10\x11").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(sandbox.status("eg"), Status::Running);
    let mut child = attach();
    master.write_all(b"exit 4\n").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(4));
}
