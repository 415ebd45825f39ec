//! The fuzz targets: built with the pinned toolchain, fed with seeds, run side by side.
//!
//! Coverage is an option of the stable compiler's code generator, so neither nightly nor cargo-fuzz is needed; what
//! cargo-fuzz would pass, [`FLAGS`] has. A target is a file of `fuzz/fuzz_targets/`. What makes one fail lies afterwards in a
//! directory outside the checkout, which is named; it is run again by `target/fuzz/*/release/TARGET FILE`.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use crate::suites::Tally;
use crate::{Outcome, packages, shell};

/// What makes the compiler report which edges are taken, and what comparisons compare.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0";
/// The standard library is not built for coverage, and a static one could not be linked with C++.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";
/// How long an input may take, in seconds; how much memory it may, in megabytes; how long it may be.
const BOUNDS: [&str; 3] = ["-timeout=10", "-rss_limit_mb=512", "-max_len=32768"];
/// How they are built.
const BUILD: [&str; 7] = ["build", "--release", "--locked", "--manifest-path", "fuzz/Cargo.toml", "--target", TRIPLE];
/// How long each target runs when nobody says, in seconds.
const SECONDS: u32 = 60;

/// Runs one target or all.
pub(crate) fn run(words: &[String]) -> Outcome {
    let (targets, seconds) = parse(words, targets()?)?;
    fuzz(&targets, seconds)?.into_outcome("fuzz")
}

/// What CI runs: each target for a minute.
pub(crate) fn tally() -> Outcome<Tally> {
    fuzz(&targets()?, SECONDS)
}

fn parse(words: &[String], known: Vec<String>) -> Outcome<(Vec<String>, u32)> {
    let (mut chosen, mut seconds) = (Vec::new(), SECONDS);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--seconds" {
            let number = words.next().and_then(|number| number.parse().ok());
            seconds = number.ok_or("--seconds wants a number")?;
        } else if known.contains(word) {
            chosen.push(word.clone());
        } else {
            return Err(format!("no target is called {word}; there are {}", known.join(", ")));
        }
    }
    Ok((if chosen.is_empty() { known } else { chosen }, seconds))
}

/// Lists the targets by their files.
fn targets() -> Outcome<Vec<String>> {
    let directory = shell::house().join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&directory).map_err(|error| format!("cannot list {}: {error}", directory.display()))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let name = |path: PathBuf| Some(path.file_stem()?.to_str()?.to_owned());
    let mut targets: Vec<String> = paths.filter_map(name).collect();
    targets.sort();
    Ok(targets)
}

fn fuzz(targets: &[String], seconds: u32) -> Outcome<Tally> {
    packages::ensure("fuzz")?;
    let programs = build()?;
    let work = std::env::temp_dir().join(format!("conductor-fuzz-{}", std::process::id()));
    let seeds = work.join("seeds");
    fs::create_dir_all(&seeds).map_err(|error| format!("cannot make {}: {error}", seeds.display()))?;
    shell::aloud(
        shell::cargo(["run", "--quiet", "--locked", "--package", "testkit", "--example", "seeds", "--"]).arg(&seeds),
    )?;
    let (queue, tally) = (Mutex::new(VecDeque::from(targets.to_vec())), Mutex::new(Tally::default()));
    let next = || queue.lock().ok()?.pop_front();
    let drain = || {
        while let Some(target) = next() {
            let outcome = one(&programs.join(&target), &target, &work, seconds);
            let passed = outcome.is_ok();
            println!("{target}: {}", outcome.unwrap_or_else(|reason| reason));
            if let Ok(mut tally) = tally.lock() {
                tally.add(passed);
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(drain))));
    let failed = fs::read_dir(&work).is_ok_and(|mut entries| entries.any(|entry| is_finding(&entry)));
    if failed {
        println!("what made them fail is in {}", work.display());
    } else {
        // A rest in the temporary directory harms nobody.
        let _ = fs::remove_dir_all(&work);
    }
    tally.into_inner().map_err(|_| "a target's thread has panicked".to_owned())
}

