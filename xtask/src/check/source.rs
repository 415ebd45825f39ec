//! What the source files themselves must keep to: size, and where `unsafe` may stand.

use std::path::Path;
use std::process::Stdio;

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

/// Returns path and text of every file of the tree, by the end of its name.
fn tracked(end: &str) -> Outcome<Vec<(String, String)>> {
    let read = |path: String| match std::fs::read_to_string(shell::house().join(&path)) {
        Ok(text) => Some(Ok((path, text))),
        // Git still knows a file that was removed just now.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => Some(Err(format!("cannot read {path}: {error}"))),
    };
    paths()?.into_iter().filter(|path| path.ends_with(end)).filter_map(read).collect()
}

/// Returns the path of every file that git knows or would add. A machine may have no git, and a tree may have come as an
/// archive; then it is every file but what is built.
pub(crate) fn paths() -> Outcome<Vec<String>> {
    let words = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let listed = shell::program("git", words).stderr(Stdio::null()).output();
    if let Some(out) = listed.ok().filter(|out| out.status.success()) {
        let text = String::from_utf8(out.stdout).map_err(|_| "git lists a path that is no text")?;
        return Ok(text.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect());
    }
    let mut found = Vec::new();
    walk(&shell::house(), Path::new(""), &mut found).map_err(|error| format!("cannot list the tree: {error}"))?;
    Ok(found)
}

fn walk(house: &Path, below: &Path, found: &mut Vec<String>) -> std::io::Result<()> {
    const LEFT_OUT: [&str; 2] = [".git", "target"];
    for entry in std::fs::read_dir(house.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_file() {
            found.push(path.to_string_lossy().into_owned());
        } else if entry.file_type()?.is_dir() && !LEFT_OUT.iter().any(|name| entry.file_name() == *name) {
            walk(house, &path, found)?;
        }
    }
    Ok(())
}

fn report(wrong: Vec<String>) -> Outcome {
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_without_git_is_listed_but_for_what_is_built() {
        let mut found = Vec::new();
        walk(&shell::house(), Path::new(""), &mut found).unwrap();
        assert!(found.iter().any(|path| path == "xtask/src/check/source.rs"));
        assert!(found.iter().any(|path| path == ".cargo/config.toml"));
        assert!(found.iter().all(|path| !path.starts_with("target/") && !path.starts_with(".git/")), "{found:?}");
    }

    #[test]
    fn unsafe_is_found_in_code_and_nowhere_else() {
        let text = "// unsafe in words\nlet x = unsafe { f() };\nlet y = \"unsafe\"; // unsafe\n#![allow(unsafe_code)]\nfn unsafely() {}\n";
        assert_eq!(lines_with_unsafe(text), [2, 4]);
    }
}
