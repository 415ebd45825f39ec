//! `manifest`: images for several machines put together under one name, looked into, and pushed.
//!
//! The words are Docker's, with Podman's `add` and `remove` among them. A list lies in the store until it is removed; what it may
//! hold and where its images come from is told in docs/decisions/0022.

mod add;
mod annotate;
mod create;
mod inspect;
mod ls;
mod push;
mod remove;
mod rm;

pub(super) use add::ManifestAddArgs;
pub(super) use annotate::ManifestAnnotateArgs;
pub(super) use create::ManifestCreateArgs;
pub(super) use inspect::ManifestInspectArgs;
pub(super) use ls::ManifestLsArgs;
pub(super) use push::ManifestPushArgs;
pub(super) use remove::ManifestRemoveArgs;
pub(super) use rm::ManifestRmArgs;

use image::lists::{AT_REGISTRY, ListError};
use oci::{ManifestList, Member, Origin, Reference};
use registry::{Client, Rule, Settings};
use store::StoreError;

use crate::context::Context;
use crate::error::Failure;

/// Reads the settings about registries; with `insecure`, the registries of these names need no TLS that can be checked.
fn settings<'n>(
    context: &Context,
    insecure: bool,
    names: impl IntoIterator<Item = &'n Reference>,
) -> Result<Settings, Failure> {
    let mut settings = context.registries()?;
    for name in names.into_iter().filter(|_| insecure) {
        let rules = &mut settings.hosts.rules;
        if !rules.iter().any(|rule| rule.prefix == name.domain()) {
            rules.push(Rule { prefix: name.domain().to_owned(), ..Rule::default() });
        }
        let same = |rule: &&mut Rule| rule.prefix.split('/').next() == Some(name.domain());
        rules.iter_mut().filter(same).for_each(|rule| rule.insecure = true);
    }
    Ok(settings)
}

/// Returns the names at registries of what is in a list.
fn origins(list: &ManifestList) -> impl Iterator<Item = &Reference> {
    list.members().iter().filter_map(|member| match &member.origin {
        Origin::Registry(name) => Some(name),
        Origin::Image(_) => None,
    })
}

/// Reads a name, before which `docker://` may stand.
fn reference(text: &str) -> Result<Reference, Failure> {
    Ok(text.strip_prefix(AT_REGISTRY).unwrap_or(text).parse()?)
}

/// Finds all that several names stand for; nothing is changed before all are found.
fn find(context: &Context, insecure: bool, asked: &[String]) -> Result<Vec<Vec<Member>>, Failure> {
    // An ID is no name, and no registry is asked for it.
    let names: Vec<_> = asked.iter().filter_map(|asked| reference(asked).ok()).collect();
    let (store, recorder) = (context.store()?, context.recorder()?);
    let client = Client::new(settings(context, insecure, &names)?, &recorder);
    let find = |asked: &String| {
        let found = image::lists::find(&store, &client, asked);
        found.map_err(|error| failure(error, reference(asked).ok().as_ref()))
    };
    asked.iter().map(find).collect()
}

/// Tells what can be done about an error with a list, where that is known; `registry` is the one that a login would be for.
fn failure(error: ListError, registry: Option<&Reference>) -> Failure {
    let hint = match &error {
        ListError::Store(StoreError::NoList(_)) => {
            Some("'conductor manifest ls' lists what there is; 'conductor manifest create' makes one".to_owned())
        }
        ListError::Gone { .. } => Some(
            "bring it back and 'conductor manifest add' it, or 'conductor manifest remove' it from the list".to_owned(),
        ),
        error if error.wants_login() => registry.map(|name| format!("conductor login {}", name.domain())),
        _ => None,
    };
    let failure = Failure::new(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
