//! Why readers differ: a table, read from its top. What is left empty in a row matches everything.

mod contents;
mod refusals;

use super::Difference;

/// What a row covers, and the reason.
#[derive(Debug, Clone, Copy)]
pub(super) struct Explanation {
    /// The other reader.
    pub(super) who: &'static [&'static str],
    /// Parts of "family: case".
    pub(super) cases: &'static [&'static str],
    /// What is said differently.
    pub(super) about: &'static [&'static str],
    /// A part of what we say.
    pub(super) ours: &'static str,
    /// Parts of what they say, one of which has to be there.
    pub(super) theirs: &'static [&'static str],
    /// Whether it is about the root alone.
    pub(super) root: bool,
    /// Whether it is so common that it is said once.
    pub(super) general: bool,
    pub(super) why: &'static str,
}

/// A row that covers everything, to be narrowed.
const ROW: Explanation =
    Explanation { who: &[], cases: &[], about: &[], ours: "", theirs: &[], root: false, general: false, why: "" };

const GNU: &[&str] = &["GNU tar"];
const BSD: &[&str] = &["bsdtar"];
const UNPACKED: &[&str] = &["unpacked"];
const PODMAN: &[&str] = &["Podman"];
const TARS: &[&str] = &["GNU tar", "bsdtar"];
const TAKEN: &[&str] = &["taken"];

/// Returns all rows, in their order.
pub(super) fn all() -> impl Iterator<Item = &'static Explanation> {
    refusals::OURS.iter().chain(refusals::THEIRS).chain(contents::ALL)
}

/// Finds the first explanation of a difference.
pub(super) fn find(difference: &Difference) -> Option<usize> {
    all().position(|row| row.covers(difference))
}

impl Explanation {
    fn covers(&self, difference: &Difference) -> bool {
        let case = format!("{}: {}", difference.family, difference.case);
        let any = |parts: &[&str], whole: &str| parts.is_empty() || parts.iter().any(|part| whole.contains(part));
        (self.who.is_empty() || self.who.contains(&difference.reader))
            && any(self.cases, &case)
            && (self.about.is_empty() || self.about.iter().any(|about| difference.about.starts_with(about)))
            && difference.ours.contains(self.ours)
            && any(self.theirs, &difference.theirs)
            && (!self.root || difference.path.is_empty())
    }
}
