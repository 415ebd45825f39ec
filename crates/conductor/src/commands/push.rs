//! `push`: gives images to registries.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use image::{Packing, PushOptions, Silent};
use oci::Reference;
use registry::Client;

use super::trust_args::{TrustArgs, failure};
use super::{Group, Verb};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;
use crate::ui::transfer::{Direction, Display};

/// Push an image to a registry
#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    /// Push all tags of the repository
    #[arg(short, long)]
    all_tags: bool,
    /// How layers are compressed that are not yet (default gzip, or as they are known to the registry)
    #[arg(long, value_name = "FORM")]
    compression_format: Option<Form>,
    /// Accepted for Docker's sake
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    disable_content_trust: Option<bool>,
    /// Print nothing but the name of the image
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    trust: TrustArgs,
    /// The image; its name says where it goes
    #[arg(value_name = "IMAGE")]
    image: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    /// Read by every engine
    Gzip,
    /// Read faster, by engines since about 2021
    Zstd,
}

impl Verb for PushArgs {
    const NAME: &'static str = "push";
    const ABOUT: &'static str = "Push an image to a registry";
    const USAGE: &'static str = "[OPTIONS] IMAGE[:TAG]";
    const AFTER_HELP: &'static str = "Example:\n  conductor tag mydebian registry.example:5000/team/mydebian\n  \
                                      conductor push registry.example:5000/team/mydebian";
    const GROUP: Group = Group::Image;

    fn run(self, context: &Context) -> Outcome {
        let name: Reference = self.image.parse()?;
        let recorder = context.recorder()?;
        let client = Client::new(context.registries(self.trust.tls_verify)?, &recorder);
        for name in self.names(context, name)? {
            self.push(context, &client, &name)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl PushArgs {
    fn names(&self, context: &Context, name: Reference) -> Result<Vec<Reference>, Failure> {
        if !self.all_tags {
            return Ok(vec![name]);
        }
        let all = context.store()?.images().list()?.into_iter().flat_map(|image| image.names);
        let mut names: Vec<_> =
            all.filter(|other| other.repository() == name.repository() && other.digest().is_none()).collect();
        names.sort();
        match names.is_empty() {
            true => Err(Failure::message(format!("no image here is named {}", name.repository()))),
            false => Ok(names),
        }
    }

    fn push(&self, context: &Context, client: &Client<'_>, name: &Reference) -> Result<(), Failure> {
        let packing = self.compression_format.map(|form| match form {
            Form::Gzip => Packing::Gzip,
            Form::Zstd => Packing::Zstd,
        });
        let (store, recorder, options) = (context.store()?, context.recorder()?, PushOptions { packing });
        let pushed = if self.quiet {
            image::push(&store, client, name, options, &Silent, &recorder)
        } else {
            ui::remark(&format!("pushing to {}", name.repository()));
            image::push(&store, client, name, options, &Display::new(Direction::Up), &recorder)
        };
        let pushed = pushed.map_err(|error| failure(error, name.domain()))?;
        if let Some(before) = pushed.before {
            ui::remark(&format!(
                "note: a layer had to be compressed anew, so the manifest is {}, and no longer {}",
                pushed.digest.short(),
                before.short()
            ));
        }
        if self.quiet {
            return ui::print_line(&name.to_string());
        }
        let tag = name.tag().unwrap_or_default();
        ui::print_line(&format!("{tag}: digest: {} size: {}", pushed.digest, pushed.size))
    }
}
