//! What the source files themselves must keep to: size, and where `unsafe` may stand.

use std::path::Path;

use crate::{Outcome, shell};

/// The most lines that a source file may have.
const MOST_LINES: usize = 600;

/// Where `unsafe` is at home. The floor program is no part of the product: it shows what the bare calls cost. The program
/// of `conductor/hello` runs inside a container, with neither libc nor standard library below it.
const UNSAFE_HOMES: &[&str] = &["crates/sys/src/", "crates/image/hello/", "xtask/src/bin/floor/"];

/// Refuses files that have grown past what one sitting can read.
pub(crate) fn sizes() -> Outcome {
    let long = |(path, text): &(String, String)| match text.lines().count() {
        lines if lines > MOST_LINES => Some(format!("{path} has {lines} lines, more than {MOST_LINES}")),
        _ => None,
    };
    report(sources()?.iter().filter_map(long).collect())
}

/// Refuses `unsafe` outside its homes, and crates that leave the workspace's lints.
pub(crate) fn unsafe_stays_home() -> Outcome {
    let mut wrong: Vec<String> = sources()?
        .iter()
        .filter(|(path, _)| !UNSAFE_HOMES.iter().any(|home| path.starts_with(home)))
        .flat_map(|(path, text)| lines_with_unsafe(text).into_iter().map(move |line| format!("{path}:{line}: unsafe")))
        .collect();
    for (path, text) in tracked("Cargo.toml")? {
        let member = path != "Cargo.toml" && text.contains("[package]");
        if member && !text.contains("[lints]\nworkspace = true") {
            wrong.push(format!("{path} does not take the workspace's lints"));
        }
    }
    report(wrong)
}

/// Returns the numbers of lines whose code, as opposed to comments and text, says `unsafe` or lifts its lint.
fn lines_with_unsafe(text: &str) -> Vec<usize> {
    let says = |line: &str| {
        let code = line.split("//").next().unwrap_or_default();
        // What stands between quotes is text.
        let code: String = code.split('"').step_by(2).collect();
        let words = code.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        words.into_iter().any(|word| word == "unsafe" || word == "unsafe_code")
    };
    text.lines().enumerate().filter(|(_, line)| says(line)).map(|(index, _)| index + 1).collect()
}

fn sources() -> Outcome<Vec<(String, String)>> {
    tracked(".rs")
}

/// Returns path and text of every file that git knows or would add, by the end of its name.
fn tracked(end: &str) -> Outcome<Vec<(String, String)>> {
    let words = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let paths = shell::output(&mut shell::program("git", words))?;
    let read = |path: &str| match std::fs::read_to_string(shell::house().join(Path::new(path))) {
        Ok(text) => Some(Ok((path.to_owned(), text))),
        // Git still knows a file that was removed just now.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => Some(Err(format!("cannot read {path}: {error}"))),
    };
    paths.split('\0').filter(|path| path.ends_with(end)).filter_map(read).collect()
}

fn report(wrong: Vec<String>) -> Outcome {
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_is_found_in_code_and_nowhere_else() {
        let text = "// unsafe in words\nlet x = unsafe { f() };\nlet y = \"unsafe\"; // unsafe\n#![allow(unsafe_code)]\nfn unsafely() {}\n";
        assert_eq!(lines_with_unsafe(text), [2, 4]);
    }
}
