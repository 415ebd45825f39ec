//! Kills the command at a random moment of an operation, and looks whether the next commands settle what it left.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::context::{Context, Failure, IMAGE};
use crate::leaks::Leaks;
use crate::report::{Findings, Kind};
use crate::seed::Random;

/// The operations, on a container `old` that runs; `new` is one that an operation makes.
const OPERATIONS: &[&[&str]] = &[
    &["run", "--network", "none", "--name", "new", IMAGE, "true"],
    &["run", "-d", "--network", "none", "--name", "new", IMAGE, "sleep", "1000"],
    &["run", "--rm", "--network", "none", "--name", "new", IMAGE, "true"],
    &["exec", "old", "true"],
    &["stop", "--time", "1", "old"],
    &["kill", "old"],
    &["rm", "-f", "old"],
    &["logs", "old"],
    &["ps"],
];

/// How late a kill may come, in microseconds: about what the longest of the operations takes.
const LATEST: u64 = 60_000;

/// Runs the experiment.
pub(crate) fn run(context: &Context) -> Result<Findings, Failure> {
    let mut findings = Findings::default();
    // The first commands make directories that stay.
    settle(context, 0, &mut findings)?;
    for round in 0..context.rounds {
        one(context, round, &mut findings)?;
        findings.rounds += 1;
    }
    Ok(findings)
}

fn one(context: &Context, round: usize, findings: &mut Findings) -> Result<(), Failure> {
    let mut random = Random::of_round(context.seed, round);
    let before = Leaks::count(context);
    let old = ["run", "-d", "--network", "none", "--name", "old", IMAGE, "sleep", "1000"];
    match context.ended(&old)? {
        Some(output) if output.status.success() => {}
        Some(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Failure(format!("round {round} cannot begin: {said}")));
        }
        None => findings.add(Kind::Stuck, context.seed, round, "the run that begins the round"),
    }
    let operation = *random.one_of(OPERATIONS);
    let delay = Duration::from_micros(random.below(LATEST));
    killed(context, operation, delay)?;
    if context.verbose {
        println!("round {round}: {} killed after {delay:?}", operation.join(" "));
    }
    let listed = names(context, round, findings)?;
    if operation[0] != "rm" && !listed.iter().any(|name| name == "old") {
        let sentence = format!("{} lost the record of another container", operation.join(" "));
        findings.add(Kind::Lost, context.seed, round, &sentence);
    }
    settle(context, round, findings)?;
    let what = operation.join(" ");
    for left in after(context, &before) {
        findings.add(Kind::Leak, context.seed, round, &format!("{what} killed after {delay:?} left {left}"));
    }
    Ok(())
}

/// Starts the operation and kills the command after `delay`.
fn killed(context: &Context, words: &[&str], delay: Duration) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| Failure(format!("cannot run {}: {error}", words.join(" ")));
    let mut command = context.conductor(words);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(cannot)?;
    std::thread::sleep(delay);
    // It is our child and not waited for, so its number cannot be another's by now.
    child.kill().and_then(|()| child.wait()).map_err(cannot)?;
    Ok(())
}

/// Asks for the containers' names.
fn names(context: &Context, round: usize, findings: &mut Findings) -> Result<Vec<String>, Failure> {
    let Some(output) = context.ended(&["ps", "-a", "--format", "{{.Names}}"])? else {
        findings.add(Kind::Stuck, context.seed, round, "ps -a");
        return Ok(Vec::new());
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        findings.add(Kind::Lie, context.seed, round, &format!("ps -a failed: {said}"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect())
}

/// Removes every container there is.
fn settle(context: &Context, round: usize, findings: &mut Findings) -> Result<(), Failure> {
    for name in names(context, round, findings)? {
        match context.ended(&["rm", "-f", &name])? {
            None => findings.add(Kind::Stuck, context.seed, round, &format!("rm -f {name}")),
            Some(output) if !output.status.success() => {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                findings.add(Kind::Lie, context.seed, round, &format!("rm -f {name} failed: {said}"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Says what is left, once what was on its way out has had its time.
fn after(context: &Context, before: &Leaks) -> Vec<String> {
    let start = Instant::now();
    loop {
        let left = Leaks::count(context).more_than(before);
        if left.is_empty() || start.elapsed() > Duration::from_secs(2) {
            return left;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
