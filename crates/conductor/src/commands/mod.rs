//! The commands: a file each, and the table in which they stand.
//!
//! A command is an `Args` struct whose doc comments are its help, and a `run`. The [`TABLE`] is static and holds names, one
//! line of help and two functions for each; a command's grammar is built when that command is called, and not before.

pub(crate) mod addnetwork;
mod attach;
pub(crate) mod build;
mod builder;
mod commit;
mod completion;
mod container_args;
mod create;
mod diff;
mod exec;
mod explain;
mod export;
mod health_args;
mod history;
mod image_diff;
mod image_mount;
mod images;
mod import;
mod info;
mod inspect;
mod kill;
mod load;
mod login;
mod logs;
mod man;
mod manifest;
mod network;
mod network_args;
mod port;
pub(crate) mod prune;
mod ps;
mod pull;
mod push;
mod restart;
mod rm;
pub(crate) mod rmi;
pub(crate) mod run;
mod save;
mod search;
mod start;
mod stop;
mod system;
mod tag;
mod tree;
mod trust_args;
mod update;
pub(crate) mod version;
mod wait;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Args, Command, FromArgMatches};

use crate::cli::globals::Globals;
use crate::cli::usage;
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::logging;
use crate::personality::Face;
use crate::ui;

/// A command: its names, its help, and what it does.
pub(crate) trait Verb: Args + FromArgMatches {
    /// The word that calls it.
    const NAME: &'static str;
    /// Other words that call it.
    const ALIASES: &'static [&'static str] = &[];
    /// What it does, in one line: the first line of the struct's doc comment.
    const ABOUT: &'static str;
    /// Its words behind its name, as the help shows them.
    const USAGE: &'static str;
    /// Lines below its help, such as examples.
    const AFTER_HELP: &'static str = "";
    /// Where the overview lists it.
    const GROUP: Group;
    /// Whether Docker has it too.
    const REACH: Reach = Reach::Everywhere;
    /// The exit code after a wrong number of words.
    const USAGE_CODE: u8 = 1;
    /// Whether `-h` asks for help; `run` needs the letter for the host name.
    const SHORT_HELP: bool = true;

    /// Does it.
    fn run(self, context: &Context) -> Outcome;
}

/// Where the overview lists a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// What most people need most of the time.
    Common,
    /// Containers.
    Container,
    /// Images.
    Image,
    /// Networks, and who reaches whom.
    Network,
    /// Learning what a container is, and looking after the engine.
    Engine,
    /// For our own tools.
    Hidden,
}

impl Group {
    /// The groups that the overview shows, in order.
    pub(crate) const ALL: [Self; 5] = [Self::Common, Self::Container, Self::Image, Self::Network, Self::Engine];

    /// Returns the heading above the group.
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Self::Common => "Common Commands",
            Self::Container => "Containers",
            Self::Image => "Images",
            Self::Network => "Networks",
            Self::Engine => "Engine",
            Self::Hidden => "",
        }
    }
}

/// Who has a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Docker's grammar has it.
    Everywhere,
    /// It is ours alone.
    Ours,
}

/// A command in the table.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) aliases: &'static [&'static str],
    pub(crate) about: &'static str,
    pub(crate) group: Group,
    reach: Reach,
    /// Builds the grammar, under the path it is called by (`conductor run`).
    pub(crate) command: fn(&str) -> Command,
    /// Reads the words and does it.
    pub(crate) run: fn(Context, &str, &[OsString]) -> Outcome,
}

impl Entry {
    const fn of<V: Verb>() -> Self {
        Self {
            name: V::NAME,
            aliases: V::ALIASES,
            about: V::ABOUT,
            group: V::GROUP,
            reach: V::REACH,
            command: command::<V>,
            run: run_verb::<V>,
        }
    }

