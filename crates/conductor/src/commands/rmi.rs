//! `rmi`: removes images, or names of images.

use clap::Args;
use engine::Engine;
use oci::Reference;
use store::{Removed, Store};

use super::{Group, Verb, each};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;

/// Remove one or more images
#[derive(Debug, Args)]
pub(crate) struct RmiArgs {
    /// Remove an image that a stopped container uses, and one that has several names; be content when there is none
    #[arg(short, long)]
    force: bool,
    /// Accepted for Docker's sake: there are no parents to keep
    #[arg(long, hide = true)]
    no_prune: bool,
    /// The images
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

impl Verb for RmiArgs {
    const NAME: &'static str = "rmi";
    const ABOUT: &'static str = "Remove one or more images";
    const USAGE: &'static str = "[OPTIONS] IMAGE [IMAGE...]";
    const GROUP: Group = Group::Common;

    fn run(self, context: &Context) -> Outcome {
        let (engine, store) = (context.engine()?, context.store()?);
        each(&self.images, |image| match remove(&engine, &store, image, self.force) {
            Ok(removed) => report(&removed),
            Err(store::StoreError::NotFound(_)) if self.force => {
                ui::warn(&format!("no such image: {image}"));
                Ok(())
            }
            Err(error) => Err(error.into()),
        })
    }
}

/// Removes an image, unless a container uses it.
pub(crate) fn remove(engine: &Engine, store: &Store, image: &str, force: bool) -> Result<Removed, store::StoreError> {
    store.images().remove(image, force, &|id| engine.usage_of_image(id, drop), engine.recorder())
}

/// Prints what a removal took away.
pub(crate) fn report(removed: &Removed) -> Result<(), Failure> {
    let untagged = removed.untagged.iter().map(|name| format!("Untagged: {}\n", Reference::familiar(name)));
    let deleted = removed.deleted.iter().map(|id| format!("Deleted: {id}\n"));
    ui::print(&untagged.chain(deleted).collect::<String>())
}
