//! The signatures of an image, as cosign keeps them beside it, and their judge.
//!
//! They are those of the digest that the name leads to, and of the manifest that was chosen where that is an index: under the tag
//! `sha256-<digest>.sig` (cosign's `SIGNATURE_SPEC.md`, "Storage"), and among what refers to the digest (distribution-spec,
//! "Listing Referrers"). Each is a layer of a manifest, with the signature among its remarks. Once the judge is content nothing
//! more is asked for, so an image that needs no signature costs no request.

use std::io::Read;

use oci::{Digest, Reference};
use registry::{Repository, Version};
use serde::Deserialize;
use trace::{Explain, Recorder, Step, quote};
use trust::{Demand, Judge, Signature, Verified};

use super::PullError;
use super::plan::Planned;
use crate::manifest::Descriptor;

/// A layer that is signed.
const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// What a manifest of signatures is as an artifact, to cosign and to those that name it by its layers.
const ARTIFACTS: [&str; 2] = ["application/vnd.dev.cosign.artifact.sig.v1+json", PAYLOAD];
/// The remark of a layer that holds its signature.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// The longest payload, in bytes; a usual one has 250.
const LONGEST_PAYLOAD: u64 = 256 << 10;
/// How many signatures, and manifests of them, are looked at for one image.
const MOST_SIGNATURES: usize = 100;

/// A manifest whose layers are signatures.
#[derive(Deserialize)]
struct Signatures {
    layers: Vec<Descriptor>,
}

/// A signature that is asked for, told in words.
struct DemandStep<'d> {
    demand: &'d Demand,
    name: &'d Reference,
    digest: &'d Digest,
}

/// Shows the judge signature after signature, until it is content or there are no more.
pub(super) fn verify(
    repository: &Repository<'_>,
    name: &Reference,
    planned: &Planned,
    judge: Judge,
    recorder: &Recorder,
) -> Result<Vec<Verified>, PullError> {
    let mut search = Search { repository, name, judge, left: MOST_SIGNATURES };
    let digests = || planned.listed_in.iter().chain([&planned.digest]);
    for digest in digests() {
        search.judge.demands().for_each(|demand| recorder.record(&DemandStep { demand, name, digest }));
        search.under_tag(digest)?;
    }
    // Not every registry knows the question, so it is asked last.
    for digest in digests() {
        search.among_referrers(digest)?;
    }
    Ok(search.judge.verdict()?)
}

struct Search<'s> {
    repository: &'s Repository<'s>,
    name: &'s Reference,
    judge: Judge,
    /// How many signatures are still looked at.
    left: usize,
}

impl Search<'_> {
    fn under_tag(&mut self, digest: &Digest) -> Result<(), PullError> {
        if self.judge.is_content() {
            return Ok(());
        }
        self.judge.look_at(digest);
        match self.repository.manifest(&Version::Tag(format!("sha256-{}.sig", digest.hex()))) {
            Ok(manifest) => self.show_all(digest, &manifest.bytes),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn among_referrers(&mut self, digest: &Digest) -> Result<(), PullError> {
        if self.judge.is_content() {
            return Ok(());
        }
        let is_signature = |kind: &Option<String>| kind.as_deref().is_some_and(|kind| ARTIFACTS.contains(&kind));
        let found = self.repository.referrers(digest, None)?;
        for referrer in found.into_iter().filter(|referrer| is_signature(&referrer.artifact_type)) {
            if self.judge.is_content() {
                break;
            }
            self.spend()?;
            let manifest = self.repository.manifest(&Version::Digest(referrer.digest))?;
            self.show_all(digest, &manifest.bytes)?;
        }
        Ok(())
    }

    fn show_all(&mut self, digest: &Digest, manifest: &[u8]) -> Result<(), PullError> {
        let fault = |source| PullError::Signatures { digest: *digest, name: self.name.familiar(), source };
        let signatures: Signatures = serde_json::from_slice(manifest).map_err(fault)?;
        for layer in signatures.layers.iter().filter(|layer| layer.media_type == PAYLOAD) {
            if self.judge.is_content() {
                break;
            }
            self.spend()?;
            self.show(digest, layer)?;
        }
        Ok(())
    }

    fn show(&mut self, digest: &Digest, layer: &Descriptor) -> Result<(), PullError> {
        let Some(signature) = layer.annotations.as_ref().and_then(|remarks| remarks.get(SIGNATURE)) else {
            self.judge.pass_over(digest, format!("its layer has no {SIGNATURE}"));
            return Ok(());
        };
        if layer.size > LONGEST_PAYLOAD {
            self.judge.pass_over(digest, format!("what is signed has more than {LONGEST_PAYLOAD} bytes"));
            return Ok(());
        }
        let payload = self.read(layer)?;
        self.judge.show(digest, &Signature { payload: &payload, signature });
        Ok(())
    }

    fn read(&self, layer: &Descriptor) -> Result<Vec<u8>, PullError> {
        let mut bytes = Vec::new();
        let read = self.repository.blob(&layer.digest, layer.size)?.read_to_end(&mut bytes);
        match read.map_err(std::io::Error::downcast::<registry::Error>) {
            Ok(_) => Ok(bytes),
            Err(Ok(error)) => Err(error.into()),
            Err(Err(error)) => {
                let (digest, name) = (layer.digest, self.name.familiar());
                Err(PullError::Layer { digest, name, reason: error.to_string() })
            }
        }
    }

    /// Whoever may push to the repository may put as many signatures there as they like.
    fn spend(&mut self) -> Result<(), PullError> {
        let more = || PullError::TooManySignatures(self.name.familiar(), MOST_SIGNATURES);
        self.left = self.left.checked_sub(1).ok_or_else(more)?;
        Ok(())
    }
}

impl Explain for DemandStep<'_> {
    fn explain(&self) -> Step {
        let image = format!("{}@{}", self.name.repository(), self.digest);
        let verify =
            |key: &String| format!("cosign verify --insecure-ignore-tlog --key {} {}", quote(key), quote(&image));
        let shell: Vec<_> = self.demand.keys.iter().map(verify).collect();
        Step::host(format!("look for {}, at {}", self.demand, self.digest), shell.join(" || "))
    }
}

#[cfg(test)]
mod tests {
    use trust::Place;

    use super::*;

    #[test]
    fn a_demand_is_told_as_cosign_checks_it() {
        let demand = Demand { place: Place::CommandLine, keys: vec!["a key.pub".into(), "b.pub".into()] };
        let digest = Digest::of(b"a");
        let step = DemandStep { demand: &demand, name: &"r.test/a:1".parse().unwrap(), digest: &digest }.explain();
        assert_eq!(step.what, format!("look for a signature by a key.pub or b.pub, as --verify has it, at {digest}"));
        let verify = |key: &str| format!("cosign verify --insecure-ignore-tlog --key {key} r.test/a@{digest}");
        assert_eq!(step.shell, format!("{} || {}", verify("'a key.pub'"), verify("b.pub")));
    }
}
