//! Health checks: what probes find, and what is done about it.

use engine::{HealthStatus, State, Status};
use serde_json::{Value, json};

use crate::sandbox::Sandbox;

const MILLISECOND: u64 = 1_000_000;

/// Asks for a check that probes every few milliseconds.
fn checked(command: &str, more: Value) -> Value {
    let time = |milliseconds: u64| json!({"secs": 0, "nanos": milliseconds * MILLISECOND});
    let mut health = json!({"command": command, "interval": time(30), "timeout": time(900), "retries": 2});
    for (key, value) in more.as_object().into_iter().flatten() {
        health[key] = value.clone();
    }
    json!({"health": health, "stop_timeout": 0})
}

fn state(sandbox: &Sandbox, name: &str) -> State {
    sandbox.engine().state(&sandbox.find(name)).unwrap()
}

fn health(sandbox: &Sandbox, name: &str) -> Option<HealthStatus> {
    state(sandbox, name).health.map(|health| health.status)
}

fn until(sandbox: &Sandbox, name: &str, status: HealthStatus) {
    let what = format!("{name} to be {}", status.as_str());
    testkit::until(&what, || (health(sandbox, name) == Some(status)).then_some(()));
}

pub(crate) fn health_follows_the_probes() {
    let sandbox = Sandbox::new();
    sandbox.start("eg", &["sleep", "60"], checked("echo looked; test -e /well", json!({})));
    assert_eq!(health(&sandbox, "eg"), Some(HealthStatus::Starting));
    until(&sandbox, "eg", HealthStatus::Unhealthy);
    sandbox.call(&["exec", "eg", "touch", "/well"]).ok();
    until(&sandbox, "eg", HealthStatus::Healthy);
    sandbox.call(&["exec", "eg", "rm", "/well"]).ok();
    until(&sandbox, "eg", HealthStatus::Unhealthy);
    let health = state(&sandbox, "eg").health.unwrap();
    assert!(health.failing_streak >= 2 && health.log.len() == 5, "{health:?}");
    assert!(health.log.iter().all(|probe| probe.output == "looked\n" && probe.end >= probe.start), "{health:?}");
    // Nothing is done about it, unless asked for.
    assert_eq!(state(&sandbox, "eg").status, Status::Running);
    sandbox.call(&["stop", "eg"]).ok();
    let view: Value = serde_json::from_str(&sandbox.call(&["inspect", "eg"]).ok()).unwrap();
    assert_eq!(view["State"]["Health"]["Status"], "unhealthy");
    assert_eq!(view["Config"]["Healthcheck"]["Interval"], 30 * MILLISECOND);
    sandbox.call(&["rm", "eg"]).ok();
    sandbox.assert_empty();
}

pub(crate) fn a_probe_that_takes_too_long_has_failed_and_is_ended() {
    let sandbox = Sandbox::new();
    let short = json!({"timeout": {"secs": 0, "nanos": 50 * MILLISECOND}, "retries": 1});
    sandbox.start("eg", &["sleep", "60"], checked("echo begun; exec sleep 4321", short));
    until(&sandbox, "eg", HealthStatus::Unhealthy);
    let probe = state(&sandbox, "eg").health.unwrap().log.remove(0);
    assert_eq!(probe.exit_code, -1);
    assert!(probe.output.starts_with("Health check exceeded timeout (50ms): begun"), "{}", probe.output);
    sandbox.start("none", &["sleep", "60"], checked("/no/such/program", json!({"retries": 1})));
    until(&sandbox, "none", HealthStatus::Unhealthy);
    assert_eq!(state(&sandbox, "none").health.unwrap().log[0].exit_code, 127);
    sandbox.call(&["rmf", "eg"]).ok();
    sandbox.call(&["rmf", "none"]).ok();
    sandbox.assert_empty();
}

