//! Restart policies and reboots, as the whole program keeps them.

use std::path::Path;
use std::process::Command;

use testkit::{Sandbox, until};

use crate::{IMAGE, busybox};

/// Runs a script on a machine of its own: fresh PID, mount and network namespaces, and a state directory in memory. When
/// the script ends the machine is gone, with all that ran on it.
fn on_a_machine(sandbox: &Sandbox, script: &str) -> String {
    let state = sandbox.state();
    std::fs::create_dir_all(&state).unwrap();
    let command = sandbox.conductor(["version"]).into_command();
    let conductor = Path::new(command.get_program()).display().to_string();
    let script = format!(
        "set -e; mount -t tmpfs none {state}\nconductor() {{ {conductor} --root {root} --state {state} \"$@\"; }}\n{script}",
        state = state.display(),
        root = sandbox.root().display(),
    );
    let unshare = ["--pid", "--fork", "--mount-proc", "--mount", "--net", "--kill-child", "sh", "-c", &script];
    let out = Command::new("unshare").args(unshare).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{text}{}", String::from_utf8_lossy(&out.stderr));
    text
}

#[test]
fn a_reboot_ends_as_the_policies_say() {
    let sandbox = busybox();
    let ids = on_a_machine(
        &sandbox,
        "conductor run -d --name plain IMAGE sleep 1000
         conductor run -d --name web --restart always IMAGE sleep 1000
         conductor run -d --name kept --restart unless-stopped IMAGE sleep 1000
         conductor run -d --name down --restart unless-stopped IMAGE sleep 1000
         conductor run -d --name gone --rm IMAGE sleep 1000
         conductor stop -t 0 down >&2"
            .replace("IMAGE", IMAGE)
            .as_str(),
    );
    let told = on_a_machine(
        &sandbox,
        "conductor ps
         conductor system boot run | sort
         conductor ps --format '{{.Names}} {{.State}}' | sort
         conductor ps -a --format '{{.Names}} {{.Status}}' --filter name=plain
         conductor inspect -f '{{.State.ExitCode}} {{.State.Error}}' plain
         conductor exec web true
         conductor rm -f web kept plain down",
    );
    let lines: Vec<_> = told.lines().filter(|line| !line.starts_with("CONTAINER ID")).collect();
    let expected = [
        "gone removed",
        "kept started",
        "web started",
        "kept running",
        "web running",
        "plain Exited (137) Less than a second ago",
        "137 the machine went down while the container ran",
        "web",
        "kept",
        "plain",
        "down",
    ];
    assert_eq!(lines, expected);
    // Here the kernel went on, and with it the empty cgroups, of which a real machine would have kept none.
    for id in ids.lines() {
        for tree in std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
            let _ = std::fs::remove_dir(tree.path().join("conductor").join(id));
        }
    }
    sandbox.assert_clean();
}

#[test]
fn a_crash_is_followed_by_a_restart_and_a_stop_is_not() {
    let sandbox = busybox();
    let shown = |format: &str| sandbox.conductor(["inspect", "-f", format, "eg"]).ok();
    let words = ["run", "-d", "--name", "eg", "--restart", "on-failure:5", IMAGE, "sh", "-c"];
    sandbox.conductor(words).arg("sleep 0.2; exit 9").run().success();
    until("two restarts", || (*shown("{{.RestartCount}}") >= *"2").then_some(()));
    assert_eq!(
        shown("{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}"),
        "on-failure 5"
    );
    until("a pause", || sandbox.conductor(["ps"]).ok().contains("Restarting (9)").then_some(()));
    sandbox.conductor(["stop", "eg"]).run().success();
    sandbox.conductor(["ps", "-a"]).run().success().says("Exited (9)");
    sandbox.conductor(["restart", "eg"]).run().success();
    assert_eq!(shown("{{.RestartCount}} {{.State.Running}}"), "0 true");
    sandbox.conductor(["rm", "-f", "eg"]).run().success();
    sandbox.assert_clean();
    assert!(
        sandbox.conductor(["run", "--restart", "sometimes", IMAGE]).fails(125).contains("on-failure[:MAX-RETRIES]")
    );
    assert!(
        sandbox.conductor(["run", "--rm", "--restart", "always", IMAGE]).fails(125).contains("conflicting options")
    );
}

