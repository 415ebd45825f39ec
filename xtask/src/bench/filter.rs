//! What a call costs under our seccomp filter, beside libseccomp's two for the same list: the tree, as runc asks for, and
//! the chain, which is its default.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use super::Rounds;
use super::stopwatch::{Dialogue, middle};
use super::subjects::{Workplace, make, text};
use super::table::Figure;
use crate::{Outcome, shell};

/// Under no filter, and under each.
const FILTERS: [&str; 4] = ["none", "tree", "chain", "ours"];
const NONE: usize = 0;
const TREE: usize = 1;
const CHAIN: usize = 2;
const OURS: usize = 3;

/// The call for which the kernel runs no filter.
const REMEMBERED: &str = "getppid";

/// How often the processes of one round take turns.
const TURNS: usize = 20;

/// What a call took, under each filter, turn by turn.
type Laps = [Vec<f64>; FILTERS.len()];

/// What one round of a call came to: the median under each filter, and ours against the tree, turn by turn.
#[derive(Debug, Clone, Copy)]
struct Round {
    medians: [f64; FILTERS.len()],
    ratio: f64,
}

/// Lets the filters take turns. Each has a process of its own in each round, since where the kernel puts a program in its
/// memory is felt as well; all processes share one processor.
pub(super) fn seccomp(place: &Workplace, rounds: Rounds) -> Outcome<Vec<Figure>> {
    let directory = place.path("filters");
    make(&directory)?;
    let writer = shell::built("engine", "example", "seccomp_cost", "release")?;
    shell::output(&mut shell::program(&text(&writer), [&directory]))?;
    let mut calls = BTreeMap::<String, Vec<Round>>::new();
    for _ in 0..rounds.counted {
        for (call, laps) in round(place, &FILTERS.map(|filter| directory.join(filter)))? {
            calls.entry(call).or_default().push(Round::of(&laps));
        }
    }
    calls.iter().for_each(|(call, rounds)| println!("{}", remark(call, rounds)));
    Ok(calls.iter().filter(|(call, _)| *call != REMEMBERED).map(|(call, rounds)| figure(call, rounds)).collect())
}

/// Lets new processes take turns: A B C D, D C B A, B C D A, A D C B and so on, since it is felt who went before.
fn round(place: &Workplace, files: &[PathBuf; FILTERS.len()]) -> Outcome<BTreeMap<String, Laps>> {
    let start = |(at, file): (usize, &PathBuf)| {
        Dialogue::start(Command::new(&place.floor).arg("calls").args((at != NONE).then_some(file)))
    };
    let mut processes = files.iter().enumerate().map(start).collect::<Outcome<Vec<_>>>()?;
    let mut laps = BTreeMap::<String, Laps>::new();
    for turn in 0..=TURNS {
        for place in 0..FILTERS.len() {
            let place = if turn % 2 == 0 { place } else { FILTERS.len() - 1 - place };
            let at = (place + turn / 2) % FILTERS.len();
            let line = processes[at].ask("")?;
            let words: Vec<_> = line.split_whitespace().collect();
            for pair in words.chunks(2) {
                let nanoseconds = pair.get(1).and_then(|word| word.parse().ok());
                let nanoseconds = nanoseconds.ok_or_else(|| format!("no figures of calls: {line}"))?;
                // The first turn warms up.
                if turn > 0 {
                    laps.entry(pair[0].to_owned()).or_default()[at].push(nanoseconds);
                }
            }
        }
    }
    Ok(laps)
}

impl Round {
    fn of(laps: &Laps) -> Self {
        let medians = [NONE, TREE, CHAIN, OURS].map(|at| middle(&laps[at]));
        // What a filter adds to the call, ours divided by the tree's.
        let ratio = |turn: usize| (laps[OURS][turn] - laps[NONE][turn]) / (laps[TREE][turn] - laps[NONE][turn]);
        let ratios: Vec<f64> = (0..laps[NONE].len()).map(ratio).collect();
        Self { medians, ratio: middle(&ratios) }
    }
}

fn medians(rounds: &[Round], at: usize) -> Vec<f64> {
    rounds.iter().map(|round| round.medians[at]).collect()
}

fn figure(call: &str, rounds: &[Round]) -> Figure {
    let of = |at: usize| middle(&medians(rounds, at));
    let subjects = [("none", of(NONE)), ("chain", of(CHAIN)), ("tree", of(TREE)), ("conductor", of(OURS))];
    let mut figure = Figure::ratio(&format!("{call} under the filter"), "ns", &subjects, "tree", 1.0);
    figure.measure = middle(&rounds.iter().map(|round| round.ratio).collect::<Vec<_>>());
    figure.measure_unit = "x tree's part".into();
    figure
}

fn remark(call: &str, rounds: &[Round]) -> String {
    let least = |at: usize| medians(rounds, at).into_iter().fold(f64::INFINITY, f64::min);
    let least: Vec<_> = FILTERS.iter().enumerate().map(|(at, name)| format!("{name} {:.2}", least(at))).collect();
    let won = rounds.iter().filter(|round| round.ratio < 1.0).count();
    let ratio = middle(&rounds.iter().map(|round| round.ratio).collect::<Vec<_>>());
    let (least, all) = (least.join(", "), rounds.len());
    format!("  {call}: least {least} ns; adds {ratio:.3} of what the tree adds, less in {won} rounds of {all}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_call_costs_without_a_filter_is_no_filters_cost() {
        let round = Round::of(&[vec![100.0; 3], vec![120.0; 3], vec![500.0; 3], vec![110.0, 115.0, 200.0]]);
        assert!((round.ratio - 0.75).abs() < 1e-9, "{round:?}");
        assert!((figure("x", &[round; 2]).measure - 0.75).abs() < 1e-9);
    }
}
