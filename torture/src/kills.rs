//! Kills the command, its fork, a monitor or a container's first process at a random moment of an operation, and looks
//! whether the next commands tell the truth and settle what was left.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::context::{Context, DEADLINE, Failure, IMAGE};
use crate::leaks::{Leaks, processes};
use crate::report::{Findings, Kind};
use crate::seed::Random;

/// The operations, on a container `old` that runs; `new` is one that an operation makes.
const OPERATIONS: &[&[&str]] = &[
    &["run", "--network", "none", "--name", "new", IMAGE, "true"],
    &["run", "-d", "--network", "none", "--name", "new", IMAGE, "sleep", "1000"],
    &["run", "-d", "--restart", "always", "--network", "none", "--name", "new", IMAGE, "true"],
    &["run", "--rm", "--network", "none", "--name", "new", IMAGE, "true"],
    &["create", "--network", "none", "--name", "new", IMAGE, "true"],
    &["exec", "old", "true"],
    &["stop", "--time", "0", "old"],
    &["restart", "--time", "0", "old"],
    &["start", "old"],
    &["kill", "old"],
    &["rm", "old"],
    &["rm", "-f", "old"],
    &["logs", "old"],
    &["ps"],
];

/// What `old` is made with; one is chosen for each round.
const KINDS: &[&[&str]] = &[&[], &["--restart", "always"], &["--health-cmd", "true", "--health-interval", "20ms"]];

/// How late a kill may come, in microseconds: about what the longest of the operations takes.
const LATEST: u64 = 15_000;

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
    let kind = *random.one_of(KINDS);
    let begin = ["run", "-d", "--network", "none", "--name", "old"];
    let old: Vec<&str> = begin.iter().chain(kind).chain(&[IMAGE, "sleep", "1000"]).copied().collect();
    match context.ended(&old)? {
        Some(output) if output.status.success() => {}
        Some(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            findings.add(Kind::Lie, context.seed, round, &format!("the round cannot begin: {said}"));
            return settle(context, round, findings);
        }
        None => findings.add(Kind::Stuck, context.seed, round, "the run that begins the round"),
    }
    let operation = *random.one_of(OPERATIONS);
    let delay = Duration::from_micros(random.below(LATEST));
    let victim = killed(context, operation, delay, &mut random)?;
    findings.struck += usize::from(victim.is_some());
    if context.verbose {
        println!(
            "round {round}: {} after {delay:?}, killed: {}",
            operation.join(" "),
            victim.as_deref().unwrap_or("-")
        );
    }
    check_running(context, round, findings)?;
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

/// Starts the operation, and after `delay` kills one of all processes that are ours then; tells which.
fn killed(context: &Context, words: &[&str], delay: Duration, random: &mut Random) -> Result<Option<String>, Failure> {
    let cannot = |error: std::io::Error| Failure(format!("cannot run {}: {error}", words.join(" ")));
    let mut command = context.conductor(words);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(cannot)?;
    std::thread::sleep(delay);
    let mut ours = processes(context);
    ours.extend(first_processes(&ours));
    let victim = (!ours.is_empty()).then(|| random.one_of(&ours).clone());
    // A pidfd is opened and the words are read again, so that no other process is met that has taken the number.
    let struck = victim.filter(|(pid, words)| strike(*pid, words)).map(|(_, words)| words);
    let start = Instant::now();
    while child.try_wait().map_err(cannot)?.is_none() {
        if start.elapsed() > DEADLINE {
            child.kill().map_err(cannot)?;
            return Err(Failure(format!("{} is stuck after a kill of {struck:?}", words.join(" "))));
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    Ok(struck)
}

/// Returns the first processes of containers: the children of monitors.
fn first_processes(ours: &[(u32, String)]) -> Vec<(u32, String)> {
    let children = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let monitors = ours.iter().filter(|(_, words)| words.contains(" monitor "));
    let pids: Vec<u32> = monitors
        .flat_map(|(pid, _)| children(*pid).split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect();
    pids.into_iter().map(|pid| (pid, words_of(pid))).filter(|(_, words)| !words.is_empty()).collect()
}

fn words_of(pid: u32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

fn strike(pid: u32, words: &str) -> bool {
    let Ok(pidfd) = sys::process::pidfd_open(pid) else { return false };
    words_of(pid) == words && sys::process::pidfd_send_signal(&pidfd, 9).is_ok()
}

/// Makes sure that what `ps` lists as running lives, and that every monitor that lives has a container in the list.
fn check_running(context: &Context, round: usize, findings: &mut Findings) -> Result<(), Failure> {
    let start = Instant::now();
    loop {
        let Some(wrong) = untruth(context)? else { return Ok(()) };
        // A container that is just ending, or is just started again by its policy, is given a moment.
        if start.elapsed() > Duration::from_secs(1) {
            findings.add(Kind::Lie, context.seed, round, &wrong);
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Says what is not true of what `ps` says, if anything.
fn untruth(context: &Context) -> Result<Option<String>, Failure> {
    let Some(listed) = context.ended(&["ps", "--no-trunc", "--format", "{{.ID}} {{.State}}"])? else {
        return Ok(Some("ps is stuck".into()));
    };
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    for line in listed.lines() {
        let (id, state) = line.split_once(' ').unwrap_or((line, ""));
        let Some(pid) = context.ended(&["inspect", "-f", "{{.State.Pid}}", id])? else {
            return Ok(Some(format!("inspect {id} is stuck")));
        };
        let pid = String::from_utf8_lossy(&pid.stdout).trim().to_owned();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let lives = stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']));
        if state == "running" && !lives {
            return Ok(Some(format!("ps lists {id} as running, and its process {pid} does not live")));
        }
    }
    let unseen = processes(context).into_iter().find(|(_, words)| {
        let id = words.split_once("\"id\":\"").and_then(|(_, rest)| rest.get(..64)).unwrap_or_default();
        words.contains(" monitor ") && !id.is_empty() && !listed.contains(id)
    });
    Ok(unseen.map(|(pid, words)| format!("monitor {pid} runs unseen: {}", words.get(..120).unwrap_or(&words))))
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
