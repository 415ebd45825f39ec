//! `load`: takes the images out of an archive.

use std::fs::File;
use std::io::{IsTerminal, Read, stdin};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use image::{LoadOptions, Loaded, Silent, TransferProgress};
use oci::Platform;

use super::container_args::flag;
use super::{Group, Verb};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;
use crate::ui::transfer::{Direction, Display};

/// Load the images of an archive
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// Read from a file, or from a directory that is an OCI image layout, instead of standard input
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Take images for this machine and no others: OS/ARCHITECTURE[/VARIANT]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// Print nothing but the names and IDs of what came
    #[arg(short, long)]
    quiet: bool,
}

impl Verb for LoadArgs {
    const NAME: &'static str = "load";
    const ABOUT: &'static str = "Load the images of an archive";
    const USAGE: &'static str = "[OPTIONS]";
    const AFTER_HELP: &'static str = "The archive may be of Docker's form or an OCI image layout, plain or compressed with \
                                      gzip or zstd.\n\nExamples:\n  conductor load -i mydebian.tar.gz\n  \
                                      podman save mydebian | conductor load";
    const GROUP: Group = Group::Image;

    fn run(self, context: &Context) -> Outcome {
        let platform = self.platform.as_deref().map(|text| flag("platform", text.parse::<Platform>())).transpose()?;
        let options = LoadOptions { platform };
        let display = (!self.quiet).then(|| Display::new(Direction::Load));
        let progress: &dyn TransferProgress = display.as_ref().map_or(&Silent, |display| display);
        let doing = |path: &PathBuf| format!("cannot open {}", path.display());
        let source: Box<dyn Read> = match &self.input {
            Some(path) if path.is_dir() => {
                let directory = File::open(path).map_err(|error| Failure::new(error).doing(doing(path)))?;
                let (store, recorder) = (context.store()?, context.recorder()?);
                return self.report(image::load_layout(&store, directory.as_fd(), &options, progress, &recorder)?);
            }
            Some(path) => Box::new(File::open(path).map_err(|error| Failure::new(error).doing(doing(path)))?),
            None if stdin().is_terminal() => {
                let failure = Failure::message("an archive is expected on standard input, and that is a terminal");
                return Err(failure.hint("name a file with -i, or read from a pipe"));
            }
            None => Box::new(stdin()),
        };
        self.report(image::load(&context.store()?, source, &options, progress, &context.recorder()?)?)
    }
}

impl LoadArgs {
    fn report(&self, images: Vec<Loaded>) -> Outcome {
        for loaded in images {
            let id = loaded.image.id.to_string();
            match &loaded.names[..] {
                [] if self.quiet => ui::print_line(&id)?,
                [] => ui::print_line(&format!("Loaded image ID: {id}"))?,
                names => {
                    let word = if self.quiet { "" } else { "Loaded image: " };
                    names.iter().try_for_each(|name| ui::print_line(&format!("{word}{}", name.familiar())))?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
