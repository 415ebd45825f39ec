//! What an experiment found, and the table of it.

/// The kinds of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Something is left that belongs to nothing.
    Leak,
    /// The program said what is not true.
    Lie,
    /// A command did not end in time.
    Stuck,
    /// A record is gone that nobody removed.
    Lost,
}

/// What one experiment found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Rounds that ran.
    pub(crate) rounds: usize,
    /// Rounds in which the kill met a living process.
    pub(crate) struck: usize,
    found: Vec<(Kind, String)>,
}

impl Findings {
    /// Adds a finding, with what replays it.
    pub(crate) fn add(&mut self, kind: Kind, seed: u64, round: usize, sentence: &str) {
        let sentence = format!("seed {seed}, round {round}: {sentence}");
        // Said at once as well: a long run is watched.
        eprintln!("{kind:?}: {sentence}");
        self.found.push((kind, sentence));
    }

    /// Tells whether nothing was found.
    pub(crate) fn is_clean(&self) -> bool {
        self.found.is_empty()
    }

    fn count(&self, kind: Kind) -> usize {
        self.found.iter().filter(|(found, _)| *found == kind).count()
    }
}

/// Writes every finding, and one table of all experiments.
pub(crate) fn table(all: &[(&str, Findings)]) -> String {
    let mut text = String::new();
    if all.is_empty() {
        return text;
    }
    for (name, findings) in all {
        for (kind, sentence) in &findings.found {
            text += &format!("{name}: {kind:?}: {sentence}\n");
        }
    }
    text += &format!(
        "{:<12} {:>7} {:>7} {:>6} {:>6} {:>6} {:>6}\n",
        "experiment", "rounds", "struck", "leaks", "lies", "stuck", "lost"
    );
    for (name, findings) in all {
        let [leaks, lies, stuck, lost] =
            [Kind::Leak, Kind::Lie, Kind::Stuck, Kind::Lost].map(|kind| findings.count(kind));
        text += &format!(
            "{name:<12} {:>7} {:>7} {leaks:>6} {lies:>6} {stuck:>6} {lost:>6}\n",
            findings.rounds, findings.struck
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_counts_by_kind_and_says_what_replays() {
        let mut findings = Findings { rounds: 2, ..Findings::default() };
        assert!(findings.is_clean());
        findings.add(Kind::Stuck, 5, 1, "ps did not end");
        assert!(!findings.is_clean());
        let text = table(&[("kills", findings)]);
        assert!(text.contains("kills: Stuck: seed 5, round 1: ps did not end\n"), "{text}");
        assert!(text.ends_with("kills              2       0      0      0      1      0\n"), "{text}");
    }
}
