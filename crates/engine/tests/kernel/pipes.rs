//! Bytes in bulk, and readers that do not read: nothing is lost to who stays, and nobody else waits for them.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use engine::Status;
use serde_json::{Value, json};
use sys::path::Root;
use sys::{file, pipe, socket};
use testkit::until;

use crate::sandbox::{Sandbox, request};

/// Writes so many bytes, of which no two parts are the same for long.
fn count(bytes: usize) -> String {
    format!("seq 1000000 9999999 | head -c {bytes}")
}

fn counted(bytes: usize) -> Vec<u8> {
    let text: String = (1_000_000..=bytes / 8 + 1_000_000).map(|number| format!("{number}\n")).collect();
    text.into_bytes()[..bytes].to_vec()
}

const MUCH: usize = 8_000_000;

fn without_log() -> Value {
    json!({"log": {"driver": "none", "max_size": 1_000_000, "max_file": 1}, "remove_on_exit": true})
}

/// Reads both outputs of a command to their ends, at the same time.
fn read_both(child: &mut Child) -> [Vec<u8>; 2] {
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let errors = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        err.read_to_end(&mut bytes).unwrap();
        bytes
    });
    let mut bytes = Vec::new();
    out.read_to_end(&mut bytes).unwrap();
    [bytes, errors.join().unwrap()]
}

pub(crate) fn both_outputs_come_whole_in_bulk() {
    let sandbox = Sandbox::new();
    sandbox.start("eg", &["sleep", "1000"], json!({}));
    let run = |bytes, more| {
        let script = format!("{0} & {0} >&2; wait; exit 3", count(bytes));
        (script.clone(), request(&["sh", "-c", &script], more).to_string(), counted(bytes))
    };
    let (script, unlogged, much) = run(MUCH, without_log());
    // A log is slow in a test's build.
    let (_, logged, less) = run(MUCH / 4, json!({"remove_on_exit": true}));
    let calls = [
        (vec!["run", &unlogged], &much),
        (vec!["run", &logged], &less),
        (vec!["exec", "eg", "sh", "-c", &script], &much),
    ];
    for (words, wanted) in calls {
        let mut child = sandbox.spawn(&words);
        let [out, err] = read_both(&mut child);
        assert!(out == *wanted && err == *wanted, "{} and {} bytes came", out.len(), err.len());
        assert_eq!(child.wait().unwrap().code(), Some(3));
    }
}

pub(crate) fn a_file_that_is_appended_to_gets_all_of_it_too() {
    let sandbox = Sandbox::new();
    let path = sandbox.root().join("out");
    std::fs::write(&path, b"before").unwrap();
    let appended = File::options().append(true).open(&path).unwrap();
    let run = request(&["sh", "-c", &count(MUCH)], without_log()).to_string();
    assert!(sandbox.verb(&["run", &run]).stdout(Stdio::from(appended)).status().unwrap().success());
    let bytes = std::fs::read(&path).unwrap();
    assert!(bytes.starts_with(b"before") && bytes[6..] == counted(MUCH), "{} bytes", bytes.len());
}

pub(crate) fn what_comes_in_bulk_is_moved_and_not_copied() {
    let sandbox = Sandbox::new();
    let script = "head -c 50000000 /dev/zero; echo done >&2; sleep 1000";
    let run = request(&["sh", "-c", script], without_log()).to_string();
    let mut child = sandbox.verb(&["run", &run]).stdout(Stdio::null()).spawn().unwrap();
    let mut told = [0; 5];
    child.stderr.take().unwrap().read_exact(&mut told).unwrap();
    let io = std::fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap();
    let read: u64 = io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap();
    assert!(read < 10_000_000, "the client has read {read} bytes itself");
    sys::process::kill(child.id(), 9).unwrap();
    child.wait().unwrap();
}

