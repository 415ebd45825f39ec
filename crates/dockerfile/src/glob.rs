//! Patterns in the sources of `COPY` and `ADD`.

use crate::Fault;

/// A pattern over paths.
#[derive(Debug, Clone)]
pub struct Glob;

/// Reads a pattern.
pub fn glob(pattern: &str) -> Result<Glob, Fault> {
    let _ = pattern;
    Ok(Glob)
}

impl Glob {
    /// Tells whether a path is named by the pattern.
    pub fn matches(&self, path: &str) -> bool {
        let _ = path;
        false
    }

    /// Tells whether a text has no character that means more than itself.
    pub fn is_plain(pattern: &str) -> bool {
        !pattern.contains(['*', '?', '[', '\\'])
    }
}
