//! Programs that keep secrets, as Docker calls them: `docker-credential-NAME get|store|erase`, JSON on their standard
//! input and output.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::Secret;
use crate::complaint::clean;

/// What helpers say when they have nothing; they all say it in these words.
const NOT_FOUND: &str = "credentials not found in native keychain";
/// The most that a helper may say.
const LONGEST: u64 = 64 << 10;

/// Why a helper is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HelperError {
    /// Its name leads elsewhere.
    #[error("{0:?} is not the name of a credential helper")]
    Name(String),
    /// It cannot be run.
    #[error("cannot run docker-credential-{name}")]
    Run {
        /// Its name.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// It says no.
    #[error("docker-credential-{name} says: {said}")]
    Refused {
        /// Its name.
        name: String,
        /// What it says.
        said: String,
    },
    /// It says something that cannot be understood.
    #[error("docker-credential-{name} does not answer in JSON")]
    Answer {
        /// Its name.
        name: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// A helper.
#[derive(Debug)]
pub(super) struct Helper<'h> {
    pub(super) name: &'h str,
    /// Where it lies; in `PATH` if nothing is said.
    pub(super) directory: Option<&'h Path>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Kept<'k> {
    #[serde(rename = "ServerURL")]
    server_url: &'k str,
    username: &'k str,
    secret: &'k str,
}

impl Helper<'_> {
    /// Asks for the user and the secret of a server.
    pub(super) fn get(&self, server: &str) -> Result<Option<(String, Secret)>, HelperError> {
        let said = match self.call("get", server.as_bytes()) {
            Ok(said) => said,
            Err(HelperError::Refused { said, .. }) if said.contains(NOT_FOUND) => return Ok(None),
            Err(error) => return Err(error),
        };
        let answer: Answer = serde_json::from_slice(&said)
            .map_err(|source| HelperError::Answer { name: self.name.to_owned(), source })?;
        Ok(Some((answer.username, Secret::new(answer.secret))))
    }

    /// Has it keep a user and a secret.
    pub(super) fn store(&self, server: &str, user: &str, secret: &Secret) -> Result<(), HelperError> {
        let kept = Kept { server_url: server, username: user, secret: secret.reveal() };
        // Three plain strings always serialise.
        self.call("store", &serde_json::to_vec(&kept).unwrap_or_default()).map(drop)
    }

    /// Has it forget a server.
    pub(super) fn erase(&self, server: &str) -> Result<(), HelperError> {
        match self.call("erase", server.as_bytes()) {
            Err(HelperError::Refused { said, .. }) if said.contains(NOT_FOUND) => Ok(()),
            other => other.map(drop),
        }
    }

    fn call(&self, verb: &str, input: &[u8]) -> Result<Vec<u8>, HelperError> {
        if self.name.is_empty() || self.name.contains('/') {
            return Err(HelperError::Name(self.name.to_owned()));
        }
        let failed = |source| HelperError::Run { name: self.name.to_owned(), source };
        let program = format!("docker-credential-{}", self.name);
        let program = self.directory.map_or_else(|| program.clone().into(), |directory| directory.join(&program));
        let mut command = Command::new(program);
        // It may ask its user something: standard error stays where it is.
        command.arg(verb).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that does not read has its reasons; what it answers counts.
            let _ = stdin.write_all(input);
        }
        let mut said = Vec::new();
        let read = child.stdout.take().map_or(Ok(0), |stdout| stdout.take(LONGEST).read_to_end(&mut said));
        let status = child.wait().map_err(failed)?;
        read.map_err(failed)?;
        if status.success() {
            return Ok(said);
        }
        let said = clean(&String::from_utf8_lossy(&said));
        let said = if said.is_empty() { status.to_string() } else { said };
        Err(HelperError::Refused { name: self.name.to_owned(), said })
    }
}
