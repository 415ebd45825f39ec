//! The test suites, and everything that CI runs.
//!
//! Tests stand at four heights. The lower two run anywhere (`plans`), the upper two need root (`kernel`, `e2e`). Each
//! suite runs under cargo-nextest where that is installed and under `cargo test` elsewhere; what they say at their end is
//! added up into one closing line.

use std::process::Command;
use std::time::Instant;

use crate::{Outcome, check, fuzz, guest, packages, shell, torture};

/// What has passed and what has failed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    passed: usize,
    failed: usize,
}

impl Tally {
    /// Counts one more.
    pub(crate) fn add(&mut self, passed: bool) {
        *(if passed { &mut self.passed } else { &mut self.failed }) += 1;
    }

    /// Counts what another has counted.
    pub(crate) fn join(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }

    /// Prints the closing line; a failure, or nothing at all, is an error.
    pub(crate) fn into_outcome(self, what: &str) -> Outcome {
        println!("{} passed, {} failed", self.passed, self.failed);
        match self {
            Self { failed: 1.., .. } => Err(format!("{what} failed")),
            Self { passed: 0, .. } => Err(format!("{what} ran nothing")),
            Self { .. } => Ok(()),
        }
    }
}

/// A step of `cargo xtask test`.
type Suite = (&'static str, fn() -> Outcome<Tally>);

/// Everything that CI runs, in order.
const SUITES: &[Suite] = &[
    ("check", check::tally),
    ("plans", plans),
    ("kernel", || kernel_here(&[])),
    ("kernel --guest", kernel_in_guest),
    ("e2e", || whole_program(&[])),
    ("torture", tortured),
    ("fuzz", fuzz::tally),
];

/// Runs everything that CI runs, goes on after a failure, and adds up.
pub(crate) fn test(words: &[String]) -> Outcome {
    match words {
        [] => every_suite(),
        [word] if word == "--plans" => plans()?.into_outcome("plans"),
        _ => Err(format!("test takes --plans or nothing, not {}", words.join(" "))),
    }
}

fn every_suite() -> Outcome {
    let mut total = Tally::default();
    let mut lines = Vec::new();
    for (name, suite) in SUITES {
        println!("\n== {name} ==");
        let start = Instant::now();
        let tally = suite().unwrap_or_else(|reason| {
            eprintln!("error: {reason}");
            Tally { passed: 0, failed: 1 }
        });
        let Tally { passed, failed } = tally;
        lines
            .push(format!("{name:<16} {passed:>5} passed {failed:>4} failed {:>7.1} s", start.elapsed().as_secs_f64()));
        total.join(tally);
    }
    println!("\n{}", lines.join("\n"));
    total.into_outcome("test")
}

/// Runs the tests that meet the kernel, here or in the guest.
pub(crate) fn kernel(words: &[String]) -> Outcome {
    match words.split_first() {
        Some((first, rest)) if first == "--guest" => guest::run(rest),
        _ => kernel_here(words)?.into_outcome("kernel"),
    }
}

/// Runs the tests that drive the whole program.
pub(crate) fn e2e(words: &[String]) -> Outcome {
    whole_program(words)?.into_outcome("e2e")
}

/// Heights 1 and 2, and the examples in the documentation: any machine, no root.
fn plans() -> Outcome<Tally> {
    let mut tally = tests("dev", &["--workspace", "--lib", "--bins"], &[])?;
    tally.join(counted(&mut shell::cargo(["test", "--quiet", "--doc", "--workspace", "--locked"]))?);
    Ok(tally)
}

fn kernel_here(filter: &[String]) -> Outcome<Tally> {
    shell::need_root("the kernel tests")?;
    packages::ensure("kernel")?;
    tests("dev", &["--workspace", "--exclude", "conductor", "--test", "*"], filter)
}

/// The guest has one processor: on another one, what the last suite needs is built meanwhile.
fn kernel_in_guest() -> Outcome<Tally> {
    let mut tally = Tally::default();
    let building = fuzz::build_beside();
    let outcome = guest::run(&[]);
    // The suites that follow want the machine for themselves.
    if let Ok(mut building) = building {
        let _ = building.wait();
    }
    outcome?;
    tally.add(true);
    Ok(tally)
}

/// A few dozen random kills; the long form is started by hand.
fn tortured() -> Outcome<Tally> {
    let mut tally = Tally::default();
    torture::run(&["--short".to_owned()])?;
    tally.add(true);
    Ok(tally)
}

fn whole_program(filter: &[String]) -> Outcome<Tally> {
    shell::need_root("driving the whole program")?;
    packages::ensure("e2e")?;
    tests("e2e", &["--package", "conductor", "--test", "*"], filter)
}

/// Runs a selection of tests, with nextest if it is here.
fn tests(profile: &str, selection: &[&str], filter: &[String]) -> Outcome<Tally> {
    let mut command = if shell::has("cargo-nextest") {
        shell::cargo(["nextest", "run", "--locked", "--no-fail-fast", "--cargo-profile", profile])
    } else {
        shell::cargo(["test", "--locked", "--no-fail-fast", "--profile", profile])
    };
    counted(command.args(selection).args(filter))
}

/// Runs a test runner and counts what its closing lines say. Ending badly with nothing failed is one failure: it did not
/// come as far as its tests.
fn counted(command: &mut Command) -> Outcome<Tally> {
    let mut lines = Vec::new();
    let ended = shell::listened(command, |line| lines.extend(is_closing(line).then(|| line.to_owned())));
    let mut tally = summed(&lines);
    if ended.is_err() && tally.failed == 0 {
        tally.failed = 1;
    }
    Ok(tally)
}

/// Adds closing lines up. Nextest shows the output of a failed test, in which libtest closes as well: it has the last word.
fn summed(lines: &[String]) -> Tally {
    let nextest = lines.iter().any(|line| is_nextest(line));
    let mut tally = Tally::default();
    for line in lines.iter().filter(|line| is_nextest(line) == nextest) {
        tally.join(closing_line(line).unwrap_or_default());
    }
    tally
}

fn is_closing(line: &str) -> bool {
    closing_line(line).is_some()
}

fn is_nextest(line: &str) -> bool {
    line.trim_start().starts_with("Summary [")
}

/// Reads the closing line of nextest or of libtest.
fn closing_line(line: &str) -> Option<Tally> {
    let line = line.trim_start();
    let counts = line.strip_prefix("Summary [").and_then(|rest| rest.split_once(" run: ")).map(|(_, counts)| counts);
    let counts = counts.or_else(|| line.strip_prefix("test result: "))?;
    let count = |word: &str| {
        let before = counts.split(&[',', ';', '.'][..]).find_map(|part| part.trim().strip_suffix(word))?;
        // "3 passed (1 slow)" has lost its tail by here or never had one.
        before.split_whitespace().last()?.parse().ok()
    };
    let passed = count(" passed").or_else(|| {
        let part = counts.split(',').find(|part| part.contains(" passed ("))?;
        part.split_whitespace().next()?.parse().ok()
    });
    let failed = count(" failed").unwrap_or(0) + count(" timed out").unwrap_or(0) + count(" exec failed").unwrap_or(0);
    Some(Tally { passed: passed.unwrap_or(0), failed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_of_both_runners_are_read() {
        let cases = [
            ("     Summary [   0.012s] 3 tests run: 3 passed, 0 skipped", Some((3, 0))),
            ("     Summary [   1.2s] 5 tests run: 3 passed, 2 failed, 1 skipped", Some((3, 2))),
            ("     Summary [  70.2s] 5 tests run: 4 passed (1 slow), 1 failed, 1 timed out, 0 skipped", Some((4, 2))),
            ("test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured", Some((12, 0))),
            ("test result: FAILED. 1 passed; 3 failed; 0 ignored", Some((1, 3))),
            ("test a_test ... ok", None),
        ];
        for (line, expected) in cases {
            let expected = expected.map(|(passed, failed)| Tally { passed, failed });
            assert_eq!(closing_line(line), expected, "{line}");
        }
    }

    #[test]
    fn a_failed_test_under_nextest_counts_once() {
        let lines = [
            "    test result: FAILED. 0 passed; 1 failed; 0 ignored",
            "Summary [ 1s] 2 tests run: 1 passed, 1 failed, 0 skipped",
        ];
        assert_eq!(summed(&lines.map(str::to_owned)), Tally { passed: 1, failed: 1 });
    }

    #[test]
    fn a_run_of_nothing_is_no_success() {
        assert!(Tally::default().into_outcome("x").is_err());
        assert!(Tally { passed: 1, failed: 0 }.into_outcome("x").is_ok());
        assert!(Tally { passed: 1, failed: 1 }.into_outcome("x").is_err());
    }
}
