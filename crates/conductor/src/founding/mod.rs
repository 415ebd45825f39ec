//! The face `conductor.sh`: the founding documents' grammar, word for word.
//!
//! [`grammar`] turns words into an [`Intent`] and touches nothing; [`act`] carries it out with the same engine that the other
//! faces use; [`rootfs`] keeps `.containers/NAME/rootfs`, through which the documents copy files in with `cp`.

mod act;
mod grammar;
pub(crate) mod help;
mod images;
mod rootfs;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::cli::{self, globals};
use crate::context::Context;
use crate::error::Outcome;
use crate::logging;
use crate::personality::Face;
use crate::ui;

/// Runs one command line (without the program's name), and reports its failure.
#[inline(never)]
pub(crate) fn main(words: &[OsString]) -> ExitCode {
    cli::report(run(words))
}

fn run(words: &[OsString]) -> Outcome {
    let leading = globals::split(Face::Founding, words)?;
    if leading.version {
        return ui::print_line(&crate::commands::version::one_line(Face::Founding)).map(|()| ExitCode::SUCCESS);
    }
    if leading.help {
        return ui::print(&help::text(None)).map(|()| ExitCode::SUCCESS);
    }
    let intent = grammar::parse(&leading.words)?;
    logging::start(&leading.globals);
    act::act(intent, &Context::new(Face::Founding, leading.globals))
}
