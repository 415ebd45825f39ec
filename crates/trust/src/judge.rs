//! The judge of one image: takes signatures as they come, until all that is demanded is there. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oci::{Digest, Reference};

use crate::error::{Demand, Error, Flaw, Flaws};
use crate::identity::Identity;
use crate::key::PublicKey;
use crate::payload::Claim;

/// A signature and what it is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature<'s> {
    /// The bytes that are signed.
    pub payload: &'s [u8],
    /// The signature over them, in base64.
    pub signature: &'s str,
}

/// A digest that somebody vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The digest of the manifest or index that is signed.
    pub digest: Digest,
    /// The key, by its file or by its field in the policy.
    pub key: String,
}

/// Decides about one image.
///
/// It is content when every demand is met. Signatures are shown to it with the digest that they are found at, which has to be one
/// that the image's name leads to: the index's or the manifest's. Each binds what it points at, so either will do.
#[derive(Debug)]
pub struct Judge {
    image: Reference,
    open: Vec<(Demand, Keys)>,
    verified: Vec<Verified>,
    flaws: Flaws,
    first: Option<Digest>,
}

/// Keys of which one has to have signed, and the name that has to be signed.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    keys: Vec<(String, PublicKey)>,
    identity: Identity,
}

impl Judge {
    pub(crate) fn new(image: Reference, demands: Vec<(Demand, Keys)>) -> Self {
        Self { image, open: demands, verified: Vec::new(), flaws: Flaws::default(), first: None }
    }

    /// Tells whether nothing more is demanded.
    pub fn is_content(&self) -> bool {
        self.open.is_empty()
    }

    /// Returns what is still demanded.
    pub fn demands(&self) -> impl Iterator<Item = &Demand> {
        self.open.iter().map(|(demand, _)| demand)
    }

    /// Takes note that the signatures of a digest are looked for, before any of them is shown.
    pub fn look_at(&mut self, digest: &Digest) {
        self.first.get_or_insert(*digest);
        self.flaws.look_at(digest);
    }

    /// Takes note of a signature that cannot be shown.
    pub fn pass_over(&mut self, digest: &Digest, reason: impl Into<String>) {
        self.flaws.add(digest, Flaw::Unreadable(reason.into()));
    }

    /// Looks at a signature that is found at a digest.
    pub fn show(&mut self, digest: &Digest, signature: &Signature<'_>) {
        let Ok(bytes) = STANDARD.decode(signature.signature.trim()) else {
            return self.pass_over(digest, "it is not in base64");
        };
        let Self { image, open, verified, flaws, .. } = self;
        open.retain(|(_, keys)| match keys.accept(image, digest, signature.payload, &bytes) {
            Ok(key) => {
                let good = Verified { digest: *digest, key };
                if !verified.contains(&good) {
                    verified.push(good);
                }
                false
            }
            Err(flaw) => {
                flaws.add(digest, flaw);
                true
            }
        });
    }

    /// Returns who vouches for the image, or what is missing.
    pub fn verdict(self) -> Result<Vec<Verified>, Error> {
        let Some((demand, _)) = self.open.into_iter().next() else { return Ok(self.verified) };
        let digest = self.first.map(|digest| format!("@{digest}")).unwrap_or_default();
        let wanted = format!("{}{digest}", self.image.repository());
        let (demand, source) = (Box::new(demand), Box::new(self.flaws));
        Err(Error::Refused { image: self.image.familiar(), wanted, demand, source })
    }
}

impl Keys {
    pub(crate) fn new(identity: Identity) -> Self {
        Self { keys: Vec::new(), identity }
    }

    pub(crate) fn add(&mut self, name: String, key: PublicKey) {
        self.keys.push((name, key));
    }

