//! Advice about a file that can be built: the rules that Docker's builder has, by the same names.
//!
//! What can be seen in the lines alone is in [`layout`], what `FROM` says in [`base`]; [`stage`] follows the stages as
//! a build would, with the variables each has at each place. Where it cannot be known what a base image brings, advice
//! errs on the side of silence.

mod base;
mod layout;
mod rule;
mod stage;

use std::collections::BTreeMap;

pub use rule::Rule;

use crate::{Dockerfile, Ignore, Skip, Span};

/// What advice depends on beside the file.
#[derive(Debug, Clone, Default)]
pub struct CheckInputs<'a> {
    /// The stage that is built; the last, if unset.
    pub target: Option<&'a str>,
    /// Whether stages are looked at that the target does not need.
    pub all_stages: bool,
    /// Values of `ARG`s that the builder gives.
    pub build_args: BTreeMap<String, String>,
    /// The values that are there unasked: `TARGETPLATFORM`, `BUILDPLATFORM` and their parts. Those of this machine, if
    /// unset.
    pub platform_args: BTreeMap<String, String>,
    /// What is known of base images, by the image as `FROM` names it once expanded. One that is not in here may bring
    /// any variable.
    pub images: BTreeMap<String, ImageFacts>,
    /// What the context leaves out.
    pub ignore: Option<&'a Ignore>,
    /// Whether experimental rules speak, whatever the file says.
    pub experimental: bool,
}

/// What is known of a base image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageFacts {
    /// Its variables.
    pub variables: BTreeMap<String, String>,
    /// Whether it names a shell of its own.
    pub has_shell: bool,
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

impl Warning {
    /// Makes the one warning that needs the image itself: it is for another platform than the stage was to be.
    pub fn base_image_platform(span: Span, image: &str, expected: &str, actual: &str) -> Self {
        let message = format!("{image} is for {actual}, and the stage was to be for {expected}");
        Self { rule: Rule::InvalidBaseImagePlatform, message, span }
    }
}

/// Gives advice about a file, in the order of its lines. What the file itself says about rules is obeyed; whether
/// warnings end a build is up to the builder, who finds it in [`crate::Checks::error`].
pub fn check(file: &Dockerfile, inputs: &CheckInputs<'_>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    layout::check(file, &mut warnings);
    let globals = base::Globals::of(file, inputs);
    base::check(file, &globals, &mut warnings);
    stage::check(file, inputs, &globals, &mut warnings);
    warnings.retain(|warning| is_asked_for(file, inputs, warning.rule));
    warnings.sort_by_key(|warning| warning.span.first);
    warnings
}

/// Tells whether a file has a rule speak.
fn is_asked_for(file: &Dockerfile, inputs: &CheckInputs<'_>, rule: Rule) -> bool {
    let names = |some: &Skip| match some {
        Skip::All => true,
        Skip::Rules(names) => names.iter().any(|name| name == rule.name()),
    };
    let checks = &file.directives.check;
    !names(&checks.skip) && (!rule.is_experimental() || inputs.experimental || names(&checks.experimental))
}

impl Dockerfile {
    /// Tells whether the file asks for silence about a rule, for warnings that are made elsewhere.
    pub fn skips(&self, rule: Rule) -> bool {
        !is_asked_for(self, &CheckInputs { experimental: true, ..CheckInputs::default() }, rule)
    }
}

#[cfg(test)]
mod tests;
