//! `create`: makes a container that does not run yet.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use engine::{ContainerId, CreateRequest, RemoveOptions};

use super::container_args::{ContainerArgs, Here, ImageWords, Outside};
use super::pull::ensure;
use super::{Group, Verb, network_args};
use crate::context::Context;
use crate::error::{ENGINE_FAILED, Failure, Outcome};
use crate::personality::Face;
use crate::ui;

/// Create a container without starting it
#[derive(Debug, Default, Args)]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    container: ContainerArgs,
    /// Attach to this stream when started: stdin, stdout or stderr
    #[arg(short, long, value_name = "STREAM", hide = true)]
    attach: Vec<String>,
    /// The image, and what will run: IMAGE [COMMAND] [ARG...], or IMAGE [NAME] -- COMMAND [ARG...]
    #[arg(value_name = "IMAGE", required = true, num_args = 1.., trailing_var_arg = true)]
    words: Vec<String>,
}

impl Verb for CreateArgs {
    const NAME: &'static str = "create";
    const ABOUT: &'static str = "Create a container without starting it";
    const USAGE: &'static str = "[OPTIONS] IMAGE [COMMAND] [ARG...]";
    const GROUP: Group = Group::Container;
    const USAGE_CODE: u8 = ENGINE_FAILED;
    const SHORT_HELP: bool = false;

    fn run(self, context: &Context) -> Outcome {
        run(self, context).map_err(|failure| failure.default_code(ENGINE_FAILED))
    }
}

fn run(args: CreateArgs, context: &Context) -> Outcome {
    let (cidfile, wish) = (args.container.cidfile.clone(), args.container.pull.clone());
    let request = args.into_request(context.face, &Here)?;
    network_args::warning(&request).into_iter().for_each(ui::warn);
    ensure(context, &request.image, &wish)?;
    let engine = context.engine()?;
    let (container, warnings) = engine.create(request)?;
    if let Some(path) = cidfile
        && let Err(failure) = write_cidfile(&path, &container.id)
    {
        engine.remove(&container, RemoveOptions { force: true, volumes: true })?;
        return Err(failure);
    }
    warnings.iter().for_each(|warning| ui::warn(warning));
    ui::print_line(container.id.as_str()).map(|()| ExitCode::SUCCESS)
}

impl CreateArgs {
    /// Turns the words into what they mean.
    pub(crate) fn into_request(self, face: Face, outside: &dyn Outside) -> Result<CreateRequest, Failure> {
        let stdin = self.attach.iter().any(|stream| stream.eq_ignore_ascii_case("stdin"));
        let request =
            self.container.into_request(ImageWords::sort(self.words, matches!(face, Face::Docker(_))), outside)?;
        Ok(CreateRequest {
            open_stdin: request.open_stdin || stdin,
            stdin_once: request.open_stdin || stdin,
            ..request
        })
    }
}

/// Writes a container's id into a file that must not exist.
pub(crate) fn write_cidfile(path: &Path, id: &ContainerId) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    file.and_then(|mut file| file.write_all(id.as_str().as_bytes())).map_err(|error| {
        let exists = error.kind() == ErrorKind::AlreadyExists;
        let failure = Failure::new(error).doing(format!("cannot write the container id file {}", path.display()));
        if exists { failure.hint("remove the file once its container is gone, or name another one") } else { failure }
    })
}