#[test]
fn the_boot_unit_is_one_that_systemd_understands() {
    let sandbox = busybox();
    let units = sandbox.work().join("units");
    let path = sandbox.conductor(["system", "boot", "install", "--unit-dir"]).arg(&units).ok();
    let text = std::fs::read_to_string(&path).unwrap();
    let exec = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    assert!(exec.ends_with("system boot run"), "{exec}");
    let out = Command::new("sh").args(["-c", exec]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let link = units.join("multi-user.target.wants/conductor-boot.service");
    assert_eq!(std::fs::read_to_string(link).unwrap(), text);
    // A second time changes nothing.
    assert_eq!(sandbox.conductor(["system", "boot", "install", "--unit-dir"]).arg(&units).ok(), path);
}

#[test]
fn a_new_binary_goes_on_with_the_containers_of_the_old_one() {
    let sandbox = busybox();
    let installed = sandbox.work().join("conductor");
    let current = sandbox.conductor(["version"]).into_command().get_program().to_owned();
    let call = |words: &[&str]| {
        let mut command = Command::new(&installed);
        command.arg("--root").arg(sandbox.root()).arg("--state").arg(sandbox.state()).args(words);
        let out = command.output().unwrap();
        assert!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    std::fs::copy(&current, &installed).unwrap();
    let script = "i=0; while :; do i=$((i + 1)); echo $i; sleep 0.05; done";
    call(&["run", "-d", "--name", "old", "--restart", "always", IMAGE, "sh", "-c", script]);
    // Another file takes its place, as a package manager does it: beside it and renamed.
    let beside = sandbox.work().join("conductor.new");
    std::fs::copy(&current, &beside).unwrap();
    let mut file = std::fs::OpenOptions::new().append(true).open(&beside).unwrap();
    std::io::Write::write_all(&mut file, b"another build").unwrap();
    drop(file);
    std::fs::rename(&beside, &installed).unwrap();
    let lines = call(&["logs", "old"]).lines().count();
    until("the old container to go on", || (call(&["logs", "old"]).lines().count() > lines + 2).then_some(()));
    assert!(call(&["ps"]).contains("Up "));
    assert_eq!(call(&["exec", "old", "echo", "hi"]), "hi\n");
    let pid: u32 = call(&["inspect", "-f", "{{.State.Pid}}", "old"]).trim().parse().unwrap();
    sys::process::kill(pid, 9).unwrap();
    until("its old monitor to start it again", || {
        (call(&["inspect", "-f", "{{.RestartCount}} {{.State.Status}}", "old"]) == "1 running\n").then_some(())
    });
    call(&["stop", "-t", "0", "old"]);
    call(&["start", "old"]);
    call(&["rm", "-f", "old"]);
    sandbox.assert_clean();
}

#[test]
fn health_is_shown_waited_for_and_acted_on() {
    let sandbox = busybox();
    let check = ["--health-interval", "30ms", "--health-retries", "2", "--health-cmd"];
    let run = |name: &str, command: &str, options: &[&str]| {
        let words = ["run", "-d", "--name", name].into_iter().chain(check).chain([command]);
        sandbox
            .conductor(words)
            .args(options)
            .args([IMAGE, "sh", "-c", "sleep 0.2; touch /well; exec sleep 1000"])
            .run()
    };
    run("eg", "test -e /well", &["--wait", "--health-start-period", "30s", "--health-start-interval", "30ms"])
        .success();
    sandbox.conductor(["ps"]).run().success().says("(healthy)");
    assert_eq!(sandbox.conductor(["ps", "-q", "--filter", "health=unhealthy"]).ok(), "");
    assert!(run("ill", "false", &["--wait"]).code(1).stderr.contains("container ill is unhealthy"));
    sandbox.conductor(["ps", "--filter", "health=unhealthy"]).run().success().says("(unhealthy)");
    assert_eq!(sandbox.conductor(["wait", "--condition", "unhealthy", "ill"]).ok(), "-1");
    assert_eq!(sandbox.conductor(["inspect", "-f", "{{.State.Health.Status}}", "ill"]).ok(), "unhealthy");
    run("killed", "false", &["--health-on-failure", "kill"]).success();
    assert_eq!(sandbox.conductor(["wait", "killed"]).ok(), "137");
    sandbox.conductor(["run", "--rm", "--requires", "eg:healthy", IMAGE, "true"]).run().success();
    assert!(sandbox.conductor(["run", "--rm", "--wait", IMAGE, "true"]).fails(125).contains("add --detach"));
    assert!(sandbox.conductor(["run", "--health-interval", "soon", IMAGE]).fails(125).contains("--health-interval"));
    sandbox.conductor(["rm", "-f", "eg", "ill", "killed"]).run().success();
    assert_eq!(sandbox.conductor(["wait", "--condition", "removed", "eg"]).ok(), "-1");
    sandbox.assert_clean();
}
