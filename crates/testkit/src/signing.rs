//! Signatures of images as cosign has them, made by OpenSSL with keys of all kinds, and put into registries by curl.
//!
//! Debian's Skopeo and Podman have their part about cosign's signatures taken out, so they can neither make them nor judge them.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oci::Digest;
use serde_json::{Value, json};

use crate::registry::Memory;

/// The kind of a layer that is signed.
pub const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The kind of an artifact that holds signatures.
pub const ARTIFACT: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A pair of keys of OpenSSL's.
#[derive(Debug)]
pub struct Signer {
    /// The public key, as PEM.
    pub public: PathBuf,
    private: PathBuf,
    scratch: PathBuf,
    hashes_itself: bool,
}

impl Signer {
    /// Makes a pair with the words that `openssl genpkey` takes after `-algorithm`, such as `EC -pkeyopt ec_paramgen_curve:P-256`.
    pub fn new(directory: &Path, name: &str, algorithm: &str) -> Self {
        let path = |end: &str| directory.join(format!("{name}.{end}"));
        let signer = Self {
            public: path("pub"),
            private: path("pem"),
            scratch: path("payload"),
            hashes_itself: algorithm == "ED25519",
        };
        let words = algorithm.split(' ');
        run(Command::new("openssl").args(["genpkey", "-algorithm"]).args(words).arg("-out").arg(&signer.private));
        run(Command::new("openssl")
            .args(["pkey", "-pubout", "-in"])
            .arg(&signer.private)
            .arg("-out")
            .arg(&signer.public));
        signer
    }

    /// Signs bytes, and returns the signature in base64.
    pub fn sign(&self, bytes: &[u8]) -> String {
        std::fs::write(&self.scratch, bytes).expect("a file to be signed");
        let mut command = Command::new("openssl");
        match self.hashes_itself {
            true => {
                command.args(["pkeyutl", "-sign", "-rawin", "-inkey"]).arg(&self.private).arg("-in").arg(&self.scratch)
            }
            false => command.args(["dgst", "-sha256", "-sign"]).arg(&self.private).arg(&self.scratch),
        };
        STANDARD.encode(run(&mut command))
    }
}

/// Returns what is signed of an image: that this digest has this name.
pub fn payload(digest: &Digest, reference: &str) -> String {
    json!({
        "critical": {
            "identity": {"docker-reference": reference},
            "image": {"docker-manifest-digest": digest},
            "type": "cosign container image signature",
        },
        "optional": null,
    })
    .to_string()
}

/// Where signatures are put.
#[derive(Debug, Clone)]
pub enum Shelf<'m> {
    /// A registry in memory.
    Memory(&'m Memory),
    /// A repository of a real one, as `HOST:PORT/PATH`.
    Repository(String),
}

impl Shelf<'_> {
    fn add_blob(&self, bytes: &str) -> Digest {
        let Self::Repository(name) = self else { return self.memory().add_blob(bytes) };
        let digest = Digest::of(bytes.as_bytes());
        let begun = curl(name, "blobs/uploads/", &["-X", "POST", "-o", "/dev/null", "-w", "%header{location}"], "");
        let place = format!("{}&digest={digest}", String::from_utf8(begun).expect("an address"));
        run(Command::new("curl").args(["-fsS", "-X", "PUT", "-H", "Content-Type: application/octet-stream"]).args([
            "--data-binary",
            bytes,
            &place,
        ]));
        digest
    }

    fn add_manifest(&self, tag: &str, media_type: &str, bytes: &str) -> Digest {
        let Self::Repository(name) = self else { return self.memory().add_manifest(tag, media_type, bytes) };
        let kind = format!("Content-Type: {media_type}");
        curl(name, &format!("manifests/{tag}"), &["-X", "PUT", "-H", &kind], bytes);
        Digest::of(bytes.as_bytes())
    }

    fn memory(&self) -> &Memory {
        match self {
            Self::Memory(memory) => memory,
            Self::Repository(name) => panic!("{name} is not in memory"),
        }
    }
}

fn curl(repository: &str, below: &str, words: &[&str], body: &str) -> Vec<u8> {
    let (host, path) = repository.split_once('/').expect("a repository");
    let mut command = Command::new("curl");
    command.args(["-fsS", "--data-binary", body]).args(words).arg(format!("http://{host}/v2/{path}/{below}"));
    run(&mut command)
}

/// Signatures in the form in which they lie beside an image.
#[derive(Debug)]
pub struct Signatures<'m> {
    shelf: Shelf<'m>,
    layers: Vec<Value>,
}

impl<'m> Signatures<'m> {
    /// Begins with none.
    pub fn new(shelf: Shelf<'m>) -> Self {
        Self { shelf, layers: Vec::new() }
    }

    /// Adds a payload with its signature.
    #[must_use]
    pub fn with(mut self, payload: &str, signature: &str) -> Self {
        let digest = self.shelf.add_blob(payload);
        self.layers.push(json!({
            "mediaType": PAYLOAD, "digest": digest, "size": payload.len(),
            "annotations": {"dev.cosignproject.cosign/signature": signature},
        }));
        self
    }

    /// Adds any layer.
    #[must_use]
    pub fn with_layer(mut self, layer: Value) -> Self {
        self.layers.push(layer);
        self
    }

    /// Puts them under cosign's tag for a digest.
    pub fn under_tag(self, digest: &Digest) {
        self.shelf.add_manifest(&format!("sha256-{}.sig", digest.hex()), MANIFEST, &self.manifest());
    }

    /// Lets them refer to a digest, as clients do it where the registry does not know of referrers.
    pub fn as_referrer(self, digest: &Digest) {
        let manifest = self.manifest();
        let own = self.shelf.add_manifest("signatures", MANIFEST, &manifest);
        let entry = json!({"mediaType": MANIFEST, "digest": own, "size": manifest.len(), "artifactType": ARTIFACT});
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
        self.shelf.add_manifest(&format!("sha256-{}", digest.hex()), INDEX, &index.to_string());
    }

    fn manifest(&self) -> String {
        let config = self.shelf.add_blob("{}");
        json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "layers": self.layers,
            "config": {"mediaType": ARTIFACT, "digest": config, "size": 2},
        })
        .to_string()
    }
}

fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
