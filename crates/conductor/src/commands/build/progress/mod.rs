//! How a build is shown: a tree that changes on a terminal, lines elsewhere, JSON for other programs. All of it goes to stderr.

mod json;
mod plain;
mod tree;

use std::io::{IsTerminal, stderr};

use build::Event;

use crate::error::Failure;
use json::Json;
use plain::Plain;
use tree::Tree;

/// How it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Quiet,
    Plain,
    Tree,
    Json,
}

impl Style {
    /// Reads `--progress`; where nothing is said it depends on what stderr is.
    pub(super) fn of(word: Option<&str>, quiet: bool) -> Result<Self, Failure> {
        let variable = std::env::var("BUILDKIT_PROGRESS").ok();
        Ok(match word.or(variable.as_deref()) {
            _ if quiet => Self::Quiet,
            None | Some("auto" | "") if stderr().is_terminal() => Self::Tree,
            None | Some("auto" | "" | "plain") => Self::Plain,
            Some("tty") => Self::Tree,
            Some("quiet") => Self::Quiet,
            Some("rawjson") => Self::Json,
            Some(other) => {
                let what = format!("invalid value for --progress: {other:?}; use auto, plain, tty, quiet or rawjson");
                return Err(Failure::message(what));
            }
        })
    }
}

/// Shows a build.
#[derive(Debug)]
pub(super) enum Display {
    Quiet,
    Plain(Plain),
    Tree(Tree),
    Json(Json),
}

impl Display {
    pub(super) fn new(style: Style) -> Self {
        match style {
            Style::Quiet => Self::Quiet,
            Style::Plain => Self::Plain(Plain::default()),
            Style::Tree => Self::Tree(Tree::new()),
            Style::Json => Self::Json(Json::default()),
        }
    }

    pub(super) fn hear(&mut self, event: &Event<'_>) {
        match self {
            Self::Quiet => {}
            Self::Plain(plain) => plain.hear(event),
            Self::Tree(tree) => tree.hear(event),
            Self::Json(json) => json.hear(event),
        }
    }

    /// Leaves the terminal as others expect it.
    pub(super) fn finish(&mut self) {
        if let Self::Tree(tree) = self {
            tree.finish();
        }
    }

    /// Tells whether what a step says is not all shown.
    pub(super) fn hides_output(&self) -> bool {
        matches!(self, Self::Quiet | Self::Tree(_))
    }
}
