//! `image diff`: in which files two images differ.

use std::process::ExitCode;

use clap::Args;

use super::diff::print;
use super::{Group, Verb};
use crate::context::Context;
use crate::error::Outcome;

/// List what an image changed of another, or its last layer of those below: A is new, C is changed, D is gone
#[derive(Debug, Args)]
pub(crate) struct ImageDiffArgs {
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// What it is compared with (default: itself without its last layer)
    #[arg(value_name = "OTHER")]
    other: Option<String>,
}

impl Verb for ImageDiffArgs {
    const NAME: &'static str = "diff";
    const ABOUT: &'static str =
        "List what an image changed of another, or its last layer of those below: A is new, C is changed, D is gone";
    const USAGE: &'static str = "IMAGE [OTHER]";
    const GROUP: Group = Group::Image;

    fn run(self, context: &Context) -> Outcome {
        let store = context.store()?;
        let image = store.images().resolve(&self.image)?;
        let differences = match &self.other {
            Some(other) => image::compare(&store, &store.images().resolve(other)?, &image)?,
            None => image::compare_with_parent(&store, &image)?,
        };
        print(&differences).map(|()| ExitCode::SUCCESS)
    }
}
