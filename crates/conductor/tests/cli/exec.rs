//! `exec`: another program in a container that runs.

use testkit::{Conductor, Sandbox};

use crate::{IMAGE, busybox};

fn running() -> Sandbox {
    let sandbox = busybox();
    sandbox.conductor(["run", "-d", "--name", "eg", "-e", "A=1", IMAGE, "sleep", "1000"]).run().success();
    sandbox
}

fn end(sandbox: &Sandbox) {
    sandbox.conductor(["rm", "-f", "eg"]).run().success();
    sandbox.assert_clean();
}

#[test]
fn a_program_joins_all_namespaces_of_the_container() {
    let sandbox = running();
    let script = "for n in mnt pid net uts ipc cgroup; do \
                    [ $(readlink /proc/1/ns/$n) = $(readlink /proc/self/ns/$n) ] && echo $n; done; true";
    assert_eq!(sandbox.conductor(["exec", "eg", "sh", "-c", script]).ok(), "mnt\npid\nnet\nuts\nipc\ncgroup");
    let listed = sandbox.conductor(["exec", "eg", "ps", "-o", "pid,args"]).ok();
    assert!(listed.lines().any(|line| line.trim() == "1 sleep 1000"), "{listed}");
    end(&sandbox);
}

#[test]
fn a_program_is_confined_as_the_first_one_is() {
    let sandbox = running();
    let script = "grep -hE '^(Cap...|NoNewPrivs|Seccomp):' /proc/1/status > /tmp/a; \
                  grep -hE '^(Cap...|NoNewPrivs|Seccomp):' /proc/self/status | diff /tmp/a -";
    assert_eq!(sandbox.conductor(["exec", "eg", "sh", "-c", script]).ok(), "");
    assert_eq!(sandbox.conductor(["exec", "eg", "sh", "-c", "cat /proc/self/cgroup | diff /proc/1/cgroup -"]).ok(), "");
    end(&sandbox);
}

#[test]
fn code_input_environment_user_and_directory_come_through() {
    let sandbox = running();
    sandbox.conductor(["exec", "eg", "sh", "-c", "exit 9"]).fails(9);
    assert_eq!(sandbox.conductor(["exec", "-i", "eg", "cat"]).input("text").ok(), "text");
    assert_eq!(sandbox.conductor(["exec", "-e", "B=2", "eg", "sh", "-c", "echo $A$B"]).ok(), "12");
    assert_eq!(
        sandbox.conductor(["exec", "-u", "alice", "-w", "/tmp", "eg", "sh", "-c", "id -un; pwd"]).ok(),
        "alice\n/tmp"
    );
    end(&sandbox);
}

#[test]
fn a_missing_command_is_127_and_one_that_cannot_be_executed_126() {
    let sandbox = running();
    assert!(sandbox.conductor(["exec", "eg", "no-such-command"]).fails(127).contains("no-such-command"));
    assert!(sandbox.conductor(["exec", "eg", "/etc/passwd"]).fails(126).contains("/etc/passwd"));
    end(&sandbox);
}

#[test]
fn a_container_that_does_not_run_takes_no_program() {
    let sandbox = busybox();
    sandbox.conductor(["run", "--name", "ended", IMAGE, "true"]).run().success();
    assert!(sandbox.conductor(["exec", "ended", "true"]).fails(1).contains("not running"));
    assert!(sandbox.conductor(["exec", "unheard-of", "true"]).fails(1).contains("unheard-of"));
}

#[test]
fn no_program_of_the_container_can_write_to_our_binary() {
    let sandbox = running();
    // The classic: a container's program waits for the runtime's process and writes through its /proc/PID/exe.
    let script = "for exe in /proc/[0-9]*/exe; do : 2>/dev/null >> $exe && readlink $exe; done | grep -v busybox; true";
    assert_eq!(sandbox.conductor(["exec", "eg", "sh", "-c", script]).ok(), "");
    let descriptors = sandbox.conductor(["exec", "eg", "ls", "/proc/self/fd"]).ok();
    assert_eq!(descriptors.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3"]);
    end(&sandbox);
}

#[test]
fn the_keys_of_the_caller_s_session_stay_outside() {
    let sandbox = busybox();
    let conductor =
        format!("{} --root {:?} --state {:?}", env!("CARGO_BIN_EXE_conductor"), sandbox.root(), sandbox.state());
    // A key that none but its session sees.
    let script = format!(
        "keyctl setperm $(keyctl add user of-the-caller x @s) 0x3f000000; grep -c of-the-caller /proc/keys
         {conductor} run -d --privileged --name eg {IMAGE} sleep 1000 > /dev/null
         {conductor} exec eg grep -c of-the-caller /proc/keys
         {conductor} run --rm --privileged {IMAGE} grep -c of-the-caller /proc/keys"
    );
    let seen = Conductor::new("keyctl").args(["session", "-", "sh", "-c", &script]).run();
    assert_eq!(seen.stdout, "1\n0\n0\n", "{seen:?}");
    end(&sandbox);
}
