//! How an image is named: `[domain/]path[:tag][@digest]`, in Docker's grammar, with one parser for every door.
//!
//! Names arrive from command lines, Dockerfiles and sockets, and become file names and URLs. So the parser takes exactly
//! the grammar of the distribution project and nothing else: lower-case path components joined by single separators,
//! which leaves no room for `..`, spaces, line breaks or a leading dash.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Digest, DigestError};

/// The domain that a name without one means, as with Docker. It is part of the name; where it is asked for is a matter of
/// configuration (`location` in registries.conf).
const DEFAULT_DOMAIN: &str = "docker.io";
/// What the default domain was called once.
const FORMER_DEFAULT_DOMAIN: &str = "index.docker.io";
/// The domain of images that Podman and Buildah made on this machine.
const THIS_MACHINE: &str = "localhost";
/// The path below which the default domain keeps names of one component, as Docker's does.
const OFFICIAL: &str = "library";
/// The tag that a name without tag and digest means.
const DEFAULT_TAG: &str = "latest";
/// The longest repository name (domain and path), which is also the longest file name of every common file system.
const NAME_MAX: usize = 255;
/// The longest tag.
const TAG_MAX: usize = 128;

/// The name of an image, complete: `mydebian` reads as `docker.io/library/mydebian:latest`.
///
/// It prints in full; [`familiar`](Self::familiar) prints what a person would type.
///
/// ```
/// let reference: oci::Reference = "conductor/hello".parse().unwrap();
/// assert_eq!(reference.to_string(), "docker.io/conductor/hello:latest");
/// assert_eq!(reference.familiar(), "conductor/hello:latest");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is not the name of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// The text is empty.
    #[error("an image name must not be empty")]
    Empty,
    /// The text does not follow the grammar.
    #[error(
        "{0:?} is not an image name: use lower-case letters and digits, joined by single '.', '_' or '-', as in my-image:1.0"
    )]
    Name(String),
    /// The path is right but for its capital letters.
    #[error("{0:?} is not an image name: it must be in lower case")]
    UpperCase(String),
    /// The tag does not follow the grammar.
    #[error("{0:?} is not a tag: use up to 128 letters, digits, '_', '.' and '-', and do not begin with '.' or '-'")]
    Tag(String),
    /// The digest is none.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// The name is longer than 255 characters.
    #[error("an image name of {0} characters is too long: the limit is 255")]
    TooLong(usize),
    /// The name could be taken for an image ID.
    #[error("{0:?} is not an image name: 64 hexadecimal digits are an image ID")]
    LooksLikeId(String),
}

impl Reference {
    /// Returns the registry, with its port if it has one: `docker.io`.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Returns the path within the registry: `library/mydebian`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the tag; a reference by digest alone has none.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Returns the digest, if the reference pins one.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Returns domain and path: `docker.io/library/mydebian`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// Returns the repository as a person would type it: `mydebian`.
    pub fn familiar_repository(&self) -> String {
        let short = match self.path.strip_prefix("library/") {
            Some(name) if !name.contains('/') => name,
            _ => &self.path,
        };
        // A path such as `a.b/c` or `localhost/c` would read as a domain without its own in front, so only what reads back is
        // shortened.
        match split_domain(short) {
            (DEFAULT_DOMAIN, path) if self.domain == DEFAULT_DOMAIN && path == short && !is_id(short) => {
                short.to_owned()
            }
            _ => self.repository(),
        }
    }

    /// Returns what other engines call an image that was made here and has a name without a domain: `localhost/mydebian`.
    pub fn on_this_machine(&self) -> Option<Self> {
        let path = self.path.strip_prefix("library/").unwrap_or(&self.path);
        let own = Self { domain: THIS_MACHINE.to_owned(), path: path.to_owned(), ..self.clone() };
        (self.domain == DEFAULT_DOMAIN).then_some(own)
    }

    /// Returns the whole reference as a person would type it, the tag included: `mydebian:latest`.
    pub fn familiar(&self) -> String {
        format!("{}{}", self.familiar_repository(), self.suffix())
    }

