//! `import`: makes an image of the tar of a root file system.

use std::fs::File;
use std::io::Read;
use std::process::ExitCode;

use clap::Args;
use image::{Change, ImportOptions};
use oci::Reference;

use super::build::debian::creation_time;
use super::container_args::flag;
use super::{Group, Verb};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;

/// Make an image of the tar of a root file system
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Change the image's configuration, as in a Dockerfile: 'CMD ["/bin/bash"]'
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// A remark for the image's history
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// The machine that the image is for (default this one): OS/ARCHITECTURE[/VARIANT]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// The tar, or - for standard input
    #[arg(value_name = "FILE")]
    file: String,
    /// The image's name
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

impl Verb for ImportArgs {
    const NAME: &'static str = "import";
    const ABOUT: &'static str = "Make an image of the tar of a root file system";
    const USAGE: &'static str = "[OPTIONS] FILE|- [NAME[:TAG]]";
    const AFTER_HELP: &'static str = "Examples:\n  conductor import rootfs.tar.gz mydebian\n  \
                                      tar -C rootfs -c . | conductor import -c 'CMD [\"/bin/bash\"]' - mydebian";
    const GROUP: Group = Group::Image;

    fn run(self, context: &Context) -> Outcome {
        let options = ImportOptions {
            names: self.name.iter().map(|name| name.parse::<Reference>()).collect::<Result<_, _>>()?,
            changes: self.change.iter().map(|text| flag("change", text.parse::<Change>())).collect::<Result<_, _>>()?,
            message: self.message,
            platform: self.platform.map(|text| flag("platform", text.parse())).transpose()?,
            created: creation_time()?,
        };
        let image = image::import(&context.store()?, open(&self.file)?, &options, &context.recorder()?)?;
        ui::print_line(&image.id.to_string()).map(|()| ExitCode::SUCCESS)
    }
}

fn open(file: &str) -> Result<Box<dyn Read>, Failure> {
    if file == "-" {
        return Ok(Box::new(std::io::stdin()));
    }
    if file.starts_with("http://") || file.starts_with("https://") {
        return Err(Failure::message(format!("cannot import {file}: only a file or standard input can be imported"))
            .hint(format!("fetch it on the way, as in: curl -sSL {file} | conductor import - NAME")));
    }
    let file = File::open(file).map_err(|error| Failure::new(error).doing(format!("cannot open {file}")))?;
    Ok(Box::new(file))
}
