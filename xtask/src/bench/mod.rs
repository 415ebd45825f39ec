//! The program beside the kernel's floor and Debian's crun, in one run, interleaved.
//!
//! Figures of one machine say little about another, so what counts are ratios between programs that took turns: A B C A B
//! C. Each row is one piece of work that all its subjects do; [`subjects`] makes what they work on, [`stopwatch`] times
//! them as whole processes, [`table`] prints medians, ratios and the budget, and writes all of it as JSON to `target/bench/`.
//! What each row measures, in which unit, and against what, is told in `docs/performance.md`.

mod bridge;
mod build;
mod endpoints;
mod exit;
mod filter;
mod hosts;
mod images;
mod leaks;
mod output;
mod podman;
mod port;
mod programs;
mod registry;
mod rows;
mod scale;
mod stock;
mod stopwatch;
mod subjects;
mod table;

use crate::{Outcome, packages, shell};
use rows::ROWS;
use subjects::Workplace;
use table::Figure;

/// How many times each subject of a row does its work.
#[derive(Debug, Clone, Copy)]
struct Rounds {
    /// Before anything is counted.
    warm: usize,
    /// Counted.
    counted: usize,
    /// Counted, where one takes seconds.
    heavy: usize,
}

/// Measures the rows that are named, or all, and prints the table.
pub(crate) fn run(words: &[String]) -> Outcome {
    shell::need_root("the bench")?;
    let quick = words.iter().any(|word| word == "--quick");
    let named: Vec<&String> = words.iter().filter(|word| *word != "--quick").collect();
    if let Some(unknown) = named.iter().find(|name| !ROWS.iter().any(|row| row.name == name.as_str())) {
        let known: Vec<_> = ROWS.iter().map(|row| row.name).collect();
        return Err(format!("the bench has no row {unknown}, but {}", known.join(", ")));
    }
    packages::ensure("bench")?;
    let rounds =
        if quick { Rounds { warm: 2, counted: 11, heavy: 1 } } else { Rounds { warm: 5, counted: 101, heavy: 3 } };
    let before = load();
    let place = Workplace::make()?;
    let mut figures = Vec::new();
    for row in ROWS.iter().filter(|row| named.is_empty() || named.iter().any(|name| *name == row.name)) {
        println!("measuring {} ...", row.name);
        // One row that cannot be measured takes none of the others with it.
        figures.extend((row.measure)(&place, rounds).unwrap_or_else(|reason| vec![Figure::failed(row.name, &reason)]));
    }
    print!("\n{}", table::render(&figures));
    // Others who work at the same time are felt in every figure, and most in those of a second.
    println!("load of the machine: {before} before, {} after, ours included", load());
    table::write(&place.out, &figures)?;
    place.remove()?;
    match figures.iter().find(|figure| figure.failed.is_some()) {
        Some(figure) => Err(format!("{} could not be measured", figure.what)),
        None => Ok(()),
    }
}

/// Returns how many processes wanted a processor in the last minute, as uptime(1) says it.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
