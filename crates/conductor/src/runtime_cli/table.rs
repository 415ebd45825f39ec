//! The commands of the runtime's face.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Command, FromArgMatches};
use runtime::Runtime;
use trace::Recorder;

use super::globals::Globals;
use super::{describe, exec, lifecycle, list, make, stats, update};
use crate::cli::usage;
use crate::error::{Failure, Outcome};

/// A command of the runtime.
pub(super) trait Operation: Args + FromArgMatches {
    /// The word that calls it.
    const NAME: &'static str;
    /// What it does, in one line.
    const ABOUT: &'static str;
    /// Its words behind its name.
    const USAGE: &'static str;

    /// Does it.
    fn run(self, call: &Call<'_>) -> Outcome;
}

/// What an operation is given.
#[derive(Debug)]
pub(super) struct Call<'c> {
    /// The name that we were called by.
    pub(super) program: &'static str,
    /// What stood before the command.
    pub(super) globals: &'c Globals,
}

/// Where containers are kept unless `--root` says otherwise.
const ROOT: &str = "/run/conductor/runtime";

impl Call<'_> {
    /// Opens the runtime over the directory of `--root`.
    pub(super) fn runtime(&self) -> Result<Runtime, Failure> {
        let root = self.globals.root.clone().unwrap_or_else(|| PathBuf::from(ROOT));
        Ok(Runtime::open(std::path::absolute(root)?)?)
    }

    /// Returns a recorder; the callers of a runtime read no explanations.
    pub(super) fn recorder(&self) -> Recorder {
        Recorder::silent()
    }
}

/// A command in the table.
#[derive(Debug)]
pub(super) struct Entry {
    name: &'static str,
    about: &'static str,
    command: fn(&str) -> Command,
    pub(super) run: fn(&Call<'_>, &[OsString]) -> Outcome,
}

impl Entry {
    const fn of<O: Operation>() -> Self {
        Self { name: O::NAME, about: O::ABOUT, command: command::<O>, run: run::<O> }
    }
}

static TABLE: &[Entry] = &[
    Entry::of::<make::CreateArgs>(),
    Entry::of::<lifecycle::StartArgs>(),
    Entry::of::<make::RunArgs>(),
    Entry::of::<exec::ExecArgs>(),
    Entry::of::<lifecycle::StateArgs>(),
    Entry::of::<lifecycle::KillArgs>(),
    Entry::of::<lifecycle::DeleteArgs>(),
    Entry::of::<list::ListArgs>(),
    Entry::of::<list::PsArgs>(),
    Entry::of::<lifecycle::PauseArgs>(),
    Entry::of::<lifecycle::ResumeArgs>(),
    Entry::of::<update::UpdateArgs>(),
    Entry::of::<stats::EventsArgs>(),
    Entry::of::<describe::SpecArgs>(),
    Entry::of::<describe::FeaturesArgs>(),
];

/// Finds a command.
pub(super) fn named(word: &str) -> Option<&'static Entry> {
    TABLE.iter().find(|entry| entry.name == word)
}

/// Returns the help of a command.
pub(super) fn help(program: &str, word: &str) -> Option<String> {
    named(word).map(|entry| (entry.command)(program).render_help().to_string())
}

/// Returns the help of all commands.
pub(super) fn overview(program: &str) -> String {
    let mut text = format!("Usage:  {program} [OPTIONS] COMMAND\n\nAn OCI runtime\n\nCommands:\n");
    for entry in TABLE {
        text.push_str(&format!("  {:<9} {}\n", entry.name, entry.about));
    }
    text.push_str(
        "\nOptions:\n  --root DIR                Keep the state of containers below this directory (default /run/conductor/runtime)\n  \
         --log FILE                Write failures to this file too\n  --log-format text|json    In this form\n  \
         --debug                   Log everything that helps to find a mistake\n  \
         --systemd-cgroup          Accepted: cgroups are made where systemd would, without asking it\n  \
         --version                 Print the version\n",
    );
    text
}

fn command<O: Operation>(program: &str) -> Command {
    O::augment_args(Command::new(O::NAME))
        .no_binary_name(true)
        .disable_version_flag(true)
        .about(O::ABOUT)
        .bin_name(format!("{program} {}", O::NAME))
        .override_usage(format!("{program} {} {}", O::NAME, O::USAGE))
        .max_term_width(110)
}

fn run<O: Operation>(call: &Call<'_>, words: &[OsString]) -> Outcome {
    let matches = command::<O>(call.program).try_get_matches_from(words);
    let operation = matches.and_then(|matches| O::from_arg_matches(&matches)).map_err(|error| match error.kind() {
        clap::error::ErrorKind::DisplayHelp => usage::help_was_asked(&error.to_string()),
        _ => usage::failure(&error, &command::<O>(call.program), 1).code(1),
    })?;
    operation.run(call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_grammar_is_sound() {
        for entry in TABLE {
            (entry.command)("runc").debug_assert();
        }
    }
}
