//! Input and output in bulk, and what it costs.

use std::io::Read;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use testkit::{Sandbox, until};

use crate::{IMAGE, busybox};

/// Finds the only monitor of a sandbox in /proc.
fn monitor(sandbox: &Sandbox) -> PathBuf {
    let places = sandbox.processes().into_iter().map(|pid| PathBuf::from(format!("/proc/{pid}")));
    let is_monitor = |place: &PathBuf| {
        std::fs::read(place.join("cmdline")).is_ok_and(|line| line.starts_with(b"conductor\0monitor\0"))
    };
    let monitors: Vec<_> = places.filter(is_monitor).collect();
    assert_eq!(monitors.len(), 1, "{monitors:?}");
    monitors[0].clone()
}

#[test]
fn a_monitor_is_small_and_sleeps_when_a_flood_is_over() {
    let sandbox = busybox();
    let script = "cat; head -c 10000000 /dev/zero; echo done >&2; sleep 1000";
    let start = ["run", "-i", "--name", "eg", "--log-driver", "none", IMAGE, "sh", "-c", script];
    let mut command = sandbox.conductor(start).into_command();
    command.stdin(std::fs::File::open(testkit::fixture::BUSYBOX).unwrap()).stdout(Stdio::null());
    let mut client = command.stderr(Stdio::piped()).spawn().unwrap();
    client.stderr.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
    let monitor = monitor(&sandbox);
    let number = |file: &str, field: &str| -> u64 {
        let text = std::fs::read_to_string(monitor.join(file)).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        value.split_whitespace().next().unwrap().parse().unwrap()
    };
    until("its own memory is small again", || (number("smaps_rollup", "Pss_Anon:") < 90).then_some(()));
    until("it sleeps for a second on end", || {
        let wakeups = number("status", "voluntary_ctxt_switches:");
        std::thread::sleep(Duration::from_secs(1));
        (number("status", "voluntary_ctxt_switches:") == wakeups).then_some(())
    });
    sandbox.conductor(["rm", "-f", "eg"]).run().success();
    assert_eq!(client.wait().unwrap().code(), Some(137));
    sandbox.assert_clean();
}

#[test]
fn output_that_a_full_disk_does_not_take_is_an_error_that_says_so() {
    let sandbox = busybox();
    sandbox.conductor(["run", "-d", "--name", "eg", IMAGE, "sleep", "1000"]).run().success();
    for (words, code) in [(&["run", "--rm", IMAGE, "echo", "hello"][..], 125), (&["exec", "eg", "echo", "hello"], 1)] {
        let mut command = sandbox.conductor(words).into_command();
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains("no space left on device"), "{said}");
    }
    sandbox.conductor(["rm", "-f", "eg"]).run().success();
    sandbox.assert_clean();
}
