//! Manifests: read, asked about, put, deleted (distribution-spec, "Pulling manifests", "Pushing Manifests").

use oci::Digest;
use serde::Deserialize;
use ureq::http::Method;

use crate::complaint::clean;
use crate::error::{Error, Fault};
use crate::repository::{Repository, Version};
use crate::session::Session;
use crate::wire::Answer;

/// The longest manifest, in bytes; it is what other registries and clients take.
pub const LONGEST_MANIFEST: u64 = 4 << 20;

/// The kinds of documents that we can use, the specification's first.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// A manifest or an index, as its registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// What kind of document it says it is.
    pub media_type: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// What a registry says about a manifest without giving it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestHead {
    /// What kind of document it is said to be.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// The little of a document that says what it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    schema_version: Option<u64>,
    media_type: Option<String>,
}

impl Repository<'_> {
    /// Gets a manifest or an index. Its bytes are held against the digest that was asked for.
    pub fn manifest(&self, version: &Version) -> Result<Manifest, Error> {
        let by_digest = matches!(version, Version::Digest(_));
        let got = self.read_any(by_digest, |session| get(session, version));
        got.map_err(self.error(format_args!("get the manifest {version} of")))
    }

    /// Asks about a manifest; nothing where there is none.
    pub fn manifest_head(&self, version: &Version) -> Result<Option<ManifestHead>, Error> {
        let by_digest = matches!(version, Version::Digest(_));
        match self.read_any(by_digest, |session| head(session, version)) {
            Err(Fault::NotFound { .. }) => Ok(None),
            other => other.map(Some).map_err(self.error(format_args!("ask about the manifest {version} of"))),
        }
    }

    /// Tells whether the registry has a manifest in this repository. Mirrors are not asked: it is for what is to be pushed.
    pub fn has_manifest(&self, digest: &Digest) -> Result<bool, Error> {
        match head(&self.registry, &Version::Digest(*digest)) {
            Err(Fault::NotFound { .. }) => Ok(false),
            other => other.map(|_| true).map_err(self.error(format_args!("ask about the manifest {digest} of"))),
        }
    }

    /// Puts a manifest under a tag or under its digest, and returns its digest. One that refers to another is also put down among
    /// what refers to that, where the registry does not do so itself.
    pub fn put_manifest(&self, version: &Version, media_type: &str, bytes: &[u8]) -> Result<Digest, Error> {
        let put = || {
            let put = put(&self.registry, version, media_type, bytes)?;
            if !put.knows_subject {
                self.note_referrer(media_type, &put.digest, bytes)?;
            }
            Ok(put.digest)
        };
        put().map_err(self.error(format_args!("put the manifest {version} to")))
    }

    /// Deletes a tag, or a manifest with all its tags; content when there is none.
    pub fn delete_manifest(&self, version: &Version) -> Result<(), Error> {
        let session = &self.registry;
        let what = format!("delete the manifest {version} from {}", session.name());
        let ask = session.ask(Method::DELETE, &format!("manifests/{version}"), session.delete_scope(), what);
        let deleted = session.send(&ask).and_then(|answer| done_or_gone(session, answer));
        deleted.map_err(self.error(format_args!("delete the manifest {version} of")))
    }
}

/// What is to be deleted and not there is as good as deleted.
pub(crate) fn done_or_gone(session: &Session<'_>, answer: Answer) -> Result<(), Fault> {
    if answer.is_success() || answer.status == 404 { Ok(()) } else { Err(session.refused(answer)) }
}

fn get(session: &Session<'_>, version: &Version) -> Result<Manifest, Fault> {
    let answer = ask(session, Method::GET, version)?;
    let said = answer.header("Content-Type").map(bare_type);
    let promised = answer.header("Docker-Content-Digest").and_then(|text| text.trim().parse::<Digest>().ok());
    let bytes = session.read(answer, LONGEST_MANIFEST)?;
    let digest = Digest::of(&bytes);
    let asked = match version {
        Version::Digest(digest) => Some(*digest),
        Version::Tag(_) => None,
    };
    for expected in asked.into_iter().chain(promised) {
        if expected != digest {
            return Err(Fault::Digest { server: session.name().to_owned(), expected, actual: digest });
        }
    }
    Ok(Manifest { media_type: kind(session, &bytes, said.as_deref())?, digest, bytes })
}

