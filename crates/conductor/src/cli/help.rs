//! The overview of all commands, from the table alone.

use std::fmt::Write;

use crate::commands::{self, Entry, Group, Noun};
use crate::personality::Face;

/// Returns what `conductor`, `conductor help` and `conductor --help` print.
pub(crate) fn overview(face: Face) -> String {
    let program = face.program();
    let mut text =
        format!("Usage:  {program} [OPTIONS] COMMAND\n\nA container engine in one program, without a daemon\n");
    for group in Group::ALL {
        let entries = commands::entries(face).filter(|entry| entry.group == group);
        section(&mut text, group.heading(), entries.map(|entry| (entry.name, entry.about)));
    }
    section(&mut text, "Groups of Commands", commands::nouns(face).map(|noun| (noun.name, noun.about)));
    let options = super::globals::command(face).term_width(110).help_template("{options}").render_help().to_string();
    let _ = write!(text, "\n{}\n", options.trim_end());
    let _ = write!(text, "\nRun '{program} COMMAND --help' for more information on a command.\n");
    text
}

/// Returns the help of a group of commands, such as `conductor image`.
pub(crate) fn of_noun(face: Face, noun: &Noun) -> String {
    let path = format!("{} {}", face.program(), noun.name);
    let mut text = format!("Usage:  {path} COMMAND\n\n{}\n", noun.about);
    section(
        &mut text,
        "Commands",
        noun.entries.iter().filter(|entry| shown(entry)).map(|entry| (entry.name, entry.about)),
    );
    let _ = write!(text, "\nRun '{path} COMMAND --help' for more information on a command.\n");
    text
}

fn shown(entry: &Entry) -> bool {
    entry.group != Group::Hidden
}

fn section(text: &mut String, heading: &str, lines: impl Iterator<Item = (&'static str, &'static str)>) {
    for (at, (name, about)) in lines.enumerate() {
        if at == 0 {
            let _ = write!(text, "\n{heading}:\n");
        }
        let _ = writeln!(text, "  {name:<11} {about}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overview_lists_every_command_of_a_face() {
        insta::assert_snapshot!("conductor", overview(Face::Conductor));
        insta::assert_snapshot!("docker", overview(Face::Docker("docker")));
    }

    #[test]
    fn the_help_of_each_command_is_as_it_was() {
        for entry in commands::entries(Face::Conductor) {
            let help = (entry.command)(&format!("conductor {}", entry.name)).term_width(110).render_help();
            insta::assert_snapshot!(format!("help-{}", entry.name), help.to_string());
        }
        for noun in commands::nouns(Face::Conductor).filter(|noun| ["manifest", "network"].contains(&noun.name)) {
            for entry in noun.entries {
                let name = format!("{}-{}", noun.name, entry.name);
                let path = format!("conductor {} {}", noun.name, entry.name);
                let help = (entry.command)(&path).term_width(110).render_help();
                insta::assert_snapshot!(format!("help-{name}"), help.to_string());
            }
        }
    }
}
