//! Times of the engine's verbs without a command line around them; `kernel bench` prints them.

use std::process::ExitCode;
use std::time::Instant;

use serde_json::json;

use crate::sandbox::{Sandbox, request};

/// Prints medians of a few verbs.
pub(crate) fn main() -> ExitCode {
    let sandbox = Sandbox::new();
    let run = request(&["true"], json!({"remove_on_exit": true})).to_string();
    time("run --rm --network none", || drop(sandbox.call(&["run", &run]).ok()));
    sandbox.start("eg", &["sleep", "600"], json!({}));
    time("run --rm, the image being held", || drop(sandbox.call(&["run", &run]).ok()));
    time("exec", || drop(sandbox.call(&["exec", "eg", "true"]).ok()));
    time("the process alone", || drop(sandbox.call(&["ps"]).ok()));
    (0..99).for_each(|number| drop(sandbox.start(&format!("eg{number}"), &["sleep", "600"], json!({}))));
    let engine = sandbox.engine();
    time("list of 100", || assert_eq!(engine.list(false).unwrap().len(), 100));
    time("sweep of 100", || engine.sweep().unwrap());
    ExitCode::SUCCESS
}

fn time(what: &str, mut work: impl FnMut()) {
    let mut times: Vec<f64> = (0..60)
        .map(|_| {
            let before = Instant::now();
            work();
            before.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("{what:32} {:8.3} ms (least {:.3})", times[times.len() / 2], times[0]);
}
