//! Restart policies: what follows the end of a container, whoever or whatever ended it.

use engine::{State, Status};
use serde_json::json;

use crate::crash::{is_dead, monitor};
use crate::sandbox::Sandbox;

/// A command that counts its runs in a volume of the container and then ends with this status.
fn counting(code: u8) -> Vec<String> {
    let script = format!("echo run >> /count; echo run; exit {code}");
    ["sh", "-c", &script].map(str::to_owned).to_vec()
}

fn state(sandbox: &Sandbox, name: &str) -> State {
    sandbox.engine().state(&sandbox.find(name)).unwrap()
}

fn start(sandbox: &Sandbox, name: &str, words: &[String], policy: &str) {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    sandbox.start(name, &words, json!({"restart": policy}));
}

/// Waits until a container is in this state after so many restarts.
fn until(sandbox: &Sandbox, name: &str, status: Status, restarts: u32) -> State {
    let what = format!("{name} to be {} after {restarts} restarts", status.as_str());
    testkit::until(&what, || Some(state(sandbox, name)).filter(|now| (now.status, now.restarts) == (status, restarts)))
}

pub(crate) fn a_failure_is_tried_again_as_often_as_the_policy_says() {
    let sandbox = Sandbox::new();
    start(&sandbox, "eg", &counting(3), "on-failure:2");
    let state = until(&sandbox, "eg", Status::Exited, 2);
    assert_eq!(state.exit_code, 3);
    assert_eq!(sandbox.call(&["logs", "eg"]).ok(), "run\nrun\nrun\n");
    let runs = || std::fs::read_dir(sandbox.state().join("containers")).unwrap().count();
    testkit::until("its run to be cleared away", || (runs() == 0).then_some(()));
    Sandbox::assert_no_cgroup(&sandbox.find("eg").id);
    // What is started by hand counts from the beginning.
    sandbox.call(&["start", "eg"]).ok();
    until(&sandbox, "eg", Status::Exited, 2);
    sandbox.call(&["rm", "eg"]).ok();
    sandbox.assert_empty();
}

pub(crate) fn a_success_is_no_failure() {
    let sandbox = Sandbox::new();
    start(&sandbox, "eg", &counting(0), "on-failure");
    assert_eq!(until(&sandbox, "eg", Status::Exited, 0).exit_code, 0);
}

pub(crate) fn what_always_runs_is_started_again_until_it_is_stopped() {
    let sandbox = Sandbox::new();
    start(&sandbox, "eg", &counting(0), "always");
    testkit::until("the third restart", || (state(&sandbox, "eg").restarts >= 3).then_some(()));
    // Three waits have made the fourth long enough to be met.
    testkit::until("a pause", || (state(&sandbox, "eg").status == Status::Restarting).then_some(()));
    assert!(sandbox.call(&["ps"]).ok().starts_with("eg restarting sh -c"));
    sandbox.call(&["exec", "eg", "true"]).fails(125, "is not running");
    sandbox.call(&["stop", "eg"]).ok();
    assert_eq!(state(&sandbox, "eg").status, Status::Exited);
    assert_eq!(sandbox.call(&["ps"]).ok(), "");
    sandbox.call(&["rm", "eg"]).ok();
    sandbox.assert_empty();
}

pub(crate) fn a_running_container_that_is_stopped_or_killed_stays_down() {
    let sandbox = Sandbox::new();
    for (name, verb) in [("one", &["stop", "one"][..]), ("two", &["kill", "two", "KILL"]), ("three", &["rmf", "three"])]
    {
        sandbox.start(name, &["sleep", "60"], json!({"restart": "always", "stop_timeout": 0}));
        sandbox.call(verb).ok();
    }
    assert_eq!(sandbox.call(&["ps"]).ok(), "");
    assert_eq!((state(&sandbox, "one").status, state(&sandbox, "two").status), (Status::Exited, Status::Exited));
    assert_eq!(sandbox.call(&["ps-a"]).ok().lines().count(), 2);
}

