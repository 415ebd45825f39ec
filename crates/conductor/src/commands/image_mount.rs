//! `image mount` and `image unmount`: an image's files, to be looked at without a container.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::{Group, Verb};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;
use crate::ui::table::Table;

/// Mount an image's files at a directory, or list what is mounted
#[derive(Debug, Args)]
pub(crate) struct ImageMountArgs {
    /// The image
    #[arg(value_name = "IMAGE", requires = "directory")]
    image: Option<String>,
    /// Where its files are to be seen; they can only be read
    #[arg(value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

impl Verb for ImageMountArgs {
    const NAME: &'static str = "mount";
    const ABOUT: &'static str = "Mount an image's files at a directory, or list what is mounted";
    const USAGE: &'static str = "[IMAGE DIRECTORY]";
    const AFTER_HELP: &'static str = "Example:\n  conductor image mount mydebian /mnt\n  conductor image unmount /mnt";
    const GROUP: Group = Group::Image;

    fn run(self, context: &Context) -> Outcome {
        let (engine, store) = (context.engine()?, context.store()?);
        let (Some(image), Some(directory)) = (self.image, self.directory) else {
            let mut table = Table::with_headers(&["IMAGE", "ID", "DIRECTORY"]);
            for listed in store.images().list()? {
                let name = listed.names.first().map_or("<none>".to_owned(), oci::Reference::familiar);
                for place in engine.attached_image(&listed.id) {
                    table.push(vec![name.clone(), listed.id.short(), place.display().to_string()]);
                }
            }
            return ui::print(&table.render()).map(|()| ExitCode::SUCCESS);
        };
        let directory = std::fs::canonicalize(&directory)
            .map_err(|error| Failure::new(error).doing(format!("cannot find {}", directory.display())))?;
        if !directory.is_dir() {
            return Err(Failure::message(format!("{} is no directory", directory.display())));
        }
        engine.attach_image(&store.images().resolve(&image)?, &directory)?;
        ui::print_line(&directory.display().to_string()).map(|()| ExitCode::SUCCESS)
    }
}

/// Unmount the files of images
#[derive(Debug, Args)]
pub(crate) struct ImageUnmountArgs {
    /// Unmount all images
    #[arg(short, long)]
    all: bool,
    /// A directory, or an image: it is unmounted wherever it is
    #[arg(value_name = "DIRECTORY|IMAGE", required_unless_present = "all")]
    places: Vec<String>,
}

impl Verb for ImageUnmountArgs {
    const NAME: &'static str = "unmount";
    const ALIASES: &'static [&'static str] = &["umount"];
    const ABOUT: &'static str = "Unmount the files of images";
    const USAGE: &'static str = "[--all] [DIRECTORY|IMAGE]...";
    const GROUP: Group = Group::Image;

    fn run(self, context: &Context) -> Outcome {
        let (engine, store) = (context.engine()?, context.store()?);
        let mut places: Vec<PathBuf> = Vec::new();
        for asked in &self.places {
            if Path::new(asked).is_dir() {
                places.push(asked.into());
                continue;
            }
            let attached = engine.attached_image(&store.images().resolve(asked)?.id);
            if attached.is_empty() {
                return Err(Failure::message(format!("image {asked} is mounted nowhere")));
            }
            places.extend(attached);
        }
        if self.all {
            let images = store.images().list()?;
            places.extend(images.iter().flat_map(|listed| engine.attached_image(&listed.id)));
        }
        for place in places {
            engine.detach_image(&place)?;
            ui::print_line(&place.display().to_string())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
