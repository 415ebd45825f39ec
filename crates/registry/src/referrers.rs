//! What refers to a manifest: signatures, lists of parts (distribution-spec, "Listing Referrers").

use std::collections::BTreeMap;

use oci::Digest;
use serde::Deserialize;
use serde_json::{Value, json};
use ureq::http::Method;

use crate::error::{Error, Fault};
use crate::manifest::{LONGEST_MANIFEST, put};
use crate::pages::next_page;
use crate::repository::{Repository, Version};
use crate::session::{Session, Target};
use crate::url::encode;

/// What an index is.
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// More pages than this are not read.
const MOST_PAGES: usize = 100;

/// A manifest that refers to another one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Referrer {
    /// What kind of document it is.
    #[serde(default)]
    pub media_type: String,
    /// What kind of thing it describes.
    #[serde(default)]
    pub artifact_type: Option<String>,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Remarks.
    #[serde(default)]
    pub annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Referrer>,
}

impl Repository<'_> {
    /// Returns what refers to a manifest, of one kind or of all kinds.
    pub fn referrers(&self, digest: &Digest, artifact_type: Option<&str>) -> Result<Vec<Referrer>, Error> {
        let fitting = |found: Vec<Referrer>| {
            let fits =
                |referrer: &Referrer| artifact_type.is_none() || referrer.artifact_type.as_deref() == artifact_type;
            found.into_iter().filter(fits).collect()
        };
        let found = match ask(&self.registry, digest, artifact_type) {
            Ok(Some(found)) => Ok(found),
            Ok(None) => self.by_tag(digest),
            Err(fault) => Err(fault),
        };
        found.map(fitting).map_err(self.error(format_args!("list what refers to {digest} in")))
    }

    /// Where a registry does not know the question, its clients keep the answer under a tag.
    fn by_tag(&self, digest: &Digest) -> Result<Vec<Referrer>, Fault> {
        let Some(bytes) = self.kept(digest)? else { return Ok(Vec::new()) };
        let index: Result<Index, _> = serde_json::from_slice(&bytes);
        index.map(|index| index.manifests).map_err(|_| self.registry.odd("is no index"))
    }

    /// Returns the index that clients keep of what refers to a manifest.
    fn kept(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Fault> {
        match self.manifest(&fallback_tag(digest)) {
            Ok(manifest) => Ok(Some(manifest.bytes)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into_fault()),
        }
    }

    /// Puts a manifest down in the index of what refers to its subject, if it has one (distribution-spec, "Pushing Manifests with
    /// Subject"). Two that do so at once may lose one of the two, as the specification knows.
    pub(crate) fn note_referrer(&self, media_type: &str, digest: &Digest, manifest: &[u8]) -> Result<(), Fault> {
        let Some((subject, referrer)) = describe(media_type, digest, manifest) else { return Ok(()) };
        let index = self.kept(&subject)?.map(|bytes| serde_json::from_slice(&bytes));
        let index = index.transpose().map_err(|_| self.registry.odd("is no index"))?;
        let mut index = index.unwrap_or_else(|| json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}));
        let Some(manifests) = index["manifests"].as_array_mut() else { return Err(self.registry.odd("is no index")) };
        if manifests.iter().any(|known| known["digest"] == referrer["digest"]) {
            return Ok(());
        }
        manifests.push(referrer);
        put(&self.registry, &fallback_tag(&subject), INDEX, index.to_string().as_bytes()).map(drop)
    }
}

fn fallback_tag(digest: &Digest) -> Version {
    Version::Tag(format!("sha256-{}", digest.hex()))
}

/// Returns what a manifest refers to, and how it stands in the list of that; nothing where it refers to nothing.
fn describe(media_type: &str, digest: &Digest, manifest: &[u8]) -> Option<(Digest, Value)> {
    let document: Value = serde_json::from_slice(manifest).ok()?;
    let subject = document["subject"]["digest"].as_str()?.parse().ok()?;
    let mut referrer = json!({"mediaType": media_type, "digest": digest, "size": manifest.len()});
    let kind = [&document["artifactType"], &document["config"]["mediaType"]].into_iter().find_map(Value::as_str);
    if let Some(kind) = kind {
        referrer["artifactType"] = kind.into();
    }
    if document["annotations"].is_object() {
        referrer["annotations"] = document["annotations"].clone();
    }
    Some((subject, referrer))
}

/// Asks the registry; nothing where it does not know the question.
fn ask(session: &Session<'_>, digest: &Digest, artifact_type: Option<&str>) -> Result<Option<Vec<Referrer>>, Fault> {
    let filter = artifact_type.map(|kind| format!("?artifactType={}", encode(kind))).unwrap_or_default();
    let what = format!("ask {} what refers to {digest}", session.name());
    let mut ask = session.ask(Method::GET, &format!("referrers/{digest}{filter}"), session.pull_scope(), what);
    let mut all = Vec::new();
    for _ in 0..MOST_PAGES {
        let answer = session.send(&ask)?;
        match answer.status {
            200 => {}
            404 | 405 => return Ok(None),
            _ => return Err(session.refused(answer)),
        }
        let next = next_page(session, &answer)?;
        let bytes = session.read(answer, LONGEST_MANIFEST)?;
        let index: Index = serde_json::from_slice(&bytes).map_err(|_| session.odd("is no index"))?;
        all.extend(index.manifests);
        match next {
            Some(next) => ask.target = Target::Given(next),
            None => return Ok(Some(all)),
        }
    }
    Err(session.odd("leads from page to page without end"))
}
