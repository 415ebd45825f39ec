//! `diff`: what a container changed of its image's files.

use std::process::ExitCode;

use clap::Args;
use image::{Difference, DifferenceKind};

use super::{Group, Verb};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;

/// List what a container changed: A is new, C is changed, D is gone
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The container
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Verb for DiffArgs {
    const NAME: &'static str = "diff";
    const ABOUT: &'static str = "List what a container changed: A is new, C is changed, D is gone";
    const USAGE: &'static str = "CONTAINER";
    const GROUP: Group = Group::Container;

    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        print(&engine.differences(&engine.find(&self.container)?)?).map(|()| ExitCode::SUCCESS)
    }
}

/// Prints a line for each path.
pub(super) fn print(differences: &[Difference]) -> Result<(), Failure> {
    for difference in differences {
        let letter = match difference.kind {
            DifferenceKind::Added => 'A',
            DifferenceKind::Changed => 'C',
            DifferenceKind::Deleted => 'D',
        };
        // A name may hold what would move the cursor.
        ui::print_line(&format!("{letter} /{}", difference.path.escape_ascii()))?;
    }
    Ok(())
}
