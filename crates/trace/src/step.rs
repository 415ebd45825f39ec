//! One change to the host, in words and as a shell command.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

/// Where a step is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// On the host, in its own namespaces.
    Host,
    /// By the container's first process, inside its new namespaces.
    Inside,
}

/// One change to the host: what is done, and the shell command that does the same.
///
/// The command is for reading and for `explain --script`: it is plain bash with the tools of a Debian base system, and it
/// is empty where no tool can do the step (then the words say so).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What is done, in the imperative: "mount a fresh proc on /proc".
    pub what: String,
    /// The equivalent shell command; empty when there is none.
    pub shell: String,
    /// Where it is done.
    pub place: Place,
}

impl Step {
    /// Makes a step that is carried out on the host.
    pub fn host(what: impl Into<String>, shell: impl Into<String>) -> Self {
        Self { what: what.into(), shell: shell.into(), place: Place::Host }
    }

    /// Makes a step that is carried out inside the container's namespaces.
    pub fn inside(what: impl Into<String>, shell: impl Into<String>) -> Self {
        Self { what: what.into(), shell: shell.into(), place: Place::Inside }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.place {
            Place::Host => '+',
            Place::Inside => '|',
        };
        write!(f, "{mark} {}", self.what)?;
        for line in self.shell.lines() {
            write!(f, "\n      {line}")?;
        }
        Ok(())
    }
}

/// A step of a plan that can tell what it does.
pub trait Explain {
    /// Tells the step in words.
    fn explain(&self) -> Step;
}

impl Explain for Step {
    fn explain(&self) -> Step {
        self.clone()
    }
}

/// Quotes a word for bash, leaving plain words as they are.
pub fn quote(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@,+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_prints_its_words_above_its_command() {
        let step = Step::inside("mount a fresh proc on /proc", "mount -t proc proc /proc");
        assert_eq!(step.to_string(), "| mount a fresh proc on /proc\n      mount -t proc proc /proc");
    }

    #[test]
    fn words_are_quoted_only_where_bash_needs_it() {
        assert_eq!(quote("/var/lib"), "/var/lib");
        assert_eq!(quote("two words"), "'two words'");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote(""), "''");
    }
}