    /// The same command under another name, in a group of commands.
    const fn named(self, name: &'static str, aliases: &'static [&'static str]) -> Self {
        Self { name, aliases, ..self }
    }

    /// Tells whether `word` calls this command.
    pub(crate) fn answers_to(&self, word: &str) -> bool {
        self.name == word || self.aliases.contains(&word)
    }

    fn is_known_to(&self, face: Face) -> bool {
        self.reach == Reach::Everywhere || face == Face::Conductor
    }
}

/// A group of commands, such as `conductor image`.
#[derive(Debug)]
pub(crate) struct Noun {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) entries: &'static [Entry],
}

/// All commands.
pub(crate) static TABLE: &[Entry] = &[
    Entry::of::<run::RunArgs>(),
    Entry::of::<exec::ExecArgs>(),
    Entry::of::<ps::PsArgs>(),
    Entry::of::<build::BuildArgs>(),
    Entry::of::<pull::PullArgs>(),
    Entry::of::<images::ImagesArgs>(),
    Entry::of::<rmi::RmiArgs>(),
    Entry::of::<attach::AttachCommandArgs>(),
    Entry::of::<create::CreateArgs>(),
    Entry::of::<diff::DiffArgs>(),
    Entry::of::<export::ExportArgs>(),
    Entry::of::<inspect::InspectArgs>(),
    Entry::of::<kill::KillArgs>(),
    Entry::of::<logs::LogsArgs>(),
    Entry::of::<restart::RestartArgs>(),
    Entry::of::<rm::RmArgs>(),
    Entry::of::<start::StartArgs>(),
    Entry::of::<stop::StopArgs>(),
    Entry::of::<update::UpdateArgs>(),
    Entry::of::<wait::WaitArgs>(),
    Entry::of::<commit::CommitArgs>(),
    Entry::of::<history::HistoryArgs>(),
    Entry::of::<import::ImportArgs>(),
    Entry::of::<load::LoadArgs>(),
    Entry::of::<login::LoginArgs>(),
    Entry::of::<login::LogoutArgs>(),
    Entry::of::<push::PushArgs>(),
    Entry::of::<save::SaveArgs>(),
    Entry::of::<search::SearchArgs>(),
    Entry::of::<tag::TagArgs>(),
    Entry::of::<prune::RmCacheArgs>(),
    Entry::of::<addnetwork::AddNetworkArgs>(),
    Entry::of::<addnetwork::PeerArgs>(),
    Entry::of::<port::PortArgs>(),
    Entry::of::<explain::ExplainArgs>(),
    Entry::of::<info::InfoArgs>(),
    Entry::of::<version::VersionArgs>(),
    Entry::of::<completion::CompletionArgs>(),
    Entry::of::<man::ManArgs>(),
];

