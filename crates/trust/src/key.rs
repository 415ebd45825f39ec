//! Public keys, and what they have signed.
//!
//! The algorithms are those of `ring`; which of them fits a key is told by the key's own header (RFC 5280, 4.1.2.7), which
//! `webpki` reads.

use std::fmt;

use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer};
use webpki::RawPublicKeyEntity;
use webpki::ring::{ECDSA_P256_SHA256, ECDSA_P384_SHA256, ECDSA_P384_SHA384, ED25519, RSA_PKCS1_2048_8192_SHA256};

/// What may be meant by a signature: cosign hashes with SHA-256 whatever the key, its newer versions as it befits P-384.
const ALGORITHMS: [&dyn SignatureVerificationAlgorithm; 5] =
    [ECDSA_P256_SHA256, ECDSA_P384_SHA256, ECDSA_P384_SHA384, ED25519, RSA_PKCS1_2048_8192_SHA256];

/// A key that signatures can be held against: ECDSA on P-256 or P-384, Ed25519, or RSA of 2048 to 8192 bits.
#[derive(Clone)]
pub struct PublicKey {
    info: SubjectPublicKeyInfoDer<'static>,
    algorithms: Vec<&'static dyn SignatureVerificationAlgorithm>,
}

/// Why bytes are no public key that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read.
    #[error("it cannot be read")]
    Read(#[from] std::io::Error),
    /// The file is longer than any key.
    #[error("it is longer than {0} bytes")]
    TooLong(u64),
    /// The armour is broken.
    #[error("it is no PEM: {0:?}")]
    Pem(pem::Error),
    /// There is no public key.
    #[error("it has no section that begins with -----BEGIN PUBLIC KEY-----")]
    Missing,
    /// It is the secret half.
    #[error("it is a private key: what is wanted is the public one beside it, as in cosign.pub")]
    Private,
    /// There are several, and it is not said which one is meant.
    #[error("it holds {0} keys: each key needs a file of its own")]
    Several(usize),
    /// What is in the armour is no key.
    #[error("it is no public key")]
    Malformed(#[source] webpki::Error),
    /// The key is of another kind.
    #[error("it is of a kind that cannot be used: ECDSA on P-256 or P-384, Ed25519 and RSA can")]
    Kind,
}

impl PublicKey {
    /// Reads a key from PEM (`PUBLIC KEY`, RFC 7468, 13).
    pub fn parse(text: &[u8]) -> Result<Self, KeyError> {
        let found = SubjectPublicKeyInfoDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
        let mut found = found.map_err(KeyError::Pem)?;
        let info = match (found.pop(), found.len()) {
            (Some(info), 0) => info,
            (Some(_), others) => return Err(KeyError::Several(others + 1)),
            (None, _) if text.windows(PRIVATE.len()).any(|part| part == PRIVATE) => return Err(KeyError::Private),
            (None, _) => return Err(KeyError::Missing),
        };
        let entity = RawPublicKeyEntity::try_from(&info).map_err(KeyError::Malformed)?;
        // The answer to a signature that is none tells a key of another kind from a signature that is wrong.
        let fits = |algorithm: &&dyn SignatureVerificationAlgorithm| {
            let answer = entity.verify_signature(*algorithm, b"", b"");
            matches!(answer, Err(webpki::Error::InvalidSignatureForPublicKey))
        };
        let algorithms: Vec<_> = ALGORITHMS.into_iter().filter(fits).collect();
        if algorithms.is_empty() { Err(KeyError::Kind) } else { Ok(Self { info, algorithms }) }
    }

    /// Tells whether a signature over exactly these bytes is by this key.
    pub fn has_signed(&self, bytes: &[u8], signature: &[u8]) -> bool {
        let entity = RawPublicKeyEntity::try_from(&self.info);
        entity.is_ok_and(|key| self.algorithms.iter().any(|one| key.verify_signature(*one, bytes, signature).is_ok()))
    }
}

/// Part of the header of every private key's PEM, cosign's included.
const PRIVATE: &[u8] = b"PRIVATE KEY-----";

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", oci::Digest::of(&self.info))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SigningKey};

    use super::*;

    #[test]
    fn what_a_key_has_signed_is_told_from_what_it_has_not() {
        for kind in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
            let (pair, other) = (KeyPair::generate_for(kind).unwrap(), KeyPair::generate_for(kind).unwrap());
            let parse = |pair: &KeyPair| PublicKey::parse(pair.public_key_pem().as_bytes()).unwrap();
            let signature = pair.sign(b"words").unwrap();
            assert!(parse(&pair).has_signed(b"words", &signature), "{kind:?}");
            assert!(!parse(&pair).has_signed(b"other words", &signature));
            assert!(!parse(&other).has_signed(b"words", &signature));
            assert!(!parse(&pair).has_signed(b"words", &signature[1..]));
            assert!(!parse(&pair).has_signed(b"words", b""));
        }
    }

    #[test]
    fn what_is_no_public_key_says_what_it_is_instead() {
        let wrong = |text: &str| PublicKey::parse(text.as_bytes()).unwrap_err().to_string();
        let pair = KeyPair::generate().unwrap();
        let (public, private) = (pair.public_key_pem(), pair.serialize_pem());
        assert!(wrong(&private).starts_with("it is a private key"));
        assert!(
            wrong("-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED COSIGN PRIVATE KEY-----\n")
                .starts_with("it is a private key")
        );
        assert_eq!(wrong(&format!("{public}{public}")), "it holds 2 keys: each key needs a file of its own");
        assert!(wrong("").starts_with("it has no section"));
        assert!(
            wrong(&public[..60]).starts_with("it is no PEM") || wrong(&public[..60]).starts_with("it has no section")
        );
        let garbage = "-----BEGIN PUBLIC KEY-----\nAAAAAAAA\n-----END PUBLIC KEY-----\n";
        assert_eq!(wrong(garbage), "it is no public key");
        // A key on the curve P-521.
        let p521 = "-----BEGIN PUBLIC KEY-----\n\
            MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQBpYowdmagdaPIsa0GNHl/bhgRhK+G\n\
            rA/EOo3n31OVpabMCCFZzZ2JOYMh+quldgcDYPdIR95azQltfQojOBstWzsBdWq0\n\
            BJt2JIUn8loy+BiInR5fmcw9o2D9Pif5hPZNrc+R7+QMEIqs8fY6UGRciHcSYlGc\n\
            hcxe0YA5PZtXor5jol8=\n\
            -----END PUBLIC KEY-----\n";
        assert!(wrong(p521).starts_with("it is of a kind"), "{}", wrong(p521));
    }
}
