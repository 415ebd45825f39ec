//! What is signed: a document of "simple signing" that names a digest and a reference (containers/image,
//! docs/containers-signature.5.md; cosign's `SIGNATURE_SPEC.md`). Pure.

use oci::Digest;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// What the document says it is.
const KIND: &str = "cosign container image signature";

/// The longest reference and the longest complaint, in bytes: longer ones would only disturb a terminal.
const LONGEST: usize = 512;

/// What whoever signed it says of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The digest of the manifest or index.
    pub(crate) digest: Digest,
    /// The image's name as the signer has it; cosign gives it no tag.
    pub(crate) reference: String,
}

/// Fields that are not known could mean anything, so there must be none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    critical: RawCritical,
    /// Words of the signer's own: they change nothing of what is signed.
    #[serde(rename = "optional")]
    _optional: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCritical {
    r#type: String,
    image: RawImage,
    identity: RawIdentity,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawImage {
    docker_manifest_digest: Digest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawIdentity {
    docker_reference: String,
}

impl Claim {
    /// Reads a document whose signature was found good; before that it is worth nothing.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let Raw { critical, .. } = serde_json::from_slice(bytes).map_err(|error| clean(&error))?;
        if critical.r#type != KIND {
            return Err(format!("it is not of type {KIND:?}"));
        }
        if critical.identity.docker_reference.len() > LONGEST {
            return Err("its reference is longer than any".to_owned());
        }
        Ok(Self { digest: critical.image.docker_manifest_digest, reference: critical.identity.docker_reference })
    }
}

/// Names of fields stand in an error as they came.
fn clean(error: &serde_json::Error) -> String {
    error.to_string().chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn document() -> Value {
        json!({
            "critical": {
                "identity": {"docker-reference": "r.test/a"},
                "image": {"docker-manifest-digest": Digest::of(b"a")},
                "type": KIND,
            },
            "optional": null,
        })
    }

    fn parse(document: &Value) -> Result<Claim, String> {
        Claim::parse(document.to_string().as_bytes())
    }

    #[test]
    fn a_claim_names_a_digest_and_a_reference() {
        let claim = parse(&document()).unwrap();
        assert_eq!(claim, Claim { digest: Digest::of(b"a"), reference: "r.test/a".into() });
        let mut chatty = document();
        chatty["optional"] = json!({"creator": "somebody", "timestamp": 7, "more": [1]});
        assert_eq!(parse(&chatty).unwrap(), claim);
    }

    #[test]
    fn what_is_not_quite_a_claim_is_none() {
        for (pointer, key, value) in [
            ("/critical", "type", json!("atomic container signature")),
            ("/critical", "more", json!(1)),
            ("", "more", json!(1)),
            ("/critical/image", "docker-manifest-digest", json!("sha512:00")),
            ("/critical/identity", "docker-reference", json!(null)),
        ] {
            let mut wrong = document();
            wrong.pointer_mut(pointer).unwrap()[key] = value;
            assert!(parse(&wrong).is_err(), "{wrong}");
        }
        for key in ["critical", "optional"] {
            let mut wrong = document();
            wrong.as_object_mut().unwrap().remove(key);
            assert!(parse(&wrong).is_err(), "{wrong}");
        }
        let twice = document().to_string().replace("\"optional\"", "\"optional\":1,\"optional\"");
        assert!(Claim::parse(twice.as_bytes()).is_err());
        assert!(Claim::parse(b"").is_err());
        let loud = Claim::parse(br#"{"\u001b[31mred\n": 1}"#).unwrap_err();
        assert!(loud.contains("red") && !loud.contains(['\u{1b}', '\n']), "{loud}");
        let mut long = document();
        long["critical"]["identity"]["docker-reference"] = json!("a".repeat(LONGEST + 1));
        assert_eq!(parse(&long).unwrap_err(), "its reference is longer than any");
    }
}