fn is_finding(entry: &std::io::Result<fs::DirEntry>) -> bool {
    let kinds = ["-crash-", "-timeout-", "-oom-", "-leak-", "-slow-unit-"];
    entry.as_ref().is_ok_and(|entry| kinds.iter().any(|kind| entry.file_name().to_string_lossy().contains(kind)))
}

/// Builds all targets; gives the directory that they are in.
fn build() -> Outcome<PathBuf> {
    let target = shell::target_directory()?.join("fuzz");
    shell::aloud(&mut built_into(&target, shell::cargo(BUILD)))?;
    Ok(target.join(TRIPLE).join("release"))
}

/// Begins to build all targets as the least of the machine's work, in silence: [`build`] will say what is wrong.
pub(crate) fn build_beside() -> Outcome<Child> {
    let target = shell::target_directory()?.join("fuzz");
    let mut command = shell::program("nice", ["-n", "19"]);
    let cargo = shell::cargo(BUILD);
    command.arg(cargo.get_program()).args(cargo.get_args());
    let mut command = built_into(&target, command);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    child.map_err(|error| format!("cannot start nice: {error}"))
}

fn built_into(target: &Path, mut command: Command) -> Command {
    // The house's own flags make static programs, which libFuzzer's C++ is not made for.
    command.env("RUSTFLAGS", FLAGS).env("CARGO_TARGET_DIR", target);
    command
}

/// Runs a target; says in a line how far it came.
fn one(program: &Path, target: &str, work: &Path, seconds: u32) -> Outcome<String> {
    let corpus = work.join("corpus").join(target);
    let cannot = |error| format!("cannot run: {error}");
    fs::create_dir_all(&corpus).map_err(cannot)?;
    let log = work.join(format!("{target}.log"));
    let mut command = Command::new(program);
    command.args(BOUNDS).arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-artifact_prefix={}-", work.join(target).display()));
    command.arg(&corpus).arg(work.join("seeds").join(target)).current_dir(work).stdin(Stdio::null());
    let status = command.stdout(Stdio::null()).stderr(File::create(&log).map_err(cannot)?).status().map_err(cannot)?;
    let lines: Vec<String> = BufReader::new(File::open(&log).map_err(cannot)?).lines().map_while(Result::ok).collect();
    if status.success() {
        return Ok(summary(&lines));
    }
    Err(format!("failed\n{}", lines[lines.len().saturating_sub(40)..].join("\n")))
}

/// Reads libFuzzer's last words: how many runs, how many edges, how many inputs that are worth keeping.
fn summary(lines: &[String]) -> String {
    let last = |mark: &str| lines.iter().rev().find(|line| line.contains(mark));
    let words = last("cov: ").map(|line| line.split_whitespace().collect::<Vec<_>>()).unwrap_or_default();
    let after = |key: &str| words.iter().position(|word| *word == key).and_then(|at| words.get(at + 1)).unwrap_or(&"?");
    let runs = last("Done ").and_then(|line| line.split_whitespace().nth(1)).unwrap_or("?");
    format!("{runs} runs, {} edges, {} inputs kept", after("cov:"), after("corp:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn targets_are_chosen_by_name() {
        let known = words("layer load");
        assert_eq!(parse(&[], known.clone()), Ok((known.clone(), SECONDS)));
        assert_eq!(parse(&words("load --seconds 5"), known.clone()), Ok((words("load"), 5)));
        assert!(parse(&words("--seconds soon"), known.clone()).is_err());
        assert!(parse(&words("lode"), known).is_err());
    }

    #[test]
    fn every_target_is_built() {
        let manifest = fs::read_to_string(shell::house().join("fuzz/Cargo.toml")).unwrap();
        for target in targets().unwrap() {
            assert!(
                manifest.contains(&format!("name = \"{target}\"\npath = \"fuzz_targets/{target}.rs\"")),
                "{target}"
            );
        }
    }

    #[test]
    fn the_last_words_are_read() {
        let said = ["#12\tREDUCE cov: 2641 ft: 8741 corp: 1056/6037Kb lim: 9", "Done 63556 runs in 21 second(s)"];
        assert_eq!(summary(&said.map(str::to_owned)), "63556 runs, 2641 edges, 1056/6037Kb inputs kept");
    }
}
