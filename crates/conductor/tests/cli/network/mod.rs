//! Networks: made and removed, containers on them, ports that lead to containers, and what is refused.
//!
//! The sandbox's own network namespace is the host. What is on it is busybox: its `httpd` serves the container's name,
//! its `wget` asks for it, from the host and from other containers.

mod containers;
mod nouns;
mod ports;
mod refused;
mod script;

use testkit::{Conductor, Sandbox, fixture, until};

use crate::IMAGE;

/// Starts a container that serves its own name on port 80, and waits until it does.
fn serve(sandbox: &Sandbox, name: &str, options: &[&str]) {
    let script = format!("mkdir -p /www; echo {name} > /www/index.html; exec httpd -f -p 80 -h /www");
    let run = sandbox.conductor(["run", "-d", "--name", name]).args(options);
    run.args([IMAGE, "sh", "-c", &script]).run().success();
    let listens = || sandbox.conductor(["exec", name, "wget", "-qO-", "http://127.0.0.1/"]).run().exit_code() == 0;
    until(&format!("{name} serves"), || listens().then_some(()));
}

/// Starts a container that does nothing.
fn idle(sandbox: &Sandbox, name: &str, options: &[&str]) {
    sandbox.conductor(["run", "-d", "--name", name]).args(options).args([IMAGE, "sleep", "1000"]).run().success();
}

/// The words that ask for a page. Who is not let through gets no answer at all, so that somebody has to give up.
fn ask(url: &str) -> [&str; 6] {
    ["timeout", "3", "wget", "-q", "-O-", url]
}

/// Asks the host for a page; `None` when nobody answers.
fn page(url: &str) -> Option<String> {
    let asked = Conductor::new(fixture::BUSYBOX).args(ask(url)).run();
    (asked.exit_code() == 0).then(|| asked.stdout.trim().to_owned())
}

/// Asks a container for a page; `None` when nobody answers it.
fn page_in(sandbox: &Sandbox, name: &str, url: &str) -> Option<String> {
    let asked = sandbox.conductor(["exec", name].into_iter().chain(ask(url))).run();
    (asked.exit_code() == 0).then(|| asked.stdout.trim().to_owned())
}

/// Returns the container's IPv4 addresses, by link, as the container sees them.
fn addresses(sandbox: &Sandbox, name: &str) -> Vec<String> {
    let script = "ip -o -4 addr | awk '$2 != \"lo\" { print $2, $4 }'";
    sandbox.conductor(["exec", name, "sh", "-c", script]).ok().lines().map(str::to_owned).collect()
}

/// Returns a container's or a network's fields by a template.
fn inspect(sandbox: &Sandbox, template: &str, name: &str) -> String {
    sandbox.conductor(["inspect", "-f", template, name]).ok()
}

/// Removes containers, and expects that nothing is left of anything: neither what a census counts nor a rule.
#[track_caller]
fn end(sandbox: &Sandbox, names: &[&str]) {
    if !names.is_empty() {
        sandbox.conductor(["rm", "-f"]).args(names).run().success();
    }
    let told = sandbox.conductor(["network", "firewall"]).ok();
    assert!(!told.contains("The kernel's table"), "records and rules do not agree:\n{told}");
    assert!(!told.contains("Container "), "rules of a container are left:\n{told}");
    sandbox.assert_clean();
}
