//! `manifest push`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use image::lists::ListPushOptions;
use image::{Silent, TransferProgress};
use oci::{ListKind, Reference};
use registry::Client;

use super::super::trust_args::ListTrustArgs;
use super::super::{Group, Verb};
use super::{failure, origins, reference};
use crate::context::Context;
use crate::error::Outcome;
use crate::ui;
use crate::ui::transfer::{Direction, Display};

/// Push a manifest list with all the images in it
#[derive(Debug, Args)]
pub(in super::super) struct ManifestPushArgs {
    /// Accepted for Podman's sake: all the images go with the list anyhow
    #[arg(long, hide = true)]
    all: bool,
    /// The document that the list becomes (default v2s2 where all in it is Docker's, else oci)
    #[arg(short, long, value_name = "FORM")]
    format: Option<Form>,
    #[command(flatten)]
    trust: ListTrustArgs,
    /// Remove the list when it is pushed
    #[arg(short, long, alias = "rm")]
    purge: bool,
    /// Print nothing but the digest
    #[arg(short, long)]
    quiet: bool,
    /// The list
    #[arg(value_name = "LIST")]
    list: String,
    /// Where it goes, if not to where its name says
    #[arg(value_name = "DESTINATION")]
    destination: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    /// The index of the OCI
    Oci,
    /// Docker's manifest list
    V2s2,
}

impl Verb for ManifestPushArgs {
    const NAME: &'static str = "push";
    const ABOUT: &'static str = "Push a manifest list with all the images in it";
    const USAGE: &'static str = "[OPTIONS] LIST [DESTINATION]";
    const AFTER_HELP: &'static str = "\
Images that are here are pushed and those of a registry copied, unless they are there already.
The digest is printed.

Examples:\n  conductor manifest push registry.example/team/app:1\n  \
           conductor manifest push --purge app registry.example/team/app:1";
    const GROUP: Group = Group::Image;

    fn run(self, context: &Context) -> Outcome {
        let name: Reference = self.list.parse()?;
        let to = self.destination.as_deref().map_or_else(|| Ok(name.clone()), reference)?;
        let (store, recorder) = (context.store()?, context.recorder()?);
        let known = store.lists().get(&name).map_err(|error| failure(error.into(), None))?;
        // Images may come from several registries, all of which the option is about.
        let registries: Vec<_> = origins(&known).chain([&to]).collect();
        let client = Client::new(context.registries(self.trust.verify())?, &recorder);
        let only = Some(&to).filter(|to| registries.iter().all(|name| name.domain() == to.domain()));
        let options = ListPushOptions { kind: self.format.map(Form::kind), purge: self.purge };
        let push = |progress: &dyn TransferProgress| {
            let pushed = image::lists::push(&store, &client, &name, &to, options, progress, &recorder);
            pushed.map_err(|error| failure(error, only))
        };
        let pushed = if self.quiet {
            push(&Silent)?
        } else {
            ui::remark(&format!("pushing to {}", to.repository()));
            push(&Display::new(Direction::Up))?
        };
        for machine in &pushed.repeated {
            ui::warn(&format!("several images of {} are for {machine}: whoever pulls gets the first", to.familiar()));
        }
        if self.purge && !pushed.purged {
            ui::warn(&format!("{} was changed while it was pushed, and stays", name.familiar()));
        }
        ui::print_line(&pushed.digest.to_string()).map(|()| ExitCode::SUCCESS)
    }
}

impl Form {
    fn kind(self) -> ListKind {
        match self {
            Self::Oci => ListKind::Oci,
            Self::V2s2 => ListKind::Docker,
        }
    }
}
