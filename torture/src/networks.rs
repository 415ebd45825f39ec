//! Containers come and go on networks, are connected and disconnected, publish and withdraw ports; in every fifth round
//! somebody is killed. Links, rules, elements, leases and processes are as before after each round.
//!
//! All of it happens in a network namespace of the harness's own.

use std::time::Duration;

use nix::sched::{CloneFlags, unshare};

use crate::checks::Checks;
use crate::context::{Context, Failure, IMAGE};
use crate::disk::tool;
use crate::kills::killed;
use crate::leaks::Leaks;
use crate::report::{Findings, Kind};
use crate::seed::Random;

/// What each round begins with: `old` is on a network and publishes a port, `bare` has no network.
const BEGIN: &[&[&str]] = &[
    &["run", "-d", "--network", "alpha", "-p", "8080:80", "--name", "old", IMAGE, "sleep", "1000"],
    &["run", "-d", "--network", "none", "--name", "bare", IMAGE, "sleep", "1000"],
];

/// The operations; all of them succeed where nobody is killed.
const OPERATIONS: &[&[&str]] = &[
    &["network", "connect", "--alias", "db", "beta", "old"],
    &["network", "disconnect", "alpha", "old"],
    &["network", "connect", "alpha", "bare"],
    &["update", "--publish-add", "8081:81", "old"],
    &["update", "--publish-rm", "8080:80", "old"],
    &["addnetwork", "bare", "-i", "-e", "8082:82"],
    &["peer", "old", "bare"],
    &["run", "--rm", "--network", "alpha", "-p", "8083:80/udp", "--name", "new", IMAGE, "true"],
    &["run", "-d", "--network", "alpha", "--network", "beta", "--name", "new", IMAGE, "sleep", "1000"],
    &["run", "-d", "--restart", "always", "--network", "beta", "-p", "83", "--name", "new", IMAGE, "true"],
    &["stop", "--time", "0", "old"],
    &["restart", "--time", "0", "old"],
    &["rm", "-f", "old"],
    &["network", "create", "gamma"],
    FIRST_ON_GAMMA,
    &["network", "inspect", "alpha"],
];

/// The first container on a network makes its bridge.
const FIRST_ON_GAMMA: &[&str] = &["run", "--rm", "--network", "gamma", "--name", "new", IMAGE, "true"];

/// Every so many rounds somebody is killed.
const EVERY: usize = 5;
/// How late a kill may come, in microseconds: about what the longest of the operations takes.
const LATEST: u64 = 30_000;

/// Runs the experiment.
pub(crate) fn run(context: &Context) -> Result<Findings, Failure> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|error| Failure(format!("cannot make a network namespace: {error}")))?;
    tool("ip", &["link", "set", "lo", "up"])?;
    let mut findings = Findings::default();
    let mut checks = Checks { context, round: 0, findings: &mut findings };
    for name in ["alpha", "beta"] {
        // Another experiment may have made them.
        context.ended(&["network", "create", name])?;
        // The first container on a network makes its bridge, which stays.
        checks.succeed(&["run", "--rm", "--network", name, IMAGE, "true"])?;
    }
    checks.settle()?;
    for round in 0..context.rounds_or(1000, 60) {
        one(context, round, &mut findings)?;
        findings.rounds += 1;
    }
    let mut checks = Checks { context, round: findings.rounds, findings: &mut findings };
    checks.succeed(&["network", "rm", "alpha", "beta"])?;
    Ok(findings)
}

fn one(context: &Context, round: usize, findings: &mut Findings) -> Result<(), Failure> {
    let mut random = Random::of_round(context.seed, round);
    let before = Leaks::count(context);
    let mut checks = Checks { context, round, findings };
    for words in BEGIN {
        if checks.succeed(words)?.is_none() {
            return checks.settle();
        }
    }
    let operation = *random.one_of(OPERATIONS);
    if operation == FIRST_ON_GAMMA {
        checks.succeed(&["network", "create", "gamma"])?;
    }
    let mut what = operation.join(" ");
    if round.is_multiple_of(EVERY) {
        let delay = Duration::from_micros(random.below(LATEST));
        let (victim, _) = killed(&mut checks, operation, delay, &mut random)?;
        checks.findings.struck += usize::from(victim.is_some());
        what = format!("{what} killed after {delay:?}");
        if context.verbose {
            println!("round {round}: {what}: {}", victim.as_ref().map_or("nobody", |victim| &victim.words));
        }
    } else {
        checks.succeed(operation)?;
    }
    checks.running()?;
    let listed = checks.names()?;
    if operation[0] != "rm" && !listed.iter().any(|name| name == "old") {
        checks.add(Kind::Lost, &format!("{what}: the record of another container is gone"));
    }
    // A container that was left half connected can be used as any other.
    for name in ["old", "bare"].into_iter().filter(|name| listed.iter().any(|listed| listed == name)) {
        checks.succeed(&["restart", "--time", "0", name])?;
    }
    checks.settle()?;
    if operation.contains(&"gamma") {
        // It was made, or not.
        context.ended(&["network", "rm", "gamma"])?;
    }
    checks.nothing_left(&before, &what);
    Ok(())
}
