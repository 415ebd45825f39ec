//! Why an image may not come in.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use oci::Digest;

use crate::key::KeyError;

/// Who demands something of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The rules about a scope; the empty one is all registries.
    Scope {
        /// The policy.
        file: PathBuf,
        /// The scope, as the file has it.
        scope: String,
    },
    /// The rules about whatever has none of its own.
    Default {
        /// The policy.
        file: PathBuf,
    },
    /// The option of the command line.
    CommandLine,
    /// Nobody: there is no policy.
    Nowhere,
}

/// A signature that is demanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// Who demands it.
    pub place: Place,
    /// By which keys it may be: their files, or their fields in the policy.
    pub keys: Vec<String>,
}

/// Why an image may not come in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is forbidden.
    #[error("{image} must not be pulled: {place} rejects it")]
    Rejected {
        /// The image.
        image: String,
        /// Who forbids it.
        place: Place,
    },
    /// What is demanded cannot be checked here.
    #[error("{image} cannot be verified: {place} demands {what}, which cannot be checked here")]
    Unchecked {
        /// The image.
        image: String,
        /// Who demands it.
        place: Place,
        /// The rule, in the policy's words.
        what: String,
    },
    /// A signature is wanted, and nobody says whose.
    #[error("{image} cannot be verified: {}", nothing(place))]
    Nothing {
        /// The image.
        image: String,
        /// Who demands nothing.
        place: Place,
    },
    /// A key cannot be used.
    #[error("cannot use the key {key}, which {place} names")]
    Key {
        /// The file, or the field of the policy.
        key: String,
        /// Who names it.
        place: Place,
        /// Why.
        source: Box<KeyError>,
    },
    /// It has no signature that would do.
    #[error("{image} is not trusted: it needs {demand}")]
    Refused {
        /// The image.
        image: String,
        /// The repository and digest that should be signed.
        wanted: String,
        /// What is missing.
        demand: Box<Demand>,
        /// What there is instead.
        source: Box<Flaws>,
    },
}

/// What is wrong with a signature.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Flaw {
    /// It is not where it should be, or cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// It is none over these bytes by these keys.
    #[error("is by another key, or of something else")]
    Key,
    /// What is signed is no statement about an image.
    #[error("is good, but what is signed cannot be read: {0}")]
    Payload(String),
    /// What is signed is another image.
    #[error("is good, but for the digest {0}")]
    Digest(Digest),
    /// What is signed has another name.
    #[error("is good, but for the name {0:?}, which is not taken for this image")]
    Identity(String),
}

/// What is wrong with all the signatures that there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flaws {
    looked_at: Vec<Digest>,
    found: BTreeMap<(Digest, Flaw), usize>,
}

/// How many different flaws are told: the rest is of the same kind.
const MOST_TOLD: usize = 5;

impl Flaws {
    /// Notes that the signatures of a digest are looked at.
    pub(crate) fn look_at(&mut self, digest: &Digest) {
        if !self.looked_at.contains(digest) {
            self.looked_at.push(*digest);
        }
    }

    pub(crate) fn add(&mut self, digest: &Digest, flaw: Flaw) {
        *self.found.entry((*digest, flaw)).or_default() += 1;
    }

    /// Tells whether some signature would do if its name did.
    fn are_of_names(&self) -> bool {
        self.found.keys().any(|(_, flaw)| matches!(flaw, Flaw::Identity(_)))
    }
}

impl std::error::Error for Flaws {}

impl fmt::Display for Flaws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.found.is_empty() {
            let digests: Vec<_> = self.looked_at.iter().map(ToString::to_string).collect();
            return write!(f, "there is no signature of {}", digests.join(" or "));
        }
        for (at, ((digest, flaw), times)) in self.found.iter().take(MOST_TOLD).enumerate() {
            let separator = if at > 0 { "; " } else { "" };
            match times {
                1 => write!(f, "{separator}a signature of {digest} {flaw}")?,
                _ => write!(f, "{separator}each of {times} signatures of {digest} {flaw}")?,
            }
        }
        if self.found.len() > MOST_TOLD { f.write_str("; and so on") } else { Ok(()) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scope { file, scope } if scope.is_empty() => {
                write!(f, "the default for registries of {}", file.display())
            }
            Self::Scope { file, scope } => write!(f, "the scope {scope} of {}", file.display()),
            Self::Default { file } => write!(f, "the default of {}", file.display()),
            Self::CommandLine => f.write_str("--verify"),
            Self::Nowhere => f.write_str("nobody"),
        }
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a signature by {}, as {} has it", self.keys.join(" or "), self.place)
    }
}

fn nothing(place: &Place) -> String {
    match place {
        Place::Nowhere => "there is no policy.json, which would demand a signature".to_owned(),
        place => format!("{place} demands no signature"),
    }
}

impl Error {
    /// Returns what can be done about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Rejected { place, .. } => Some(format!("{place} decides: a narrower scope of its own can allow an image")),
            Self::Unchecked { .. } => Some(
                "only sigstoreSigned with keyPath, keyPaths, keyData or keyDatas is checked: give the image a narrower scope with \
                 it, or pull the image with a program that knows the other rule, and take it over with save and load"
                    .to_owned(),
            ),
            Self::Nothing { image, .. } => Some(format!(
                "name the key, as in 'conductor pull --verify=cosign.pub {image}', or write a rule into policy.json: {RULE}"
            )),
            Self::Key { .. } => Some("a public key is a file such as the cosign.pub of 'cosign generate-key-pair'".to_owned()),
            Self::Refused { source, .. } if source.are_of_names() => Some(
                "cosign signs the name of a repository without a tag, and policy.json takes that for an image with \
                 \"signedIdentity\": {\"type\": \"matchRepository\"}"
                    .to_owned(),
            ),
            Self::Refused { wanted, .. } => {
                Some(format!("whoever has the key signs the image with 'cosign sign --key cosign.key {wanted}'"))
            }
        }
    }
}

/// A rule that can be copied; "docker" is the file's word for registries.
const RULE: &str = r#""transports": {"docker": {"REGISTRY/REPOSITORY": [{"type": "sigstoreSigned", "keyPath": "/PATH/TO/cosign.pub", "signedIdentity": {"type": "matchRepository"}}]}}"#;
