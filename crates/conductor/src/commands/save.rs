//! `save`: writes images into an archive.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use image::{Form, Silent, TransferProgress};
use oci::Reference;
use store::{Image, Store, StoreError};
use trace::Recorder;

use super::{Group, Verb};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui::archive::write_archive;
use crate::ui::transfer::{Direction, Display};

/// Save one or more images to an archive
#[derive(Debug, Args)]
pub(crate) struct SaveArgs {
    /// Write to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Form of the archive
    #[arg(long, value_name = "FORM", default_value = "docker-archive")]
    format: Format,
    /// Accepted for Podman's sake: an archive takes several images anyhow
    #[arg(short, long, hide = true)]
    multi_image_archive: bool,
    /// Print no progress
    #[arg(short, long)]
    quiet: bool,
    /// The images
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// An OCI image layout with Docker's manifest.json beside it, which everybody reads
    DockerArchive,
    /// An OCI image layout and nothing else
    OciArchive,
    /// An OCI image layout in a directory
    OciDir,
}

impl Verb for SaveArgs {
    const NAME: &'static str = "save";
    const ABOUT: &'static str = "Save one or more images to an archive";
    const USAGE: &'static str = "[OPTIONS] IMAGE [IMAGE...]";
    const AFTER_HELP: &'static str = "Examples:\n  conductor save -o mydebian.tar mydebian\n  \
                                      conductor save mydebian | gzip > mydebian.tar.gz";
    const GROUP: Group = Group::Image;

    fn run(self, context: &Context) -> Outcome {
        let (store, recorder) = (context.store()?, context.recorder()?);
        let images = wanted(&store, &self.images)?;
        let display = (!self.quiet).then(|| Display::new(Direction::Save));
        let progress: &dyn TransferProgress = display.as_ref().map_or(&Silent, |display| display);
        let form = match self.format {
            Format::OciDir => return into_directory(&store, &images, self.output.as_deref(), progress, &recorder),
            Format::DockerArchive => Form::Docker,
            Format::OciArchive => Form::Oci,
        };
        let write =
            |out: &mut File| image::save(&store, &images, form, out, progress, &recorder).map_err(Failure::from);
        write_archive(self.output.as_deref(), write).map(|()| ExitCode::SUCCESS)
    }
}

/// Fills a directory beside the one that was asked for, which so is whole or not there.
fn into_directory(
    store: &Store,
    images: &[(Image, Vec<Reference>)],
    path: Option<&Path>,
    progress: &dyn TransferProgress,
    recorder: &Recorder,
) -> Outcome {
    let path = path.ok_or_else(|| Failure::message("--format oci-dir needs a directory: name it with --output"))?;
    let doing = |error: std::io::Error| Failure::new(error).doing(format!("cannot write {}", path.display()));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    std::fs::create_dir(&beside).map_err(doing)?;
    let written = image::save_layout(store, images, &beside, progress, recorder).map_err(Failure::from);
    // A directory that is there may be taken over while it is empty.
    let written = written.and_then(|()| std::fs::rename(&beside, path).map_err(doing));
    if written.is_err() {
        let _ = std::fs::remove_dir_all(&beside);
    }
    written.map(|()| ExitCode::SUCCESS)
}

/// Finds the images, each once, with the names by which they are asked for.
fn wanted(store: &Store, asked: &[String]) -> Result<Vec<(Image, Vec<Reference>)>, StoreError> {
    let mut images: Vec<(Image, Vec<Reference>)> = Vec::new();
    for asked in asked {
        let image = store.images().resolve(asked)?;
        let name = asked.parse().ok().filter(|name: &Reference| {
            name.digest().is_none() && store.images().resolve_name(name).is_ok_and(|named| named.id == image.id)
        });
        match images.iter_mut().find(|(known, _)| known.id == image.id) {
            Some((_, names)) => names.extend(name),
            None => images.push((image, name.into_iter().collect())),
        }
    }
    Ok(images)
}
