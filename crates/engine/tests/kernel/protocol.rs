//! A monitor lives as long as its container, so it may be older than the command that meets it, and newer as well after a
//! step back. The bytes of version 1 stand here as they were spoken first; they are not to be changed.

use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};

use engine::Status;
use serde_json::json;
use sys::path::Root;
use sys::{file, socket};

use crate::sandbox::{Sandbox, request};

const SOCKET: &str = "monitor.sock";

#[track_caller]
fn receive(socket: &impl AsFd) -> (Vec<u8>, usize) {
    let mut frame = [0; 32 * 1024];
    let (length, descriptors) = socket::receive(socket, &mut frame).unwrap();
    (frame[..length].to_vec(), descriptors.len())
}

pub(crate) fn a_command_of_version_1_is_understood() {
    let sandbox = Sandbox::new();
    let script = "echo out; read line; echo got $line; exit 6";
    sandbox.start("eg", &["sh", "-c", script], json!({"open_stdin": true}));
    let run = sandbox.state().join("containers").join(sandbox.find("eg").id.as_str());
    let old = socket::connect_messages_at(Root::open(&run).unwrap(), SOCKET).unwrap();
    // Hello, version 1, standard input and output wished for.
    socket::send(&old, b"H\x01\x03", &[]).unwrap();
    let (welcome, descriptors) = receive(&old);
    assert_eq!((welcome[0], descriptors), (b'W', 1));
    // What a command of another time may say beside.
    socket::send(&old, b"zfuture", &[]).unwrap();
    socket::send(&old, b"R\x18\x00\x50\x00", &[]).unwrap();
    socket::send(&old, b"Iline\n", &[]).unwrap();
    // The first line may have come before we did, or not, or together with the second.
    let mut said = Vec::new();
    let end = loop {
        match receive(&old).0.split_first() {
            Some((b'O', bytes)) => said.extend_from_slice(bytes),
            other => break other.map(|(kind, rest)| [&[*kind], rest].concat()),
        }
    };
    assert!(matches!(&said[..], b"out\ngot line\n" | b"got line\n"), "{said:?}");
    assert_eq!(end.as_deref(), Some(&b"Q\x06"[..]));
    assert_eq!(receive(&old).0, b"");
}

pub(crate) fn a_command_of_version_1_gets_frames_that_it_has_room_for() {
    let sandbox = Sandbox::new();
    sandbox.start("eg", &["yes", "flood"], json!({"log": {"driver": "none", "max_size": 1000, "max_file": 1}}));
    let run = sandbox.state().join("containers").join(sandbox.find("eg").id.as_str());
    let old = socket::connect_messages_at(Root::open(&run).unwrap(), SOCKET).unwrap();
    socket::send(&old, b"H\x01\x02", &[]).unwrap();
    assert_eq!(receive(&old).0[0], b'W');
    let mut largest = 0;
    for _ in 0..1000 {
        let (frame, descriptors) = receive(&old);
        assert!(matches!(frame[0], b'O' | b'D') && descriptors == 0, "{:?}", frame[0]);
        largest = largest.max(frame.len());
    }
    assert_eq!(largest, 16 * 1024 + 1);
}

/// Plays a monitor of version 1 for a process: the run's files as it wrote them, its lock, its socket.
fn play_monitor(sandbox: &Sandbox, name: &str) -> std::thread::JoinHandle<u8> {
    play_talkative_monitor(sandbox, name, |_, _| ())
}