/// The groups of commands.
pub(crate) static NOUNS: &[Noun] = &[
    Noun { name: "builder", about: "Build images, and look after what builds keep", entries: BUILDER },
    Noun { name: "buildx", about: "The same as builder, by the name of Docker's plugin", entries: BUILDER },
    Noun {
        name: "container",
        about: "Manage containers",
        entries: &[
            Entry::of::<attach::AttachCommandArgs>(),
            Entry::of::<commit::CommitArgs>(),
            Entry::of::<create::CreateArgs>(),
            Entry::of::<diff::DiffArgs>(),
            Entry::of::<exec::ExecArgs>(),
            Entry::of::<export::ExportArgs>(),
            Entry::of::<inspect::ContainerInspectArgs>(),
            Entry::of::<kill::KillArgs>(),
            Entry::of::<logs::LogsArgs>(),
            Entry::of::<port::PortArgs>(),
            Entry::of::<ps::PsArgs>().named("ls", &["list", "ps"]),
            Entry::of::<prune::ContainerPruneArgs>(),
            Entry::of::<restart::RestartArgs>(),
            Entry::of::<rm::RmArgs>().named("rm", &["remove"]),
            Entry::of::<run::RunArgs>(),
            Entry::of::<start::StartArgs>(),
            Entry::of::<stop::StopArgs>(),
            Entry::of::<update::UpdateArgs>(),
            Entry::of::<wait::WaitArgs>(),
        ],
    },
    Noun {
        name: "image",
        about: "Manage images",
        entries: &[
            Entry::of::<build::BuildArgs>(),
            Entry::of::<image_diff::ImageDiffArgs>(),
            Entry::of::<history::HistoryArgs>(),
            Entry::of::<import::ImportArgs>(),
            Entry::of::<inspect::ImageInspectArgs>(),
            Entry::of::<load::LoadArgs>(),
            Entry::of::<images::ImagesArgs>().named("ls", &["list"]),
            Entry::of::<image_mount::ImageMountArgs>(),
            Entry::of::<prune::ImagePruneArgs>(),
            Entry::of::<pull::PullArgs>(),
            Entry::of::<push::PushArgs>(),
            Entry::of::<rmi::RmiArgs>().named("rm", &["remove"]),
            Entry::of::<save::SaveArgs>(),
            Entry::of::<tag::TagArgs>(),
            Entry::of::<tree::TreeArgs>(),
            Entry::of::<image_mount::ImageUnmountArgs>(),
        ],
    },
    Noun {
        name: "manifest",
        about: "Put images for several machines together under one name",
        entries: &[
            Entry::of::<manifest::ManifestAddArgs>(),
            Entry::of::<manifest::ManifestAnnotateArgs>(),
            Entry::of::<manifest::ManifestCreateArgs>(),
            Entry::of::<manifest::ManifestInspectArgs>(),
            Entry::of::<manifest::ManifestLsArgs>(),
            Entry::of::<manifest::ManifestPushArgs>(),
            Entry::of::<manifest::ManifestRemoveArgs>(),
            Entry::of::<manifest::ManifestRmArgs>(),
        ],
    },
    Noun {
        name: "network",
        about: "Manage networks",
        entries: &[
            Entry::of::<network::ConnectArgs>(),
            Entry::of::<network::NetworkCreateArgs>(),
            Entry::of::<network::DisconnectArgs>(),
            Entry::of::<network::FirewallArgs>(),
            Entry::of::<network::NetworkInspectArgs>(),
            Entry::of::<network::NetworkLsArgs>(),
            Entry::of::<network::NetworkPruneArgs>(),
            Entry::of::<network::NetworkRmArgs>(),
        ],
    },
    Noun {
        name: "system",
        about: "Look after the engine",
        entries: &[
            Entry::of::<system::BootArgs>(),
            Entry::of::<system::CheckArgs>(),
            Entry::of::<system::DfArgs>(),
            Entry::of::<info::InfoArgs>(),
            Entry::of::<prune::SystemPruneArgs>(),
        ],
    },
];

/// What both names of the builder know.
const BUILDER: &[Entry] = &[
    Entry::of::<build::BuildArgs>().named("build", &["b"]),
    Entry::of::<builder::DuArgs>(),
    Entry::of::<builder::BuilderPruneArgs>(),
];

/// Returns the commands of a face.
pub(crate) fn entries(face: Face) -> impl Iterator<Item = &'static Entry> {
    TABLE.iter().filter(move |entry| entry.is_known_to(face))
}

/// Returns the groups of commands of a face.
pub(crate) fn nouns(_face: Face) -> impl Iterator<Item = &'static Noun> {
    NOUNS.iter()
}

/// Finds a command.
pub(crate) fn named(face: Face, word: &str) -> Option<&'static Entry> {
    entries(face).find(|entry| entry.answers_to(word))
}

/// Finds a group of commands.
pub(crate) fn noun(face: Face, word: &str) -> Option<&'static Noun> {
    nouns(face).find(|noun| noun.name == word)
}

/// Returns every word that a face knows, for suggestions.
pub(crate) fn names(face: Face) -> Vec<&'static str> {
    let shown = entries(face).filter(|entry| entry.group != Group::Hidden);
    shown.map(|entry| entry.name).chain(nouns(face).map(|noun| noun.name)).collect()
}

