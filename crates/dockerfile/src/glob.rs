//! Patterns in the sources of `COPY` and `ADD`.

use crate::Fault;
use crate::matcher::{Dialect, Letters, Matcher};

/// A pattern over paths with slashes.
#[derive(Debug, Clone)]
pub struct Glob(Matcher);

/// Reads a pattern as a source is one: `*`, `?` and `[...]` stay within a name, except for what a class says itself.
pub fn glob(pattern: &str) -> Result<Glob, Fault> {
    Matcher::compile(pattern, Dialect::Go).map(Glob).map_err(Fault::plain)
}

/// Reads a pattern as `COPY --parents` takes it: `**` stands for any number of directories.
pub fn glob_parents(pattern: &str) -> Result<Glob, Fault> {
    Matcher::compile(pattern, Dialect::Ignore).map(Glob).map_err(Fault::plain)
}

impl Glob {
    /// Tells whether a path is named by the pattern.
    pub fn matches(&self, path: &str) -> bool {
        self.0.matches(path)
    }

    /// Tells whether a path or a directory above it is named by the pattern.
    pub fn matches_or_above(&self, path: &str) -> bool {
        self.0.matches_or_above(path, Letters::of(path))
    }

    /// Tells whether something below a directory may be named; if not, it need not be looked at.
    pub fn may_match_below(&self, directory: &str) -> bool {
        self.0.may_match_below(directory)
    }

    /// Tells whether a text has no character that means more than itself.
    pub fn is_plain(pattern: &str) -> bool {
        !pattern.contains(['*', '?', '[', '\\'])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stay_within_a_name() {
        for (pattern, path, expected) in [
            ("*.txt", "a.txt", true),
            ("*.txt", "d/a.txt", false),
            ("d/*", "d/a", true),
            ("d/*", "d/a/b", false),
            ("**/a", "x/a", true),
            ("**/a", "x/y/a", false),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("[[]0", "[0", true),
            ("[\\]]", "]", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("é?", "éü", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(glob(pattern).unwrap().matches(path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn broken_patterns_are_refused() {
        for pattern in ["[", "[]", "[]a]", "[a", "[a-]", "[-a]", "[z-a]", "a\\", "[\\"] {
            assert!(glob(pattern).is_err(), "{pattern}");
            assert!(glob_parents(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn with_parents_a_doubled_star_crosses_directories() {
        let pattern = glob_parents("src/**/*.c").unwrap();
        assert!(pattern.matches("src/a.c") && pattern.matches("src/x/y/a.c"));
        assert!(!pattern.matches("src/a.h") && !pattern.matches("lib/a.c"));
        assert!(pattern.may_match_below("src/x") && !pattern.may_match_below("lib"));
    }

    #[test]
    fn what_means_more_than_itself_is_known() {
        assert!(Glob::is_plain("a/b.c") && !Glob::is_plain("a*") && !Glob::is_plain("\\a"));
    }
}