/// Starts a command whose output nobody reads, and waits until it can write no more.
fn stuck(sandbox: &Sandbox, words: &[&str], name: &str) -> Child {
    let child = sandbox.spawn(words);
    until("the container runs", || (sandbox.engine().list(true).ok()?.len() == 1).then_some(()));
    until("it runs", || (sandbox.status(name) == Status::Running).then_some(()));
    let out = child.stdout.as_ref().unwrap().as_fd().try_clone_to_owned().unwrap();
    let mut before = 0;
    until("the output is stuck", || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let now = pipe::held(&out).unwrap();
        let same = now > 0 && now == std::mem::replace(&mut before, now);
        same.then_some(())
    });
    child
}

/// Asks everything of a container that can be asked from elsewhere, while somebody does not read.
fn ask_everything(sandbox: &Sandbox, name: &str) {
    assert!(sandbox.call(&["ps"]).ok().starts_with(&format!("{name} running")));
    assert_eq!(sandbox.call(&["exec", name, "echo", "hi"]).ok(), "hi\n");
    let waiting = sandbox.spawn(&["wait", name]);
    let stopped = sandbox.verb(&["stop", name]).env("GRACE", "0").output().unwrap();
    assert!(stopped.status.success(), "{stopped:?}");
    assert_eq!(waiting.wait_with_output().unwrap().stdout, b"137\n");
    assert_eq!(sandbox.status(name), Status::Exited);
    // No monitor stays for the reader's sake.
    until("its monitor has ended", || monitor(name).is_none().then_some(()));
    sandbox.call(&["rmf", name]).ok();
    sandbox.assert_empty();
}

/// Finds the monitor of a container in /proc.
fn monitor(name: &str) -> Option<PathBuf> {
    let wanted = format!("conductor\0monitor\0{name}\0");
    let mut processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    processes.find(|path| {
        let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).starts_with(&wanted)
    })
}

pub(crate) fn a_foreground_command_that_is_not_read_holds_nobody_up() {
    let sandbox = Sandbox::new();
    for (name, log) in [("stuck-none", "none"), ("stuck-json", "json-file")] {
        let more = json!({"name": name, "log": {"driver": log, "max_size": 1_000_000, "max_file": 1}});
        let run = request(&["seq", "1", "1000000000"], more).to_string();
        let mut child = stuck(&sandbox, &["run", &run], name);
        ask_everything(&sandbox, name);
        // What had been sent is there, in order and without a gap; and so is the exit code.
        let mut out = String::new();
        child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        let (whole, _cut) = out.rsplit_once('\n').unwrap();
        assert!(whole.lines().zip(1..).all(|(line, number)| line.parse() == Ok(number)));
        assert!(whole.len() > 60_000, "{} bytes", whole.len());
        assert_eq!(child.wait().unwrap().code(), Some(137));
    }
}

