//! What two readers of one archive see differently.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use testkit::archives::Case;

use super::Taken;
use super::listing::{Facts, Listing};

/// One thing that we see and another reader does not, or the other way round.
#[derive(Debug, Clone)]
pub(super) struct Difference {
    pub(super) family: &'static str,
    pub(super) case: String,
    pub(super) reader: &'static str,
    /// The file, or nothing if it is about the archive.
    pub(super) path: String,
    /// "taken", "there", or what is said of the file.
    pub(super) about: String,
    pub(super) ours: String,
    pub(super) theirs: String,
    /// What kind of file it is to us.
    pub(super) kind: String,
}

/// Compares what became of an archive.
pub(super) fn differences(case: &Case, reader: &'static str, ours: &Taken, theirs: &Taken) -> Vec<Difference> {
    let difference = |path: &Path, about: &str, ours: &str, theirs: &str| Difference {
        family: case.family,
        case: case.name.clone(),
        reader,
        path: path.as_os_str().as_bytes().escape_ascii().to_string(),
        about: about.to_owned(),
        ours: ours.to_owned(),
        theirs: theirs.to_owned(),
        kind: String::new(),
    };
    match (ours, theirs) {
        (Err(_), Err(_)) => Vec::new(),
        (Ok(_), Err(why)) => vec![difference(Path::new(""), "taken", "taken", &format!("refused: {why}"))],
        (Err(why), Ok(_)) => vec![difference(Path::new(""), "taken", &format!("refused: {why}"), "taken")],
        (Ok(ours), Ok(theirs)) => between(ours, theirs, difference),
    }
}

fn between(
    ours: &Listing,
    theirs: &Listing,
    difference: impl Fn(&Path, &str, &str, &str) -> Difference,
) -> Vec<Difference> {
    let mut found = Vec::new();
    let empty = Facts::new();
    let paths: std::collections::BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    for path in paths {
        let (here, there) = (ours.get(path).unwrap_or(&empty), theirs.get(path).unwrap_or(&empty));
        let kind = |facts: &Facts| facts.get("kind").cloned().unwrap_or_else(|| "absent".to_owned());
        if kind(here) != kind(there) {
            found.push(Difference { kind: kind(here), ..difference(path, "there", &kind(here), &kind(there)) });
            continue;
        }
        let all: std::collections::BTreeSet<_> = here.keys().chain(there.keys()).collect();
        for about in all {
            let said = |facts: &Facts| facts.get(about).cloned().unwrap_or_else(|| "none".to_owned());
            if said(here) != said(there) {
                found.push(Difference { kind: kind(here), ..difference(path, about, &said(here), &said(there)) });
            }
        }
    }
    found
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { family, case, reader, path, about, ours, theirs, kind } = self;
        let path = path.get(path.len().saturating_sub(60)..).unwrap_or(path);
        write!(f, "{family}: {case} | {reader} | {path} ({kind}) | {about}: we {ours:.200?}, they {theirs:.200?}")
    }
}