    fn suffix(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = self.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
        tag + &digest
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.domain, self.path, self.suffix())
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (name, tag, digest) = split_suffixes(text)?;
        let (domain, path) = split_domain(name);
        check_name(text, name, domain, path)?;
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(ReferenceError::Tag(tag.unwrap_or_default().to_owned()));
        }
        let tag = match (tag, &digest) {
            (None, None) => Some(DEFAULT_TAG),
            (tag, _) => tag,
        };
        let domain = if domain == FORMER_DEFAULT_DOMAIN { DEFAULT_DOMAIN } else { domain };
        let official = domain == DEFAULT_DOMAIN && !path.contains('/');
        let path = if official { format!("{OFFICIAL}/{path}") } else { path.to_owned() };
        match domain.len() + 1 + path.len() {
            length if length > NAME_MAX => Err(ReferenceError::TooLong(length)),
            _ => Ok(Self { domain: domain.to_owned(), path, tag: tag.map(str::to_owned), digest }),
        }
    }
}

impl TryFrom<String> for Reference {
    type Error = ReferenceError;

    fn try_from(text: String) -> Result<Self, ReferenceError> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

/// Takes tag and digest off the end. A colon before the last slash belongs to a port.
fn split_suffixes(text: &str) -> Result<(&str, Option<&str>, Option<Digest>), ReferenceError> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest.parse()?)),
        None => (text, None),
    };
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    Ok((name, tag, digest))
}

/// The first component is a domain when it cannot be a path component: it has a dot, a port or a capital, or is `localhost`.
fn split_domain(name: &str) -> (&str, &str) {
    let is_domain =
        |word: &str| word == "localhost" || word.contains(['.', ':']) || word.chars().any(|c| c.is_ascii_uppercase());
    match name.split_once('/') {
        Some((domain, path)) if is_domain(domain) => (domain, path),
        _ => (DEFAULT_DOMAIN, name),
    }
}

fn check_name(text: &str, name: &str, domain: &str, path: &str) -> Result<(), ReferenceError> {
    if text.is_empty() {
        return Err(ReferenceError::Empty);
    }
    if name.len() > NAME_MAX {
        return Err(ReferenceError::TooLong(name.len()));
    }
    if is_id(name) {
        return Err(ReferenceError::LooksLikeId(name.to_owned()));
    }
    if is_domain(domain) && path.split('/').all(is_component) {
        return Ok(());
    }
    if is_domain(domain) && path.to_ascii_lowercase().split('/').all(is_component) {
        return Err(ReferenceError::UpperCase(text.to_owned()));
    }
    Err(ReferenceError::Name(text.to_owned()))
}

fn is_id(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// A host name, an IPv4 address or an IPv6 address in brackets, and a port if there is one.
fn is_domain(domain: &str) -> bool {
    let is_port = |port: &str| !port.is_empty() && port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
    if let Some((address, rest)) = domain.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let is_hex = !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
        return is_hex && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port));
    }
    let (host, port) = match domain.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (domain, None),
    };
    host.split('.').all(is_label) && port.is_none_or(is_port)
}

fn is_label(label: &str) -> bool {
    let plain = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    plain && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
}

/// Runs of letters and digits, joined by one of `.`, `_`, `__` or any number of `-`.
fn is_component(component: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let separators = bytes.split(|b| is_word(*b)).filter(|separator| !separator.is_empty());
    let joined = |separator: &[u8]| matches!(separator, b"." | b"_" | b"__") || separator.iter().all(|b| *b == b'-');
    let ends = |edge: Option<&u8>| edge.is_some_and(|b| is_word(*b));
    ends(bytes.first()) && ends(bytes.last()) && separators.into_iter().all(joined)
}

