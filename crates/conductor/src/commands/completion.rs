//! `completion`: a script that completes our commands in bash, zsh or fish.

use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::Shell;

use super::{Group, Noun, Verb};
use crate::context::Context;
use crate::error::Outcome;
use crate::personality::Face;
use crate::ui;

/// Print a script that completes commands and options in a shell
#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// The shell: bash, zsh or fish
    #[arg(value_name = "SHELL", value_parser = ["bash", "zsh", "fish"])]
    shell: String,
}

impl Verb for CompletionArgs {
    const NAME: &'static str = "completion";
    const ABOUT: &'static str = "Print a script that completes commands and options in a shell";
    const USAGE: &'static str = "bash|zsh|fish";
    const AFTER_HELP: &'static str = "Examples:\n  conductor completion bash > /etc/bash_completion.d/conductor\n  \
                                    conductor completion zsh > ~/.zfunc/_conductor\n  \
                                    conductor completion fish > ~/.config/fish/completions/conductor.fish";
    const GROUP: Group = Group::Engine;

    fn run(self, context: &Context) -> Outcome {
        let shell = match self.shell.as_str() {
            "bash" => Shell::Bash,
            "zsh" => Shell::Zsh,
            _ => Shell::Fish,
        };
        ui::print(&script(context.face, shell)).map(|()| ExitCode::SUCCESS)
    }
}

/// Returns the script for a shell.
pub(crate) fn script(face: Face, shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut tree(face), face.program(), &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Builds the grammar of all commands: for completions and manual pages alone, never to read a command line.
pub(crate) fn tree(face: Face) -> Command {
    let program = face.program();
    let root = crate::cli::globals::command(face)
        .mut_arg("words", |arg| arg.trailing_var_arg(false))
        .no_binary_name(false)
        .about("A container engine in one program, without a daemon")
        .override_usage(format!("{program} [OPTIONS] COMMAND"));
    let entries = super::entries(face).filter(|entry| entry.group != Group::Hidden);
    let commands = entries.map(|entry| in_tree((entry.command)(&format!("{program} {}", entry.name)), entry.aliases));
    root.subcommands(commands).subcommands(super::nouns(face).map(|noun| noun_tree(program, noun)))
}

fn noun_tree(program: &str, noun: &Noun) -> Command {
    let commands = noun.entries.iter().map(|entry| {
        let path = format!("{program} {} {}", noun.name, entry.name);
        in_tree((entry.command)(&path), entry.aliases).name(entry.name)
    });
    Command::new(noun.name)
        .about(noun.about)
        .override_usage(format!("{program} {} COMMAND", noun.name))
        .subcommands(commands)
}

fn in_tree(command: Command, aliases: &'static [&'static str]) -> Command {
    command.no_binary_name(false).visible_aliases(aliases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_completes_commands_and_their_options() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(Face::Conductor, shell);
            for word in ["run", "memory-swap", "explain"] {
                assert!(script.contains(word), "{shell} does not complete {word}");
            }
        }
    }
}
