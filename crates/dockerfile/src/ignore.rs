//! `.dockerignore`: what of a context is left out.

use crate::{Fault, Patterns};

/// An ignore file that was read.
///
/// ```
/// let ignore = dockerfile::Ignore::parse(b"target\n*.log\n!keep.log\n").unwrap();
/// assert!(ignore.is_excluded("target/debug/a") && ignore.is_excluded("a.log"));
/// assert!(!ignore.is_excluded("keep.log") && !ignore.may_include_below("target"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Ignore(Patterns);

impl Ignore {
    /// Reads an ignore file: a pattern on each line, comments, empty lines.
    pub fn parse(text: &[u8]) -> Result<Self, Fault> {
        let text = String::from_utf8_lossy(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text));
        let mut patterns = Patterns::default();
        for (number, line) in (1..).zip(text.lines()) {
            // Only at the very front: with a space before it, it is the name of a file.
            if line.starts_with('#') {
                continue;
            }
            let length = line.trim().chars().count();
            let fault = |message| Fault {
                line: number,
                column: u32::try_from(line.chars().take_while(|c| c.is_whitespace()).count() + 1).unwrap_or(u32::MAX),
                length: u32::try_from(length).unwrap_or(u32::MAX),
                message,
                hint: None,
            };
            patterns.add(line).map_err(fault)?;
        }
        Ok(Self(patterns))
    }

    /// Tells whether a path is left out. It is relative to the context, with slashes and no leading `./`.
    pub fn is_excluded(&self, path: &str) -> bool {
        self.0.matches(path)
    }

    /// Tells whether a path below a directory may be wanted; if not, the directory can be passed over whole.
    pub fn may_include_below(&self, directory: &str) -> bool {
        self.0.may_spare_below(directory)
    }

    /// Tells whether nothing is left out.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn excluded(patterns: &str, path: &str) -> bool {
        Ignore::parse(patterns.as_bytes()).unwrap().is_excluded(path)
    }

    #[test]
    fn a_pattern_leaves_out_what_it_names_and_all_below() {
        for (patterns, path, expected) in [
            ("a", "a", true),
            ("a", "a/b/c", true),
            ("a", "ab", false),
            ("a", "b/a", false),
            ("/a/", "a/b", true),
            ("./a/../b//", "b", true),
            ("*", "a/b", true),
            ("*.md", "a.md", true),
            ("*.md", "a/b.md", false),
            ("*/temp*", "a/temporary/b", true),
            ("*/*/temp*", "a/temp", false),
            ("temp?", "tempa", true),
            ("temp?", "temp", false),
            ("**/*.go", "a.go", true),
            ("**/*.go", "a/b/c.go", true),
            ("**/foo", "foo/x", true),
            ("**/foo", "xfoo", false),
            ("**foo", "xfoo", true),
            ("**foo", "a/xfoo", true),
            ("**foo*", "xfoo", false),
            ("**", "a/b", true),
            ("a/**", "a", false),
            ("a/**", "a/b/c", true),
            ("a**", "abc/d", true),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a**b", "ab", true),
            ("a**b", "axb", false),
            ("a**b", "ax/b", true),
            ("[a-b].[^c]", "a.d", true),
            ("[a-b].[^c]", "a.c", false),
            ("a[^b]c", "a/c", true),
            ("\\!a", "!a", true),
            ("\\#a", "#a", true),
            (" #a", "#a", true),
            ("#a", "#a", false),
            ("  a  ", "a", true),
            ("! a", "a", false),
            ("a+(b)", "a+(b)", true),
            ("..", "a", false),
            (".", "a", false),
            ("/", "a", false),
            ("café/*", "café/ü", true),
        ] {
            assert_eq!(excluded(patterns, path), expected, "{patterns:?} {path:?}");
        }
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        for (patterns, path, expected) in [
            ("*.md\n!README.md", "README.md", false),
            ("!README.md\n*.md", "README.md", true),
            ("*.md\n!README*.md\nREADME-secret.md", "README-secret.md", true),
            ("*\n!src\nsrc/gen", "src/a", false),
            ("*\n!src\nsrc/gen", "src/gen/a", true),
            ("a\n!a/b", "a/b/c", false),
            ("a\n!a/b", "a/c", true),
            ("\u{feff}a\r\n!b\r\n", "a", true),
        ] {
            assert_eq!(excluded(patterns, path), expected, "{patterns:?} {path:?}");
        }
    }

    #[test]
    fn a_directory_is_passed_over_only_when_nothing_below_can_come_back() {
        for (patterns, directory, expected) in [
            ("a", "a", false),
            ("a", "a/b", false),
            ("a", "b", true),
            ("a\n!a/b/c", "a", true),
            ("a\n!a/b/c", "a/b", true),
            ("a\n!a/b/c", "a/x", false),
            ("a\n!a/b", "a/b/c", true),
            ("*\n!src", "lib", false),
            ("*\n!src", "src", true),
            ("a\n!**/*.md", "a", true),
            ("!a/b\na", "a", false),
            ("a\n!ab", "a", false),
            ("", "a", true),
        ] {
            let ignore = Ignore::parse(patterns.as_bytes()).unwrap();
            assert_eq!(ignore.may_include_below(directory), expected, "{patterns:?} {directory:?}");
        }
    }

    #[test]
    fn broken_lines_are_told_by_their_place() {
        let fault = Ignore::parse(b"a\n# [\n  [b\n").unwrap_err();
        assert_eq!((fault.line, fault.column, fault.length), (3, 3, 2));
        assert_eq!(Ignore::parse(b"!").unwrap_err().line, 1);
        assert!(Ignore::parse(b"\n\n# nothing\n").unwrap().is_empty());
    }

    #[test]
    fn hostile_patterns_end() {
        let path = "a".repeat(4000);
        for pattern in ["*a".repeat(2000) + "b", "**/".repeat(2000) + "b", "[^/]*?".repeat(700) + "b"] {
            assert!(!excluded(&pattern, &path));
        }
    }

    /// The rules as a regular expression would have them, tried one after the other.
    fn slow(pattern: &str, path: &str) -> bool {
        fn rest(pattern: &[u8], path: &[u8], is_first: bool) -> bool {
            let Some((c, after)) = pattern.split_first() else { return path.is_empty() };
            if pattern.starts_with(b"**") {
                let after = &pattern[2..];
                let slash = after.strip_prefix(b"/");
                let after_slash = slash.unwrap_or(after);
                let is_plain = !after.iter().any(|c| b"*?".contains(c));
                if after_slash.is_empty() || is_first && slash.is_none() && is_plain {
                    return (0..=path.len()).any(|at| rest(after_slash, &path[at..], false));
                }
                let starts = (0..=path.len()).filter(|at| *at == 0 || path[at - 1] == b'/');
                return starts.into_iter().any(|at| rest(after_slash, &path[at..], false));
            }
            match (c, path.split_first()) {
                (b'*', _) => {
                    let end = path.iter().position(|c| *c == b'/').unwrap_or(path.len());
                    (0..=end).any(|at| rest(after, &path[at..], false))
                }
                (b'?', Some((c, path))) => *c != b'/' && rest(after, path, false),
                (c, Some((d, path))) => c == d && rest(after, path, false),
                (_, None) => false,
            }
        }
        let parts: Vec<&str> = path.split('/').collect();
        (1..=parts.len()).any(|count| rest(pattern.as_bytes(), parts[..count].join("/").as_bytes(), true))
    }

    proptest! {
        #[test]
        fn lists_agree_with_a_slow_reading(
            patterns in proptest::collection::vec(("!?", "[ab?*]{1,3}(/[ab?*]{1,3}){0,2}"), 0..5),
            path in "[ab]{1,3}(/[ab]{1,3}){0,3}",
        ) {
            let text: Vec<String> = patterns.iter().map(|(sign, pattern)| format!("{sign}{pattern}")).collect();
            let ignore = Ignore::parse(text.join("\n").as_bytes()).unwrap();
            let mut expected = false;
            for (sign, pattern) in &patterns {
                if slow(pattern, &path) {
                    expected = sign.is_empty();
                }
            }
            prop_assert_eq!(ignore.is_excluded(&path), expected);
            let mut above = path.as_str();
            while let Some((directory, _)) = above.rsplit_once('/') {
                prop_assert!(expected || ignore.may_include_below(directory), "{}", directory);
                above = directory;
            }
        }

        #[test]
        fn nothing_panics(text in ".*", path in ".*") {
            if let Ok(ignore) = Ignore::parse(text.as_bytes()) {
                ignore.is_excluded(&path);
                ignore.may_include_below(&path);
            }
        }
    }
}
