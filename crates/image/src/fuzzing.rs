//! Doors for the fuzz targets (`fuzz/`), which are there in their builds alone.

use oci::Platform;

use crate::manifest::{Document, choose};

/// Reads a manifest or an index, and chooses from the latter.
pub fn manifest(bytes: &[u8]) {
    match Document::parse(bytes) {
        Ok(Document::Index(images)) => {
            if let Ok(chosen) = choose(&images, &Platform::host()) {
                assert!(images.contains(chosen));
            }
        }
        Ok(Document::Manifest(manifest)) => assert!(!manifest.config.media_type.is_empty()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
