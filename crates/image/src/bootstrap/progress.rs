//! What debootstrap says while it works, put into phases. Pure.

use std::fmt;

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Lists and packages are fetched.
    Retrieving,
    /// Signatures and digests are checked.
    Validating,
    /// The first packages are taken apart.
    Extracting,
    /// Packages are put into place.
    Unpacking,
    /// Packages set themselves up.
    Configuring,
    /// The tree is written into the store.
    Packing,
}

/// A piece of news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// A phase begins; phases may alternate.
    Phase(Phase),
    /// What is said, without its mark: "Retrieving apt 2.6.1".
    Line(&'a str),
    /// A warning.
    Warning(&'a str),
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Retrieving => "retrieving",
            Self::Validating => "validating",
            Self::Extracting => "extracting",
            Self::Unpacking => "unpacking",
            Self::Configuring => "configuring",
            Self::Packing => "packing",
        })
    }
}

/// Follows what is said, and keeps the end of it for the case of failure.
#[derive(Debug, Default)]
pub(super) struct Listener {
    phase: Option<Phase>,
    errors: Vec<String>,
    last: String,
}

impl Listener {
    /// Takes a line.
    pub(super) fn hear(&mut self, line: &str, progress: &mut dyn FnMut(Progress<'_>)) {
        let line = line.trim_end();
        match (line.get(..3), line.get(3..).unwrap_or_default()) {
            (Some("I: "), said) => {
                if let Some(phase) = phase_of(said).filter(|phase| self.phase != Some(*phase)) {
                    self.phase = Some(phase);
                    progress(Progress::Phase(phase));
                }
                progress(Progress::Line(said));
            }
            (Some("W: "), said) => {
                self.last = said.to_owned();
                progress(Progress::Warning(said));
            }
            (Some("E: "), said) => self.errors.push(said.to_owned()),
            _ if line.is_empty() => {}
            _ => self.last = line.to_owned(),
        }
    }

    /// Returns what went wrong, in debootstrap's words.
    pub(super) fn complaint(&self) -> String {
        match (self.errors.is_empty(), self.last.is_empty()) {
            (false, true) => self.errors.join("; "),
            (false, false) => format!("{} ({})", self.errors.join("; "), self.last),
            (true, false) => self.last.clone(),
            (true, true) => "it gave no reason".into(),
        }
    }
}

fn phase_of(said: &str) -> Option<Phase> {
    Some(match said.split_whitespace().next()? {
        "Retrieving" => Phase::Retrieving,
        // Each package is validated when it has come; that is part of retrieving, and the news would change twice for each.
        "Checking" | "Valid" | "Resolving" => Phase::Validating,
        "Extracting" | "Chosen" => Phase::Extracting,
        "Unpacking" | "Installing" => Phase::Unpacking,
        "Configuring" => Phase::Configuring,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_told_when_it_begins() {
        let (mut listener, mut news) = (Listener::default(), Vec::new());
        for line in ["I: Retrieving apt 2.6.1", "I: Validating apt 2.6.1", "I: Resolving all", "W: odd", ""] {
            listener.hear(line, &mut |progress| news.push(format!("{progress:?}")));
        }
        assert_eq!(
            news,
            [
                "Phase(Retrieving)",
                "Line(\"Retrieving apt 2.6.1\")",
                "Line(\"Validating apt 2.6.1\")",
                "Phase(Validating)",
                "Line(\"Resolving all\")",
                "Warning(\"odd\")",
            ]
        );
    }

    #[test]
    fn a_failure_is_told_in_debootstraps_words() {
        let mut listener = Listener::default();
        assert_eq!(listener.complaint(), "it gave no reason");
        listener.hear("E: No such script: /usr/share/debootstrap/scripts/nope", &mut |_| {});
        assert_eq!(listener.complaint(), "No such script: /usr/share/debootstrap/scripts/nope");
    }
}
