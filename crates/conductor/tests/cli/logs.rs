//! `logs`: what a container has printed.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::{IMAGE, busybox};

#[test]
fn both_streams_are_kept_and_given_back_apart() {
    let sandbox = busybox();
    sandbox.conductor(["run", "--name", "eg", IMAGE, "sh", "-c", "echo out; echo err >&2"]).run().success();
    let ran = sandbox.conductor(["logs", "eg"]).run().success();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("out\n", "err\n"));
}

#[test]
fn the_last_lines_and_the_times_are_given_when_asked_for() {
    let sandbox = busybox();
    sandbox
        .conductor(["run", "--name", "eg", IMAGE, "sh", "-c", "for i in 1 2 3 4 5; do echo $i; done"])
        .run()
        .success();
    assert_eq!(sandbox.conductor(["logs", "--tail", "2", "eg"]).ok(), "4\n5");
    let line = sandbox.conductor(["logs", "-t", "--tail", "1", "eg"]).ok();
    let (time, text) = line.split_once(' ').unwrap();
    assert!(time.starts_with("20") && time.ends_with('Z') && text == "5", "{line}");
    assert_eq!(sandbox.conductor(["logs", "--since", "2099-01-01T00:00:00Z", "eg"]).ok(), "");
    assert_eq!(sandbox.conductor(["logs", "--since", "1h", "--tail", "all", "eg"]).ok().lines().count(), 5);
}

#[test]
fn following_ends_with_the_container() {
    let sandbox = busybox();
    let script = "echo first; read line < /tmp/go; echo second";
    sandbox
        .conductor(["run", "-d", "--name", "eg", IMAGE, "sh", "-c", &format!("mkfifo /tmp/go; {script}")])
        .run()
        .success();
    let mut follow = sandbox.conductor(["logs", "-f", "eg"]).into_command().stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "first");
    sandbox.conductor(["exec", "eg", "sh", "-c", "echo go > /tmp/go"]).run().success();
    assert_eq!(lines.next().unwrap().unwrap(), "second");
    assert!(lines.next().is_none());
    assert!(follow.wait().unwrap().success());
}

#[test]
fn the_log_is_a_file_of_json_lines_with_dockers_fields() {
    let sandbox = busybox();
    sandbox.conductor(["run", "--name", "eg", IMAGE, "sh", "-c", "echo out; echo err >&2"]).run().success();
    let path = sandbox.conductor(["inspect", "--format", "{{.LogPath}}", "eg"]).ok();
    let text = std::fs::read_to_string(&path).unwrap();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.sort_by_key(|line| line["stream"].to_string());
    assert_eq!((&lines[0]["log"], &lines[0]["stream"]), (&"err\n".into(), &"stderr".into()));
    assert_eq!((&lines[1]["log"], &lines[1]["stream"]), (&"out\n".into(), &"stdout".into()));
    assert!(lines.iter().all(|line| line["time"].is_string()));
}

#[test]
fn a_log_is_rotated_and_none_is_lost_that_is_kept() {
    let sandbox = busybox();
    let options = ["--log-opt", "max-size=10k", "--log-opt", "max-file=2"];
    let script = "i=0; while [ $i -lt 1000 ]; do echo line $i; i=$((i+1)); done";
    sandbox.conductor(["run", "--name", "eg"]).args(options).args([IMAGE, "sh", "-c", script]).run().success();
    let kept = sandbox.conductor(["logs", "eg"]).ok();
    let numbers: Vec<u32> = kept.lines().map(|line| line.strip_prefix("line ").unwrap().parse().unwrap()).collect();
    assert_eq!(numbers.last(), Some(&999));
    assert!(numbers.len() < 1000 && numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{} lines", numbers.len());
}

#[test]
fn a_compact_log_reads_as_one_of_json_does() {
    let sandbox = busybox();
    let script = "for i in 1 2 3 4 5; do echo line $i; done; echo err >&2; printf 'no newline'";
    let options = ["--log-driver", "local", "--log-opt", "max-size=60", "--log-opt", "max-file=9"];
    sandbox.conductor(["run", "--name", "eg"]).args(options).args([IMAGE, "sh", "-c", script]).run().success();
    let ran = sandbox.conductor(["logs", "eg"]).run().success();
    assert_eq!(ran.stdout, "line 1\nline 2\nline 3\nline 4\nline 5\nno newline");
    assert_eq!(ran.stderr, "err\n");
    // The line of stderr is the one before the last.
    assert_eq!(sandbox.conductor(["logs", "--tail", "3", "eg"]).ok(), "line 5\nno newline");
    assert_eq!(sandbox.conductor(["logs", "--since", "2099-01-01T00:00:00Z", "eg"]).ok(), "");
    let config = sandbox.conductor(["inspect", "--format", "{{json .HostConfig.LogConfig}}", "eg"]).ok();
    let expected = "{\"Config\":{\"compress\":\"true\",\"max-file\":\"9\",\"max-size\":\"60\"},\"Type\":\"local\"}";
    assert_eq!(config, expected);
    sandbox.conductor(["rm", "eg"]).run().success();
    sandbox.assert_clean();
}

#[test]
fn following_goes_on_while_the_policy_starts_the_container_again() {
    let sandbox = busybox();
    let script = "read n < /n || n=0; n=$((n+1)); echo $n > /n; echo run $n; exit 1";
    let run = ["run", "-d", "--name", "eg", "--restart", "on-failure:3", IMAGE, "sh", "-c", script];
    sandbox.conductor(run).run().success();
    assert_eq!(sandbox.conductor(["logs", "-f", "eg"]).ok(), "run 1\nrun 2\nrun 3\nrun 4");
    sandbox.conductor(["rm", "eg"]).run().success();
    sandbox.assert_clean();
}

#[test]
fn a_wrong_driver_or_option_is_told_which_there_are() {
    let sandbox = busybox();
    let create = |options: &[&str]| sandbox.conductor(["create"]).args(options).arg(IMAGE).fails(125);
    let told = create(&["--log-driver", "syslog"]);
    assert!(told.contains("unknown log driver \"syslog\": use json-file, local, journald or none"), "{told}");
    let told = create(&["--log-driver", "journald", "--log-opt", "max-size=1m"]);
    assert!(told.contains("the log driver journald has no option \"max-size=1m\": use tag=TEMPLATE"), "{told}");
    let told = create(&["--log-opt", "compress=true"]);
    assert!(told.contains("the log driver json-file has no option"), "{told}");
    sandbox.assert_clean();
}
