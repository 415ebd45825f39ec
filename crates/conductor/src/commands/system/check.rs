//! `system check`: every digest of the store computed again, and repaired what can be.

use std::io::{IsTerminal, Write, stderr};
use std::process::ExitCode;

use clap::Args;
use store::check::{Checked, check, repair};

use super::super::rmi::report;
use super::super::{Group, Reach, Verb};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;
use crate::ui::size::human_size;

/// Verify every layer, document, index and name of the store, and say what is wrong and what a repair would do
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Do it
    #[arg(long)]
    repair: bool,
}

impl Verb for CheckArgs {
    const NAME: &'static str = "check";
    const ABOUT: &'static str =
        "Verify every layer, document, index and name of the store, and say what is wrong and what a repair would do";
    const USAGE: &'static str = "[--repair]";
    const AFTER_HELP: &'static str = "It ends with 0 when all is whole or was repaired, and with 1 otherwise.";
    const GROUP: Group = Group::Engine;
    const REACH: Reach = Reach::Ours;

    fn run(self, context: &Context) -> Outcome {
        let (engine, store) = (context.engine()?, context.store()?);
        let checked = look(&store)?;
        let summary = |checked: &Checked| {
            let (images, layers, bytes) = (checked.images, checked.layers, human_size(checked.bytes));
            format!("{images} images, {layers} layers, {bytes} read")
        };
        for finding in &checked.findings {
            ui::print_line(&format!("{finding}"))?;
            ui::print_line(&format!("  {}: {}", if self.repair { "repair" } else { "would" }, finding.remedy()))?;
        }
        if checked.findings.is_empty() {
            return ui::print_line(&format!("{}: all whole", summary(&checked))).map(|()| ExitCode::SUCCESS);
        }
        if !self.repair {
            ui::print_line(&format!("{}: {} findings", summary(&checked), checked.findings.len()))?;
            return Err(
                Failure::message("the store is damaged").hint("conductor system check --repair does what it says")
            );
        }
        let removed = repair(&store, &checked.findings, &|id| engine.usage_of_image(id, drop), engine.recorder())?;
        report(&removed)?;
        let left = look(&store)?.findings;
        left.iter().try_for_each(|finding| ui::print_line(&format!("still: {finding}")))?;
        match left.is_empty() {
            true => ui::print_line("repaired").map(|()| ExitCode::SUCCESS),
            false => Err(Failure::message("some of it cannot be repaired while containers use it")
                .hint("remove these containers, and check again")),
        }
    }
}

/// Checks, telling on a terminal what is being read.
fn look(store: &store::Store) -> Result<Checked, store::StoreError> {
    let shown = stderr().is_terminal();
    let checked = check(store, &mut |piece| {
        if shown {
            let _ = write!(stderr(), "\r\x1b[Kchecking {piece}");
        }
    });
    if shown {
        let _ = write!(stderr(), "\r\x1b[K");
    }
    checked
}
