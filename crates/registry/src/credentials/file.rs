//! Docker's `config.json` and Podman's `auth.json`: `{"auths": {HOST: {"auth": ...}}, "credsStore": ..., "credHelpers": ...}`.
//!
//! What we do not know in them is kept as it is. A new text is written beside the old one and renamed over it, and two
//! writers wait for each other at a lock on the directory.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Credential, Secret, credential_key, is_key_of};

/// Why a file of credentials is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialFileError {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no JSON object.
    #[error("{path} cannot be understood")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where it ends to make sense.
        source: serde_json::Error,
    },
    /// An entry is none.
    #[error("{path} says for {host} something that is not base64 of USER:PASSWORD")]
    Entry {
        /// The file.
        path: PathBuf,
        /// The registry.
        host: String,
    },
    /// It cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A file of credentials, as it was read.
#[derive(Debug)]
pub(super) struct AuthFile {
    path: PathBuf,
    all: Map<String, Value>,
}

impl AuthFile {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), all: Map::new() }
    }

    /// Reads a file; nothing where there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, CredentialFileError> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            Err(source) => return Err(CredentialFileError::Read { path: path.to_owned(), source }),
        };
        if text.trim_ascii().is_empty() {
            return Ok(Some(Self::new(path)));
        }
        let all = serde_json::from_slice(&text);
        let all = all.map_err(|source| CredentialFileError::Json { path: path.to_owned(), source })?;
        Ok(Some(Self { path: path.to_owned(), all }))
    }

    /// Changes a file while nobody else does.
    pub(super) fn change(path: &Path, change: impl FnOnce(&mut Self)) -> Result<(), CredentialFileError> {
        // Whoever keeps the file elsewhere has a link here, which stays one.
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let wrong = |source| CredentialFileError::Write { path: path.clone(), source };
        let directory = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        make_private(directory).map_err(wrong)?;
        let lock = File::open(directory).map_err(wrong)?;
        lock.lock().map_err(wrong)?;
        let mut file = Self::read(&path)?.unwrap_or_else(|| Self::new(&path));
        change(&mut file);
        file.write(directory).map_err(wrong)
    }

    /// Returns the name of the helper that keeps a registry's credentials.
    pub(super) fn helper(&self, host: &str) -> Option<String> {
        let helpers = self.all.get("credHelpers").and_then(Value::as_object).into_iter().flatten();
        let own = helpers.filter(|(key, _)| is_key_of(key, host)).find_map(|(_, name)| name.as_str());
        own.or_else(|| self.all.get("credsStore")?.as_str()).filter(|name| !name.is_empty()).map(str::to_owned)
    }

    /// Looks for a registry's entry, the most particular first: `HOST/A/B`, `HOST/A`, `HOST`.
    pub(super) fn find(&self, host: &str, path: &str) -> Result<Option<Credential>, CredentialFileError> {
        let mut part = path;
        while !part.is_empty() {
            if let Some(entry) = self.auths().find(|(key, _)| **key == format!("{host}/{part}")) {
                return self.understand(host, entry.1);
            }
            part = part.rsplit_once('/').map_or("", |(part, _)| part);
        }
        let exact = self.auths().find(|(key, _)| *key == credential_key(host));
        let entry = exact.or_else(|| self.auths().find(|(key, _)| is_key_of(key, host)));
        entry.map_or(Ok(None), |(_, entry)| self.understand(host, entry))
    }

    pub(super) fn has(&self, host: &str) -> bool {
        self.auths().any(|(key, _)| is_key_of(key, host))
    }

    pub(super) fn insert(&mut self, host: &str, credential: &Credential) {
        let encode = |user: &str, secret: &str| BASE64_STANDARD.encode(format!("{user}:{secret}"));
        let entry = match credential {
            Credential::Anonymous => json!({}),
            Credential::Password { user, secret } => json!({ "auth": encode(user, secret.reveal()) }),
            Credential::Identity { user, token } => {
                json!({ "auth": encode(user, ""), "identitytoken": token.reveal() })
            }
            Credential::Registry { token } => json!({ "registrytoken": token.reveal() }),
        };
        self.remove(host);
        let auths = self.all.entry("auths").or_insert_with(|| json!({}));
        if !auths.is_object() {
            *auths = json!({});
        }
        if let Some(auths) = auths.as_object_mut() {
            auths.insert(credential_key(host).to_owned(), entry);
        }
    }

    pub(super) fn remove(&mut self, host: &str) {
        if let Some(auths) = self.all.get_mut("auths").and_then(Value::as_object_mut) {
            auths.retain(|key, _| !is_key_of(key, host));
        }
    }

    fn auths(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.all.get("auths").and_then(Value::as_object).into_iter().flatten()
    }

    fn understand(&self, host: &str, entry: &Value) -> Result<Option<Credential>, CredentialFileError> {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        if let Some(token) = text("registrytoken") {
            return Ok(Some(Credential::Registry { token: Secret::new(token) }));
        }
        let wrong = || CredentialFileError::Entry { path: self.path.clone(), host: host.to_owned() };
        let decoded = match (text("auth"), text("username")) {
            (Some(auth), _) => Some(decode(auth).ok_or_else(wrong)?),
            (None, Some(user)) => Some((user.to_owned(), text("password").unwrap_or_default().to_owned())),
            (None, None) => None,
        };
        if let Some(token) = text("identitytoken") {
            let user = decoded.map(|(user, _)| user).unwrap_or_default();
            return Ok(Some(Credential::Identity { user, token: Secret::new(token) }));
        }
        Ok(decoded.map(|(user, secret)| Credential::Password { user, secret: Secret::new(secret) }))
    }

    fn write(&self, directory: &Path) -> io::Result<()> {
        let mut text = Vec::new();
        let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        self.all.serialize(&mut serde_json::Serializer::with_formatter(&mut text, tabs))?;
        // Its mode is 0600 from the start.
        let mut beside = tempfile::Builder::new().prefix(".config.json.").tempfile_in(directory)?;
        beside.write_all(&text)?;
        beside.as_file().sync_all()?;
        beside.persist(&self.path).map_err(|error| error.error)?;
        Ok(())
    }
}

fn decode(auth: &str) -> Option<(String, String)> {
    let text = String::from_utf8(BASE64_STANDARD.decode(auth.trim()).ok()?).ok()?;
    let (user, secret) = text.split_once(':')?;
    // Docker once wrote zeros at the end.
    Some((user.to_owned(), secret.trim_end_matches('\0').to_owned()))
}

fn make_private(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}
