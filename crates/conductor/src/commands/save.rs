//! `save`: writes images into an archive.

use std::fs::File;
use std::io::{IsTerminal, stdout};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use image::Form;
use oci::Reference;
use store::{Image, Store, StoreError};
use sys::Calling;

use super::{Group, Verb};
use crate::context::Context;
use crate::error::{Failure, Outcome};

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
    /// Accepted for Podman's sake: nothing else is printed
    #[arg(short, long, hide = true)]
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
        let form = match self.format {
            Format::DockerArchive => Form::Docker,
            Format::OciArchive => Form::Oci,
        };
        let write = |out: &mut File| image::save(&store, &images, form, out, &recorder).map_err(Failure::from);
        match &self.output {
            Some(path) => into_file(path, write)?,
            None if stdout().is_terminal() => {
                let failure = Failure::message("an archive is not for a terminal");
                return Err(failure.hint("write it to a file with -o, or into a pipe"));
            }
            None => write(&mut stdout().as_fd().try_clone_to_owned().map(File::from)?)?,
        }
        Ok(ExitCode::SUCCESS)
    }
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

/// Writes a file that has no name until it is whole, so that nothing is left of one that does not get there. What is no file
/// is written to as it is.
fn into_file(path: &Path, write: impl FnOnce(&mut File) -> Result<(), Failure>) -> Result<(), Failure> {
    let doing = |error: sys::Error| Failure::new(error).doing(format!("cannot write {}", path.display()));
    if path.exists() && !path.is_file() {
        return write(&mut File::options().write(true).open(path).call(|| "open(O_WRONLY)").map_err(doing)?);
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let replace = || std::fs::rename(&beside, path).call(|| "rename").map_err(doing);
    let written = match sys::file::create_unnamed(directory).map_err(doing)? {
        Some(mut file) => write(&mut file).and_then(|()| match sys::file::give_name(&file, path) {
            // A name is given over another's by way of a further one alone.
            Err(error) if error.errno() == sys::Errno::EXIST => {
                sys::file::give_name(&file, &beside).map_err(doing).and_then(|()| replace())
            }
            named => named.map_err(doing),
        }),
        None => {
            let mut file = File::create_new(&beside).call(|| "open(O_CREAT|O_EXCL)").map_err(doing)?;
            write(&mut file).and_then(|()| replace())
        }
    };
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written
}
