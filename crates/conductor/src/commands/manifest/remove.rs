//! `manifest remove`.

use std::process::ExitCode;

use clap::Args;
use image::lists::ListError;
use oci::{ManifestList, Reference};

use super::super::{Group, Verb};
use super::failure;
use crate::context::Context;
use crate::error::Outcome;
use crate::ui;

/// Take images out of a manifest list
#[derive(Debug, Args)]
pub(in super::super) struct ManifestRemoveArgs {
    /// The list
    #[arg(value_name = "LIST")]
    list: String,
    /// The images, by their names or digests
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

impl Verb for ManifestRemoveArgs {
    const NAME: &'static str = "remove";
    const ABOUT: &'static str = "Take images out of a manifest list";
    const USAGE: &'static str = "LIST IMAGE [IMAGE...]";
    const GROUP: Group = Group::Image;

    fn run(self, context: &Context) -> Outcome {
        let name: Reference = self.list.parse()?;
        let remove = |list: &mut ManifestList| {
            self.images.iter().try_for_each(|image| list.remove(image).map(drop)).map_err(ListError::from)
        };
        let changed = context.store()?.lists().change(&name, &context.recorder()?, remove);
        changed.map_err(|error| failure(error, None))?;
        ui::print_line(&name.to_string()).map(|()| ExitCode::SUCCESS)
    }
}
