//! `manifest annotate`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use image::lists::ListError;
use oci::{MachineChange, ManifestList, Reference};

use super::super::container_args::key_value;
use super::super::{Group, Verb};
use super::failure;
use crate::context::Context;
use crate::error::{Failure, Outcome};

/// Say for which machine an image of a manifest list is, and remarks on it
#[derive(Debug, Args)]
pub(in super::super) struct ManifestAnnotateArgs {
    #[command(flatten)]
    details: DetailArgs,
    /// The list
    #[arg(value_name = "LIST")]
    list: String,
    /// The image, by its name or digest
    #[arg(value_name = "IMAGE")]
    image: String,
}

/// What can be said of an image of a list.
#[derive(Debug, Args)]
pub(super) struct DetailArgs {
    /// The processor, in the words of Go: amd64, arm64, ...
    #[arg(long, value_name = "WORD")]
    arch: Option<String>,
    /// The operating system, in the words of Go: linux, windows, ...
    #[arg(long, value_name = "WORD")]
    os: Option<String>,
    /// The version of the operating system
    #[arg(long, value_name = "VERSION")]
    os_version: Option<String>,
    /// What the operating system must be able to do
    #[arg(long, value_name = "FEATURE", value_delimiter = ',')]
    os_features: Vec<String>,
    /// The variant of the processor, such as v8; an empty one takes it away
    #[arg(long, value_name = "WORD")]
    variant: Option<String>,
    /// A remark
    #[arg(long, value_name = "KEY=VALUE")]
    annotation: Vec<String>,
}

impl Verb for ManifestAnnotateArgs {
    const NAME: &'static str = "annotate";
    const ABOUT: &'static str = "Say for which machine an image of a manifest list is, and remarks on it";
    const USAGE: &'static str = "[OPTIONS] LIST IMAGE";
    const AFTER_HELP: &'static str =
        "Example:\n  conductor manifest annotate --arch arm64 --variant v8 team/app:1 team/app:1-arm64";
    const GROUP: Group = Group::Image;

    fn run(self, context: &Context) -> Outcome {
        let name: Reference = self.list.parse()?;
        let (machine, remarks) = self.details.read()?;
        let annotate = |list: &mut ManifestList| Ok::<(), ListError>(list.annotate(&self.image, &machine, &remarks)?);
        let changed = context.store()?.lists().change(&name, &context.recorder()?, annotate);
        changed.map_err(|error| failure(error, None)).map(|()| ExitCode::SUCCESS)
    }
}

impl DetailArgs {
    pub(super) fn read(&self) -> Result<(MachineChange, BTreeMap<String, String>), Failure> {
        let machine = MachineChange {
            os: self.os.clone(),
            architecture: self.arch.clone(),
            variant: self.variant.clone(),
            os_version: self.os_version.clone(),
            os_features: self.os_features.clone(),
        };
        let remarks = self.annotation.iter().map(|pair| key_value("annotation", pair));
        Ok((machine, remarks.collect::<Result<_, _>>()?))
    }
}