pub(crate) fn failures_of_the_start_period_do_not_count() {
    let sandbox = Sandbox::new();
    let period =
        json!({"start_period": {"secs": 600, "nanos": 0}, "start_interval": {"secs": 0, "nanos": 20 * MILLISECOND}});
    sandbox.start("eg", &["sleep", "60"], checked("test -e /well", period));
    testkit::until("several probes", || (state(&sandbox, "eg").health?.log.len() == 5).then_some(()));
    assert_eq!(health(&sandbox, "eg"), Some(HealthStatus::Starting));
    sandbox.call(&["exec", "eg", "touch", "/well"]).ok();
    until(&sandbox, "eg", HealthStatus::Healthy);
    sandbox.call(&["exec", "eg", "rm", "/well"]).ok();
    until(&sandbox, "eg", HealthStatus::Unhealthy);
}

pub(crate) fn an_unhealthy_container_is_killed_stopped_or_restarted_as_asked_for() {
    let sandbox = Sandbox::new();
    let with = |action: &str, policy: &str| {
        let mut request = checked("test ! -e /ill", json!({"on_failure": action}));
        request["restart"] = policy.into();
        request
    };
    // The reason is in memory, so that the next run is well.
    let script = ["sh", "-c", "rm -f /ill; sleep 0.1; [ -e /once ] || { touch /once /ill; }; exec sleep 60"];
    sandbox.start("killed", &script, with("kill", "no"));
    sandbox.start("killed-again", &script, with("kill", "on-failure"));
    sandbox.start("stopped", &script, with("stop", "always"));
    sandbox.start("restarted", &script, with("restart", "no"));
    testkit::until("the first to be killed", || (state(&sandbox, "killed").status == Status::Exited).then_some(()));
    assert_eq!(state(&sandbox, "killed").exit_code, 137);
    testkit::until("the second to run again", || (state(&sandbox, "killed-again").restarts == 1).then_some(()));
    testkit::until("the third to be stopped", || (state(&sandbox, "stopped").status == Status::Exited).then_some(()));
    testkit::until("the fourth to run again", || (state(&sandbox, "restarted").restarts == 1).then_some(()));
    until(&sandbox, "restarted", HealthStatus::Healthy);
    until(&sandbox, "killed-again", HealthStatus::Healthy);
    assert_eq!(sandbox.call(&["ps"]).ok().lines().count(), 2);
    let none = json!({"health": {"on_failure": "kill"}});
    sandbox.run(&["true"], none).fails(125, "--health-on-failure needs a health check");
}

pub(crate) fn what_is_required_is_started_first_and_waited_for() {
    let sandbox = Sandbox::new();
    let slow = checked("test -e /ready", json!({"retries": 1000}));
    let mut request = crate::sandbox::request(&["sh", "-c", "sleep 0.3; touch /ready; exec sleep 60"], slow);
    request["name"] = "db".into();
    sandbox.call(&["create", &request.to_string()]).ok();
    sandbox.start("web", &["sleep", "60"], json!({"requires": ["db:healthy"]}));
    assert_eq!(health(&sandbox, "db"), Some(HealthStatus::Healthy));
    sandbox.call(&["rmf", "db"]).ok();
    sandbox.run(&["true"], json!({"requires": ["db"]})).fails(125, "no such container: db");
    let ill = checked("false", json!({"retries": 1}));
    sandbox.start("ill", &["sleep", "60"], ill);
    sandbox.run(&["true"], json!({"requires": ["ill:healthy"]})).fails(125, "the required container ill is unhealthy");
    assert_eq!(sandbox.call(&["ps-a"]).ok().lines().count(), 2);
    for (name, other) in [("one", "two"), ("two", "one")] {
        let request = crate::sandbox::request(&["sleep", "60"], json!({"name": name, "requires": [other]}));
        sandbox.call(&["create", &request.to_string()]).ok();
    }
    sandbox.call(&["start", "one"]).fails(125, "requires this one in turn");
}
