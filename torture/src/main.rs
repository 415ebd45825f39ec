//! The torture harness: drives the real program from outside while things go wrong, and counts what is wrong afterwards.
//!
//! Each experiment is a module with `run(&Context) -> Result<Findings, Failure>` and a row in [`EXPERIMENTS`]. Start it with
//! `cargo xtask torture`. Everything random comes from one seed, which is printed; `--seed` sets it.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a workbench talks to the person at it")]

mod builds;
mod checks;
mod context;
mod disk;
mod faults;
mod full;
mod histories;
mod images;
mod kills;
mod leaks;
mod model;
mod networks;
mod peer;
mod power;
mod recipes;
mod report;
mod seed;
mod store;
mod tracer;
mod writers;

use std::process::ExitCode;

use context::{Context, Failure};
use report::Findings;

/// An experiment.
type Experiment = fn(&Context) -> Result<Findings, Failure>;

/// The experiments by name, in the order in which they run. The last three leave the host's network and mount
/// namespaces.
const EXPERIMENTS: &[(&str, Experiment)] = &[
    ("kills", kills::run),
    ("faults", faults::run),
    ("images", images::run),
    ("writers", writers::run),
    ("build", builds::run),
    ("histories", histories::run),
    ("networks", networks::run),
    ("full", full::run),
    ("power", power::run),
];

/// The same on another engine, where they are asked for by name: what they find is not ours to answer for.
const PEERS: &[(&str, Experiment)] = &[("podman", kills::run_podman)];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match tortured(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(2)
        }
    }
}

/// Runs the experiments that are named, or all, and tells whether nothing was found.
fn tortured(words: &[String]) -> Result<bool, Failure> {
    if let [first, rest @ ..] = words
        && first == faults::LAUNCH
    {
        return faults::launch(rest);
    }
    let (context, names) = Context::from_words(words)?;
    if let Some(name) = names.iter().find(|name| !EXPERIMENTS.iter().chain(PEERS).any(|(known, _)| known == name)) {
        return Err(Failure(format!("no experiment is called {name}")));
    }
    println!("seed {}", context.seed);
    let mut all = Vec::new();
    for (name, experiment) in EXPERIMENTS {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            all.push((*name, experiment(&context)?));
        }
    }
    let mut peers = Vec::new();
    for (name, experiment) in PEERS.iter().filter(|(name, _)| names.iter().any(|wanted| wanted == name)) {
        peers.push((*name, experiment(&context)?));
    }
    print!("{}{}", report::table(&peers), report::table(&all));
    Ok(all.iter().all(|(_, findings)| findings.is_clean()))
}
