//! Where the policy and its keys lie.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use super::{Policy, PolicyError};
use crate::key::KeyError;

/// Below a user's home.
const OF_USER: &str = ".config/containers/policy.json";
/// For all users.
const OF_SYSTEM: &str = "/etc/containers/policy.json";
/// The longest policy, in bytes.
const LONGEST_POLICY: u64 = 16 << 20;
/// The longest file with a key, in bytes; a key of RSA with 8192 bits has a tenth of that.
const LONGEST_KEY: u64 = 16 << 10;

impl Policy {
    /// Reads the policy of this machine: the user's if there is one, or else the system's. Where there is none, nothing is
    /// demanded.
    pub fn read(home: Option<&Path>) -> Result<Self, PolicyError> {
        Self::read_usual(Path::new(OF_SYSTEM), home.map(|home| home.join(OF_USER)).as_deref())
    }

    fn read_usual(system: &Path, user: Option<&Path>) -> Result<Self, PolicyError> {
        for path in user.into_iter().chain([system]) {
            if let Some(policy) = read_file(path)? {
                return Ok(policy);
            }
        }
        Ok(Self::accept_anything())
    }
}

fn read_file(path: &Path) -> Result<Option<Policy>, PolicyError> {
    match read_bounded(path, LONGEST_POLICY) {
        Ok(Some(text)) => Policy::parse(path, &text).map(Some),
        Ok(None) => Err(PolicyError::TooLong { path: path.to_owned(), limit: LONGEST_POLICY }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(PolicyError::Read { path: path.to_owned(), source }),
    }
}

pub(super) fn read_key(path: &Path) -> Result<Vec<u8>, KeyError> {
    read_bounded(path, LONGEST_KEY)?.ok_or(KeyError::TooLong(LONGEST_KEY))
}

/// Reads a file; nothing where it is longer than it may be.
fn read_bounded(path: &Path, limit: u64) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes).filter(|bytes| bytes.len() as u64 <= limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_s_policy_is_read_in_place_of_the_system_s() {
        let dir = tempfile::tempdir().unwrap();
        let (system, user) = (dir.path().join("system.json"), dir.path().join("user.json"));
        let read = || Policy::read_usual(&system, Some(&user));
        let judged =
            || read().unwrap().judge(&"r.test/a".parse().unwrap()).map(drop).map_err(|error| error.to_string());
        assert_eq!(judged(), Ok(()));
        std::fs::write(&system, r#"{"default": [{"type": "reject"}]}"#).unwrap();
        assert!(judged().unwrap_err().contains("system.json rejects it"));
        std::fs::write(&user, r#"{"default": [{"type": "insecureAcceptAnything"}]}"#).unwrap();
        assert_eq!(judged(), Ok(()));
        std::fs::write(&user, "{}").unwrap();
        assert!(read().unwrap_err().to_string().starts_with("cannot use "));
        std::fs::remove_file(&user).unwrap();
        std::fs::create_dir(&user).unwrap();
        assert!(read().unwrap_err().to_string().starts_with("cannot read "));
    }

    #[test]
    fn a_file_without_end_is_not_read_to_it() {
        let error = read_key(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.to_string(), "it is longer than 16384 bytes");
    }
}