/// Builds the grammar of a command, its own options first.
pub(crate) fn command<V: Verb>(path: &str) -> Command {
    let command = V::augment_args(Command::new(V::NAME)).no_binary_name(true).disable_version_flag(true);
    let help = Arg::new("help").long("help").help("Print help").action(ArgAction::HelpShort);
    Globals::augment_args(command)
        .disable_help_flag(true)
        .arg(if V::SHORT_HELP { help.short('h') } else { help })
        .about(V::ABOUT)
        .bin_name(path)
        .override_usage(format!("{path} {}", V::USAGE.replace("{path}", path)))
        .max_term_width(110)
        .after_help(V::AFTER_HELP)
}

fn run_verb<V: Verb>(context: Context, path: &str, words: &[OsString]) -> Outcome {
    let (verb, nearer) = read::<V>(path, words)?;
    let context = Context { globals: context.globals.overlaid(nearer), ..context };
    logging::start(&context.globals);
    verb.run(&context)
}

/// Reads a command's words.
pub(crate) fn read<V: Verb>(path: &str, words: &[OsString]) -> Result<(V, Globals), Failure> {
    parse::<V>(path, words).map_err(|error| match error.kind() {
        // The help shows the switches as they are typed, without their optional values.
        ErrorKind::DisplayHelp => usage::help_was_asked(&command::<V>(path).render_help().to_string()),
        _ => usage::failure(&error, &command::<V>(path), V::USAGE_CODE),
    })
}

fn parse<V: Verb>(path: &str, words: &[OsString]) -> Result<(V, Globals), clap::Error> {
    let matches = command::<V>(path).mut_args(switch_takes_a_truth_value).try_get_matches_from(words)?;
    Ok((V::from_arg_matches(&matches)?, Globals::from_arg_matches(&matches)?))
}

/// Lets a switch be typed `--rm=true` and `--rm=false` too, as Docker's users may.
fn switch_takes_a_truth_value(arg: Arg) -> Arg {
    match arg.get_action() {
        ArgAction::SetTrue => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .default_value("false")
            .value_parser(clap::builder::BoolishValueParser::new()),
        _ => arg,
    }
}

/// Does something to each of several containers or images, and goes on past a failure.
pub(crate) fn each(names: &[String], act: impl FnMut(&String) -> Result<(), Failure>) -> Outcome {
    report_each(names.iter().map(act)).map(|()| ExitCode::SUCCESS)
}

/// Prints each failure as it comes; fails with the first one's exit code when there was one.
pub(crate) fn report_each(results: impl IntoIterator<Item = Result<(), Failure>>) -> Result<(), Failure> {
    let mut first = None;
    for failure in results.into_iter().filter_map(Result::err) {
        if let Some(lines) = failure.lines() {
            ui::remark(&lines);
        }
        first.get_or_insert(failure.into_printed());
    }
    first.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = &'static Entry> {
        TABLE.iter().chain(NOUNS.iter().flat_map(|noun| noun.entries))
    }

    #[test]
    fn every_grammar_is_sound() {
        for entry in all() {
            (entry.command)(&format!("conductor {}", entry.name)).debug_assert();
        }
    }

    #[test]
    fn every_command_has_one_name_of_its_own() {
        let mut seen = std::collections::BTreeSet::new();
        for word in TABLE.iter().flat_map(|entry| entry.aliases.iter().copied().chain([entry.name])) {
            assert!(seen.insert(word), "{word} names two commands");
        }
    }

    #[test]
    fn every_option_has_help() {
        for entry in all() {
            let command = (entry.command)("conductor x");
            for arg in command.get_arguments().filter(|arg| !arg.is_hide_set() && !arg.is_positional()) {
                assert!(arg.get_help().is_some(), "{} --{} has no help", entry.name, arg.get_id());
            }
        }
    }
}
