//! `export`: writes the files of a container into a tar.

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{Group, Verb};
use crate::context::Context;
use crate::error::Outcome;
use crate::ui::archive::write_archive;

/// Write all files of a container to a tar
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Write to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The container
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Verb for ExportArgs {
    const NAME: &'static str = "export";
    const ABOUT: &'static str = "Write all files of a container to a tar";
    const USAGE: &'static str = "[-o FILE] CONTAINER";
    const AFTER_HELP: &'static str = "Examples:\n  conductor export -o web.tar web\n  \
                                      conductor export web | conductor import - web:flat";
    const GROUP: Group = Group::Container;

    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let container = engine.find(&self.container)?;
        write_archive(self.output.as_deref(), |file| {
            let mut out = BufWriter::with_capacity(256 * 1024, file);
            engine.export(&container, &mut out)?;
            Ok(out.flush()?)
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
