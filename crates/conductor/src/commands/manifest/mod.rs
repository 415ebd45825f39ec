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
use registry::Client;
use store::StoreError;

use super::trust_args::{self, ListTrustArgs, OfRegistry};
use crate::context::Context;
use crate::error::Failure;

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
fn find(context: &Context, trust: &ListTrustArgs, asked: &[String]) -> Result<Vec<Vec<Member>>, Failure> {
    let (store, recorder) = (context.store()?, context.recorder()?);
    let client = Client::new(context.registries(trust.verify())?, &recorder);
    let find = |asked: &String| {
        let found = image::lists::find(&store, &client, asked);
        found.map_err(|error| failure(error, reference(asked).ok().as_ref()))
    };
    asked.iter().map(find).collect()
}

/// Tells what can be done about an error with a list, where that is known; `registry` is the one that a login would be for.
fn failure(error: ListError, registry: Option<&Reference>) -> Failure {
    trust_args::failure(error, registry.map_or("REGISTRY", Reference::domain))
}

impl OfRegistry for ListError {
    fn of_registry(&self) -> Option<&registry::Error> {
        self.registry()
    }

    fn other_hint(&self) -> Option<String> {
        let hint = match self {
            Self::Store(StoreError::NoList(_)) => {
                "'conductor manifest ls' lists what there is; 'conductor manifest create' makes one"
            }
            Self::Gone { .. } => {
                "bring it back and 'conductor manifest add' it, or 'conductor manifest remove' it from the list"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