pub(crate) fn an_exec_an_attach_and_a_follow_that_are_not_read_hold_nobody_up() {
    let sandbox = Sandbox::new();
    for (name, verb) in [("stuck-exec", "exec"), ("stuck-attach", "attach"), ("stuck-follow", "follow")] {
        let quiet = verb == "exec";
        sandbox.start(name, if quiet { &["sleep", "1000"] } else { &["yes", "flood"] }, json!({}));
        let mut words = vec![verb, name];
        words.extend(["yes", "flood"].into_iter().filter(|_| quiet));
        let mut child = stuck(&sandbox, &words, name);
        ask_everything(&sandbox, name);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

pub(crate) fn a_signal_gets_through_where_nobody_reads() {
    let sandbox = Sandbox::new();
    let script = "trap 'exit 6' TERM; yes 1234567890123456789012345678901234567890 & wait";
    sandbox.start("other", &["sleep", "1000"], json!({}));
    let run = request(&["sh", "-c", script], json!({"name": "eg"})).to_string();
    for words in [vec!["run", &run], vec!["exec", "other", "sh", "-c", script]] {
        let mut child = sandbox.spawn(&words);
        let pidfd = sys::process::pidfd_open(child.id()).unwrap();
        let out = child.stdout.take().unwrap();
        until("its output is full", || (pipe::held(&out).unwrap() > 32_000).then_some(()));
        // The first is for the command, which ends of it. The client stays for its reader, until a second one comes.
        until("the client has gone", || {
            sys::process::kill(child.id(), 15).unwrap();
            sys::signal::wait_readable(&pidfd, Some(std::time::Duration::from_millis(200))).unwrap().then_some(())
        });
        assert_eq!(child.wait().unwrap().code(), Some(6), "{words:?}");
    }
}

pub(crate) fn input_by_a_pipe_follows_that_by_frames_and_outlives_its_sender() {
    let sandbox = Sandbox::new();
    let more = json!({"open_stdin": true, "stdin_once": true});
    // It reads only when all has been sent and the sender is gone.
    sandbox.start("eg", &["sh", "-c", "while [ ! -e /tmp/go ]; do sleep 0.05; done; md5sum; exit 4"], more);
    let run = sandbox.state().join("containers").join(sandbox.find("eg").id.as_str());
    let client = socket::connect_messages_at(Root::open(&run).unwrap(), "monitor.sock").unwrap();
    socket::send(&client, b"H\x02\x01", &[]).unwrap();
    let mut welcome = [0; 64];
    assert_eq!(socket::receive(&client, &mut welcome).unwrap().0, 2);
    let (theirs, ours) = pipe::open().unwrap();
    socket::send(&client, b"Ione ", &[]).unwrap();
    socket::send(&client, b"P", &[theirs.as_fd()]).unwrap();
    drop(theirs);
    // More than the command's own pipe takes: the rest waits in ours.
    file::write_all(&ours, b"two ").unwrap();
    file::set_nonblocking(&ours, false).unwrap();
    file::write_all(&ours, &vec![b'x'; 100_000]).unwrap();
    drop((client, ours));
    let waiting = sandbox.spawn(&["wait", "eg"]);
    sandbox.call(&["exec", "eg", "touch", "/tmp/go"]).ok();
    assert_eq!(waiting.wait_with_output().unwrap().stdout, b"4\n");
    let sum = sandbox.call(&["logs", "eg"]).ok();
    let mut md5sum = std::process::Command::new("md5sum");
    let mut child = md5sum.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let input = [b"one two ".as_slice(), &vec![b'x'; 100_000]].concat();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &input).unwrap();
    assert_eq!(sum.as_bytes(), child.wait_with_output().unwrap().stdout);
}

pub(crate) fn who_sends_input_is_told_that_nobody_takes_it() {
    let sandbox = Sandbox::new();
    sandbox.start("other", &["sleep", "1000"], json!({}));
    let script = "exec < /dev/null; echo closed; while [ ! -e /tmp/go ]; do sleep 0.05; done; exit 5";
    let more = json!({"name": "eg", "open_stdin": true, "stdin_once": true});
    let run = request(&["sh", "-c", script], more).to_string();
    for (words, name) in [(vec!["run", run.as_str()], "eg"), (vec!["exec", "other", "sh", "-c", script], "other")] {
        let mut child = sandbox.verb(&words).env("STDIN", "1").stdin(Stdio::piped()).spawn().unwrap();
        let mut told = [0; 7];
        child.stdout.as_mut().unwrap().read_exact(&mut told).unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let sent = std::thread::spawn(move || {
            let sent = (0..1000).try_for_each(|_| std::io::Write::write_all(&mut stdin, &[7; 100_000]));
            drop(stdin);
            sent
        });
        // It is not asked to end; it ends by itself, though its input has not been taken.
        sandbox.call(&["exec", name, "touch", "/tmp/go"]).ok();
        assert_eq!(child.wait().unwrap().code(), Some(5), "{words:?}");
        assert!(sent.join().unwrap().is_err());
    }
}