pub(crate) fn a_killed_command_and_an_oom_kill_are_failures() {
    let sandbox = Sandbox::new();
    sandbox.start("killed", &["sleep", "60"], json!({"restart": "on-failure:1"}));
    let pid = state(&sandbox, "killed").pid.unwrap().unsigned_abs();
    sys::process::kill(pid, 9).unwrap();
    let again = until(&sandbox, "killed", Status::Running, 1).pid.unwrap().unsigned_abs();
    assert_ne!(again, pid);
    let program = || std::fs::read(format!("/proc/{again}/cmdline")).unwrap_or_default();
    testkit::until("the program to run again", || program().starts_with(b"sleep\0").then_some(()));
    sys::process::kill(again, 9).unwrap();
    assert_eq!(until(&sandbox, "killed", Status::Exited, 1).exit_code, 137);
    let script = "exec dd if=/dev/zero of=/dev/null bs=128M count=1";
    let limits = json!({"restart": "on-failure:1", "resources": {"memory": 16 << 20, "memory_swap": 16 << 20}});
    sandbox.start("fat", &["sh", "-c", script], limits);
    let state = until(&sandbox, "fat", Status::Exited, 1);
    assert_eq!((state.exit_code, state.oom_killed), (137, true));
}

pub(crate) fn a_killed_monitor_takes_its_container_with_it_and_the_policy_decides() {
    let sandbox = Sandbox::new();
    for (name, policy) in [("no", "no"), ("yes", "unless-stopped")] {
        sandbox.start(name, &["sleep", "60"], json!({"restart": policy}));
        let (monitor, pid) = monitor(&sandbox, name);
        sys::process::kill(monitor, 9).unwrap();
        // Without any command of ours: it is the kernel that ends it.
        testkit::until("the container to end with its monitor", || is_dead(pid).then_some(()));
    }
    sandbox.call(&["ps"]).ok();
    until(&sandbox, "yes", Status::Running, 1);
    assert_eq!(state(&sandbox, "no").exit_code, 137);
    assert_eq!(sandbox.call(&["ps"]).ok(), "yes running sleep 60\n");
    sandbox.call(&["rmf", "yes"]).ok();
    sandbox.call(&["rm", "no"]).ok();
    sandbox.assert_empty();
}

pub(crate) fn a_monitor_killed_in_the_pause_loses_nothing() {
    let sandbox = Sandbox::new();
    start(&sandbox, "eg", &counting(1), "always");
    testkit::until("a pause", || {
        let now = state(&sandbox, "eg");
        (now.status == Status::Restarting && now.restarts >= 4).then_some(())
    });
    let pid = std::fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let ours = String::from_utf8_lossy(&line).contains(sandbox.root().to_str().unwrap());
        entry.file_name().to_str()?.parse::<u32>().ok().filter(|pid| ours && *pid != std::process::id())
    });
    sys::process::kill(pid.unwrap(), 9).unwrap();
    testkit::until("the next run", || (state(&sandbox, "eg").restarts >= 5).then_some(()));
    sandbox.call(&["rmf", "eg"]).ok();
    sandbox.assert_empty();
}

pub(crate) fn a_stop_at_any_moment_of_a_restart_is_kept() {
    let sandbox = Sandbox::new();
    for round in 0..30_u64 {
        let name = format!("eg{round}");
        sandbox.start(&name, &["true"], json!({"restart": "always"}));
        // Not to wait for something, but to strike at another moment in each round.
        std::thread::sleep(std::time::Duration::from_micros(round * 8_500));
        let verb = if round % 2 == 0 { "stop" } else { "rmf" };
        sandbox.call(&[verb, &name]).ok();
        assert_eq!(sandbox.call(&["ps"]).ok(), "", "round {round}");
        assert_eq!(sandbox.call(&["ps-a"]).ok().lines().count(), usize::from(verb == "stop"), "round {round}");
        sandbox.call(&["rmf", &name]).code();
    }
    sandbox.assert_empty();
}

pub(crate) fn a_removal_wins_over_a_restart_at_any_moment() {
    let sandbox = Sandbox::new();
    let engine = sandbox.engine();
    for round in 0..60_u64 {
        sandbox.start("eg", &["sleep", "60"], json!({"restart": "always"}));
        let container = sandbox.find("eg");
        let (monitor, _) = monitor(&sandbox, "eg");
        sys::process::kill(monitor, 9).unwrap();
        testkit::until("the monitor to die", || is_dead(monitor).then_some(()));
        // It settles the run, and starts the container again beside us.
        engine.list(false).unwrap();
        // Not to wait for something, but to strike at another moment of that start in each round.
        std::thread::sleep(std::time::Duration::from_micros(round * 100));
        engine.remove(&container, engine::RemoveOptions { force: true, volumes: true }).unwrap();
        assert_eq!(engine.list(true).unwrap(), [], "round {round}");
    }
    let left = || std::fs::read_dir(sandbox.state().join("containers")).unwrap().count();
    testkit::until("nothing to start any more", || (left() == 0).then_some(()));
    sandbox.assert_empty();
}

