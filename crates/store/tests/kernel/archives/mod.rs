//! Hundreds of awkward and hostile archives, taken by us and by others, and every difference explained.
//!
//! ```text
//! testkit::archives ──▶ each reader ──▶ a listing, or a refusal ──▶ differences ──▶ explanations ──▶ docs/archives.md
//! ```
//!
//! Ours is the first of the [`READERS`]; the others are held against it. A difference that no [explanation](explanations)
//! covers fails the test, and so does an explanation that covers nothing. What comes out is docs/archives.md, which has to
//! be as it is written here: `CONDUCTOR_WRITE=1` writes it anew.

mod arena;
mod difference;
mod explanations;
mod listing;
mod podman;
mod readers;
mod report;

use std::path::Path;

use testkit::archives::{self, Case};

use arena::Arena;
use difference::{Difference, differences};
use listing::Listing;

/// What became of an archive: its files, or the reason why it was refused.
type Taken = Result<Listing, String>;

/// Takes all archives, in their order.
type Take = fn(&Arena, &[Case]) -> Vec<Taken>;

/// Who takes the archives. The first one is ours, which the others are held against.
const READERS: &[(&str, Take)] = &[
    ("Conductor", readers::index),
    ("unpacked", readers::directory),
    ("GNU tar", readers::gnu),
    ("bsdtar", readers::libarchive),
    ("Podman", podman::take),
];

#[test]
fn what_others_make_of_awkward_archives_differs_for_reasons_that_are_known() {
    let cases = archives::all();
    let arena = Arena::enter();
    let taken: Vec<Vec<Taken>> = READERS.iter().map(|(_, take)| take(&arena, &cases)).collect();
    let mut rows = Vec::new();
    let mut unexplained = Vec::new();
    let mut used = vec![0; explanations::all().count()];
    for (number, case) in cases.iter().enumerate() {
        let ours = &taken[0][number];
        let mut reasons = Vec::new();
        for (&(reader, _), taken) in READERS.iter().zip(&taken).skip(1) {
            for difference in differences(case, reader, ours, &taken[number]) {
                match explanations::find(&difference) {
                    Some(index) => {
                        used[index] += 1;
                        reasons.push((reader, index));
                    }
                    None => unexplained.push(difference.to_string()),
                }
            }
        }
        let outcomes = taken.iter().map(|taken| taken[number].clone()).collect();
        rows.push(report::Row { case, outcomes, reasons });
    }
    assert!(unexplained.is_empty(), "{} differences:\n{}", unexplained.len(), unexplained.join("\n"));
    let idle = explanations::all().zip(used).filter(|(_, used)| *used == 0).map(|(row, _)| row.why);
    let idle: Vec<_> = idle.collect();
    assert!(idle.is_empty(), "explanations of nothing: {idle:#?}");
    compare_document(&report::write(&rows));
}

/// Holds docs/archives.md against what was found, or writes it.
fn compare_document(text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/archives.md");
    if std::env::var_os("CONDUCTOR_WRITE").is_some() {
        // The tree is read-only in here; what is written lands beside and is moved by hand.
        let beside = Path::new(env!("CARGO_TARGET_TMPDIR")).join("archives.md");
        std::fs::write(&beside, text).unwrap();
        panic!("written to {}: copy it to docs/archives.md", beside.display());
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    let line = there.lines().zip(text.lines()).position(|(there, text)| there != text);
    let line = line.unwrap_or_else(|| there.lines().count().min(text.lines().count())) + 1;
    assert!(there == text, "docs/archives.md differs from line {line}: run this test with CONDUCTOR_WRITE=1");
}
