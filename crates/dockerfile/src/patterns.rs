//! Lists of patterns of which the last that matches decides.

use crate::Fault;

/// Patterns over paths, compiled.
#[derive(Debug, Clone, Default)]
pub struct Patterns;

impl Patterns {
    /// Compiles patterns.
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, Fault> {
        let _ = patterns;
        Ok(Self)
    }

    /// Tells whether a path, or a directory it lies in, is matched and not taken back.
    pub fn matches(&self, path: &str) -> bool {
        let _ = path;
        false
    }

    /// Tells whether something below a directory may be unmatched; if not, it can be passed over whole.
    pub fn may_spare_below(&self, directory: &str) -> bool {
        let _ = directory;
        true
    }

    /// Tells whether there is no pattern.
    pub fn is_empty(&self) -> bool {
        true
    }
}
