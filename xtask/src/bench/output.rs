//! What flows through a container: into its log, and through its stdin and stdout.
//!
//! Whatever flows is made by `floor write` and is known byte by byte, and every pass but those into a log is compared by
//! `floor check` while it is timed, the floor's own passes too. A log is compared in a pass of its own. A megabyte is a million
//! bytes of what the container writes; the time is that of all processes together, from the first start to the last end.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::Rounds;
use super::rows::remove_all;
use super::stopwatch::middle;
use super::subjects::{IMAGE, Workplace, text};
use super::table::Figure;
use crate::Outcome;

/// What is written into a log to time it: ten million lines of a hundred bytes.
const LOGGED: u64 = 1_000_000_000;

/// What is written into a log that is read again to the last byte.
const COMPARED: u64 = 100_000_000;

/// The least a log may take in a second.
const LOG_BUDGET: f64 = 100.0;

/// The least that may flow in a second where nothing is logged.
const PIPE_BUDGET: f64 = 1000.0;

/// Lines into the log, beside the same lines through a pipe and a copier into one file.
pub(super) fn log(place: &Workplace, rounds: Rounds) -> Outcome<Vec<Figure>> {
    let laps = compare_log(place).and_then(|()| log_laps(place, rounds));
    remove_all(place)?;
    Ok(vec![laps?.figure("lines into the log", LOG_BUDGET)])
}

/// Megabytes in a second, lap by lap.
#[derive(Debug, Default)]
struct Laps {
    floor: Vec<f64>,
    ours: Vec<f64>,
}

impl Laps {
    fn figure(&self, what: &str, budget: f64) -> Figure {
        // Three processes and more on a machine that others use as well: the best lap says more than the others.
        let best = |laps: &[f64]| laps.iter().copied().fold(f64::NAN, f64::max);
        println!("  {what}: best floor {:.2}, conductor {:.2} MB/s", best(&self.floor), best(&self.ours));
        let subjects = [("floor", middle(&self.floor)), ("conductor", middle(&self.ours))];
        Figure::rate(what, &subjects, budget)
    }
}

/// Reads a whole log again: nothing is lost, nothing is changed.
fn compare_log(place: &Workplace) -> Outcome {
    write_log(place, &["--log-opt", "max-size=1g"], COMPARED)?;
    let check = floor(place, &["check", "lines", &COMPARED.to_string()]);
    pipeline(&[place.engine(&["logs", "bench-log"]), check], None)?;
    place.succeed(&["rm", "bench-log"]).map(drop)
}

fn log_laps(place: &Workplace, rounds: Rounds) -> Outcome<Laps> {
    let mut laps = Laps::default();
    let file = place.path("lines");
    let lines = [floor(place, &["write", "lines", &LOGGED.to_string()]), floor(place, &["copy"])];
    for _ in 0..rounds.heavy {
        laps.floor.push(megabytes(LOGGED) / pipeline(&lines, Some(&file))?);
        std::fs::remove_file(&file).map_err(|error| format!("cannot remove {}: {error}", file.display()))?;
        laps.ours.push(megabytes(LOGGED) / write_log(place, &[], LOGGED)?);
        // Of a rotated log only the end is there, and it is the right one.
        let last = place.succeed(&["logs", "--tail", "1", "bench-log"])?;
        if !last.starts_with(&format!("{:010}", LOGGED / 100 - 1)) {
            return Err(format!("the log does not end with the last line but with {last}"));
        }
        place.succeed(&["rm", "bench-log"])?;
    }
    Ok(laps)
}

/// Lets a container write lines in the background and returns the seconds until its end was recorded.
fn write_log(place: &Workplace, options: &[&str], bytes: u64) -> Outcome<f64> {
    let bytes = bytes.to_string();
    let run = ["run", "-d", "--network", "none", "--name", "bench-log"];
    let start = Instant::now();
    place.succeed(&[&run, options, &[IMAGE, "/floor", "write", "lines", &bytes]].concat())?;
    let code = place.succeed(&["wait", "bench-log"])?;
    let seconds = start.elapsed().as_secs_f64();
    if code.trim() == "0" { Ok(seconds) } else { Err(format!("the writer of lines ended with {}", code.trim())) }
}

/// A way of bytes through a container.
struct Way {
    what: &'static str,
    /// The words of the engine before those of the container.
    words: &'static [&'static str],
    /// Whether the container writes by itself; the others copy their stdin.
    writes: bool,
    logged: bool,
}

const RUN: &[&str] = &["run", "--rm", "--network", "none", IMAGE];
const RUN_UNLOGGED: &[&str] = &["run", "--rm", "--network", "none", "--log-driver", "none", IMAGE];
const RUN_I: &[&str] = &["run", "-i", "--rm", "--network", "none", IMAGE];
const RUN_I_UNLOGGED: &[&str] = &["run", "-i", "--rm", "--network", "none", "--log-driver", "none", IMAGE];
const EXEC_I: &[&str] = &["exec", "-i", "bench-pipe"];

