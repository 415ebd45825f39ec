//! Advice about a file that can be built.

use std::collections::BTreeMap;

use crate::{Dockerfile, Ignore, Span};

/// What advice depends on beside the file.
#[derive(Debug, Clone, Default)]
pub struct CheckInputs<'a> {
    /// The stage that is built; the last, if unset.
    pub target: Option<&'a str>,
    /// Values of `ARG`s that the builder gives.
    pub build_args: BTreeMap<String, String>,
    /// The values that are there unasked: `TARGETPLATFORM`, `BUILDPLATFORM` and their parts.
    pub platform_args: BTreeMap<String, String>,
    /// The names of variables that base images set, by the image as `FROM` names it once expanded. Of an image that is not
    /// in here, any variable may come.
    pub image_variables: BTreeMap<String, Vec<String>>,
    /// What the context leaves out.
    pub ignore: Option<&'a Ignore>,
    /// Whether experimental rules speak, whatever the file says.
    pub experimental: bool,
}

/// A remark about lines of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The rule that is not kept.
    pub rule: Rule,
    /// What is the matter here.
    pub message: String,
    /// The lines.
    pub span: Span,
}

/// A rule of good style.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Names of stages are in lower case.
    StageNameCasing,
}

impl Rule {
    /// Returns the name that everybody knows it by.
    pub fn name(self) -> &'static str {
        "StageNameCasing"
    }

    /// Returns what the rule asks for.
    pub fn description(self) -> &'static str {
        ""
    }

    /// Returns where more is said about it.
    pub fn url(self) -> String {
        String::new()
    }
}

/// Gives advice about a file, in the order of its lines.
pub fn check(file: &Dockerfile, inputs: &CheckInputs<'_>) -> Vec<Warning> {
    let _ = (file, inputs);
    Vec::new()
}
