//! The client of `floor`, which measures in processes of its own: `floor stopwatch` starts others and times them.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::Rounds;
use crate::Outcome;

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lap {
    pub(super) milliseconds: f64,
    pub(super) peak_kib: u64,
}

/// A process that answers each line with a line.
#[derive(Debug)]
pub(super) struct Dialogue {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Dialogue {
    /// Starts one.
    pub(super) fn start(command: &mut Command) -> Outcome<Self> {
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|error| format!("cannot start {command:?}: {error}"))?;
        let (requests, answers) = (child.stdin.take(), child.stdout.take());
        let (Some(requests), Some(answers)) = (requests, answers) else {
            return Err(format!("{command:?} has no pipes"));
        };
        Ok(Self { child, requests, answers: BufReader::new(answers) })
    }

    /// Returns its process, which is that of the command that started it, whatever it has become since.
    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Asks, and waits for the answer.
    pub(super) fn ask(&mut self, line: &str) -> Outcome<String> {
        let lost = |error: std::io::Error| format!("the measuring process is lost: {error}");
        self.requests.write_all(format!("{line}\n").as_bytes()).map_err(lost)?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).map_err(lost)?;
        Ok(answer)
    }
}

impl Drop for Dialogue {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A stopwatch process.
#[derive(Debug)]
pub(super) struct Stopwatch(Dialogue);

impl Stopwatch {
    /// Starts one by a command that ends in `floor stopwatch`.
    pub(super) fn start(command: &mut Command) -> Outcome<Self> {
        Dialogue::start(command).map(Self)
    }

    /// Returns its process.
    pub(super) fn process(&self) -> u32 {
        self.0.process()
    }

    /// Times one run of a program, which has to succeed.
    pub(super) fn time(&mut self, words: &[String]) -> Outcome<Lap> {
        let line = self.0.ask(&words.join("\0"))?;
        let fields: Vec<u64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
        let [nanoseconds, peak_kib, code] = fields[..] else {
            return Err(format!("the stopwatch did not start {}", words.join(" ")));
        };
        if code != 0 {
            return Err(format!("{} ended with {code}", words.join(" ")));
        }
        Ok(Lap { milliseconds: std::time::Duration::from_nanos(nanoseconds).as_secs_f64() * 1e3, peak_kib })
    }

    /// Lets programs take turns and returns the laps of each.
    pub(super) fn take_turns(&mut self, rounds: Rounds, programs: &[Vec<String>]) -> Outcome<Vec<Vec<Lap>>> {
        let mut laps = vec![Vec::new(); programs.len()];
        for round in 0..rounds.warm + rounds.counted {
            for (program, laps) in programs.iter().zip(&mut laps) {
                let lap = self.time(program)?;
                if round >= rounds.warm {
                    laps.push(lap);
                }
            }
        }
        Ok(laps)
    }
}

/// Returns the median time.
pub(super) fn median(laps: &[Lap]) -> f64 {
    middle(&laps.iter().map(|lap| lap.milliseconds).collect::<Vec<_>>())
}

/// Returns the median.
pub(super) fn middle(figures: &[f64]) -> f64 {
    let mut figures = figures.to_vec();
    figures.sort_by(f64::total_cmp);
    match figures.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => figures[count / 2],
        count => f64::midpoint(figures[count / 2 - 1], figures[count / 2]),
    }
}

/// Returns the highest peak of memory.
pub(super) fn peak(laps: &[Lap]) -> u64 {
    laps.iter().map(|lap| lap.peak_kib).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_middles() {
        let laps =
            |times: &[f64]| times.iter().map(|time| Lap { milliseconds: *time, peak_kib: 1 }).collect::<Vec<_>>();
        assert!((median(&laps(&[3.0, 1.0, 2.0])) - 2.0).abs() < 1e-9);
        assert!((median(&laps(&[4.0, 1.0, 2.0, 3.0])) - 2.5).abs() < 1e-9);
        assert!(median(&[]).is_nan());
    }
}
