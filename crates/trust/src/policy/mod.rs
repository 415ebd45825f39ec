//! What is demanded of an image: the rules of `policy.json`, and what the command line adds to them.
//!
//! The file's text becomes rules in `config.rs`; where it lies is in `files.rs`; which rules are about an image is decided here
//! ([`Policy::judge`]).

mod config;
mod files;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use oci::Reference;

use crate::error::{Demand, Error, Place};
use crate::identity::{Identity, canonical};
use crate::judge::{Judge, Keys};
use crate::key::{KeyError, PublicKey};

pub use config::PolicyError;

/// What is demanded of the images that are pulled.
#[derive(Debug, Clone)]
pub struct Policy {
    file: Option<(PathBuf, Rules)>,
    keys: Vec<PathBuf>,
    insists: bool,
}

/// The rules of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules {
    default: Vec<Rule>,
    /// Those about registries, by scope.
    docker: BTreeMap<String, Vec<Rule>>,
}

/// One demand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Anything is good.
    Accept,
    /// Nothing is.
    Reject,
    /// One of the keys must have signed the image under a name.
    Signed { keys: Vec<KeySource>, identity: Identity },
    /// Something that cannot be checked here, in the file's words.
    Unchecked(String),
}

/// Where a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// In a file.
    File(PathBuf),
    /// In the policy itself, as PEM.
    Text(Vec<u8>),
}

impl Policy {
    /// Makes the policy that demands nothing.
    pub fn accept_anything() -> Self {
        Self { file: None, keys: Vec::new(), insists: false }
    }

    /// Reads the rules of a file from its text.
    pub fn parse(path: &Path, text: &[u8]) -> Result<Self, PolicyError> {
        let wrong = |source| PolicyError::File { path: path.to_owned(), source: Box::new(source) };
        let rules = Rules::parse(text).map_err(wrong)?;
        Ok(Self { file: Some((path.to_owned(), rules)), ..Self::accept_anything() })
    }

    /// Demands also, whatever the file says, that one of these keys has signed an image. The name in the signature has to be of the
    /// image's repository, which is as much as cosign signs.
    #[must_use]
    pub fn with_keys(self, keys: Vec<PathBuf>) -> Self {
        Self { keys, ..self }
    }

    /// Demands that there is a demand: what nothing has to be signed for is refused.
    #[must_use]
    pub fn insisting(self, insists: bool) -> Self {
        Self { insists, ..self }
    }

    /// Makes the judge of one image. Keys are read here, and what no signature could change is refused.
    pub fn judge(&self, image: &Reference) -> Result<Judge, Error> {
        let (place, rules) = self.rules(image);
        let mut demands = Vec::new();
        for rule in rules {
            match rule {
                Rule::Accept => {}
                Rule::Reject => return Err(Error::Rejected { image: image.familiar(), place }),
                Rule::Unchecked(what) => {
                    return Err(Error::Unchecked { image: image.familiar(), place, what: what.clone() });
                }
                Rule::Signed { keys, identity } => demands.push(demand(&place, keys, identity)?),
            }
        }
        if !self.keys.is_empty() {
            let keys: Vec<_> = self.keys.iter().cloned().map(KeySource::File).collect();
            demands.push(demand(&Place::CommandLine, &keys, &Identity::Repository)?);
        }
        if demands.is_empty() && self.insists {
            return Err(Error::Nothing { image: image.familiar(), place });
        }
        Ok(Judge::new(image.clone(), demands))
    }

    /// Returns the rules about an image: those of the narrowest scope alone (containers-policy.json(5), "docker:").
    fn rules(&self, image: &Reference) -> (Place, &[Rule]) {
        let Some((file, rules)) = &self.file else { return (Place::Nowhere, &[]) };
        for scope in scopes(image) {
            if let Some(rules) = rules.docker.get(&scope) {
                return (Place::Scope { file: file.clone(), scope }, rules);
            }
        }
        (Place::Default { file: file.clone() }, &rules.default)
    }
}

/// Returns the scopes that an image is in, the narrowest first: its name, its repository, the parents of that, the registry,
/// the domains that the registry is in, all registries.
fn scopes(image: &Reference) -> Vec<String> {
    let repository = image.repository();
    let mut scopes = vec![canonical(image)];
    let parents = std::iter::successors(Some(repository.as_str()), |name| Some(name.rsplit_once('/')?.0));
    scopes.extend(parents.map(str::to_owned));
    let host = image.domain().split(':').next().unwrap_or_default();
    let domains = std::iter::successors(host.split_once('.'), |(_, rest)| rest.split_once('.'));
    scopes.extend(domains.map(|(_, domain)| format!("*.{domain}")));
    scopes.push(String::new());
    scopes
}

