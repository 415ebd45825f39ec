//! What is said of an image that is built: what is in it, and how it was made.

use attest::{Build, Detail, ImageTree, Material, Statement, Subject, attach, provenance, sbom};
use image::Companion;
use jiff::Timestamp;
use oci::{Digest, Platform, Reference};
use store::{Image, Store};

use super::BuildArgs;
use super::output::Part;
use crate::error::Failure;
use crate::ui;

/// What is to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attestations {
    sbom: bool,
    provenance: Option<Detail>,
}

/// What is known of a build that is over.
pub(super) struct Said {
    platform: Platform,
    file: (String, String),
    target: Option<String>,
    arguments: Vec<(String, String)>,
    labels: Vec<(String, String)>,
    secrets: Vec<String>,
    agents: Vec<String>,
    steps: Vec<String>,
    materials: Vec<Material>,
}

impl Said {
    pub(super) fn of(part: &Part) -> Self {
        let platform = part.platform.clone().unwrap_or_else(Platform::host);
        let image = |(name, digest): &(String, Digest)| {
            let name: Reference = name.parse().ok()?;
            let tag = name.tag().map(ToOwned::to_owned);
            Some(Material::Image { repository: name.repository(), tag, digest: *digest, platform: platform.clone() })
        };
        let images = part.solved.materials.iter().filter_map(image);
        let request = &part.request;
        // Proxies are no part of what was asked for.
        let own = request.args.iter().filter(|(name, _)| !name.to_ascii_uppercase().ends_with("_PROXY"));
        Self {
            materials: images.chain(part.materials.iter().cloned()).collect(),
            file: (request.file.name.clone(), String::from_utf8_lossy(&request.file.text).into_owned()),
            target: request.target.clone(),
            arguments: own.map(|(name, value)| (name.clone(), value.clone())).collect(),
            labels: request.labels.clone(),
            secrets: request.secrets.keys().cloned().collect(),
            agents: request.agents.keys().cloned().collect(),
            steps: part.solved.steps.clone(),
            platform,
        }
    }
}

impl Attestations {
    /// Reads `--attest`, `--sbom` and `--provenance`.
    pub(super) fn of(args: &BuildArgs) -> Result<Self, Failure> {
        let mut wanted = Self { sbom: false, provenance: None };
        for word in &args.attest {
            let fields: Vec<_> = word.split(',').map(|field| field.split_once('=').unwrap_or((field, ""))).collect();
            let value = |wanted: &str| fields.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
            let off = value("disabled") == Some("true");
            match value("type") {
                Some("sbom") => wanted.sbom = !off,
                Some("provenance") => wanted.provenance = detail(value("mode").unwrap_or("true"))?.filter(|_| !off),
                _ => {
                    return Err(Failure::message(format!("invalid value for --attest: {word:?}"))
                        .hint("say type=sbom, or type=provenance[,mode=min|max]"));
                }
            }
        }
        match args.sbom.as_deref() {
            None => {}
            Some("true") => wanted.sbom = true,
            Some("false") => wanted.sbom = false,
            Some(other) => {
                return Err(Failure::message(format!("invalid value for --sbom: {other:?}; use true or false")));
            }
        }
        if let Some(word) = &args.provenance {
            let word = word.strip_prefix("mode=").unwrap_or(word);
            wanted.provenance = detail(word)?;
        }
        Ok(wanted)
    }

    pub(super) fn any(&self) -> bool {
        self.sbom || self.provenance.is_some()
    }

    /// Returns what goes with an image whose manifest has a digest.
    pub(super) fn companion(
        &self,
        store: &Store,
        image: &Image,
        manifest: &Digest,
        said: &Said,
        name: Option<&Reference>,
    ) -> Option<Companion> {
        if !self.any() {
            return None;
        }
        let name = name.map_or_else(|| image.id.to_string(), ToString::to_string);
        let mut statements = Vec::new();
        match self.documents(store, image, said, &name) {
            Ok(documents) => {
                for (kind, predicate) in documents {
                    statements.push(Statement::new(&name, manifest, kind, predicate));
                }
            }
            Err(failure) => ui::warn(&format!("what is in the image cannot be listed: {failure}")),
        }
        let attached = attach(manifest, &statements);
        Some(Companion { documents: attached.blobs, descriptor: attached.descriptor })
    }

    /// Returns the documents as files, for those who take the image's files.
    pub(super) fn files(
        &self,
        store: &Store,
        image: &Image,
        said: &Said,
    ) -> Result<Vec<(&'static str, String)>, Failure> {
        let name = said.file.0.clone();
        let documents = self.documents(store, image, said, &name)?;
        let file = |(kind, predicate): (&str, serde_json::Value)| {
            let path = if kind == attest::SPDX { "sbom.spdx.json" } else { "provenance.json" };
            (path, format!("{predicate:#}\n"))
        };
        Ok(documents.into_iter().map(file).collect())
    }

    fn documents(
        &self,
        store: &Store,
        image: &Image,
        said: &Said,
        name: &str,
    ) -> Result<Vec<(&'static str, serde_json::Value)>, Failure> {
        let version = env!("CARGO_PKG_VERSION");
        let mut documents = Vec::new();
        if self.sbom {
            let tree = ImageTree::open(store, image)?;
            let subject = Subject { name, id: Some(&image.id), platform: &said.platform, version };
            let created = if image.created == Timestamp::UNIX_EPOCH { Timestamp::now() } else { image.created };
            documents.push((attest::SPDX, sbom(&tree, &subject, created)?));
        }
        if let Some(detail) = self.provenance {
            let build = Build {
                builder: "https://conductor.example/build",
                version,
                machine: Some(&Platform::host()),
                file: attest::BuildFile { path: &said.file.0, text: &said.file.1 },
                target: said.target.as_deref(),
                platforms: std::slice::from_ref(&said.platform),
                arguments: said.arguments.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
                labels: said.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
                secrets: &said.secrets.iter().map(String::as_str).collect::<Vec<_>>(),
                ssh: &said.agents.iter().map(String::as_str).collect::<Vec<_>>(),
                steps: &said.steps.iter().map(String::as_str).collect::<Vec<_>>(),
                materials: &said.materials,
                ..Build::default()
            };
            documents.push((attest::PROVENANCE, provenance(&build, detail)));
        }
        Ok(documents)
    }
}

fn detail(word: &str) -> Result<Option<Detail>, Failure> {
    match word {
        "true" | "min" => Ok(Some(Detail::Min)),
        "max" => Ok(Some(Detail::Max)),
        "false" => Ok(None),
        other => {
            Err(Failure::message(format!("invalid value for --provenance: {other:?}; use true, false, min or max")))
        }
    }
}