    /// Returns the keys' names.
    pub(crate) fn names(&self) -> Vec<String> {
        self.keys.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Returns the key by which a signature vouches for an image. What is signed is not looked into before the signature is
    /// found good.
    fn accept(&self, image: &Reference, digest: &Digest, payload: &[u8], signature: &[u8]) -> Result<String, Flaw> {
        let key = self.keys.iter().find(|(_, key)| key.has_signed(payload, signature));
        let (name, _) = key.ok_or(Flaw::Key)?;
        let claim = Claim::parse(payload).map_err(Flaw::Payload)?;
        if claim.digest != *digest {
            return Err(Flaw::Digest(claim.digest));
        }
        if !self.identity.takes(image, &claim.reference) {
            return Err(Flaw::Identity(claim.reference));
        }
        Ok(name.clone())
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, SigningKey};

    use super::*;
    use crate::error::Place;

    const IMAGE: &str = "r.test/a:1";

    fn judge(keys: &[&KeyPair]) -> Judge {
        let demands = keys.iter().enumerate().map(|(at, pair)| {
            let mut keys = Keys::new(Identity::Repository);
            keys.add(format!("k{at}"), PublicKey::parse(pair.public_key_pem().as_bytes()).unwrap());
            (Demand { place: Place::CommandLine, keys: keys.names() }, keys)
        });
        Judge::new(IMAGE.parse().unwrap(), demands.collect())
    }

    fn payload(digest: &Digest, name: &str) -> String {
        format!(
            r#"{{"critical":{{"identity":{{"docker-reference":"{name}"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"cosign container image signature"}},"optional":null}}"#
        )
    }

    fn show(judge: &mut Judge, at: &Digest, pair: &KeyPair, payload: &str) {
        let signature = STANDARD.encode(pair.sign(payload.as_bytes()).unwrap());
        judge.show(at, &Signature { payload: payload.as_bytes(), signature: &signature });
    }

    #[test]
    fn every_demand_has_to_be_met() {
        let (a, b, digest, list) =
            (KeyPair::generate().unwrap(), KeyPair::generate().unwrap(), Digest::of(b"a"), Digest::of(b"l"));
        let mut judge = judge(&[&a, &b]);
        judge.look_at(&list);
        show(&mut judge, &list, &a, &payload(&list, "r.test/a"));
        assert_eq!((judge.is_content(), judge.demands().count()), (false, 1));
        judge.look_at(&digest);
        show(&mut judge, &digest, &b, &payload(&digest, IMAGE));
        assert!(judge.is_content());
        let verified = |digest, key: &str| Verified { digest, key: key.into() };
        assert_eq!(judge.verdict().unwrap(), [verified(list, "k0"), verified(digest, "k1")]);
    }

    #[test]
    fn what_does_not_vouch_for_the_image_is_told_and_not_taken() {
        let (own, other, digest) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap(), Digest::of(b"a"));
        let good = payload(&digest, IMAGE);
        for (pair, payload, said) in [
            (&other, good.clone(), "is by another key, or of something else"),
            (&own, payload(&Digest::of(b"b"), IMAGE), &format!("is good, but for the digest {}", Digest::of(b"b"))),
            (&own, payload(&digest, "r.test/b:1"), "is good, but for the name \"r.test/b:1\", which"),
            (
                &own,
                good.replace("cosign container", "another"),
                "is good, but what is signed cannot be read: it is not of type",
            ),
            (&own, "words".to_owned(), "is good, but what is signed cannot be read: expected value"),
        ] {
            let mut judge = judge(&[&own]);
            judge.look_at(&digest);
            show(&mut judge, &digest, pair, &payload);
            assert!(!judge.is_content());
            let Err(Error::Refused { source, .. }) = judge.verdict() else { panic!("{payload}") };
            let told = source.to_string();
            assert!(told.starts_with(&format!("a signature of {digest} {said}")), "{told}");
        }
        let mut tampered = judge(&[&own]);
        let signature = STANDARD.encode(own.sign(good.as_bytes()).unwrap());
        tampered.show(&digest, &Signature { payload: good.replace("null", "{}").as_bytes(), signature: &signature });
        tampered.show(&digest, &Signature { payload: good.as_bytes(), signature: "?" });
        assert!(!tampered.is_content());
    }

    #[test]
    fn many_flaws_are_told_shortly() {
        let (own, digest) = (KeyPair::generate().unwrap(), Digest::of(b"a"));
        let (mut judge, mut unsigned) = (judge(&[&own]), judge(&[&own]));
        judge.look_at(&digest);
        unsigned.look_at(&digest);
        let told = |judge: &Judge| judge.flaws.to_string();
        assert_eq!(told(&judge), format!("there is no signature of {digest}"));
        for number in 0..9_u8 {
            let signature = STANDARD.encode([number]);
            judge.show(&digest, &Signature { payload: b"x", signature: &signature });
        }
        assert_eq!(told(&judge), format!("each of 9 signatures of {digest} is by another key, or of something else"));
        for number in 0..9 {
            show(&mut judge, &digest, &own, &payload(&digest, &format!("r.test/b:{number}")));
        }
        assert!(told(&judge).ends_with("; and so on"));
        let error = judge.verdict().unwrap_err();
        assert_eq!(error.to_string(), "r.test/a:1 is not trusted: it needs a signature by k0, as --verify has it");
        assert!(error.hint().unwrap().contains("matchRepository"));
        let hint = unsigned.verdict().unwrap_err().hint().unwrap();
        assert!(hint.ends_with(&format!("cosign sign --key cosign.key r.test/a@{digest}'")), "{hint}");
    }
}
