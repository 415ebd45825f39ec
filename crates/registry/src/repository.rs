//! A repository: its documents and blobs, on its registry and on the mirrors that have copies.
//!
//! What is read is asked of the mirrors first, in order; what is changed is changed at the registry alone.

use oci::{Digest, Reference};
use trace::Step;
use ureq::http::Method;

use crate::error::{Error, Fault};
use crate::hosts::MirrorPull;
use crate::scope::Scope;
use crate::session::{Ask, Session, Target};

/// A repository of a registry. Several threads may use it at a time.
#[derive(Debug)]
pub struct Repository<'c> {
    pub(crate) registry: Session<'c>,
    pub(crate) mirrors: Vec<(Session<'c>, MirrorPull)>,
    name: String,
}

/// Which of a repository's manifests is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// The one that the tag is on now.
    Tag(String),
    /// The one with this digest, for ever.
    Digest(Digest),
}

impl Version {
    /// Returns what a reference means: its digest where it has one.
    pub fn of(reference: &Reference) -> Self {
        match (reference.digest(), reference.tag()) {
            (Some(digest), _) => Self::Digest(*digest),
            (None, tag) => Self::Tag(tag.unwrap_or("latest").to_owned()),
        }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => write!(f, "{digest}"),
        }
    }
}

impl<'c> Repository<'c> {
    pub(crate) fn new(registry: Session<'c>, mirrors: Vec<(Session<'c>, MirrorPull)>, name: String) -> Self {
        Self { registry, mirrors, name }
    }

    /// Returns the name: domain and path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads from whoever has it first.
    pub(crate) fn read_any<T>(
        &self,
        by_digest: bool,
        read: impl Fn(&Session<'c>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        for (mirror, pull) in &self.mirrors {
            if !takes(*pull, by_digest) {
                continue;
            }
            match read(mirror) {
                Ok(done) => return Ok(done),
                Err(fault) => self.pass_over(mirror, &fault),
            }
        }
        read(&self.registry)
    }

    /// Returns all that may have a blob, in order.
    pub(crate) fn sources(&self) -> Vec<&Session<'c>> {
        let mirrors = self.mirrors.iter().filter(|(_, pull)| takes(*pull, true)).map(|(mirror, _)| mirror);
        mirrors.chain([&self.registry]).collect()
    }

    pub(crate) fn pass_over(&self, mirror: &Session<'_>, fault: &Fault) {
        tracing::warn!(mirror = mirror.name(), reason = %chain(fault), "a mirror of {} is passed over", self.name);
        let what = format!("pass over the mirror {} of {}", mirror.name(), self.name);
        mirror.client.recorder.record(&Step::host(what, ""));
    }

    pub(crate) fn error(&self, task: impl std::fmt::Display) -> impl FnOnce(Fault) -> Error {
        let task = format!("{task} {}", self.name);
        move |fault| Error::new(task, fault)
    }
}

impl Session<'_> {
    /// Composes a question about something below the repository: `manifests/latest`.
    pub(crate) fn ask(&self, method: Method, below: &str, scope: Scope, what: impl Into<String>) -> Ask {
        Ask::new(method, Target::Own(format!("/v2/{}/{below}", self.site.path)), scope, what)
    }

    pub(crate) fn pull_scope(&self) -> Scope {
        Scope::pull(&self.site.path)
    }

    pub(crate) fn push_scope(&self) -> Scope {
        Scope::push(&self.site.path)
    }

    pub(crate) fn delete_scope(&self) -> Scope {
        Scope::delete(&self.site.path)
    }
}

fn takes(pull: MirrorPull, by_digest: bool) -> bool {
    match pull {
        MirrorPull::All => true,
        MirrorPull::DigestOnly => by_digest,
        MirrorPull::TagOnly => !by_digest,
    }
}

/// Tells an error with all its causes, for a log.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
