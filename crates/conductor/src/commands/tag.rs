//! `tag`: gives an image another name.

use std::process::ExitCode;

use clap::Args;
use oci::Reference;

use super::{Group, Verb};
use crate::context::Context;
use crate::error::Outcome;

/// Give an image another name
#[derive(Debug, Args)]
pub(crate) struct TagArgs {
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Its further name
    #[arg(value_name = "NAME")]
    name: String,
}

impl Verb for TagArgs {
    const NAME: &'static str = "tag";
    const ABOUT: &'static str = "Give an image another name";
    const USAGE: &'static str = "IMAGE NAME[:TAG]";
    const GROUP: Group = Group::Image;

    fn run(self, context: &Context) -> Outcome {
        let name: Reference = self.name.parse()?;
        context.store()?.images().tag(&self.image, &name, &context.recorder()?)?;
        Ok(ExitCode::SUCCESS)
    }
}
