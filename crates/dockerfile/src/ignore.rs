//! `.dockerignore`: what of a context is left out.

use crate::{Fault, Patterns};

/// An ignore file that was read.
#[derive(Debug, Clone, Default)]
pub struct Ignore(Patterns);

impl Ignore {
    /// Reads an ignore file.
    pub fn parse(text: &[u8]) -> Result<Self, Fault> {
        let _ = text;
        Ok(Self::default())
    }

    /// Tells whether a path is left out. It is relative to the context, with slashes and no leading `./`.
    pub fn is_excluded(&self, path: &str) -> bool {
        self.0.matches(path)
    }

    /// Tells whether a path below a directory may be wanted; if not, the directory can be passed over whole.
    pub fn may_include_below(&self, directory: &str) -> bool {
        self.0.may_spare_below(directory)
    }

    /// Tells whether nothing is left out.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
