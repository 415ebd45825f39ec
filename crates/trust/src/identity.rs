//! Whether the name in a signature is good for the image that is wanted (containers-policy.json(5), "signedIdentity"). Pure.

use oci::Reference;

/// Which names in a signature are taken for an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Identity {
    /// The image's own name with its tag or digest.
    Exact,
    /// The same; where the image is asked for by digest, any name of its repository.
    #[default]
    RepositoryDigestOrExact,
    /// Any name of the image's repository. It is what cosign signs, which leaves the tag out.
    Repository,
    /// One name, whatever the image is called here.
    Reference(Reference),
    /// Any name of one repository, whatever the image is called here.
    OtherRepository(String),
    /// As [`RepositoryDigestOrExact`](Self::RepositoryDigestOrExact), of a name whose beginning is another one.
    Remapped {
        /// How the image's name begins: whole components.
        prefix: String,
        /// How it begins where it was signed.
        signed: String,
    },
}

/// Why a rule about names cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A reference is none.
    #[error(transparent)]
    Reference(#[from] oci::ReferenceError),
    /// A reference has neither tag nor digest.
    #[error("the reference {0:?} has neither tag nor digest")]
    Bare(String),
    /// A prefix is no name.
    #[error("the prefix {0:?} is neither HOST[:PORT] nor the name of a repository or of its parents")]
    Prefix(String),
}

impl Identity {
    /// Makes the rule that takes one name.
    pub fn reference(text: &str) -> Result<Self, IdentityError> {
        match exact(text) {
            Some(reference) => Ok(Self::Reference(reference)),
            None => {
                text.parse::<Reference>().map_err(Into::into).and_then(|_| Err(IdentityError::Bare(text.to_owned())))
            }
        }
    }

    /// Makes the rule that takes the names of one repository.
    pub fn repository(text: &str) -> Result<Self, IdentityError> {
        Ok(Self::OtherRepository(text.parse::<Reference>()?.repository()))
    }

    /// Makes the rule that replaces a prefix.
    pub fn remapped(prefix: &str, signed: &str) -> Result<Self, IdentityError> {
        match [prefix, signed].into_iter().find(|text| !is_prefix(text)) {
            None => Ok(Self::Remapped { prefix: prefix.to_owned(), signed: signed.to_owned() }),
            Some(wrong) => Err(IdentityError::Prefix(wrong.to_owned())),
        }
    }

    /// Tells whether a signature's name is good for an image.
    pub fn takes(&self, image: &Reference, signed: &str) -> bool {
        match self {
            Self::Exact => exact(signed).is_some_and(|signed| canonical(&signed) == canonical(image)),
            Self::RepositoryDigestOrExact => is_or_shares_repository(image, signed),
            Self::Repository => repository(signed).is_some_and(|signed| signed == image.repository()),
            Self::Reference(wanted) => exact(signed).is_some_and(|signed| signed == *wanted),
            Self::OtherRepository(wanted) => repository(signed).is_some_and(|signed| signed == *wanted),
            Self::Remapped { prefix, signed: to } => match remap(image, prefix, to) {
                Some(image) => is_or_shares_repository(&image, signed),
                None => false,
            },
        }
    }
}

/// Returns the one form of a name that has a tag and a digest: the digest says more, and other programs leave the tag out.
pub(crate) fn canonical(image: &Reference) -> String {
    match (image.digest(), image.tag()) {
        (Some(digest), _) => format!("{}@{digest}", image.repository()),
        (None, tag) => format!("{}:{}", image.repository(), tag.unwrap_or("latest")),
    }
}

fn is_or_shares_repository(image: &Reference, signed: &str) -> bool {
    let Some(signed) = exact(signed) else { return false };
    match image.digest() {
        Some(_) => signed.repository() == image.repository(),
        None => canonical(&signed) == canonical(image),
    }
}

/// Reads a name that has a tag or a digest. One that has neither is not completed: it does not say `latest`.
fn exact(text: &str) -> Option<Reference> {
    // Only a name without either can take another tag.
    let is_bare = format!("{text}:x").parse::<Reference>().is_ok();
    text.parse().ok().filter(|_| !is_bare)
}

fn repository(text: &str) -> Option<String> {
    text.parse::<Reference>().ok().map(|reference| reference.repository())
}

