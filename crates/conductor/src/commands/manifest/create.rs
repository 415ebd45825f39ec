//! `manifest create`.

use std::process::ExitCode;

use clap::Args;
use image::lists::ListError;
use oci::{ManifestList, Reference};
use store::StoreError;

use super::super::trust_args::ListTrustArgs;
use super::super::{Group, Verb};
use super::{failure, find};
use crate::context::Context;
use crate::error::{Failure, Outcome};
use crate::ui;

/// Make a manifest list: images for several machines under one name, to be pushed
#[derive(Debug, Args)]
pub(in super::super) struct ManifestCreateArgs {
    /// Accepted for Podman's sake: an index at a registry is always all the images in it
    #[arg(long, hide = true)]
    all: bool,
    /// Add to a list that is there already
    #[arg(short, long)]
    amend: bool,
    #[command(flatten)]
    trust: ListTrustArgs,
    /// The list; its name says where it goes
    #[arg(value_name = "LIST")]
    list: String,
    /// The images
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
}

impl Verb for ManifestCreateArgs {
    const NAME: &'static str = "create";
    const ABOUT: &'static str = "Make a manifest list: images for several machines under one name, to be pushed";
    const USAGE: &'static str = "[OPTIONS] LIST [IMAGE...]";
    const AFTER_HELP: &'static str = "\
An image that is here comes first; docker://IMAGE means the one at the registry.
An index at a registry is all the images in it.
The list does not keep images that are here from being removed; a push says which one has gone.

Examples:\n  conductor manifest create registry.example/team/app:1 app:amd64 app:arm64\n  \
           conductor manifest push registry.example/team/app:1";
    const GROUP: Group = Group::Image;

    fn run(self, context: &Context) -> Outcome {
        let name: Reference = self.list.parse()?;
        let (store, recorder) = (context.store()?, context.recorder()?);
        // What cannot be done is told before anybody is asked.
        if store.lists().find(&name)?.is_some() && !self.amend {
            return Err(exists(&name));
        }
        let found = find(context, &self.trust, &self.images)?;
        let put = |known: Option<ManifestList>| {
            if known.is_some() && !self.amend {
                return Err(StoreError::ListExists(name.familiar()).into());
            }
            let mut list = known.unwrap_or_default();
            found.into_iter().try_for_each(|members| list.put(members))?;
            Ok(list)
        };
        store.lists().change_or_create(&name, &recorder, put).map_err(|error: ListError| match error {
            ListError::Store(StoreError::ListExists(_)) => exists(&name),
            error => failure(error, None),
        })?;
        ui::print_line(&format!("Created manifest list {name}")).map(|()| ExitCode::SUCCESS)
    }
}

fn exists(name: &Reference) -> Failure {
    Failure::new(StoreError::ListExists(name.familiar())).hint("--amend adds to it; 'conductor manifest rm' removes it")
}
