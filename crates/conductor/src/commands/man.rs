//! `man`: writes the manual pages, for packages and for `cargo xtask man`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command};

use super::{Group, Reach, Verb};
use crate::context::Context;
use crate::error::{Failure, Outcome};

/// Write the manual pages into a directory
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The directory, which is made if it does not exist
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl Verb for ManArgs {
    const NAME: &'static str = "man";
    const ABOUT: &'static str = "Write the manual pages into a directory";
    const USAGE: &'static str = "DIR";
    const GROUP: Group = Group::Hidden;
    const REACH: Reach = Reach::Ours;

    fn run(self, context: &Context) -> Outcome {
        std::fs::create_dir_all(&self.directory)
            .map_err(|error| Failure::new(error).doing(format!("cannot make {}", self.directory.display())))?;
        let tree = super::completion::tree(context.face);
        write_page(&self.directory, "conductor", &tree)?;
        pages(&self.directory, "conductor", &tree)?;
        write_page(&self.directory, "conductor.sh", &crate::founding::help::command())?;
        Ok(ExitCode::SUCCESS)
    }
}

fn pages(directory: &Path, prefix: &str, command: &Command) -> Result<(), Failure> {
    for child in command.get_subcommands() {
        let title = format!("{prefix}-{}", child.get_name());
        write_page(directory, &title, child)?;
        pages(directory, &title, child)?;
    }
    Ok(())
}

fn write_page(directory: &Path, title: &str, command: &Command) -> Result<(), Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone().display_name(title)).title(title.to_uppercase()).render(&mut page)?;
    let path = directory.join(format!("{title}.1"));
    std::fs::write(&path, page).map_err(|error| Failure::new(error).doing(format!("cannot write {}", path.display())))
}
