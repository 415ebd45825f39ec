//! The text of a `policy.json` (containers-policy.json(5)). Pure.
//!
//! It is read as strictly as by the other programs that use the file: what is not known, said twice or missing makes all of it
//! useless, since a rule with a slip of the pen in it would be a rule that does not hold.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{KeySource, Rule, Rules};
use crate::identity::{Identity, IdentityError};

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is longer than any policy.
    #[error("cannot use {path}: it is longer than {limit} bytes")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// How long it may be.
        limit: u64,
    },
    /// The text is not what it should be.
    #[error("cannot use {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<Self>,
    },
    /// It is no JSON, or has other fields and values than containers-policy.json(5) knows.
    #[error("it is not a policy.json, as containers-policy.json(5) has it")]
    Json(#[source] serde_json::Error),
    /// A list of rules has none.
    #[error("{0} has no rule: say insecureAcceptAnything or reject")]
    Empty(String),
    /// A rule does not say by which key.
    #[error("a {0} says nothing of keys, or several things: one of {1} is needed")]
    Keys(&'static str, &'static str),
    /// A key is no base64.
    #[error("a key of a sigstoreSigned is not in base64")]
    Base64(#[from] base64::DecodeError),
    /// The names that a signature may have are none.
    #[error("a signedIdentity cannot be used")]
    Identity(#[from] IdentityError),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    default: Vec<RawRule>,
    #[serde(default)]
    transports: Once<Once<Vec<RawRule>>>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", deny_unknown_fields)]
enum RawRule {
    InsecureAcceptAnything {},
    Reject {},
    SignedBy(RawSignedBy),
    #[serde(rename_all = "camelCase")]
    SignedBaseLayer {
        base_layer_identity: RawIdentity,
    },
    SigstoreSigned(RawSigned),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawSignedBy {
    #[serde(rename = "keyType")]
    _key_type: KeyType,
    key_path: Option<String>,
    key_paths: Option<Vec<String>>,
    key_data: Option<String>,
    signed_identity: Option<RawIdentity>,
}

#[derive(Deserialize)]
enum KeyType {
    #[serde(rename = "GPGKeys")]
    Gpg,
    #[serde(rename = "signedByGPGKeys")]
    SignedByGpg,
    X509Certificates,
    #[serde(rename = "signedByX509CAs")]
    SignedByX509,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawSigned {
    key_path: Option<String>,
    key_paths: Option<Vec<String>>,
    key_data: Option<String>,
    key_datas: Option<Vec<String>>,
    fulcio: Option<IgnoredAny>,
    pki: Option<IgnoredAny>,
    rekor_public_key_path: Option<IgnoredAny>,
    rekor_public_key_paths: Option<IgnoredAny>,
    rekor_public_key_data: Option<IgnoredAny>,
    rekor_public_key_datas: Option<IgnoredAny>,
    signed_identity: Option<RawIdentity>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", deny_unknown_fields)]
enum RawIdentity {
    MatchExact {},
    MatchRepoDigestOrExact {},
    MatchRepository {},
    #[serde(rename_all = "camelCase")]
    ExactReference {
        docker_reference: String,
    },
    #[serde(rename_all = "camelCase")]
    ExactRepository {
        docker_repository: String,
    },
    #[serde(rename_all = "camelCase")]
    RemapIdentity {
        prefix: String,
        signed_prefix: String,
    },
}

impl Rules {
    pub(super) fn parse(text: &[u8]) -> Result<Self, PolicyError> {
        let raw: Raw = serde_json::from_slice(text).map_err(PolicyError::Json)?;
        let mut docker = BTreeMap::new();
        // What is said of other transports has to be right and is about other programs.
        for (transport, scopes) in raw.transports.0 {
            for (scope, rules) in scopes.0 {
                let rules = read_all(rules, || format!("the scope {scope:?} of {transport:?}"))?;
                if transport == "docker" {
                    docker.insert(scope, rules);
                }
            }
        }
        Ok(Self { default: read_all(raw.default, || "the default".to_owned())?, docker })
    }
}

fn read_all(rules: Vec<RawRule>, place: impl FnOnce() -> String) -> Result<Vec<Rule>, PolicyError> {
    if rules.is_empty() {
        return Err(PolicyError::Empty(place()));
    }
    rules.into_iter().map(RawRule::read).collect()
}

impl RawRule {
    fn read(self) -> Result<Rule, PolicyError> {
        match self {
            Self::InsecureAcceptAnything {} => Ok(Rule::Accept),
            Self::Reject {} => Ok(Rule::Reject),
            Self::SignedBy(raw) => raw.read(),
            Self::SignedBaseLayer { base_layer_identity } => {
                base_layer_identity.read()?;
                Ok(Rule::Unchecked("signedBaseLayer".to_owned()))
            }
            Self::SigstoreSigned(raw) => raw.read(),
        }
    }
}

impl RawSignedBy {
    fn read(self) -> Result<Rule, PolicyError> {
        let said = [self.key_path.is_some(), self.key_paths.is_some(), self.key_data.is_some()];
        if said.into_iter().filter(|said| *said).count() != 1 {
            return Err(PolicyError::Keys("signedBy", "keyPath, keyPaths, keyData"));
        }
        self.signed_identity.map(RawIdentity::read).transpose()?;
        Ok(Rule::Unchecked("signedBy".to_owned()))
    }
}

impl RawSigned {
    fn read(self) -> Result<Rule, PolicyError> {
        let identity = self.signed_identity.map(RawIdentity::read).transpose()?.unwrap_or_default();
        // A signature that is in no log, or by a key that a certificate vouches for, would need more than a key to be checked.
        let beyond = [
            ("fulcio", self.fulcio),
            ("pki", self.pki),
            ("rekorPublicKeyPath", self.rekor_public_key_path),
            ("rekorPublicKeyPaths", self.rekor_public_key_paths),
            ("rekorPublicKeyData", self.rekor_public_key_data),
            ("rekorPublicKeyDatas", self.rekor_public_key_datas),
        ];
        let beyond = beyond.into_iter().find_map(|(name, value)| value.map(|_| name));
        let filled = |text: &String| !text.is_empty();
        let (path, data) = (self.key_path.filter(filled), self.key_data.filter(filled));
        let said = [path.is_some(), self.key_paths.is_some(), data.is_some(), self.key_datas.is_some()];
        let paths: Vec<_> = path.into_iter().chain(self.key_paths.unwrap_or_default()).collect();
        let texts: Vec<_> = data.into_iter().chain(self.key_datas.unwrap_or_default()).collect();
        match (beyond, said.into_iter().filter(|said| *said).count()) {
            (Some(name), _) => return Ok(Rule::Unchecked(format!("sigstoreSigned with {name}"))),
            (None, 1) if paths.len() + texts.len() > 0 => {}
            _ => return Err(PolicyError::Keys("sigstoreSigned", "keyPath, keyPaths, keyData, keyDatas")),
        }
        let mut keys: Vec<_> = paths.into_iter().map(|path| KeySource::File(path.into())).collect();
        for text in texts {
            keys.push(KeySource::Text(STANDARD.decode(text)?));
        }
        Ok(Rule::Signed { keys, identity })
    }
}

impl RawIdentity {
    fn read(self) -> Result<Identity, IdentityError> {
        match self {
            Self::MatchExact {} => Ok(Identity::Exact),
            Self::MatchRepoDigestOrExact {} => Ok(Identity::RepositoryDigestOrExact),
            Self::MatchRepository {} => Ok(Identity::Repository),
            Self::ExactReference { docker_reference } => Identity::reference(&docker_reference),
            Self::ExactRepository { docker_repository } => Identity::repository(&docker_repository),
            Self::RemapIdentity { prefix, signed_prefix } => Identity::remapped(&prefix, &signed_prefix),
        }
    }
}

/// A map in which no key stands twice: JSON allows it, and then readers disagree.
struct Once<V>(BTreeMap<String, V>);

impl<V> Default for Once<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Once<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OnceVisitor(PhantomData))
    }
}

struct OnceVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for OnceVisitor<V> {
    type Value = Once<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Once<V>, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<String, V>()? {
            if entries.contains_key(&key) {
                return Err(A::Error::custom(format!("{key:?} stands there twice")));
            }
            entries.insert(key, value);
        }
        Ok(Once(entries))
    }
}

#[cfg(test)]
pub(crate) fn encoded(text: &str) -> String {
    STANDARD.encode(text)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rule(rule: &Value) -> Result<Rule, String> {
        let told = |error: PolicyError| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            format!("{error}{cause}")
        };
        let rules = Rules::parse(json!({ "default": [rule] }).to_string().as_bytes()).map_err(told)?;
        Ok(rules.default[0].clone())
    }

    #[test]
    fn keys_and_identities_are_read() {
        let signed = |key: &str, value: Value, identity: Value| {
            let mut signed = json!({"type": "sigstoreSigned"});
            signed[key] = value;
            if !identity.is_null() {
                signed["signedIdentity"] = identity;
            }
            rule(&signed).unwrap()
        };
        let of = |keys: &[KeySource], identity| Rule::Signed { keys: keys.to_vec(), identity };
        let (file, text) = (|path: &str| KeySource::File(path.into()), KeySource::Text(b"key".to_vec()));
        assert_eq!(signed("keyPath", json!("/a"), json!(null)), of(&[file("/a")], Identity::RepositoryDigestOrExact));
        assert_eq!(
            signed("keyPaths", json!(["/a", "/b"]), json!({"type": "matchRepository"})),
            of(&[file("/a"), file("/b")], Identity::Repository)
        );
        assert_eq!(
            signed(
                "keyData",
                json!(encoded("key")),
                json!({"type": "exactReference", "dockerReference": "r.test/a:1"})
            ),
            of(std::slice::from_ref(&text), Identity::Reference("r.test/a:1".parse().unwrap()))
        );
        assert_eq!(
            signed(
                "keyDatas",
                json!([encoded("key"), encoded("key")]),
                json!({"type": "remapIdentity", "prefix": "a.test", "signedPrefix": "b.test"})
            ),
            of(&[text.clone(), text], Identity::Remapped { prefix: "a.test".into(), signed: "b.test".into() })
        );
    }

    #[test]
    fn what_cannot_be_checked_is_known_and_kept_as_such() {
        for (wanted, what) in [
            (json!({"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/a"}), "signedBy"),
            (json!({"type": "signedBaseLayer", "baseLayerIdentity": {"type": "matchExact"}}), "signedBaseLayer"),
            (
                json!({"type": "sigstoreSigned", "fulcio": {"caPath": "/a"}, "rekorPublicKeyPath": "/b"}),
                "sigstoreSigned with fulcio",
            ),
            (json!({"type": "sigstoreSigned", "pki": {}}), "sigstoreSigned with pki"),
            (
                json!({"type": "sigstoreSigned", "keyPath": "/a", "rekorPublicKeyData": "YQ=="}),
                "sigstoreSigned with rekorPublicKeyData",
            ),
        ] {
            assert_eq!(rule(&wanted), Ok(Rule::Unchecked(what.into())));
        }
    }

    #[test]
    fn a_slip_of_the_pen_makes_all_of_it_useless() {
        for (wrong, words) in [
            (json!({"type": "insecureAcceptAnything", "more": 1}), "unknown field `more`"),
            (json!({"type": "reject", "keyPath": "/a"}), "unknown field `keyPath`"),
            (json!({"type": "rejects"}), "unknown variant `rejects`"),
            (json!({"keyPath": "/a"}), "missing field `type`"),
            (json!({"type": "sigstoreSigned", "keypath": "/a"}), "unknown field `keypath`"),
            (json!({"type": "sigstoreSigned"}), "says nothing of keys"),
            (json!({"type": "sigstoreSigned", "keyPath": ""}), "says nothing of keys"),
            (json!({"type": "sigstoreSigned", "keyPaths": []}), "says nothing of keys"),
            (json!({"type": "sigstoreSigned", "keyPath": "/a", "keyData": "YQ=="}), "or several things"),
            (json!({"type": "sigstoreSigned", "keyData": "?"}), "not in base64"),
            (
                json!({"type": "sigstoreSigned", "keyPath": "/a", "signedIdentity": {"type": "matchAll"}}),
                "unknown variant `matchAll`",
            ),
            (
                json!({"type": "sigstoreSigned", "keyPath": "/a", "signedIdentity": {"type": "matchExact", "more": 1}}),
                "unknown field `more`",
            ),
            (
                json!({"type": "sigstoreSigned", "keyPath": "/a", "signedIdentity": {"type": "exactReference", "dockerReference": "a"}}),
                "neither tag nor digest",
            ),
            (json!({"type": "signedBy", "keyPath": "/a"}), "missing field `keyType`"),
            (json!({"type": "signedBy", "keyType": "GPGKeys"}), "says nothing of keys"),
        ] {
            let said = rule(&wrong).unwrap_err();
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn a_file_is_whole_or_none() {
        let accept = r#"[{"type": "insecureAcceptAnything"}]"#;
        let said = |text: String| {
            let error = Rules::parse(text.as_bytes()).unwrap_err();
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            format!("{error}: {cause}")
        };
        for (text, words) in [
            (String::new(), "EOF"),
            ("{}".to_owned(), "missing field `default`"),
            (r#"{"default": []}"#.to_owned(), "the default has no rule"),
            (format!(r#"{{"default": {accept}}} x"#), "trailing characters"),
            (format!(r#"{{"default": {accept}, "defaults": {accept}}}"#), "unknown field `defaults`"),
            (format!(r#"{{"default": {accept}, "default": {accept}}}"#), "duplicate field `default`"),
            (
                format!(r#"{{"default": {accept}, "transports": {{"docker": {{"a": {accept}, "a": {accept}}}}}}}"#),
                "\"a\" stands there twice",
            ),
            (
                format!(r#"{{"default": {accept}, "transports": {{"docker": {{}}, "docker": {{}}}}}}"#),
                "\"docker\" stands there twice",
            ),
            (
                format!(r#"{{"default": {accept}, "transports": {{"oci": {{"/a": []}}}}}}"#),
                "the scope \"/a\" of \"oci\" has no rule",
            ),
            (r#"{"default": [{"type": "reject", "type": "reject"}]}"#.to_owned(), "duplicate field `type`"),
        ] {
            let said = said(text);
            assert!(said.contains(words), "{said}");
        }
    }
}
