//! `pull`: gets images from registries.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use image::{PullOptions, Pulled, Silent, TransferProgress};
use oci::{Platform, Reference};
use registry::Client;
use store::StoreError;
use trust::{Policy, Verified};

use super::container_args::{PullWish, flag};
use super::trust_args::{TrustArgs, failure};
use super::{Group, Verb};
use crate::context::Context;
use crate::error::{Failure, NO_IMAGE, Outcome};
use crate::ui;
use crate::ui::transfer::{Direction, Display};

/// Pull an image from a registry
#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    /// Pull all tags of the repository
    #[arg(short, long)]
    all_tags: bool,
    /// Accepted for Docker's sake: every digest is checked anyhow
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    disable_content_trust: Option<bool>,
    /// Pull the image for this machine and no other: OS/ARCHITECTURE[/VARIANT]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// Print nothing but the name of the image
    #[arg(short, long)]
    quiet: bool,
    /// Pull only what is signed: by this key (a cosign.pub), or as policy.json says
    #[arg(long, value_name = "KEY", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    verify: Vec<OsString>,
    #[command(flatten)]
    trust: TrustArgs,
    /// The image
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

impl Verb for PullArgs {
    const NAME: &'static str = "pull";
    const ABOUT: &'static str = "Pull an image from a registry";
    const USAGE: &'static str = "[OPTIONS] IMAGE[:TAG|@DIGEST]...";
    const AFTER_HELP: &'static str = "Examples:\n  conductor pull debian:bookworm\n  \
                                      conductor pull --platform linux/arm64 registry.example:5000/team/app\n  \
                                      conductor pull --verify=cosign.pub registry.example:5000/team/app";
    const GROUP: Group = Group::Common;

    fn run(self, context: &Context) -> Outcome {
        let platform = self.platform.as_deref();
        let platform = platform.map(|text| flag("platform", text.parse::<Platform>())).transpose()?;
        let options = PullOptions { platform, policy: self.policy(context)? };
        let recorder = context.recorder()?;
        let client = Client::new(context.registries(self.trust.tls_verify)?, &recorder);
        for asked in &self.images {
            for name in self.names(&client, asked)? {
                self.pull(context, &client, &name, &options)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl PullArgs {
    /// What the machine demands, and the wishes on top of it.
    fn policy(&self, context: &Context) -> Result<Policy, Failure> {
        let keys = self.verify.iter().filter(|key| !key.is_empty()).map(PathBuf::from).collect();
        Ok(context.policy()?.with_keys(keys).insisting(!self.verify.is_empty()))
    }

    fn names(&self, client: &Client<'_>, asked: &str) -> Result<Vec<Reference>, Failure> {
        let name: Reference = asked.parse()?;
        if !self.all_tags {
            return Ok(vec![name]);
        }
        if name.digest().is_some() || asked.parse() != format!("{}:latest", name.repository()).parse::<Reference>() {
            return Err(Failure::message("--all-tags takes the name of a repository, without tag and digest"));
        }
        let tags = client.repository(&name)?.tags()?;
        tags.iter().map(|tag| Ok(format!("{}:{tag}", name.repository()).parse()?)).collect()
    }

    fn pull(
        &self,
        context: &Context,
        client: &Client<'_>,
        name: &Reference,
        options: &PullOptions,
    ) -> Result<(), Failure> {
        let store = context.store()?;
        let pulled = if self.quiet {
            pull(context, &store, client, name, options, &Silent)?
        } else {
            ui::remark(&format!("pulling {}", name.familiar()));
            pull(context, &store, client, name, options, &Display::new(Direction::Down))?
        };
        if let Some(platform) = &pulled.foreign {
            ui::remark(&format!("warning: {} is for {platform}, and this machine is another one", name.familiar()));
        }
        if !self.quiet {
            let what = if pulled.was_here { "Image is up to date" } else { "Downloaded newer image" };
            ui::print_line(&format!("Digest: {}", pulled.digest))?;
            for verified in &pulled.verified {
                ui::print_line(&format!("Verified: {}", told(verified)))?;
            }
            ui::print_line(&format!("Status: {what} for {}", name.familiar()))?;
        }
        ui::print_line(&name.to_string())
    }
}

/// Sees to it that the image of a new container is here.
pub(crate) fn ensure(context: &Context, asked: &str, wish: &PullWish) -> Result<(), Failure> {
    let policy = wish.policy.as_deref().unwrap_or("missing");
    // An ID is no name, and what the binary carries is never pulled.
    let Ok(name) = asked.parse::<Reference>() else { return Ok(()) };
    if policy == "never" || image::is_hello(&name) {
        return Ok(());
    }
    let store = context.store()?;
    match store.images().resolve(asked) {
        Err(StoreError::NotFound(_)) => {}
        _ if policy == "always" => {}
        _ => return Ok(()),
    }
    let platform = wish.platform.as_deref();
    let platform = platform.map(|text| flag("platform", text.parse())).transpose()?;
    let options = PullOptions { platform, policy: context.policy()? };
    let recorder = context.recorder()?;
    let client = Client::new(context.registries(wish.trust.tls_verify)?, &recorder);
    let pulled = if wish.quiet {
        pull(context, &store, &client, &name, &options, &Silent)
    } else {
        ui::remark(&format!("pulling {}", name.familiar()));
        pull(context, &store, &client, &name, &options, &Display::new(Direction::Down))
    };
    let what = || match policy {
        "always" => format!("cannot pull {}, as --pull always wants", name.familiar()),
        _ => format!("no such image: {}, and it cannot be pulled", name.familiar()),
    };
    let pulled = pulled.map_err(|failure| failure.doing(what()).or_hint(NO_IMAGE))?;
    if !wish.quiet {
        pulled.verified.iter().for_each(|verified| ui::remark(&told(verified)));
    }
    Ok(())
}

fn told(verified: &Verified) -> String {
    format!("{} is signed by {}", verified.digest, verified.key)
}

/// Pulls one image; what is wrong with credentials and signatures gets a hint.
pub(crate) fn pull(
    context: &Context,
    store: &store::Store,
    client: &Client<'_>,
    name: &Reference,
    options: &PullOptions,
    progress: &dyn TransferProgress,
) -> Result<Pulled, Failure> {
    image::pull(store, client, name, options, progress, &context.recorder()?)
        .map_err(|error| failure(error, name.domain()))
}
