//! Manifests and indexes as others write them (image-spec, manifest.md and image-index.md; Docker's schema 2). Pure.

use std::collections::BTreeMap;

use oci::{Digest, Platform};
use serde::Deserialize;

/// What a digest stands for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    /// The kind of bytes.
    #[serde(default)]
    pub(crate) media_type: String,
    /// Their SHA-256.
    pub(crate) digest: Digest,
    /// How many they are.
    pub(crate) size: u64,
    /// The machine that an image of an index is for.
    #[serde(default)]
    pub(crate) platform: Option<Platform>,
    /// Remarks; the names of an image stand in them.
    #[serde(default)]
    pub(crate) annotations: Option<BTreeMap<String, String>>,
}

/// A document that a tag or a descriptor leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Document {
    /// Several images, mostly the same one for several machines.
    Index(Vec<Descriptor>),
    /// One image.
    Manifest(Manifest),
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

/// Why a document is none of an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// It is no JSON, or not of this shape.
    #[error("it is not a manifest")]
    Shape(#[source] serde_json::Error),
    /// It could be read in two ways (CVE-2021-41190).
    #[error("it has both layers and manifests, so two readers would see two images")]
    TwoFaced,
    /// It is a manifest of Docker's first schema, or something else altogether.
    #[error("it has neither layers nor manifests; manifests of Docker's schema 1 are not taken")]
    Faceless,
    /// What it describes is no image of a container.
    #[error("it describes {0:?}, not an image that could be run")]
    Artifact(String),
    /// A layer is of a kind that cannot be read.
    #[error("layer {digest} is {media_type:?}, which cannot be read")]
    Layer {
        /// The layer.
        digest: Digest,
        /// What it is said to be.
        media_type: String,
    },
    /// The index has nothing for this machine.
    #[error("it has no image for {wanted}, only for {}", .found.join(", "))]
    Platform {
        /// What was asked for.
        wanted: Platform,
        /// What there is.
        found: Vec<String>,
    },
}

/// All that any of the documents may hold.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

impl Document {
    /// Reads a document of images that can be run.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let document = Self::read(bytes)?;
        match &document {
            Self::Manifest(manifest) => manifest.check().map(|()| document),
            Self::Index(_) => Ok(document),
        }
    }

    /// Reads a document, whatever it describes. Its shape says what it is: a media type that says otherwise comes from who sent it.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, ManifestError> {
        let raw: Raw = serde_json::from_slice(bytes).map_err(ManifestError::Shape)?;
        match raw {
            Raw { manifests: Some(manifests), layers: None, config: None } => Ok(Self::Index(manifests)),
            Raw { manifests: None, layers: Some(layers), config: Some(config) } => {
                Ok(Self::Manifest(Manifest { config, layers }))
            }
            Raw { manifests: Some(_), .. } => Err(ManifestError::TwoFaced),
            _ => Err(ManifestError::Faceless),
        }
    }
}

impl Manifest {
    /// Tells whether what it describes is an image of a container, so that its configuration tells the machine.
    pub(crate) fn is_image(&self) -> bool {
        CONFIGS.contains(&self.config.media_type.as_str())
    }

    fn check(&self) -> Result<(), ManifestError> {
        if !self.is_image() {
            return Err(ManifestError::Artifact(self.config.media_type.clone()));
        }
        match self.layers.iter().find(|layer| !is_layer(&layer.media_type)) {
            None => Ok(()),
            Some(layer) => Err(ManifestError::Layer { digest: layer.digest, media_type: layer.media_type.clone() }),
        }
    }
}

/// The kinds of configurations of images: the specification's, and Docker's.
const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// How layers' kinds begin, those that were not to be passed on included. What follows tells the compression, which the bytes
/// themselves tell better.
const LAYERS: [&str; 4] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
];

fn is_layer(media_type: &str) -> bool {
    let rest = LAYERS.iter().find_map(|kind| media_type.strip_prefix(kind));
    rest.is_some_and(|rest| matches!(rest, "" | "+gzip" | ".gzip" | "+zstd" | ".zstd"))
}

/// Chooses the image for a machine. One that names no machine is for every one.
pub(crate) fn choose<'d>(images: &'d [Descriptor], wanted: &Platform) -> Result<&'d Descriptor, ManifestError> {
    let fits = |image: &&Descriptor| image.platform.as_ref().is_none_or(|platform| runs(platform, wanted));
    let exact = images.iter().find(|image| image.platform.as_ref() == Some(wanted));
    exact.or_else(|| images.iter().find(fits)).ok_or_else(|| {
        let known = images.iter().filter_map(|image| image.platform.as_ref());
        // What BuildKit attests of an image has no machine.
        let known = known.filter(|platform| platform.os != "unknown").map(ToString::to_string);
        ManifestError::Platform { wanted: wanted.clone(), found: known.collect() }
    })
}

