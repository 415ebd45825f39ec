//! A command line that is wrong: what is wrong with it, in our words, and with Docker's exit codes.

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::suggest::closest;
use crate::error::{ENGINE_FAILED, Failure};
use crate::ui;

/// Prints help that was asked for; the command ends with 0 and does nothing else.
pub(crate) fn help_was_asked(text: &str) -> Failure {
    ui::print(text).map_or_else(|failure| failure, |()| Failure::printed(0))
}

/// Turns what clap found wrong with the words of `command` into a failure.
///
/// Docker ends with 125 after a wrong flag of any command, and with `code` after a wrong number of words.
pub(crate) fn failure(error: &clap::Error, command: &Command, code: u8) -> Failure {
    let path = command.get_bin_name().unwrap_or(command.get_name());
    let flag_is_wrong = !matches!(error.kind(), ErrorKind::MissingRequiredArgument | ErrorKind::TooFewValues);
    let see = format!("See '{path} --help'");
    let hint = match meant(error, command) {
        Some(flag) => format!("did you mean --{flag}? {see}"),
        None => see,
    };
    Failure::message(words(error, path)).hint(hint).code(if flag_is_wrong { ENGINE_FAILED } else { code })
}

/// Returns the long flag that an unknown one was meant to be.
fn meant<'c>(error: &clap::Error, command: &'c Command) -> Option<&'c str> {
    let unknown = context(error, ContextKind::InvalidArg).filter(|_| error.kind() == ErrorKind::UnknownArgument)?;
    let known = command.get_arguments().filter(|arg| !arg.is_hide_set()).filter_map(|arg| arg.get_long());
    closest(unknown.strip_prefix("--")?, known)
}

fn words(error: &clap::Error, path: &str) -> String {
    let what = context(error, ContextKind::InvalidArg).unwrap_or_default();
    match error.kind() {
        ErrorKind::UnknownArgument if what.starts_with('-') => format!("unknown flag: {what}"),
        ErrorKind::UnknownArgument => format!("'{path}' takes no argument {what:?}"),
        ErrorKind::MissingRequiredArgument => format!("'{path}' requires {}", what.replace(['<', '>'], "")),
        _ => first_paragraph(&error.to_string()),
    }
}

/// Takes the message out of clap's rendering, without its tips and usage.
fn first_paragraph(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    text.split("\n\n").next().unwrap_or_default().trim_end().replace("\n  [", " [").replace('\n', " ")
}

fn context(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(list) => Some(list.join(" ")),
        _ => None,
    }
}