fn is_tag(tag: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = tag.as_bytes();
    bytes.len() <= TAG_MAX
        && bytes.first().is_some_and(|b| is_word(*b))
        && bytes.iter().all(|b| is_word(*b) || matches!(b, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_name_is_completed_as_docker_does() {
        let at_digest = format!("eg/a@sha256:{HEX}");
        let both = format!("eg/a:1@sha256:{HEX}");
        for (text, full, familiar) in [
            ("mydebian", "docker.io/library/mydebian:latest", "mydebian:latest"),
            ("debian:bookworm", "docker.io/library/debian:bookworm", "debian:bookworm"),
            ("conductor/hello", "docker.io/conductor/hello:latest", "conductor/hello:latest"),
            ("docker.io/library/a", "docker.io/library/a:latest", "a:latest"),
            ("index.docker.io/a:B_1.2-x", "docker.io/library/a:B_1.2-x", "a:B_1.2-x"),
            ("localhost/a", "localhost/a:latest", "localhost/a:latest"),
            ("localhost:5000/a", "localhost:5000/a:latest", "localhost:5000/a:latest"),
            ("Example.org/a/b__c/d---e", "Example.org/a/b__c/d---e:latest", "Example.org/a/b__c/d---e:latest"),
            ("[fe80::1]:5000/a", "[fe80::1]:5000/a:latest", "[fe80::1]:5000/a:latest"),
            (&at_digest, &format!("docker.io/{at_digest}"), &at_digest),
            (&both, &format!("docker.io/{both}"), &both),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), full);
            assert_eq!(reference.familiar(), familiar);
        }
    }

    #[test]
    fn what_could_leave_its_directory_or_its_line_is_refused() {
        let long = "a".repeat(300);
        let long_tag = format!("a:{}", "t".repeat(129));
        for text in [
            "",
            ".",
            "..",
            "../a",
            "a/..",
            "a/../b",
            "/a",
            "a/",
            "a//b",
            "a\nb",
            "a\n",
            "a b",
            "a\0b",
            "-a",
            "a-",
            "a..b",
            "a._b",
            "a___b",
            "_a",
            "a:",
            "a:.b",
            "a:-b",
            "a:b/c",
            "a:b c",
            "a:b:c",
            "a@",
            "a@sha256:12",
            "a@md5:00",
            "UPPER",
            "a/B",
            "ä",
            "+a",
            "a+b",
            "http://a/b",
            "[::1/a",
            "a.b:123456/c",
            "exa mple.org/a",
            "-x.org/a",
            HEX,
            &long,
            &long_tag,
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_name_without_a_domain_has_another_in_engines_that_keep_their_own_images_apart() {
        let other = |text: &str| text.parse::<Reference>().unwrap().on_this_machine().map(|name| name.to_string());
        assert_eq!(other("eg:1").as_deref(), Some("localhost/eg:1"));
        assert_eq!(other("team/eg").as_deref(), Some("localhost/team/eg:latest"));
        assert_eq!(other("example.org/eg"), None);
    }

    #[test]
    fn a_path_that_begins_as_a_domain_is_not_shortened_to_it() {
        for text in ["docker.io/localhost/a/b", "docker.io/a.b/c", "docker.io/docker.io/a/b"] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.familiar_repository(), text);
            assert_eq!(reference.familiar().parse(), Ok(reference));
        }
    }

    #[test]
    fn capitals_get_a_hint_of_their_own() {
        assert_eq!("MyDebian".parse::<Reference>(), Err(ReferenceError::UpperCase("MyDebian".into())));
    }

    #[test]
    fn the_longest_name_counts_what_completion_adds() {
        let name = "a".repeat(NAME_MAX - "docker.io/library/".len());
        assert!(name.parse::<Reference>().is_ok());
        assert!(format!("{name}a").parse::<Reference>().is_err());
    }

    proptest! {
        #[test]
        fn what_is_parsed_prints_and_parses_back(text in "[a-zA-Z0-9.:/@_\\[\\]-]{1,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse(), Ok(reference.clone()));
                prop_assert_eq!(reference.familiar().parse(), Ok(reference));
            }
        }
    }
}