/// Makes sure that an image is for the machine that is asked for.
pub(crate) fn demand(platform: &Platform, wanted: &Platform) -> Result<(), ManifestError> {
    if runs(platform, wanted) {
        return Ok(());
    }
    Err(ManifestError::Platform { wanted: wanted.clone(), found: vec![platform.to_string()] })
}

/// A wish without a variant takes any; `arm64` is `arm64/v8` (image-spec, image-index.md, "Platform Variants").
fn runs(platform: &Platform, wanted: &Platform) -> bool {
    let variant = |platform: &Platform| match (&platform.variant, platform.architecture.as_str()) {
        (None, "arm64") => Some("v8".to_owned()),
        (variant, _) => variant.clone(),
    };
    platform.os == wanted.os
        && platform.architecture == wanted.architecture
        && (wanted.variant.is_none() || variant(platform) == variant(wanted))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn described(media_type: &str) -> Value {
        json!({ "mediaType": media_type, "digest": Digest::of(media_type.as_bytes()), "size": 7 })
    }

    fn parse(document: &Value) -> Result<Document, ManifestError> {
        Document::parse(&serde_json::to_vec(document).unwrap())
    }

    #[test]
    fn both_families_of_media_types_are_taken() {
        for (config, layers) in [(CONFIGS[0], ["", "+zstd"]), (CONFIGS[1], [".gzip", ""])] {
            let kind = if config == CONFIGS[0] { LAYERS[0] } else { LAYERS[2] };
            let layers = layers.map(|rest| described(&format!("{kind}{rest}")));
            let document = json!({ "schemaVersion": 2, "config": described(config), "layers": layers });
            let Document::Manifest(manifest) = parse(&document).unwrap() else { panic!("{document}") };
            assert_eq!((manifest.config.size, manifest.layers.len()), (7, 2));
        }
    }

    #[test]
    fn what_is_no_image_is_told_apart() {
        let config = described(CONFIGS[0]);
        let two_faced = json!({ "config": config, "layers": [], "manifests": [] });
        assert!(matches!(parse(&two_faced), Err(ManifestError::TwoFaced)));
        assert!(matches!(parse(&json!({ "manifests": [], "layers": [] })), Err(ManifestError::TwoFaced)));
        assert!(matches!(parse(&json!({ "fsLayers": [] })), Err(ManifestError::Faceless)));
        assert!(matches!(parse(&json!({ "config": config })), Err(ManifestError::Faceless)));
        let chart = json!({ "config": described("application/vnd.cncf.helm.config.v1+json"), "layers": [] });
        assert!(matches!(parse(&chart), Err(ManifestError::Artifact(_))));
        let odd = json!({ "config": config, "layers": [described("application/vnd.oci.image.layer.v1.tar+rar")] });
        assert!(matches!(parse(&odd), Err(ManifestError::Layer { .. })));
        let sha512 = json!({ "manifests": [{ "digest": format!("sha512:{}", "0".repeat(128)), "size": 1 }] });
        assert!(matches!(parse(&sha512), Err(ManifestError::Shape(_))));
    }

    #[test]
    fn the_image_for_this_machine_is_chosen() {
        let image = |architecture: &str, variant: Option<&str>| Descriptor {
            media_type: String::new(),
            digest: Digest::of(format!("{architecture}{variant:?}").as_bytes()),
            size: 1,
            platform: Some(platform(architecture, variant)),
            annotations: None,
        };
        fn platform(architecture: &str, variant: Option<&str>) -> Platform {
            let os = if architecture == "unknown" { "unknown" } else { "linux" };
            Platform { os: os.into(), architecture: architecture.into(), variant: variant.map(Into::into) }
        }
        let images = [image("unknown", None), image("arm", Some("v6")), image("arm", Some("v7")), image("arm64", None)];
        let chosen =
            |architecture, variant| choose(&images, &platform(architecture, variant)).map(|image| image.digest);
        assert_eq!(chosen("arm64", Some("v8")).unwrap(), images[3].digest);
        assert_eq!(chosen("arm", Some("v7")).unwrap(), images[2].digest);
        assert_eq!(chosen("arm", None).unwrap(), images[1].digest);
        let refused = chosen("s390x", None).unwrap_err().to_string();
        assert_eq!(refused, "it has no image for linux/s390x, only for linux/arm/v6, linux/arm/v7, linux/arm64");
    }
}
