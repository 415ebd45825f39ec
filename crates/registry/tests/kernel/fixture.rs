//! Clients that lose patience soon, and names on servers of the test.

use std::error::Error as _;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use registry::{Client, CredentialPaths, Error, Hosts, Patience, Repository, Settings};
use testkit::registry::{Memory, Server};
use trace::Recorder;

pub(crate) static SILENT: LazyLock<Recorder> = LazyLock::new(Recorder::silent);

/// The kind of manifest that tests put; nothing looks into it.
pub(crate) const KIND: &str = "application/vnd.oci.image.manifest.v1+json";

/// Returns settings that know nobody and wait for nothing long.
pub(crate) fn settings() -> Settings {
    let patience = Patience {
        attempts: 4,
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_secs(2),
        total: Duration::from_secs(60),
    };
    Settings { patience, ..Settings::default() }
}

pub(crate) fn client() -> Client<'static> {
    Client::new(settings(), &SILENT)
}

/// Returns settings with this configuration of registries.
pub(crate) fn with_hosts(text: &str) -> Settings {
    Settings { hosts: Hosts::parse(text).unwrap(), ..settings() }
}

/// Returns settings with credentials in a directory of the test.
pub(crate) fn with_credentials(directory: &Path) -> Settings {
    let docker = Some(directory.join("config.json"));
    Settings { credentials: CredentialPaths { docker, ..CredentialPaths::default() }, ..settings() }
}

/// Writes a password for a host into the file of [`with_credentials`].
pub(crate) fn write_password(directory: &Path, host: &str, base64: &str) {
    let text = format!("{{\"auths\": {{\"{host}\": {{\"auth\": \"{base64}\"}}}}}}");
    std::fs::write(directory.join("config.json"), text).unwrap();
}

pub(crate) fn repository<'c>(client: &'c Client<'_>, host: &str) -> Repository<'c> {
    client.repository(&format!("{host}/team/app:1").parse().unwrap()).unwrap()
}

/// Starts a registry in memory that a test can have fail.
pub(crate) fn memory() -> (Arc<Memory>, Server) {
    let memory = Arc::new(Memory::default());
    let own = Arc::clone(&memory);
    (memory, Server::start(move |request| own.answer(request)))
}

/// Returns bytes that repeat nowhere soon.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state: u32 = 7;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

/// Tells an error with its causes, as the program does.
pub(crate) fn said(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Reads a blob to its end, or returns what was said.
pub(crate) fn drain(repository: &Repository<'_>, digest: &oci::Digest, size: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut reader = repository.blob(digest, size).map_err(|error| said(&error))?;
    match reader.read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(said(&error.downcast::<Error>().unwrap())),
    }
}
