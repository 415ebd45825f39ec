//! Steps that were made elsewhere, as a build asks for them and tells of them.

use image::cached::SharedStep;
use jiff::Timestamp;
use oci::Digest;
use store::{Layer, Work};

/// Who may know steps that were made elsewhere.
///
/// It is asked for what the cache here has not, by the processes of stages too: each of them has one thread, and what they share
/// was opened before.
pub trait Elsewhere {
    /// Brings the layer of the step with a key into a work; nothing, where the step is not known or its layer is not to be had.
    fn step(&self, key: &Digest, work: &mut Work) -> Option<Layer>;
}

/// Nobody knows any.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nowhere;

impl Elsewhere for Nowhere {
    fn step(&self, _key: &Digest, _work: &mut Work) -> Option<Layer> {
        None
    }
}

/// A step that a build made, or found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SolvedStep {
    /// How it is made, as a digest.
    pub key: Digest,
    /// Its layer.
    pub layer: Digest,
    /// The length of the layer.
    pub size: u64,
    /// The instruction, for people.
    pub what: String,
    /// When that was found out.
    pub created: Timestamp,
    /// Whether its layer is one of the image's.
    pub in_target: bool,
    /// Whether it had been made before.
    pub cached: bool,
}

impl SolvedStep {
    /// Returns what others are told of it.
    pub fn share(&self) -> SharedStep {
        let Self { key, layer, size, what, created, .. } = self;
        SharedStep { key: *key, layer: *layer, size: *size, what: what.clone(), created: Some(*created) }
    }
}
