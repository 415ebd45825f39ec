//! A registry in memory, as the specification has it: a handler for a [`Server`](super::Server).
//!
//! It keeps what was half sent, so that a client can go on, and obeys ranges.

use std::collections::BTreeMap;
use std::sync::Mutex;

use oci::Digest;
use serde_json::json;

use super::{Reply, Request};

/// Manifests and blobs of all repositories together.
#[derive(Debug, Default)]
pub struct Memory {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    blobs: BTreeMap<String, Vec<u8>>,
    /// By tag and by digest: the kind and the bytes.
    manifests: BTreeMap<String, (String, Vec<u8>)>,
    uploads: BTreeMap<String, Vec<u8>>,
    begun: usize,
    least_chunk: Option<usize>,
}

impl Memory {
    /// Adds a blob and returns its digest.
    pub fn add_blob(&self, bytes: impl Into<Vec<u8>>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        self.kept().blobs.insert(digest.to_string(), bytes);
        digest
    }

    /// Adds a manifest under a tag and returns its digest.
    pub fn add_manifest(&self, tag: &str, media_type: &str, bytes: impl Into<Vec<u8>>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        let mut kept = self.kept();
        kept.manifests.insert(tag.to_owned(), (media_type.to_owned(), bytes.clone()));
        kept.manifests.insert(digest.to_string(), (media_type.to_owned(), bytes));
        digest
    }

    /// Returns a blob's bytes.
    pub fn blob(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.kept().blobs.get(&digest.to_string()).cloned()
    }

    /// Returns the bytes of a manifest.
    pub fn manifest(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.kept().manifests.get(&digest.to_string()).map(|(_, bytes)| bytes.clone())
    }

    /// Removes a manifest's tag.
    pub fn remove_manifest(&self, tag: &str) {
        self.kept().manifests.remove(tag);
    }

    /// Returns how many uploads are neither finished nor cancelled.
    pub fn uploads(&self) -> usize {
        self.kept().uploads.len()
    }

    /// Makes it insist on chunks of some size.
    pub fn want_chunks(&self, least: usize) {
        self.kept().least_chunk = Some(least);
    }

    /// Answers a request.
    pub fn answer(&self, request: &Request) -> Reply {
        let Some(below) = request.path.strip_prefix("/v2/") else { return Reply::status(404) };
        if below.is_empty() {
            return Reply::json(200, &json!({}));
        }
        let parts: Vec<&str> = below.split('/').collect();
        match parts[..] {
            [.., "manifests", name] => self.manifest_of(request, name),
            [.., "blobs", "uploads", ""] => self.begin(request),
            [.., "blobs", "uploads", id] => self.go_on(request, id),
            [.., "blobs", digest] => self.blob_of(request, digest),
            [.., "tags", "list"] => self.tags(),
            _ => unknown("NAME_UNKNOWN"),
        }
    }

    fn manifest_of(&self, request: &Request, name: &str) -> Reply {
        let mut kept = self.kept();
        match request.method.as_str() {
            "PUT" => {
                let digest = Digest::of(&request.body).to_string();
                let kind = request.header("content-type").unwrap_or_default().to_owned();
                kept.manifests.insert(digest.clone(), (kind.clone(), request.body.clone()));
                kept.manifests.insert(name.to_owned(), (kind, request.body.clone()));
                Reply::status(201).header("Docker-Content-Digest", digest)
            }
            "DELETE" => match kept.manifests.remove(name) {
                Some(_) => Reply::status(202),
                None => unknown("MANIFEST_UNKNOWN"),
            },
            _ => match kept.manifests.get(name) {
                Some((kind, bytes)) => Reply::status(200)
                    .header("Content-Type", kind)
                    .header("Docker-Content-Digest", Digest::of(bytes).to_string())
                    .body(bytes.clone()),
                None => unknown("MANIFEST_UNKNOWN"),
            },
        }
    }

    fn blob_of(&self, request: &Request, digest: &str) -> Reply {
        let mut kept = self.kept();
        if request.method == "DELETE" {
            return Reply::status(if kept.blobs.remove(digest).is_some() { 202 } else { 404 });
        }
        let Some(bytes) = kept.blobs.get(digest) else { return unknown("BLOB_UNKNOWN") };
        let start =
            request.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        match start {
            None => Reply::status(200).body(bytes.clone()),
            Some(start) if start < bytes.len() => Reply::status(206)
                .header("Content-Range", format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len()))
                .body(&bytes[start..]),
            Some(_) => Reply::status(416),
        }
    }

    fn begin(&self, request: &Request) -> Reply {
        let mut kept = self.kept();
        if let Some(digest) = request.parameter("mount").filter(|digest| kept.blobs.contains_key(*digest)) {
            return Reply::status(201).header("Location", format!("/v2/x/blobs/{digest}"));
        }
        kept.begun += 1;
        let id = kept.begun.to_string();
        let reply = Reply::status(202).header("Location", format!("{id}?_state=a%2Bb")).header("Range", "0-0");
        kept.uploads.insert(id, Vec::new());
        match kept.least_chunk {
            Some(least) => reply.header("OCI-Chunk-Min-Length", least.to_string()),
            None => reply,
        }
    }

    fn go_on(&self, request: &Request, id: &str) -> Reply {
        let mut kept = self.kept();
        let Some(so_far) = kept.uploads.get_mut(id) else { return unknown("BLOB_UPLOAD_UNKNOWN") };
        if let Some(range) = request.header("content-range")
            && range.split('-').next() != Some(&so_far.len().to_string())
        {
            return Reply::status(416).header("Range", format!("0-{}", so_far.len().saturating_sub(1)));
        }
        match request.method.as_str() {
            "DELETE" => {
                kept.uploads.remove(id);
                return Reply::status(204);
            }
            "PATCH" | "PUT" => so_far.extend(&request.body),
            _ => {}
        }
        let here = format!("/v2/x/blobs/uploads/{id}?_state={}", so_far.len());
        let range = format!("0-{}", so_far.len().saturating_sub(1));
        let reply = |status| Reply::status(status).header("Location", here.clone()).header("Range", range.clone());
        match request.method.as_str() {
            "PUT" if !request.is_cut => {
                let bytes = so_far.clone();
                let digest = Digest::of(&bytes).to_string();
                if request.parameter("digest") != Some(&digest) {
                    return Reply::json(400, &json!({ "errors": [{ "code": "DIGEST_INVALID", "message": "wrong" }] }));
                }
                kept.uploads.remove(id);
                kept.blobs.insert(digest.clone(), bytes);
                Reply::status(201).header("Docker-Content-Digest", digest)
            }
            "GET" => reply(204),
            _ => reply(202),
        }
    }

    fn tags(&self) -> Reply {
        let kept = self.kept();
        let tags: Vec<_> = kept.manifests.keys().filter(|name| !name.contains(':')).collect();
        Reply::json(200, &json!({ "name": "x", "tags": tags }))
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().expect("what is kept")
    }
}

fn unknown(code: &str) -> Reply {
    Reply::json(404, &json!({ "errors": [{ "code": code, "message": code.to_lowercase().replace('_', " ") }] }))
}