fn head(session: &Session<'_>, version: &Version) -> Result<ManifestHead, Fault> {
    let answer = ask(session, Method::HEAD, version)?;
    let digest = answer.header("Docker-Content-Digest").and_then(|text| text.trim().parse::<Digest>().ok());
    let digest = match (version, digest) {
        (Version::Digest(asked), Some(said)) if *asked != said => {
            return Err(Fault::Digest { server: session.name().to_owned(), expected: *asked, actual: said });
        }
        (Version::Digest(asked), _) => Some(*asked),
        (Version::Tag(_), said) => said,
    };
    let size = answer.header("Content-Length").and_then(|text| text.parse().ok());
    let media_type = answer.header("Content-Type").map(bare_type);
    if let (Some(digest), Some(size), Some(media_type)) = (digest, size, media_type) {
        return Ok(ManifestHead { media_type, digest, size });
    }
    // A registry that says too little has to give the whole.
    let Manifest { media_type, digest, bytes } = get(session, version)?;
    Ok(ManifestHead { media_type, digest, size: bytes.len() as u64 })
}

fn ask(session: &Session<'_>, method: Method, version: &Version) -> Result<Answer, Fault> {
    let verb = if method == Method::HEAD { "ask about" } else { "get" };
    let what = format!("{verb} the manifest {version} of {} at {}", session.site.path, session.name());
    let ask = session.ask(method, &format!("manifests/{version}"), session.pull_scope(), what);
    let answer = session.send(&ask.header("Accept", ACCEPT))?;
    if answer.status == 200 { Ok(answer) } else { Err(session.refused(answer)) }
}

/// What a registry says of a manifest that it has taken.
pub(crate) struct Put {
    digest: Digest,
    /// Whether it has seen that the manifest refers to another one.
    knows_subject: bool,
}

pub(crate) fn put(session: &Session<'_>, version: &Version, media_type: &str, bytes: &[u8]) -> Result<Put, Fault> {
    let digest = Digest::of(bytes);
    if let Version::Digest(expected) = version
        && *expected != digest
    {
        return Err(Fault::Digest { server: session.name().to_owned(), expected: *expected, actual: digest });
    }
    let what = format!("put the manifest {version} of {} to {}", session.site.path, session.name());
    let ask = session.ask(Method::PUT, &format!("manifests/{version}"), session.push_scope(), what);
    let answer = session.send_bytes(&ask.header("Content-Type", media_type), Some(bytes))?;
    if !answer.is_success() {
        return Err(session.refused(answer));
    }
    let knows_subject = answer.header("OCI-Subject").is_some();
    match answer.header("Docker-Content-Digest").and_then(|text| text.trim().parse::<Digest>().ok()) {
        Some(actual) if actual != digest => {
            Err(Fault::Digest { server: session.name().to_owned(), expected: digest, actual })
        }
        _ => Ok(Put { digest, knows_subject }),
    }
}

/// Finds out what a document is: by itself where it says so, else by what its registry says.
fn kind(session: &Session<'_>, bytes: &[u8], said: Option<&str>) -> Result<String, Fault> {
    let kind: Kind = serde_json::from_slice(bytes).map_err(|_| session.odd("is no manifest but something else"))?;
    let old = |media_type: &str| media_type.starts_with("application/vnd.docker.distribution.manifest.v1+");
    if kind.schema_version == Some(1) || said.is_some_and(old) || kind.media_type.as_deref().is_some_and(old) {
        return Err(Fault::Schema1 { server: session.name().to_owned() });
    }
    if let (Some(own), Some(said)) = (&kind.media_type, said)
        && own != said
    {
        tracing::warn!(own, said, "a manifest and its registry do not agree on what it is");
    }
    Ok(kind.media_type.or(said.map(str::to_owned)).unwrap_or_default())
}

fn bare_type(text: &str) -> String {
    clean(text.split(';').next().unwrap_or_default())
}