pub(crate) fn what_was_removed_meanwhile_is_not_started() {
    let sandbox = Sandbox::new();
    let request = crate::sandbox::request(&["true"], json!({"name": "eg"}));
    sandbox.call(&["create", &request.to_string()]).ok();
    let container = sandbox.find("eg");
    sandbox.call(&["rm", "eg"]).ok();
    let started = sandbox.engine().start(&container, engine::StartMode::Detached);
    assert!(matches!(started, Err(engine::Error::NoSuchContainer(_))), "{started:?}");
    sandbox.assert_empty();
}

pub(crate) fn a_wait_is_answered_by_the_first_end() {
    let sandbox = Sandbox::new();
    let script = "while [ ! -e /go ]; do sleep 0.01; done; rm /go; exit 4";
    sandbox.start("eg", &["sh", "-c", script], json!({"restart": "always"}));
    let waiting = sandbox.spawn(&["wait", "eg"]);
    sandbox.call(&["exec", "eg", "touch", "/go"]).ok();
    assert_eq!(String::from_utf8(waiting.wait_with_output().unwrap().stdout).unwrap(), "4\n");
    until(&sandbox, "eg", Status::Running, 1);
    sandbox.call(&["rmf", "eg"]).ok();
    sandbox.run(&["true"], json!({"restart": "always", "remove_on_exit": true})).fails(125, "conflicting options");
    sandbox.assert_empty();
}

pub(crate) fn after_a_reboot_runs_what_the_policies_ask_for() {
    let sandbox = Sandbox::new();
    for (name, policy) in [("no", "no"), ("failing", "on-failure"), ("kept", "unless-stopped"), ("ever", "always")] {
        sandbox.start(name, &["sleep", "60"], json!({"restart": policy}));
    }
    for (name, policy) in [("kept-down", "unless-stopped"), ("ever-down", "always")] {
        sandbox.start(name, &["sleep", "60"], json!({"restart": policy, "stop_timeout": 0}));
        sandbox.call(&["stop", name]).ok();
    }
    sandbox.start("going", &["sleep", "60"], json!({"remove_on_exit": true}));
    let never = crate::sandbox::request(&["true"], json!({"name": "never", "restart": "always"}));
    sandbox.call(&["create", &never.to_string()]).ok();
    // The machine goes down: all processes at once, and all that was in memory.
    let monitors: Vec<_> = ["no", "failing", "kept", "ever", "going"].map(|name| monitor(&sandbox, name).0).into();
    monitors.iter().for_each(|pid| sys::process::kill(*pid, 9).unwrap());
    testkit::until("the machine to be down", || monitors.iter().all(|pid| is_dead(*pid)).then_some(()));
    let down = ["no", "failing", "going"].map(|name| sandbox.find(name).id);
    let lost_state = sandbox.root().join("lost");
    std::fs::rename(sandbox.state(), &lost_state).unwrap();
    assert_eq!(sandbox.call(&["ps"]).ok(), "");
    let mut done: Vec<_> = sandbox.call(&["boot"]).ok().lines().map(str::to_owned).collect();
    done.sort();
    assert_eq!(done, ["ever Started", "ever-down Started", "going Removed", "kept Started"]);
    let mut running: Vec<_> =
        sandbox.call(&["ps"]).ok().lines().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect();
    running.sort();
    assert_eq!(running, ["ever", "ever-down", "kept"]);
    let lost = state(&sandbox, "no");
    assert_eq!((lost.status, lost.exit_code), (Status::Exited, 137));
    assert!(lost.error.contains("the machine went down"));
    assert_eq!(state(&sandbox, "never").status, Status::Created);
    // Twice does no harm.
    assert_eq!(sandbox.call(&["boot"]).ok(), "");
    // Here the kernel went on, so the cgroups of those that stayed down are found by their runs.
    for id in down {
        let run = |state: &std::path::Path| state.join("containers").join(id.as_str());
        std::fs::rename(run(&lost_state), run(&sandbox.state())).unwrap();
        sandbox.call(&["ps"]).ok();
        Sandbox::assert_no_cgroup(&id);
    }
}
