//! Lists of patterns of which the last that matches decides: ignore files, and what `--exclude` says.

use crate::Fault;
use crate::matcher::{Dialect, Letters, Matcher};

/// Patterns over paths, compiled. One that begins with `!` takes back what those above it match.
#[derive(Debug, Clone, Default)]
pub struct Patterns(Vec<Entry>);

#[derive(Debug, Clone)]
struct Entry {
    matcher: Matcher,
    takes_back: bool,
}

impl Patterns {
    /// Compiles patterns. Empty ones are passed over, as are spaces around them and slashes in front.
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, Fault> {
        let mut compiled = Self::default();
        patterns.iter().try_for_each(|pattern| compiled.add(pattern.as_ref()).map_err(Fault::plain))?;
        Ok(compiled)
    }

    pub(crate) fn add(&mut self, pattern: &str) -> Result<(), String> {
        let pattern = pattern.trim();
        let (takes_back, pattern) = match pattern.strip_prefix('!') {
            Some(rest) => (true, rest.trim()),
            None => (false, pattern),
        };
        if pattern.is_empty() {
            return if takes_back { Err("! has no pattern".into()) } else { Ok(()) };
        }
        let clean = clean(pattern);
        let relative = clean.strip_prefix('/').filter(|rest| !rest.is_empty()).unwrap_or(&clean);
        self.0.push(Entry { matcher: Matcher::compile(relative, Dialect::Ignore)?, takes_back });
        Ok(())
    }

    /// Tells whether a path, or a directory it lies in, is matched and not taken back.
    pub fn matches(&self, path: &str) -> bool {
        let letters = Letters::of(path);
        let decides = self.0.iter().rev().find(|entry| entry.matcher.matches_or_above(path, letters));
        decides.is_some_and(|entry| !entry.takes_back)
    }

    /// Tells whether something below a directory may be unmatched; if not, it can be passed over whole.
    pub fn may_spare_below(&self, directory: &str) -> bool {
        let letters = Letters::of(directory);
        for entry in self.0.iter().rev() {
            if entry.takes_back && entry.matcher.may_match_below(directory) {
                return true;
            }
            if !entry.takes_back && entry.matcher.matches_or_above(directory, letters) {
                return false;
            }
        }
        true
    }

    /// Tells whether there is no pattern.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Takes `.`, `..` and double slashes out of a path, by its words alone, as Go's `path.Clean` does.
pub(crate) fn clean(path: &str) -> String {
    let is_absolute = path.starts_with('/');
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." if names.last().is_some_and(|last| *last != "..") => drop(names.pop()),
            ".." if is_absolute => {}
            name => names.push(name),
        }
    }
    match (is_absolute, names.is_empty()) {
        (true, _) => format!("/{}", names.join("/")),
        (false, true) => ".".into(),
        (false, false) => names.join("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_by_their_words() {
        for (path, expected) in [
            ("a//b/./c/", "a/b/c"),
            ("a/../b", "b"),
            ("../a", "../a"),
            ("../../a", "../../a"),
            ("/../a", "/a"),
            ("/", "/"),
            ("", "."),
            ("a/..", "."),
            ("**/", "**"),
        ] {
            assert_eq!(clean(path), expected, "{path}");
        }
    }

    #[test]
    fn exclusions_of_copy_are_relative_whatever_they_begin_with() {
        let patterns = Patterns::new(&["*.md", "!README.md", "", " /docs "]).unwrap();
        assert!(patterns.matches("a.md") && patterns.matches("docs/x") && !patterns.matches("README.md"));
        assert!(!patterns.matches("sub/a.md") && !patterns.is_empty());
        assert!(Patterns::new(&["!"]).is_err() && Patterns::new(&["["]).is_err());
    }
}
