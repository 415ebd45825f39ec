//! What is asked of the source before anything is run: form, floors, sizes, words, licences.
//!
//! Start reading at [`CHECKS`]. What a check reads of the tree is handed to a plain function, which the tests below it
//! call with trees of their own.

mod arrows;
mod licences;
mod source;

use std::time::Instant;

use crate::suites::Tally;
use crate::{Outcome, documents, packages, shell};

/// A name and what carries it out.
type Check = (&'static str, fn() -> Outcome);

/// The checks in order.
const CHECKS: &[Check] = &[
    ("rustfmt", rustfmt),
    ("arrows downward", arrows::check),
    ("file sizes", source::sizes),
    ("unsafe only in sys", source::unsafe_stays_home),
    ("spelling", spelling),
    ("licences", licences::check),
    ("lock file of the fuzz targets", fuzz_lock),
    ("clippy", clippy),
    ("rustdoc", || shell::aloud(&mut documents::rustdoc())),
];

/// Runs every check, also after one has failed.
pub(crate) fn run(_: &[String]) -> Outcome {
    tally()?.into_outcome("check")
}

/// Runs every check and counts them.
pub(crate) fn tally() -> Outcome<Tally> {
    packages::ensure("check")?;
    let mut tally = Tally::default();
    for (name, check) in CHECKS {
        let start = Instant::now();
        let outcome = check();
        let seconds = start.elapsed().as_secs_f64();
        match &outcome {
            Ok(()) => println!("ok    {name} ({seconds:.1} s)"),
            Err(reason) => println!("FAIL  {name} ({seconds:.1} s)\n{reason}"),
        }
        tally.add(outcome.is_ok());
    }
    Ok(tally)
}

fn rustfmt() -> Outcome {
    shell::aloud(&mut shell::cargo(["fmt", "--all", "--check"]))
}

fn clippy() -> Outcome {
    let words = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    shell::aloud(&mut shell::cargo(words))
}

/// The fuzz targets are a workspace of their own: a crate of the house with a new dependency leaves their lock file behind.
fn fuzz_lock() -> Outcome {
    let words = ["metadata", "--quiet", "--format-version", "1", "--locked", "--manifest-path", "fuzz/Cargo.toml"];
    shell::output(&mut shell::cargo(words)).map(drop).map_err(|_| {
        "fuzz/Cargo.lock does not fit the house: `cargo metadata --manifest-path fuzz/Cargo.toml` mends it".into()
    })
}

fn spelling() -> Outcome {
    if !shell::has("codespell") {
        return Err("codespell is missing: apt-get install codespell".into());
    }
    let files = source::paths()?;
    let files = files.iter().filter(|path| !path.ends_with(".lock"));
    let ignored = format!("--ignore-words-list={}", IGNORED_WORDS.join(","));
    shell::aloud(shell::program("codespell", [ignored.as_str(), "--quiet-level=3"]).args(files))
        .map_err(|_| "mend the words above, or add a right one to IGNORED_WORDS in xtask/src/check/mod.rs".into())
}

/// Words that codespell takes for misspelt and that are right here: names of system calls, options and types, and what
/// tests misspell on purpose.
const IGNORED_WORDS: &[&str] = &["atleast", "buildd", "crate", "creat", "keypair", "nd", "nmae", "ser", "vertexes"];