fn demand(place: &Place, sources: &[KeySource], identity: &Identity) -> Result<(Demand, Keys), Error> {
    let mut keys = Keys::new(identity.clone());
    for (at, source) in sources.iter().enumerate() {
        let name = match source {
            KeySource::File(path) => path.display().to_string(),
            KeySource::Text(_) if sources.len() == 1 => "keyData".to_owned(),
            KeySource::Text(_) => format!("keyDatas[{at}]"),
        };
        match read(source) {
            Ok(key) => keys.add(name, key),
            Err(source) => return Err(Error::Key { key: name, place: place.clone(), source: Box::new(source) }),
        }
    }
    Ok((Demand { place: place.clone(), keys: keys.names() }, keys))
}

fn read(source: &KeySource) -> Result<PublicKey, KeyError> {
    match source {
        KeySource::File(path) => PublicKey::parse(&files::read_key(path)?),
        KeySource::Text(text) => PublicKey::parse(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_scope_comes_first() {
        let digest = oci::Digest::of(b"a");
        let told = |image: &str| scopes(&image.parse().unwrap()).join(" ");
        assert_eq!(
            told("r.corp.test:5000/team/a:1"),
            "r.corp.test:5000/team/a:1 r.corp.test:5000/team/a r.corp.test:5000/team r.corp.test:5000 *.corp.test *.test "
        );
        assert_eq!(
            told(&format!("debian:12@{digest}")),
            format!("docker.io/library/debian@{digest} docker.io/library/debian docker.io/library docker.io *.io ")
        );
        assert_eq!(told("localhost/a"), "localhost/a:latest localhost/a localhost ");
    }

    fn verdict(policy: &Policy, image: &str) -> String {
        match policy.judge(&image.parse().unwrap()) {
            Ok(judge) if judge.is_content() => "accepted".into(),
            Ok(judge) => judge.demands().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn only_the_rules_of_the_narrowest_scope_count() {
        let key = rcgen::KeyPair::generate().unwrap().public_key_pem();
        let policy = serde_json::json!({
            "default": [{"type": "reject"}],
            "transports": {
                "docker-daemon": {"": [{"type": "insecureAcceptAnything"}]},
                "docker": {
                    "r.test": [{"type": "insecureAcceptAnything"}],
                    "r.test/team": [
                        {"type": "insecureAcceptAnything"},
                        {"type": "sigstoreSigned", "keyData": super::config::encoded(&key)},
                    ],
                    "r.test/team/old:1": [{"type": "reject"}],
                    "r.test/gpg": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"}],
                    "*.corp.test": [{"type": "insecureAcceptAnything"}],
                },
            },
        });
        let policy = Policy::parse(Path::new("/p.json"), policy.to_string().as_bytes()).unwrap();
        for (image, whole) in [
            ("r.test/a", "accepted"),
            ("r.test/teams/a", "accepted"),
            ("a.b.corp.test:5000/x", "accepted"),
            ("r.test/team/a:1", "a signature by keyData, as the scope r.test/team of /p.json has it"),
            ("r.test/team/old:2", "a signature by keyData, as the scope r.test/team of /p.json has it"),
            (
                "r.test/team/old:1",
                "r.test/team/old:1 must not be pulled: the scope r.test/team/old:1 of /p.json rejects it",
            ),
            ("corp.test/x", "corp.test/x:latest must not be pulled: the default of /p.json rejects it"),
            ("debian", "debian:latest must not be pulled: the default of /p.json rejects it"),
            (
                "r.test/gpg:1",
                "r.test/gpg:1 cannot be verified: the scope r.test/gpg of /p.json demands signedBy, which cannot be checked here",
            ),
        ] {
            assert_eq!(verdict(&policy, image), whole);
        }
        let insisting = policy.insisting(true);
        assert_eq!(
            verdict(&insisting, "r.test/a"),
            "r.test/a:latest cannot be verified: the scope r.test of /p.json demands no signature"
        );
        assert!(verdict(&insisting, "r.test/team/a").starts_with("a signature"));
    }

    #[test]
    fn a_key_of_the_command_line_is_demanded_beside_the_policy() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("a.pub");
        std::fs::write(&key, rcgen::KeyPair::generate().unwrap().public_key_pem()).unwrap();
        let with = |policy: Policy| verdict(&policy.with_keys(vec![key.clone()]).insisting(true), "r.test/a");
        assert_eq!(with(Policy::accept_anything()), format!("a signature by {}, as --verify has it", key.display()));
        let reject = Policy::parse(Path::new("/p.json"), br#"{"default": [{"type": "reject"}]}"#).unwrap();
        assert!(with(reject).contains("must not be pulled"));
        assert_eq!(verdict(&Policy::accept_anything(), "r.test/a"), "accepted");
        let nothing = verdict(&Policy::accept_anything().insisting(true), "r.test/a");
        assert_eq!(
            nothing,
            "r.test/a:latest cannot be verified: there is no policy.json, which would demand a signature"
        );
        std::fs::write(&key, "words").unwrap();
        assert_eq!(
            with(Policy::accept_anything()),
            format!("cannot use the key {}, which --verify names", key.display())
        );
        std::fs::remove_file(&key).unwrap();
        assert!(with(Policy::accept_anything()).starts_with("cannot use the key"));
    }
}
