//! `image tree`: the layers of an image, and whose they are besides.

use std::process::ExitCode;

use clap::Args;
use oci::Reference;
use store::{Image, Listed};

use super::{Group, Verb};
use crate::context::Context;
use crate::error::Outcome;
use crate::ui;
use crate::ui::size::human_size;

/// Show the layers of an image, and the images that end with one of them
#[derive(Debug, Args)]
pub(crate) struct TreeArgs {
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
}

impl Verb for TreeArgs {
    const NAME: &'static str = "tree";
    const ABOUT: &'static str = "Show the layers of an image, and the images that end with one of them";
    const USAGE: &'static str = "IMAGE";
    const GROUP: Group = Group::Image;

    fn run(self, context: &Context) -> Outcome {
        let store = context.store()?;
        let image = store.images().resolve(&self.image)?;
        let mut others = Vec::new();
        for listed in store.images().list()? {
            // One that is removed meanwhile is no longer of interest.
            if let Ok(other) = store.images().load(&listed.id) {
                others.push((other, listed));
            }
        }
        ui::print(&tree(&image, &others)).map(|()| ExitCode::SUCCESS)
    }
}

fn tree(image: &Image, others: &[(Image, Listed)]) -> String {
    let names = |listed: &Listed| listed.names.iter().map(Reference::familiar).collect::<Vec<_>>().join(", ");
    let own = others.iter().find(|(other, _)| other.id == image.id);
    let mut text = format!(
        "Image ID: {}\nTags:     [{}]\nSize:     {}\nImage Layers\n",
        image.id.short(),
        own.map(|(_, listed)| names(listed)).unwrap_or_default(),
        human_size(image.size)
    );
    for (number, layer) in image.layers.iter().enumerate() {
        let is_last = number + 1 == image.layers.len();
        let below = &image.layers[..=number];
        let same =
            |other: &Image| other.layers.iter().map(|layer| layer.diff_id).eq(below.iter().map(|layer| layer.diff_id));
        let top: Vec<_> = others.iter().filter(|(other, _)| same(other)).map(|(_, listed)| names(listed)).collect();
        let top = top.into_iter().filter(|names| !names.is_empty()).collect::<Vec<_>>().join(", ");
        let whose = if top.is_empty() { String::new() } else { format!(" Top Layer of: [{top}]") };
        let branch = if is_last { "└──" } else { "├──" };
        text += &format!("{branch} ID: {} Size: {}{whose}\n", layer.diff_id.short(), human_size(layer.size));
    }
    text
}
