//! Docker's grammar: global options, a word that names a command, and the command's own words.
//!
//! Commands stand in a static table ([`crate::commands::TABLE`]); only the chosen one's grammar is built, because building
//! all of them would cost more than starting the container. [`main`] is the story: options, command, grammar, run.

pub(crate) mod globals;
pub(crate) mod help;
mod suggest;
pub(crate) mod usage;

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use crate::commands::{self, Entry, Noun};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::personality::Face;
use crate::ui;
use globals::Leading;

/// Runs one command line (without the program's name), and reports its failure.
#[inline(never)]
pub(crate) fn main(face: Face, words: &[OsString]) -> ExitCode {
    report(run(face, words))
}

/// Prints a failure, and returns the exit code.
pub(crate) fn report(outcome: Outcome) -> ExitCode {
    outcome.unwrap_or_else(|failure| {
        if let Some(lines) = failure.lines() {
            ui::remark(&lines);
        }
        failure.exit_code()
    })
}

fn run(face: Face, words: &[OsString]) -> Outcome {
    let Leading { globals, version, help, words } = globals::split(face, words)?;
    if version {
        return ui::print_line(&commands::version::one_line(face)).map(|()| ExitCode::SUCCESS);
    }
    if help || words.is_empty() {
        return ui::print(&help::overview(face)).map(|()| ExitCode::SUCCESS);
    }
    if words[0] == "help" {
        return help_on(face, &words[1..]);
    }
    let found = find(face, &words)?;
    match found {
        Found::Command { entry, path, rest } => (entry.run)(Context::new(face, globals), &path, rest),
        Found::Noun(noun) => ui::print(&help::of_noun(face, noun)).map(|()| ExitCode::SUCCESS),
    }
}

/// What the first words name.
#[derive(Debug)]
enum Found<'w> {
    /// A command, the words it was called by, and its own words.
    Command { entry: &'static Entry, path: String, rest: &'w [OsString] },
    /// A group of commands (`conductor image`) without one of them.
    Noun(&'static Noun),
}

fn find(face: Face, words: &[OsString]) -> Result<Found<'_>, Failure> {
    let first = words[0].to_string_lossy();
    if let Some(entry) = commands::named(face, &first) {
        return Ok(Found::Command { entry, path: format!("{} {}", face.program(), entry.name), rest: &words[1..] });
    }
    let Some(noun) = commands::noun(face, &first) else {
        return Err(unknown(face.program(), &first, commands::names(face)));
    };
    match words.get(1).map(|word| word.as_os_str()) {
        None => Ok(Found::Noun(noun)),
        Some(word) if asks_for_help(word) => Ok(Found::Noun(noun)),
        Some(word) => {
            let path = format!("{} {}", face.program(), noun.name);
            let word = word.to_string_lossy();
            let Some(entry) = noun.entries.iter().find(|entry| entry.answers_to(&word)) else {
                return Err(unknown(&path, &word, noun.entries.iter().map(|entry| entry.name).collect()));
            };
            Ok(Found::Command { entry, path: format!("{path} {}", entry.name), rest: &words[2..] })
        }
    }
}

fn asks_for_help(word: &OsStr) -> bool {
    word == "--help" || word == "-h" || word == "help"
}

fn unknown(program: &str, word: &str, known: Vec<&'static str>) -> Failure {
    let failure = match word.starts_with('-') {
        true => Failure::message(format!("unknown flag: {word}")),
        false => Failure::message(format!("{word:?} is not a {program} command")),
    };
    match suggest::closest(word, known) {
        Some(close) => failure.hint(format!("did you mean '{program} {close}'?")),
        None => failure.hint(format!("'{program} --help' lists the commands")),
    }
}

fn help_on(face: Face, words: &[OsString]) -> Outcome {
    if words.is_empty() {
        return ui::print(&help::overview(face)).map(|()| ExitCode::SUCCESS);
    }
    let text = match find(face, words)? {
        Found::Command { entry, path, .. } => (entry.command)(&path).render_help().to_string(),
        Found::Noun(noun) => help::of_noun(face, noun),
    };
    ui::print(&text).map(|()| ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(face: Face, line: &str) -> Result<String, String> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        match find(face, &words) {
            Ok(Found::Command { path, rest, .. }) => Ok(format!("{path} {rest:?}")),
            Ok(Found::Noun(noun)) => Ok(format!("noun {}", noun.name)),
            Err(failure) => Err(failure.lines().unwrap()),
        }
    }

    #[test]
    fn words_lead_to_commands() {
        let ours = Face::Conductor;
        for (line, meant) in [
            ("run -it x", r#"conductor run ["-it", "x"]"#),
            ("container ls -q", r#"conductor container ls ["-q"]"#),
            ("container list", "conductor container ls []"),
            ("image rm x", r#"conductor image rm ["x"]"#),
            ("images", "conductor images []"),
            ("container run x", r#"conductor container run ["x"]"#),
            ("container", "noun container"),
            ("container --help", "noun container"),
        ] {
            assert_eq!(found(ours, line).as_deref(), Ok(meant), "{line}");
        }
    }

    #[test]
    fn a_misspelled_command_gets_a_suggestion() {
        assert_eq!(
            found(Face::Conductor, "rnu").unwrap_err(),
            "error: \"rnu\" is not a conductor command\n  hint: did you mean 'conductor run'?"
        );
        assert_eq!(
            found(Face::Docker("docker"), "container lss").unwrap_err(),
            "error: \"lss\" is not a docker container command\n  hint: did you mean 'docker container ls'?"
        );
        assert_eq!(
            found(Face::Conductor, "frobnicate").unwrap_err(),
            "error: \"frobnicate\" is not a conductor command\n  hint: 'conductor --help' lists the commands"
        );
    }

    #[test]
    fn our_own_verbs_are_not_dockers() {
        assert!(found(Face::Conductor, "explain run x").is_ok());
        assert!(found(Face::Docker("docker"), "explain run x").is_err());
    }
}