/// Replaces the first components of a name; nothing where that makes no name.
fn remap(image: &Reference, prefix: &str, to: &str) -> Option<Reference> {
    let name = canonical(image);
    let repository = image.repository();
    match repository.strip_prefix(prefix) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{to}{}", &name[prefix.len()..]).parse().ok(),
        _ => Some(image.clone()),
    }
}

/// A host alone, or the beginning of a name.
fn is_prefix(text: &str) -> bool {
    let host = format!("{text}/x").parse::<Reference>();
    let is_host = !text.contains('/') && host.is_ok_and(|name| name.domain() == text);
    is_host || (text.contains('/') && format!("{text}:x").parse::<Reference>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(identity: &Identity, image: &str, signed: &str) -> bool {
        identity.takes(&image.parse().unwrap(), signed)
    }

    #[test]
    fn each_rule_takes_what_it_says_and_nothing_else() {
        let digest = oci::Digest::of(b"a");
        let (by_digest, both) = (&format!("r.test/a@{digest}"), &format!("r.test/a:1@{digest}"));
        let reference = Identity::reference("s.test/b:2").unwrap();
        let repository = Identity::repository("s.test/b").unwrap();
        let remapped = Identity::remapped("r.test", "s.test/far").unwrap();
        let usual = Identity::default();
        for (identity, image, signed, is_taken) in [
            (&Identity::Exact, "r.test/a:1", "r.test/a:1", true),
            (&Identity::Exact, "r.test/a:1", "r.test/a:2", false),
            (&Identity::Exact, "r.test/a", "r.test/a", false),
            (&Identity::Exact, by_digest, "r.test/a:1", false),
            (&Identity::Exact, both, by_digest, true),
            (&usual, "r.test/a:1", "r.test/a:1", true),
            (&usual, "r.test/a:1", "r.test/a:2", false),
            (&usual, "r.test/a:latest", "r.test/a", false),
            (&usual, by_digest, "r.test/a:2", true),
            (&usual, both, "r.test/a:2", true),
            (&usual, by_digest, "r.test/a", false),
            (&usual, by_digest, "r.test/b:1", false),
            (&Identity::Repository, "r.test/a:1", "r.test/a", true),
            (&Identity::Repository, "r.test/a:1", "r.test/a:2", true),
            (&Identity::Repository, "r.test/a:1", "r.test/ab", false),
            (&Identity::Repository, "debian:12", "index.docker.io/library/debian", true),
            (&Identity::Repository, "r.test/a:1", "R.test/../a", false),
            (&reference, "r.test/a:1", "s.test/b:2", true),
            (&reference, "r.test/a:1", "s.test/b", false),
            (&repository, "r.test/a:1", "s.test/b", true),
            (&repository, "r.test/a:1", "s.test/b:3", true),
            (&repository, "s.test/b:1", "r.test/a", false),
            (&remapped, "r.test/a:1", "s.test/far/a:1", true),
            (&remapped, "r.test/a:1", "r.test/a:1", false),
            (&remapped, "r.test/a:1", "s.test/far/a", false),
            (&remapped, by_digest, "s.test/far/a:9", true),
            (&remapped, "r.test.other/a:1", "r.test.other/a:1", true),
        ] {
            assert_eq!(takes(identity, image, signed), is_taken, "{identity:?} {image} {signed}");
        }
    }

    #[test]
    fn a_rule_that_could_never_be_met_is_no_rule() {
        let wrong = |result: Result<Identity, IdentityError>| result.unwrap_err().to_string();
        assert_eq!(wrong(Identity::reference("r.test/a")), "the reference \"r.test/a\" has neither tag nor digest");
        assert!(wrong(Identity::reference("r.test/A:1")).contains("lower case"));
        assert!(wrong(Identity::repository("")).contains("empty"));
        for prefix in ["", "r.test/a:1", "r.test/", "a b", "*.r.test", "r.test/a@sha256:00"] {
            assert!(wrong(Identity::remapped(prefix, "r.test")).starts_with("the prefix"), "{prefix:?}");
        }
        for prefix in ["r.test", "r.test:5000", "localhost:5000/a", "docker.io/library"] {
            assert!(Identity::remapped("r.test", prefix).is_ok(), "{prefix:?}");
        }
    }
}
