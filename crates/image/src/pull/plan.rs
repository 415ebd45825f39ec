//! What a name at a registry stands for, down to the layers of one image.

use std::io::Read;

use oci::image::ImageConfiguration;
use oci::{Digest, Platform, Reference};
use registry::{Repository, Version};

use super::{PullError, PullOptions};
use crate::manifest::{self, Descriptor, Document, Manifest, choose};

/// An image as its registry has it.
#[derive(Debug)]
pub(super) struct Planned {
    /// The digest of the manifest.
    pub(super) digest: Digest,
    /// The digest of the index that led to it.
    pub(super) listed_in: Option<Digest>,
    pub(super) manifest: Vec<u8>,
    pub(super) config: Vec<u8>,
    /// From the lowest to the highest.
    pub(super) layers: Vec<Layer>,
    /// The machine that it is for, where that is not the one that was wanted.
    pub(super) foreign: Option<Platform>,
}

/// A layer, and what is to be in it.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) blob: Descriptor,
    pub(super) diff_id: Digest,
}

/// How far indexes may lead to indexes.
const DEPTH: usize = 4;
/// The longest configuration.
const LONGEST_CONFIG: u64 = 8 << 20;

/// Asks for the documents of an image.
pub(super) fn plan(repository: &Repository<'_>, name: &Reference, options: &PullOptions) -> Result<Planned, PullError> {
    let wanted = options.platform.clone().unwrap_or_else(Platform::host);
    let (found, listed_in, manifest) = follow(repository, name, &wanted)?;
    let config = read_config(repository, name, &manifest.config)?;
    let fault = |error| PullError::Config { digest: manifest.config.digest, name: name.familiar(), source: error };
    let configuration: ImageConfiguration = serde_json::from_slice(&config).map_err(|error| fault(error.into()))?;
    let foreign = check_platform(&configuration, &wanted, options, name)?;
    let diff_ids = configuration.rootfs().diff_ids();
    if diff_ids.len() != manifest.layers.len() {
        let (expected, actual) = (diff_ids.len(), manifest.layers.len());
        return Err(PullError::LayerCount { name: name.familiar(), expected, actual });
    }
    let layers = manifest.layers.into_iter().zip(diff_ids);
    let layers = layers.map(|(blob, diff_id)| Ok(Layer { blob, diff_id: diff_id.parse()? }));
    let layers = layers.collect::<Result<_, oci::DigestError>>().map_err(|error| fault(error.into()))?;
    Ok(Planned { digest: found.digest, listed_in, manifest: found.bytes, config, layers, foreign })
}

/// Goes from a name to the manifest for a machine.
fn follow(
    repository: &Repository<'_>,
    name: &Reference,
    wanted: &Platform,
) -> Result<(registry::Manifest, Option<Digest>, Manifest), PullError> {
    let (mut version, mut listed_in) = (Version::of(name), None);
    for _ in 0..DEPTH {
        let found = repository.manifest(&version)?;
        let fault = |source| PullError::Manifest {
            document: format!("the manifest {}", found.digest),
            name: name.familiar(),
            source: Box::new(source),
        };
        match Document::parse(&found.bytes).map_err(fault)? {
            Document::Manifest(manifest) => return Ok((found, listed_in, manifest)),
            Document::Index(images) => {
                version = Version::Digest(choose(&images, wanted).map_err(fault)?.digest);
                listed_in = listed_in.or(Some(found.digest));
            }
        }
    }
    Err(PullError::TooDeep(name.familiar(), DEPTH))
}

/// Gets a configuration, which is bounded and held against its digest.
pub(crate) fn read_config(
    repository: &Repository<'_>,
    name: &Reference,
    config: &Descriptor,
) -> Result<Vec<u8>, PullError> {
    if config.size > LONGEST_CONFIG {
        return Err(PullError::LongConfig { name: name.familiar(), size: config.size, most: LONGEST_CONFIG });
    }
    let mut bytes = Vec::new();
    let read = repository.blob(&config.digest, config.size)?.read_to_end(&mut bytes);
    match read.map_err(std::io::Error::downcast::<registry::Error>) {
        Ok(_) => Ok(bytes),
        Err(Ok(error)) => Err(error.into()),
        Err(Err(error)) => {
            Err(PullError::Config { digest: config.digest, name: name.familiar(), source: error.into() })
        }
    }
}

/// An image for another machine is refused where somebody insisted, and told of where nobody did.
fn check_platform(
    configuration: &ImageConfiguration,
    wanted: &Platform,
    options: &PullOptions,
    name: &Reference,
) -> Result<Option<Platform>, PullError> {
    let own = Platform {
        os: configuration.os().to_string(),
        architecture: configuration.architecture().to_string(),
        variant: configuration.variant().clone(),
    };
    match manifest::demand(&own, wanted) {
        Ok(()) => Ok(None),
        Err(_) if options.platform.is_none() => Ok(Some(own)),
        Err(source) => Err(PullError::Manifest {
            document: "the configuration".to_owned(),
            name: name.familiar(),
            source: Box::new(source),
        }),
    }
}
