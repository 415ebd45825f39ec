//! `manifest inspect`.

use std::process::ExitCode;

use clap::Args;
use image::lists::{self, AT_REGISTRY, ListError};
use oci::{ManifestList, Member, Reference};
use registry::{Client, Version};
use serde_json::{Value, json};
use store::{Store, StoreError};

use super::super::inspect::Document;
use super::super::trust_args::ListTrustArgs;
use super::super::{Group, Verb};
use super::{failure, reference};
use crate::context::Context;
use crate::error::Outcome;
use crate::ui;

/// Print a manifest list, or what a registry has under a name
#[derive(Debug, Args)]
pub(in super::super) struct ManifestInspectArgs {
    #[command(flatten)]
    trust: ListTrustArgs,
    /// Print how each image stands in an index, and its manifest
    #[arg(short, long)]
    verbose: bool,
    /// The list, or the name of an image at a registry
    #[arg(value_name = "LIST|IMAGE")]
    name: String,
    /// An image of the list, by its name or digest
    #[arg(value_name = "MEMBER")]
    member: Option<String>,
}

impl Verb for ManifestInspectArgs {
    const NAME: &'static str = "inspect";
    const ABOUT: &'static str = "Print a manifest list, or what a registry has under a name";
    const USAGE: &'static str = "[OPTIONS] LIST|IMAGE [MEMBER]";
    const AFTER_HELP: &'static str = "\
A list that is here comes first; docker://IMAGE means what is at the registry.
Until it is pushed, an image that is here stands in the list with the digest that it has here.

Examples:\n  conductor manifest inspect team/app:1\n  conductor manifest inspect -v debian:bookworm";
    const GROUP: Group = Group::Image;

    fn run(self, context: &Context) -> Outcome {
        let name = reference(&self.name)?;
        let (store, recorder) = (context.store()?, context.recorder()?);
        let known = match self.name.starts_with(AT_REGISTRY) {
            true => None,
            false => store.lists().find(&name)?,
        };
        let client = Client::new(context.registries(self.trust.verify())?, &recorder);
        let look = Look { store: &store, client: &client, verbose: self.verbose };
        let found = match (&known, &self.member) {
            (Some(list), Some(member)) => look.member(list, member),
            (Some(list), None) => look.list(list),
            (None, Some(_)) => Err(StoreError::NoList(name.familiar()).into()),
            (None, None) => look.at_registry(&name),
        };
        let document = Document::of(&found.map_err(|error| failure(error, Some(&name)))?)?;
        ui::print_line(document.text()).map(|()| ExitCode::SUCCESS)
    }
}

/// Where is looked, and how closely.
struct Look<'a> {
    store: &'a Store,
    client: &'a Client<'a>,
    verbose: bool,
}

impl Look<'_> {
    fn list(&self, list: &ManifestList) -> Result<Value, ListError> {
        match self.verbose {
            true => list.members().iter().map(|member| self.verbosely(member)).collect(),
            false => json(&list.index(list.kind(None)?)?),
        }
    }

    fn member(&self, list: &ManifestList, asked: &str) -> Result<Value, ListError> {
        let member = list.find(asked)?;
        match self.verbose {
            true => self.verbosely(member),
            false => json(&lists::manifest(self.store, self.client, member)?),
        }
    }

    fn at_registry(&self, name: &Reference) -> Result<Value, ListError> {
        if !self.verbose {
            return json(&self.client.repository(name)?.manifest(&Version::of(name))?.bytes);
        }
        let members = lists::find(self.store, self.client, &format!("{AT_REGISTRY}{name}"))?;
        match &members[..] {
            [member] => self.verbosely(member),
            members => members.iter().map(|member| self.verbosely(member)).collect(),
        }
    }

    /// As Docker tells it.
    fn verbosely(&self, member: &Member) -> Result<Value, ListError> {
        let manifest = json(&lists::manifest(self.store, self.client, member)?)?;
        let key = if member.entry.is_docker() { "SchemaV2Manifest" } else { "OCIManifest" };
        let name = member.name.as_ref().map(Reference::to_string);
        Ok(json!({ "Ref": name, "Descriptor": member.entry, key: manifest }))
    }
}

fn json(bytes: &[u8]) -> Result<Value, ListError> {
    Ok(serde_json::from_slice(bytes).map_err(oci::ListError::Shape)?)
}
