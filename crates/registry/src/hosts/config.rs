//! The part of containers' `registries.conf`, version 2, that we know (containers-registries.conf(5)). Pure.

use std::path::PathBuf;

use serde::Deserialize;

use super::{Hosts, Mirror, MirrorPull, Rule};

/// Why the rules about registries cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostsError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is not what it should be.
    #[error("cannot use {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<Self>,
    },
    /// It is no TOML, or a value has the wrong type.
    #[error("it is not a registries.conf of version 2")]
    Toml(#[source] Box<toml::de::Error>),
    /// A rule says nothing about where it applies.
    #[error("a [[registry]] has neither prefix nor location")]
    Nowhere,
    /// A location is none.
    #[error("{0:?} is not a location of the form HOST[:PORT][/PATH]")]
    Location(String),
    /// A word is not known.
    #[error("{0:?} is not a value of pull-from-mirror: use all, digest-only or tag-only")]
    Pull(String),
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    registry: Vec<RawRegistry>,
    /// The tables of version 1.
    registries: Option<toml::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawRegistry {
    prefix: Option<String>,
    location: Option<String>,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default)]
    mirror: Vec<RawMirror>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawMirror {
    location: String,
    #[serde(default)]
    insecure: bool,
    pull_from_mirror: Option<String>,
}

impl Hosts {
    /// Reads the text of a `registries.conf`; what we do not know in it is passed over.
    pub fn parse(text: &str) -> Result<Self, HostsError> {
        let raw: Raw = toml::from_str(text).map_err(|error| HostsError::Toml(Box::new(error)))?;
        if raw.registries.is_some() {
            tracing::warn!("the [registries] tables of a registries.conf are of version 1 and are not used");
        }
        let rules = raw.registry.into_iter().map(RawRegistry::read).collect::<Result<_, _>>()?;
        Ok(Self { rules, verify: None })
    }

    /// Adds rules that take the place of those with the same prefix.
    pub(super) fn overlay(&mut self, later: Self) {
        self.rules.retain(|rule| later.rules.iter().all(|other| other.prefix != rule.prefix));
        self.rules.extend(later.rules);
    }
}

impl RawRegistry {
    fn read(self) -> Result<Rule, HostsError> {
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (prefix, location) = (filled(self.prefix), filled(self.location));
        let prefix = prefix.or_else(|| location.clone()).ok_or(HostsError::Nowhere)?;
        if let Some(location) = &location {
            check_location(location)?;
        }
        let usual = if self.mirror_by_digest_only { MirrorPull::DigestOnly } else { MirrorPull::All };
        let mirrors = self.mirror.into_iter().map(|mirror| mirror.read(usual)).collect::<Result<_, _>>()?;
        Ok(Rule { prefix, location, insecure: self.insecure, blocked: self.blocked, mirrors })
    }
}

impl RawMirror {
    fn read(self, usual: MirrorPull) -> Result<Mirror, HostsError> {
        check_location(&self.location)?;
        let pull = match self.pull_from_mirror.as_deref() {
            None | Some("") => usual,
            Some("all") => MirrorPull::All,
            Some("digest-only") => MirrorPull::DigestOnly,
            Some("tag-only") => MirrorPull::TagOnly,
            Some(other) => return Err(HostsError::Pull(other.to_owned())),
        };
        Ok(Mirror { location: self.location, insecure: self.insecure, pull })
    }
}

/// A location becomes an address of the web: a scheme in it, or a space, would become something else.
fn check_location(location: &str) -> Result<(), HostsError> {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]/".contains(&b);
    let good = location.bytes().all(is_word) && !location.contains("//") && !location.starts_with('/');
    if good && !location.contains("/..") { Ok(()) } else { Err(HostsError::Location(location.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_passed_over_and_what_is_wrong_is_named() {
        let wrong = |text: &str| Hosts::parse(text).unwrap_err().to_string();
        assert_eq!(Hosts::parse("short-name-mode = \"x\"\n[aliases]\na = \"b\"\n").unwrap(), Hosts::default());
        assert_eq!(wrong("[[registry]]\ninsecure = true\n"), "a [[registry]] has neither prefix nor location");
        assert_eq!(
            wrong("[[registry]]\nlocation = \"https://r.test\"\n"),
            "\"https://r.test\" is not a location of the form HOST[:PORT][/PATH]"
        );
        let odd = "[[registry]]\nlocation = \"a.test\"\n[[registry.mirror]]\nlocation = \"b.test\"\npull-from-mirror = \"never\"\n";
        assert!(wrong(odd).starts_with("\"never\" is not a value of pull-from-mirror"));
        assert_eq!(wrong("registry = 1"), "it is not a registries.conf of version 2");
    }

    #[test]
    fn a_later_file_takes_the_place_of_rules_with_the_same_prefix() {
        let rule = |prefix: &str, blocked| Rule { prefix: prefix.into(), blocked, ..Rule::default() };
        let mut hosts = Hosts { rules: vec![rule("a.test", false), rule("b.test", false)], verify: None };
        hosts.overlay(Hosts { rules: vec![rule("a.test", true)], verify: None });
        assert_eq!(hosts.rules, [rule("b.test", false), rule("a.test", true)]);
    }
}
