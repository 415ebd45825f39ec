//! Kills the command, its fork, a monitor or a container's first process at a random moment of an operation, and looks
//! whether the next commands tell the truth and settle what was left.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::checks::Checks;
use crate::context::{Context, DEADLINE, Failure, IMAGE};
use crate::disk::own_mounts;
use crate::leaks::{Leaks, clear_cgroups, processes, words_of};
use crate::peer::Engine;
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

/// Lets podman go through the same.
pub(crate) fn run_podman(context: &Context) -> Result<Findings, Failure> {
    // What it leaves mounted goes with this namespace.
    own_mounts()?;
    let podman = context.with_podman()?;
    podman.import()?;
    let findings = run(&podman);
    clear_cgroups(podman.engine);
    findings
}

/// Runs the experiment.
pub(crate) fn run(context: &Context) -> Result<Findings, Failure> {
    let mut findings = Findings::default();
    // The first commands make directories that stay.
    Checks { context, round: 0, findings: &mut findings }.settle()?;
    for round in 0..context.rounds_or(1000, 60) {
        one(context, round, &mut findings)?;
        findings.rounds += 1;
    }
    Ok(findings)
}

fn one(context: &Context, round: usize, findings: &mut Findings) -> Result<(), Failure> {
    let mut random = Random::of_round(context.seed, round);
    let before = Leaks::count(context);
    // Podman's health checks need systemd's timers.
    let kinds = if context.engine == Engine::Podman { &KINDS[..2] } else { KINDS };
    let kind = *random.one_of(kinds);
    let begin = ["run", "-d", "--network", "none", "-v", "/data", "--name", "old"];
    let old: Vec<&str> = begin.iter().chain(kind).chain(&[IMAGE, "sleep", "1000"]).copied().collect();
    let mut checks = Checks { context, round, findings };
    if checks.succeed(&old)?.is_none() {
        return checks.settle();
    }
    let operation = *random.one_of(OPERATIONS);
    let slower = if context.engine == Engine::Podman { 20 } else { 1 };
    let delay = Duration::from_micros(random.below(LATEST * slower));
    let (victim, announced) = killed(&mut checks, operation, delay, &mut random)?;
    checks.findings.struck += usize::from(victim.as_ref().is_some_and(|victim| victim.at_work));
    let what = format!("{} killed after {delay:?}", operation.join(" "));
    if context.verbose {
        println!("round {round}: {what}: {}", victim.as_ref().map_or("nobody", |victim| &victim.words));
    }
    checks.running()?;
    let listed = checks.names()?;
    if operation[0] != "rm" && !listed.iter().any(|name| name == "old") {
        checks.add(Kind::Lost, &format!("{what}: the record of another container is gone"));
    }
    if announced && !operation.contains(&"--rm") && !listed.iter().any(|name| name == "new") {
        checks.add(Kind::Lost, &format!("{what}: it told of a container that is not there"));
    }
    checks.settle()?;
    checks.nothing_left(&before, &what);
    Ok(())
}

/// Who was killed.
#[derive(Debug)]
pub(crate) struct Victim {
    pub(crate) words: String,
    /// Whether the operation had not ended yet.
    pub(crate) at_work: bool,
}

/// Starts the operation, and after `delay` kills one of all processes that are ours then; tells which, and whether the
/// operation had printed the ID of a container that it made.
pub(crate) fn killed(
    checks: &mut Checks<'_>,
    words: &[&str],
    delay: Duration,
    random: &mut Random,
) -> Result<(Option<Victim>, bool), Failure> {
    let cannot = |error: std::io::Error| Failure(format!("cannot run {}: {error}", words.join(" ")));
    let files = checks.context.answer_files();
    let mut command = checks.context.command(words);
    let mut child =
        command.stdout(files.create("out").map_err(cannot)?).stderr(Stdio::null()).spawn().map_err(cannot)?;
    std::thread::sleep(delay);
    let mut ours = processes(checks.context);
    ours.extend(first_processes(checks.context.engine, &ours));
    let victim = (!ours.is_empty()).then(|| random.one_of(&ours).clone());
    let at_work = child.try_wait().map_err(cannot)?.is_none();
    // A pidfd is opened and the words are read again, so that no other process is met that has taken the number.
    let struck = victim.filter(|(pid, words)| strike(*pid, words)).map(|(_, words)| Victim { words, at_work });
    let start = Instant::now();
    while child.try_wait().map_err(cannot)?.is_none() {
        if start.elapsed() > DEADLINE {
            child.kill().and_then(|()| child.wait()).map_err(cannot)?;
            checks.add(Kind::Stuck, &format!("{} after a kill of {struck:?}", words.join(" ")));
            break;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    let made = matches!(words, ["run", "-d", ..] | ["create", ..]);
    Ok((struck, made && files.read("out").len() >= 64))
}

/// Returns the first processes of containers: the children of monitors.
pub(crate) fn first_processes(engine: Engine, ours: &[(u32, String)]) -> Vec<(u32, String)> {
    let monitors = ours.iter().filter(|(_, words)| engine.id_of(words).is_some());
    let pids = monitors.flat_map(|(pid, _)| children(*pid));
    pids.map(|pid| (pid, words_of(pid))).filter(|(_, words)| !words.is_empty()).collect()
}

/// Returns what a process has forked, as far as that has not ended.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split(' ').filter_map(|pid| pid.parse().ok()).collect()
}

/// Kills a process, if it is still the one with these words.
pub(crate) fn strike(pid: u32, words: &str) -> bool {
    let Ok(pidfd) = sys::process::pidfd_open(pid) else { return false };
    words_of(pid) == words && sys::process::pidfd_send_signal(&pidfd, 9).is_ok()
}
