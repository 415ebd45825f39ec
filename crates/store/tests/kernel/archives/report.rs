//! docs/archives.md: what became of every archive, by families, and why.

use std::collections::BTreeSet;
use std::fmt::Write;

use testkit::archives::Case;

use super::{READERS, Taken, explanations};

/// What became of one archive.
pub(super) struct Row<'a> {
    pub(super) case: &'a Case,
    /// By reader.
    pub(super) outcomes: Vec<Taken>,
    /// Who differs, and which explanation covers it.
    pub(super) reasons: Vec<(&'static str, usize)>,
}

impl Row<'_> {
    /// Lists the reasons that are this archive's own.
    fn own_reasons(&self) -> BTreeSet<(&'static str, usize)> {
        let is_general = |index: usize| explanations::all().nth(index).is_some_and(|row| row.general);
        self.reasons.iter().copied().filter(|(_, index)| !is_general(*index)).collect()
    }

    /// Says what a reader makes of it: ours first, the others as they differ.
    fn outcome(&self, reader: usize) -> &'static str {
        let differs = self.own_reasons().iter().any(|(who, _)| *who == READERS[reader].0);
        match &self.outcomes[reader] {
            Err(_) => "refused",
            Ok(_) if differs && self.outcomes[0].is_ok() => "**otherwise**",
            Ok(_) => "taken",
        }
    }
}

const INTRODUCTION: &str = "\
# Awkward archives

How Conductor, GNU tar, bsdtar (libarchive) and Podman take the awkward and hostile archives of
`crates/testkit/src/archives`, and why they differ. This page is written by the test that compares them
(`crates/store/tests/kernel/archives`), which fails when a difference has no reason, a reason no difference, or this page
is not what was found. The versions are those of Debian 12.

Conductor makes an index over the layers and mounts it, and in the column \"unpacked\" unpacks the same image into a
directory, as for a kernel that cannot mount an index; the tars unpack the layers one over the other, with the marks of
image-spec applied in between by the letter; Podman loads an image of them and mounts it. Compared are the names, and of
each file its type, permissions, owner, size, time, target, numbers, attributes, content, and which names are one file.
\"taken\" is as Conductor takes it, \"otherwise\" is with another outcome, and \"refused\" is with an error. The numbers lead to
the reasons at the end.
";

/// Writes the page.
pub(super) fn write(rows: &[Row<'_>]) -> String {
    let mut text = INTRODUCTION.to_owned();
    let mut order = Vec::new();
    for row in rows {
        for (_, index) in row.own_reasons() {
            if !order.contains(&index) {
                order.push(index);
            }
        }
    }
    let alike = rows.iter().filter(|row| row.own_reasons().is_empty()).count();
    let _ = write!(
        text,
        "\nOf {} archives, {alike} come out alike everywhere.\n\nTwo things always differ:\n\n",
        rows.len()
    );
    for row in explanations::all().filter(|row| row.general) {
        let _ = writeln!(text, "- {}", row.why);
    }
    let mut families: Vec<&str> = rows.iter().map(|row| row.case.family).collect();
    families.dedup();
    for family in families {
        let rows: Vec<_> = rows.iter().filter(|row| row.case.family == family).collect();
        write_family(&mut text, family, &rows, &order);
    }
    text += "\n## Reasons\n\n";
    for (number, index) in (1..).zip(order) {
        let why = explanations::all().nth(index).map_or("", |row| row.why);
        let _ = writeln!(text, "{number}. {why}");
    }
    text
}

fn write_family(text: &mut String, family: &str, rows: &[&Row<'_>], order: &[usize]) {
    let _ = write!(text, "\n## {}{}\n\n", family[..1].to_uppercase(), &family[1..]);
    let (alike, differing): (Vec<&Row<'_>>, Vec<_>) = rows.iter().partition(|row| row.own_reasons().is_empty());
    for (what, is_taken) in [("Taken alike", true), ("Refused by all", false)] {
        let names: Vec<_> = alike.iter().filter(|row| row.outcomes[0].is_ok() == is_taken).collect();
        let names: Vec<_> = names.iter().map(|row| plain(&row.case.name)).collect();
        if !names.is_empty() {
            let _ = write!(text, "{what}: {}.\n\n", names.join("; "));
        }
    }
    if differing.is_empty() {
        return;
    }
    let readers: Vec<_> = READERS.iter().map(|(name, _)| *name).collect();
    let _ = writeln!(text, "| archive | {} | why |", readers.join(" | "));
    let _ = writeln!(text, "|---|{}---|", "---|".repeat(readers.len()));
    for row in differing {
        let outcomes: Vec<_> = (0..READERS.len()).map(|reader| row.outcome(reader)).collect();
        let reasons: BTreeSet<_> = row.own_reasons().into_iter().map(|(_, index)| index).collect();
        let mut numbers: Vec<_> =
            reasons.iter().filter_map(|index| order.iter().position(|known| known == index)).collect();
        numbers.sort_unstable();
        let numbers: Vec<_> = numbers.iter().map(|number| (number + 1).to_string()).collect();
        let _ = writeln!(text, "| {} | {} | {} |", plain(&row.case.name), outcomes.join(" | "), numbers.join(", "));
    }
}

/// What would be taken for markup is escaped.
fn plain(name: &str) -> String {
    name.chars().flat_map(|c| ['\\'].into_iter().filter(move |_| "|*_<>`\\".contains(c)).chain([c])).collect()
}
