//! Kills commands that write the store at a random moment, one alone or one among several, and looks whether all that is
//! listed is whole, whether the next writer clears up, and whether the same command then goes through.

use std::process::Child;
use std::time::{Duration, Instant};

use crate::checks::Checks;
use crate::context::{AnswerFiles, Context, DEADLINE, Failure};
use crate::leaks::{Leaks, processes, words_of};
use crate::report::{Findings, Kind};
use crate::seed::Random;
use crate::store::{ARCHIVE, OLD, REMOTE, Remote, ensure_old, goes_on, settle, whole};

/// The operations; the last three remove. `bystander` is an image that none of them is about.
const OPERATIONS: &[&[&str]] = &[
    &["pull", "-q", REMOTE],
    &["load", "-q", "-i", ARCHIVE],
    &["commit", OLD, "committed"],
    &["rmi", "-f", "fresh"],
    &["image", "prune", "-f"],
    &["image", "prune", "-a", "-f"],
];

/// How many work at once in every third round.
const AT_ONCE: usize = 4;

/// A command under way.
struct Writer {
    words: &'static [&'static str],
    child: Child,
    files: AnswerFiles,
}

/// Runs the experiment.
pub(crate) fn run(context: &Context) -> Result<Findings, Failure> {
    let place = context.directory().join("writers");
    let there = std::fs::create_dir_all(&place).and_then(|()| std::env::set_current_dir(&place));
    there.map_err(|error| Failure(error.to_string()))?;
    let mut findings = Findings::default();
    let mut checks = Checks { context, round: 0, findings: &mut findings };
    ensure_old(&mut checks)?;
    let _remote = Remote::start(&mut checks)?;
    let mut longest = Vec::new();
    for operation in OPERATIONS {
        begin(&mut checks, operation)?;
        let start = Instant::now();
        checks.succeed(operation)?;
        longest.push(start.elapsed());
        settle(&mut checks)?;
    }
    for round in 0..context.rounds_or(200, 12) {
        one(context, round, &longest, &mut findings)?;
        findings.rounds += 1;
    }
    Checks { context, round: 0, findings: &mut findings }.settle()?;
    Ok(findings)
}

/// Makes what the operation removes.
fn begin(checks: &mut Checks<'_>, operation: &[&str]) -> Result<(), Failure> {
    if matches!(operation[0], "rmi" | "image") {
        checks.succeed(&["load", "-q", "-i", ARCHIVE])?;
    }
    Ok(())
}

fn one(context: &Context, round: usize, longest: &[Duration], findings: &mut Findings) -> Result<(), Failure> {
    let mut random = Random::of_round(context.seed, round);
    let mut checks = Checks { context, round, findings };
    let before = Leaks::count(context);
    // What a container uses no prune takes away.
    checks.succeed(&["commit", OLD, "bystander"])?;
    checks.succeed(&["create", "--network", "none", "--name", "holder", "bystander", "true"])?;
    let count = if round % 3 == 2 { AT_ONCE } else { 1 };
    let chosen: Vec<usize> = (0..count).map(|_| index(&mut random, OPERATIONS.len())).collect();
    for operation in &chosen {
        begin(&mut checks, OPERATIONS[*operation])?;
    }
    let late = longest[chosen[0]].max(Duration::from_millis(1)) * u32::try_from(count).unwrap_or(1);
    let delay = Duration::from_micros(random.below(u64::try_from(late.as_micros()).unwrap_or(u64::MAX)));
    let bystanders: Vec<u32> = processes(context).into_iter().map(|(pid, _)| pid).collect();
    let mut writers = Vec::new();
    for operation in &chosen {
        writers.push(start(context, OPERATIONS[*operation])?);
    }
    std::thread::sleep(delay);
    let victim = strike(context, &bystanders, &mut random);
    checks.findings.struck += usize::from(victim.is_some());
    let told: Vec<String> = writers.iter().map(|writer| writer.words.join(" ")).collect();
    let what = format!("{} with a kill after {delay:?}", told.join(" & "));
    if context.verbose {
        println!("round {round}: {what}: {}", victim.as_ref().map_or("nobody", |(_, words)| words));
    }
    let struck = victim.map(|(pid, _)| pid);
    for writer in writers {
        ended(&mut checks, writer, struck, count == 1, &what)?;
    }
    goes_on(&mut checks, &what)?;
    let images = whole(&mut checks, &what)?;
    if !images.iter().any(|(name, _)| name == "bystander") {
        checks.add(Kind::Lost, &format!("{what}: an image that nobody touched is gone"));
    }
    for operation in chosen.iter().map(|operation| OPERATIONS[*operation]) {
        begin(&mut checks, operation)?;
        checks.succeed(operation)?;
    }
    settle(&mut checks)?;
    checks.nothing_left(&before, &what);
    Ok(())
}

fn index(random: &mut Random, end: usize) -> usize {
    usize::try_from(random.below(end as u64)).unwrap_or(0)
}

fn start(context: &Context, words: &'static [&'static str]) -> Result<Writer, Failure> {
    let cannot = |error: std::io::Error| Failure(format!("cannot run {}: {error}", words.join(" ")));
    let files = context.answer_files();
    let mut command = context.command(words);
    command.stdout(files.create("out").map_err(cannot)?).stderr(files.create("err").map_err(cannot)?);
    Ok(Writer { words, child: command.spawn().map_err(cannot)?, files })
}

/// Kills one of the processes that have come since: a command with all its threads, or one that it has forked.
fn strike(context: &Context, bystanders: &[u32], random: &mut Random) -> Option<(u32, String)> {
    let mut ours = processes(context);
    ours.retain(|(pid, _)| !bystanders.contains(pid));
    let (pid, words) = (!ours.is_empty()).then(|| random.one_of(&ours).clone())?;
    let pidfd = sys::process::pidfd_open(pid).ok()?;
    // The words are read again, so that no other process is met that has taken the number.
    (words_of(pid) == words && sys::process::pidfd_send_signal(&pidfd, 9).is_ok()).then_some((pid, words))
}

/// Waits for a command; one that was not struck must have done its work.
fn ended(
    checks: &mut Checks<'_>,
    mut writer: Writer,
    struck: Option<u32>,
    alone: bool,
    what: &str,
) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| Failure(error.to_string());
    let start = Instant::now();
    let status = loop {
        if let Some(status) = writer.child.try_wait().map_err(cannot)? {
            break status;
        }
        if start.elapsed() > DEADLINE {
            writer.child.kill().and_then(|()| writer.child.wait()).map_err(cannot)?;
            checks.add(Kind::Stuck, &format!("{what}: {}", writer.words.join(" ")));
            return Ok(());
        }
        std::thread::park_timeout(Duration::from_millis(1));
    };
    // Of several that remove the same image one is the first. A command may need the process of its own that was struck.
    let may_fail = struck == Some(writer.child.id()) || alone && struck.is_some() || writer.words[0] == "rmi";
    if !status.success() && !may_fail {
        let said = String::from_utf8_lossy(&writer.files.read("err")).into_owned();
        checks.add(Kind::Lie, &format!("{what}: {} ended with {status}: {}", writer.words.join(" "), said.trim()));
    }
    Ok(())
}
