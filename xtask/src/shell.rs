//! Running other programs: aloud, quietly, or listened to.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Outcome;

/// How much of a command line is shown.
const MOST_TOLD: usize = 160;

/// Returns the root of the checkout.
pub(crate) fn house() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Makes a command of cargo's, in the root of the checkout.
pub(crate) fn cargo<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(words).current_dir(house());
    command
}

/// Makes a command from plain words, in the root of the checkout.
pub(crate) fn program<S: AsRef<OsStr>>(name: &str, words: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(name);
    command.args(words).current_dir(house());
    command
}

/// Tells whether a program of this name is on the path.
pub(crate) fn has(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps the administrator's programs where a plain user's path does not lead.
    std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).any(|dir| dir.join(name).is_file())
}

/// Prints the command, runs it and asks for success.
pub(crate) fn aloud(command: &mut Command) -> Outcome {
    println!("$ {}", told(command));
    let status = command.status().map_err(|error| format!("cannot start {}: {error}", told(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", told(command))) }
}

/// Runs the command and returns what it printed on stdout.
pub(crate) fn output(command: &mut Command) -> Outcome<String> {
    let out = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot start {}: {error}", told(command)))?;
    if !out.status.success() {
        return Err(format!("{} ended with {}", told(command), out.status));
    }
    String::from_utf8(out.stdout).map_err(|_| format!("{} printed what is no text", told(command)))
}

/// Prints the command, runs it, and shows every line it prints to `listen` as well as to the terminal.
pub(crate) fn listened(command: &mut Command, mut listen: impl FnMut(&str)) -> Outcome {
    println!("$ {}", told(command));
    let told = told(command);
    let (reader, writer) = std::io::pipe().map_err(|error| format!("cannot make a pipe: {error}"))?;
    let twin = writer.try_clone().map_err(|error| format!("cannot copy a descriptor: {error}"))?;
    if std::io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let child = command.stdin(Stdio::null()).stdout(writer).stderr(twin).spawn();
    // The command still holds our copies of the pipe's end; the reader sees the end only after they are closed.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child.map_err(|error| format!("cannot start {told}: {error}"))?;
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.map_err(|error| format!("cannot read from {told}: {error}"))?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        let _ = std::io::stdout().flush();
        listen(&uncoloured(&line));
    }
    let status = child.wait().map_err(|error| format!("cannot wait for {told}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{told} ended with {status}")) }
}

/// Builds one program, a `bin` or an `example`, and returns where it is.
pub(crate) fn built(package: &str, kind: &str, name: &str, profile: &str) -> Outcome<PathBuf> {
    built_beside(&[], package, kind, name, profile)
}

/// Builds one program with other targets of its package beside it, and returns where it is. What is built together has the same
/// features, so that nothing that was built so is built again without.
pub(crate) fn built_beside(more: &[&str], package: &str, kind: &str, name: &str, profile: &str) -> Outcome<PathBuf> {
    let option = format!("--{kind}");
    let words = ["build", "--locked", "--package", package, &option, name, "--profile", profile];
    let mut command = cargo(words);
    command.args(more);
    println!("$ {}", told(&command));
    command.arg("--message-format=json-render-diagnostics");
    let messages = output(&mut command)?;
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    artifacts
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| format!("cargo built no program {name}"))
}

/// Returns the directory that cargo builds into.
pub(crate) fn target_directory() -> Outcome<PathBuf> {
    let metadata = output(&mut cargo(["metadata", "--no-deps", "--format-version", "1", "--locked"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata).map_err(|error| error.to_string())?;
    metadata["target_directory"].as_str().map(PathBuf::from).ok_or("cargo metadata names no target directory".into())
}

/// Asks for root, in one sentence.
pub(crate) fn need_root(what: &str) -> Outcome {
    // The owner of our own entry in /proc is our effective user.
    let uid = std::fs::metadata("/proc/self").map(|entry| entry.uid()).unwrap_or(u32::MAX);
    if uid == 0 { Ok(()) } else { Err(format!("{what} needs root: run it with sudo")) }
}

fn told(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let name = |word: &OsStr| word.to_string_lossy().rsplit_once("/bin/").map(|(_, name)| name.to_owned());
    let told = words.map(|word| name(word).unwrap_or_else(|| word.to_string_lossy().into_owned()));
    let told = told.collect::<Vec<_>>().join(" ");
    match told.char_indices().nth(MOST_TOLD) {
        Some((end, _)) => format!("{} ...", &told[..end]),
        None => told,
    }
}

fn uncoloured(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match c {
            // An escape sequence ends with its first letter.
            '\u{1b}' => drop(rest.by_ref().find(char::is_ascii_alphabetic)),
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_taken_out_of_a_line() {
        assert_eq!(uncoloured("\u{1b}[32;1m     Summary\u{1b}[0m [ 1s]"), "     Summary [ 1s]");
    }
}
