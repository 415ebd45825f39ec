//! `manifest rm`.

use clap::Args;
use oci::Reference;

use super::super::{Group, Verb, each};
use super::failure;
use crate::context::Context;
use crate::error::Outcome;
use crate::ui;

/// Remove manifest lists; the images in them stay
#[derive(Debug, Args)]
pub(in super::super) struct ManifestRmArgs {
    /// The lists
    #[arg(value_name = "LIST", required = true)]
    lists: Vec<String>,
}

impl Verb for ManifestRmArgs {
    const NAME: &'static str = "rm";
    const ABOUT: &'static str = "Remove manifest lists; the images in them stay";
    const USAGE: &'static str = "LIST [LIST...]";
    const GROUP: Group = Group::Image;

    fn run(self, context: &Context) -> Outcome {
        let (store, recorder) = (context.store()?, context.recorder()?);
        each(&self.lists, |text| {
            let name: Reference = text.parse()?;
            store.lists().remove(&name, &recorder).map_err(|error| failure(error.into(), None))?;
            ui::print_line(&name.to_string())
        })
    }
}
