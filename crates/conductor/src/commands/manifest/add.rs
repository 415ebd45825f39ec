//! `manifest add`.

use std::process::ExitCode;

use clap::Args;
use image::lists::ListError;
use oci::{ManifestList, Reference};

use super::super::trust_args::ListTrustArgs;
use super::super::{Group, Verb};
use super::annotate::DetailArgs;
use super::{failure, find};
use crate::context::Context;
use crate::error::Outcome;
use crate::ui;

/// Add images to a manifest list
#[derive(Debug, Args)]
pub(in super::super) struct ManifestAddArgs {
    /// Accepted for Podman's sake: an index at a registry is always all the images in it
    #[arg(long, hide = true)]
    all: bool,
    #[command(flatten)]
    trust: ListTrustArgs,
    #[command(flatten)]
    details: DetailArgs,
    /// The list
    #[arg(value_name = "LIST")]
    list: String,
    /// The images
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
}

impl Verb for ManifestAddArgs {
    const NAME: &'static str = "add";
    const ABOUT: &'static str = "Add images to a manifest list";
    const USAGE: &'static str = "[OPTIONS] LIST IMAGE [IMAGE...]";
    const AFTER_HELP: &'static str = "\
An image that is here comes first; docker://IMAGE means the one at the registry.
An index at a registry is all the images in it.

Examples:\n  conductor manifest add team/app:1 team/app:1-arm64\n  \
           conductor manifest add --arch arm64 --variant v8 team/app:1 docker://registry.example/team/app:arm";
    const GROUP: Group = Group::Image;

    fn run(self, context: &Context) -> Outcome {
        let name: Reference = self.list.parse()?;
        let (machine, remarks) = self.details.read()?;
        let (store, recorder) = (context.store()?, context.recorder()?);
        // A list that is not there is told before anybody is asked.
        store.lists().get(&name).map_err(|error| failure(error.into(), None))?;
        let mut found = find(context, &self.trust, &self.images)?;
        for member in found.iter_mut().flatten() {
            member.entry.annotate(&machine, &remarks)?;
        }
        let put = |list: &mut ManifestList| {
            found.into_iter().try_for_each(|members| list.put(members)).map_err(ListError::from)
        };
        store.lists().change(&name, &recorder, put).map_err(|error| failure(error, None))?;
        ui::print_line(&name.to_string()).map(|()| ExitCode::SUCCESS)
    }
}
