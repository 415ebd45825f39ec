//! `commit`: makes an image of what a container changed.

use std::process::ExitCode;

use clap::Args;
use image::{Change, CommitOptions};
use oci::Reference;

use super::build::debian::creation_time;
use super::container_args::flag;
use super::{Group, Verb};
use crate::context::Context;
use crate::error::Outcome;
use crate::ui;

/// Make an image of a container: its own with what the container changed on top
#[derive(Debug, Args)]
pub(crate) struct CommitArgs {
    /// Who makes the image: "Name <mail@example.org>"
    #[arg(short, long, value_name = "TEXT")]
    author: Option<String>,
    /// Change the image's configuration, as in a Dockerfile: 'CMD ["/bin/bash"]'
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// A remark for the image's history
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Let the container's processes stand still meanwhile (--pause=false lets them go on)
    #[arg(
        short,
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value = "true",
        default_missing_value = "true",
        hide_default_value = true
    )]
    pause: bool,
    /// The container
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// The image's name
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

impl Verb for CommitArgs {
    const NAME: &'static str = "commit";
    const ABOUT: &'static str = "Make an image of a container: its own with what the container changed on top";
    const USAGE: &'static str = "[OPTIONS] CONTAINER [NAME[:TAG]]";
    const AFTER_HELP: &'static str = "Examples:\n  conductor commit web web:patched\n  \
                                      conductor commit -c 'CMD [\"nginx\", \"-g\", \"daemon off;\"]' web web:2";
    const GROUP: Group = Group::Image;

    fn run(self, context: &Context) -> Outcome {
        let engine = context.engine()?;
        let container = engine.find(&self.container)?;
        let options = CommitOptions {
            names: self.name.iter().map(|name| name.parse::<Reference>()).collect::<Result<_, _>>()?,
            changes: self.change.iter().map(|text| flag("change", text.parse::<Change>())).collect::<Result<_, _>>()?,
            author: self.author,
            message: self.message,
            command: container.args.join(" "),
            created: creation_time()?,
        };
        let image = engine.commit(&container, &options, self.pause)?;
        ui::print_line(&image.id.to_string()).map(|()| ExitCode::SUCCESS)
    }
}