const WAYS: &[Way] = &[
    Way { what: "run -i cat, no log", words: RUN_I_UNLOGGED, writes: false, logged: false },
    Way { what: "run of a writer, no log", words: RUN_UNLOGGED, writes: true, logged: false },
    Way { what: "exec -i cat", words: EXEC_I, writes: false, logged: false },
    Way { what: "run -i cat, logged", words: RUN_I, writes: false, logged: true },
    Way { what: "run of a writer, logged", words: RUN, writes: true, logged: true },
];

/// Binary data through a container, beside two pipes and a copier.
pub(super) fn pipe(place: &Workplace, rounds: Rounds) -> Outcome<Vec<Figure>> {
    place.succeed(&["run", "-d", "--network", "none", "--name", "bench-pipe", IMAGE, "/wait"])?;
    let figures = WAYS.iter().map(|way| way.measure(place, rounds)).collect();
    remove_all(place)?;
    Ok(figures)
}

impl Way {
    /// What is logged is less, and held against the log's budget: such a way ends when the log has all.
    fn load(&self) -> (u64, f64) {
        if self.logged { (500_000_000, LOG_BUDGET) } else { (4_000_000_000, PIPE_BUDGET) }
    }

    fn measure(&self, place: &Workplace, rounds: Rounds) -> Figure {
        match self.laps(place, rounds) {
            Ok(laps) => laps.figure(self.what, self.load().1),
            Err(reason) => Figure::failed(self.what, &reason),
        }
    }

    fn laps(&self, place: &Workplace, rounds: Rounds) -> Outcome<Laps> {
        let (load, _) = self.load();
        let bytes = load.to_string();
        let write = floor(place, &["write", "noise", &bytes]);
        let check = floor(place, &["check", "noise", &bytes]);
        let ours = match self.writes {
            true => vec![place.engine(&[self.words, &["/floor", "write", "noise", &bytes]].concat()), check.clone()],
            false => vec![write.clone(), place.engine(&[self.words, &["/floor", "copy"]].concat()), check.clone()],
        };
        let floor = [write, floor(place, &["copy"]), check];
        let mut laps = Laps::default();
        for _ in 0..rounds.heavy {
            laps.floor.push(megabytes(load) / pipeline(&floor, None)?);
            laps.ours.push(megabytes(load) / pipeline(&ours, None)?);
        }
        Ok(laps)
    }
}

fn floor(place: &Workplace, words: &[&str]) -> Vec<String> {
    [&[text(&place.floor).as_str()], words].concat().into_iter().map(str::to_owned).collect()
}

/// Starts programs, each of which reads what the one before writes, and returns the seconds until all have ended well. The
/// first reads nothing; the last writes into a file, if one is named.
fn pipeline(programs: &[Vec<String>], into: Option<&Path>) -> Outcome<f64> {
    let last = match into {
        Some(path) => File::create(path).map_err(|error| format!("cannot make {}: {error}", path.display()))?.into(),
        None => Stdio::null(),
    };
    let (mut children, mut input, mut last) = (Vec::new(), Stdio::null(), Some(last));
    let start = Instant::now();
    for (at, program) in programs.iter().enumerate() {
        let is_last = at + 1 == programs.len();
        let output = last.take_if(|_| is_last).unwrap_or_else(Stdio::piped);
        let mut command = Command::new(&program[0]);
        let spawned = command.args(&program[1..]).stdin(input).stdout(output).spawn();
        let mut child = spawned.map_err(|error| format!("cannot start {}: {error}", program.join(" ")))?;
        input = child.stdout.take().map_or_else(Stdio::null, Stdio::from);
        children.push(child);
    }
    // Its end of the last pipe would otherwise stay open here.
    drop(input);
    let wait = |child: &mut std::process::Child| child.wait().map_err(|error| error.to_string());
    let statuses = children.iter_mut().map(wait).collect::<Outcome<Vec<_>>>()?;
    let seconds = start.elapsed().as_secs_f64();
    // Whoever comes last ends first when something is lost, and knows what.
    match statuses.iter().zip(programs).rev().find(|(status, _)| !status.success()) {
        Some((status, program)) => Err(format!("{} ended with {status}", program.join(" "))),
        None => Ok(seconds),
    }
}

#[allow(clippy::cast_precision_loss, reason = "no stream here has as many bytes as a float can count")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    #[test]
    fn a_pipeline_carries_bytes_from_its_first_program_to_its_file() {
        let file = std::env::temp_dir().join(format!("conductor-bench-pipeline-{}", std::process::id()));
        let programs = [shell("printf 'a\nb\n'"), shell("tr ab cd"), shell("tac")];
        let ran = pipeline(&programs, Some(&file));
        let written = std::fs::read_to_string(&file);
        let _ = std::fs::remove_file(&file);
        assert!(ran.is_ok(), "{ran:?}");
        assert_eq!(written.unwrap(), "d\nc\n");
    }

    #[test]
    fn a_pipeline_fails_with_any_of_its_programs() {
        let said = pipeline(&[shell("exit 3"), shell("cat")], None).unwrap_err();
        assert!(said.contains("exit 3"), "{said}");
    }
}
