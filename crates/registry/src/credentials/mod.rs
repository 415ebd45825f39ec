//! Who we are to a registry: names, secrets and tokens, in the files and helpers that Docker and Podman use as well.
//!
//! Reading is [`Credentials::find`]; `login` and `logout` change Docker's file, or what the helper keeps that it names.

mod file;
mod helper;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::hosts::{canonical, credential_key};
use file::AuthFile;
use helper::Helper;

pub use file::CredentialFileError;
pub use helper::HelperError;

/// The user name by which helpers say that the secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// Where credentials are kept.
#[derive(Debug, Clone, Default)]
pub struct CredentialPaths {
    /// Docker's `config.json`, which is read first and written to.
    pub docker: Option<PathBuf>,
    /// Podman's `auth.json` files, which are only read.
    pub others: Vec<PathBuf>,
    /// Where helpers are looked for, in place of `PATH`.
    pub helpers: Option<PathBuf>,
}

/// Something that must not be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// How we can prove to a registry who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// Not at all.
    Anonymous,
    /// By a name and a password.
    Password {
        /// The name.
        user: String,
        /// The password.
        secret: Secret,
    },
    /// By a token that other tokens are given for.
    Identity {
        /// The name that it was given to, where it is known.
        user: String,
        /// The token.
        token: Secret,
    },
    /// By a token that the registry takes itself.
    Registry {
        /// The token.
        token: Secret,
    },
}

/// Why credentials could not be read or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// A file failed.
    #[error(transparent)]
    File(#[from] CredentialFileError),
    /// A helper failed.
    #[error("cannot use the credentials for {host}")]
    Helper {
        /// The registry.
        host: String,
        /// Why.
        source: HelperError,
    },
    /// There is no home, and nothing else says where to keep them.
    #[error("there is no place for credentials: set DOCKER_CONFIG or HOME")]
    NoPlace,
}

/// What `logout` has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedOut {
    /// Whether there was something to remove.
    pub removed: bool,
    /// A file of another tool that still has credentials for the registry.
    pub remains_in: Option<PathBuf>,
}

/// The credentials of this user.
#[derive(Debug)]
pub(crate) struct Credentials {
    paths: CredentialPaths,
}

impl CredentialPaths {
    /// Returns the usual places.
    pub fn usual(read: impl Fn(&str) -> Option<String>, home: Option<&Path>) -> Self {
        let path = |name: &str| read(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let docker = path("DOCKER_CONFIG").or_else(|| home.map(|home| home.join(".docker")));
        let mut others: Vec<_> = path("REGISTRY_AUTH_FILE").into_iter().collect();
        others.extend(path("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json")));
        others.extend(home.map(|home| home.join(".config/containers/auth.json")));
        Self { docker: docker.map(|dir| dir.join("config.json")), others, helpers: None }
    }
}

impl Secret {
    /// Takes what must not be shown.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// Returns it, to be sent.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Credential {
    /// Returns the name by which a registry knows us, where there is one.
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::Password { user, .. } | Self::Identity { user, .. } => {
                Some(user).filter(|user| !user.is_empty()).map(String::as_str)
            }
            Self::Anonymous | Self::Registry { .. } => None,
        }
    }
}

impl Credentials {
    pub(crate) fn new(paths: CredentialPaths) -> Self {
        Self { paths }
    }

    /// Looks for what a registry knows us by; files of Podman may say it for a part of its names.
    pub(crate) fn find(&self, host: &str, path: &str) -> Result<Credential, CredentialError> {
        for place in self.paths.docker.iter().chain(&self.paths.others) {
            let Some(file) = AuthFile::read(place)? else { continue };
            if let Some(helper) = file.helper(host) {
                let found = self.helper(&helper).get(credential_key(host));
                let found = found.map_err(|source| CredentialError::Helper { host: host.to_owned(), source })?;
                if let Some((user, secret)) = found {
                    return Ok(from_helper(user, secret));
                }
            }
            if let Some(found) = file.find(host, path)? {
                return Ok(found);
            }
        }
        Ok(Credential::Anonymous)
    }

    /// Keeps a credential, and returns where.
    pub(crate) fn store(&self, host: &str, credential: &Credential) -> Result<String, CredentialError> {
        let place = self.paths.docker.as_ref().ok_or(CredentialError::NoPlace)?;
        let file = AuthFile::read(place)?.unwrap_or_else(|| AuthFile::new(place));
        let Some(name) = file.helper(host) else {
            AuthFile::change(place, |file| file.insert(host, credential))?;
            return Ok(place.display().to_string());
        };
        let (user, secret) = match credential {
            Credential::Password { user, secret } => (user.as_str(), secret),
            Credential::Identity { token, .. } | Credential::Registry { token } => (TOKEN_USER, token),
            Credential::Anonymous => return Ok(place.display().to_string()),
        };
        let stored = self.helper(&name).store(credential_key(host), user, secret);
        stored.map_err(|source| CredentialError::Helper { host: host.to_owned(), source })?;
        // The entry without a secret tells others where to ask, and takes the place of one that had a secret.
        AuthFile::change(place, |file| file.insert(host, &Credential::Anonymous))?;
        Ok(format!("the helper docker-credential-{name}"))
    }

    /// Forgets a credential.
    pub(crate) fn remove(&self, host: &str) -> Result<LoggedOut, CredentialError> {
        let mut removed = false;
        if let Some(place) = &self.paths.docker
            && let Some(file) = AuthFile::read(place)?
        {
            if let Some(name) = file.helper(host) {
                let helper = self.helper(&name);
                let wrong = |source| CredentialError::Helper { host: host.to_owned(), source };
                removed = helper.get(credential_key(host)).map_err(wrong)?.is_some();
                if removed {
                    helper.erase(credential_key(host)).map_err(wrong)?;
                }
            }
            if file.has(host) {
                AuthFile::change(place, |file| file.remove(host))?;
                removed = true;
            }
        }
        let remains = |place: &&PathBuf| AuthFile::read(place).ok().flatten().is_some_and(|file| file.has(host));
        Ok(LoggedOut { removed, remains_in: self.paths.others.iter().find(remains).cloned() })
    }

    fn helper<'h>(&'h self, name: &'h str) -> Helper<'h> {
        Helper { name, directory: self.paths.helpers.as_deref() }
    }
}

fn from_helper(user: String, secret: Secret) -> Credential {
    match user.as_str() {
        TOKEN_USER => Credential::Identity { user: String::new(), token: secret },
        _ => Credential::Password { user, secret },
    }
}

/// Tells whether a key of a file is about this registry: keys may be addresses of the web, of older days.
fn is_key_of(key: &str, host: &str) -> bool {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    let key = match bare {
        Some(address) => address.split('/').next().unwrap_or_default(),
        None => key,
    };
    canonical(key).eq_ignore_ascii_case(canonical(host))
}

#[cfg(test)]
mod tests;