/// The same, and it has something to say to the client before the process ends.
fn play_talkative_monitor(
    sandbox: &Sandbox,
    name: &str,
    talk: impl FnOnce(&OwnedFd, u32) + Send + 'static,
) -> std::thread::JoinHandle<u8> {
    let container = sandbox.find(name);
    let run = sandbox.state().join("containers").join(container.id.as_str());
    std::fs::create_dir_all(&run).unwrap();
    let lock = std::fs::File::create(run.join("lock")).unwrap();
    assert!(file::try_hold(&lock).unwrap());
    let listener = socket::listen_messages_at(Root::open(&run).unwrap(), SOCKET).unwrap();
    let mut child = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap();
    let state = json!({
        "pid": child.id(), "started_at": "2026-01-01T00:00:00Z", "name": name, "image": "busybox",
        "args": ["sleep", "1000"], "created": "2026-01-01T00:00:00Z",
    });
    std::fs::write(run.join("state.json"), state.to_string()).unwrap();
    let exit = sandbox.root().join("containers").join(container.id.as_str()).join("exit.json");
    std::thread::spawn(move || {
        let pidfd = sys::process::pidfd_open(child.id()).unwrap();
        sys::signal::wait_readable(&listener, None).unwrap();
        let client = socket::accept(&listener).unwrap().unwrap();
        file::set_nonblocking(&client, false).unwrap();
        let hello = receive(&client).0;
        // The version is the client's own, and its wishes are bits of which three were known then.
        assert_eq!((hello[0], hello.len()), (b'H', 3));
        socket::send(&client, b"W\x01", &[pidfd.as_fd()]).unwrap();
        talk(&client, child.id());
        // The end of the process, by whatever the client sent it.
        sys::signal::wait_readable(&pidfd, None).unwrap();
        let end = json!({"exit_code": 143, "oom_killed": false, "finished_at": "2026-01-01T00:00:01Z"});
        std::fs::write(exit, end.to_string()).unwrap();
        std::fs::remove_dir_all(&run).unwrap();
        socket::send(&client, b"Q\x8f", &[]).unwrap();
        child.wait().unwrap();
        drop(lock);
        143
    })
}

pub(crate) fn a_monitor_of_version_1_is_understood() {
    let sandbox = Sandbox::new();
    let request = request(&["sleep", "1000"], json!({"name": "eg"}));
    sandbox.call(&["create", &request.to_string()]).ok();
    let monitor = play_monitor(&sandbox, "eg");
    assert_eq!(sandbox.call(&["ps"]).ok(), "eg running sleep 1000\n");
    sandbox.call(&["start", "eg"]).fails(125, "is running already");
    sandbox.call(&["rm", "eg"]).fails(125, "is running");
    sandbox.call(&["stop", "eg"]).ok();
    assert_eq!(monitor.join().unwrap(), 143);
    let state = sandbox.engine().state(&sandbox.find("eg")).unwrap();
    assert_eq!((state.status, state.exit_code), (Status::Exited, 143));
    let monitor = play_monitor(&sandbox, "eg");
    let waiting = sandbox.spawn(&["wait", "eg"]);
    let pid = sandbox.engine().state(&sandbox.find("eg")).unwrap().pid.unwrap().unsigned_abs();
    // It is the monitor's word that ends the wait, not the process.
    sys::process::kill(pid, 15).unwrap();
    assert_eq!(String::from_utf8(waiting.wait_with_output().unwrap().stdout).unwrap(), "143\n");
    monitor.join().unwrap();
    sandbox.call(&["rm", "eg"]).ok();
    sandbox.assert_empty();
}

pub(crate) fn a_monitor_of_version_1_gets_input_in_frames_alone() {
    let sandbox = Sandbox::new();
    let request = request(&["sleep", "1000"], json!({"name": "eg", "open_stdin": true, "stdin_once": true}));
    sandbox.call(&["create", &request.to_string()]).ok();
    let input: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let sent = input.clone();
    let monitor = play_talkative_monitor(&sandbox, "eg", move |client, pid| {
        let mut heard = Vec::new();
        loop {
            let (frame, descriptors) = receive(client);
            assert_eq!(descriptors, 0);
            match frame[0] {
                b'I' => heard.extend_from_slice(&frame[1..]),
                b'E' => break,
                other => panic!("a frame of kind {other}"),
            }
        }
        assert!(heard == sent, "{} bytes", heard.len());
        socket::send(client, b"Oall heard", &[]).unwrap();
        sys::process::kill(pid, 15).unwrap();
    });
    let attached = sandbox.call_with(&["attach", "eg"], &input);
    assert_eq!((attached.out().as_str(), attached.code()), ("all heard", 143));
    monitor.join().unwrap();
    sandbox.call(&["rm", "eg"]).ok();
    sandbox.assert_empty();
}
