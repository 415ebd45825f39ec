//! What `FROM` says, with the variables that it knows.

use std::collections::{BTreeMap, BTreeSet};

use super::{CheckInputs, Rule, Warning};
use crate::expand::Expander;
use crate::{Dockerfile, From, Located, suggest};

/// The variables of `FROM`.
pub(super) struct Globals {
    /// Their values in this build.
    pub(super) values: BTreeMap<String, String>,
    /// Their values when the builder gives none.
    defaults: BTreeMap<String, String>,
    /// All that are declared, those without a value among them.
    declared: BTreeSet<String>,
}

impl Globals {
    pub(super) fn of(file: &Dockerfile, inputs: &CheckInputs<'_>) -> Self {
        let mut values = platforms();
        values.extend(inputs.platform_args.clone());
        values.insert("TARGETSTAGE".into(), inputs.target.unwrap_or_default().to_owned());
        let mut defaults = values.clone();
        let mut declared: BTreeSet<String> = values.keys().cloned().collect();
        for argument in file.globals.iter().flat_map(|arguments| &arguments.value) {
            let expanded = |known: &BTreeMap<String, String>| {
                let variables = |name: &str| known.get(name).cloned();
                let mut expander = Expander::new(file.directives.escape, &variables);
                argument.default.as_ref().and_then(|default| expander.word(default).ok()).map(within_reason)
            };
            let (value, default) = (expanded(&values), expanded(&defaults));
            values.extend(inputs.build_args.get(&argument.name).cloned().or(value).map(|v| (argument.name.clone(), v)));
            defaults.extend(default.map(|value| (argument.name.clone(), value)));
            declared.insert(argument.name.clone());
        }
        Self { values, defaults, declared }
    }

    /// Returns a stage's image in this build, if its words have a value.
    pub(super) fn image(&self, file: &Dockerfile, from: &From) -> Option<String> {
        let variables = |name: &str| self.values.get(name).cloned();
        Expander::new(file.directives.escape, &variables).word(&from.image).ok()
    }
}

/// What is there unasked, as it is on this machine.
fn platforms() -> BTreeMap<String, String> {
    let host = oci::Platform::host();
    let parts = |role: &str| {
        [
            (format!("{role}PLATFORM"), host.to_string()),
            (format!("{role}OS"), host.os.clone()),
            (format!("{role}ARCH"), host.architecture.clone()),
            (format!("{role}VARIANT"), host.variant.clone().unwrap_or_default()),
        ]
    };
    parts("TARGET").into_iter().chain(parts("BUILD")).collect()
}

/// The longest value that advice is given by. A build knows longer ones; whoever only looks need not keep thousands of
/// them.
const LONGEST: usize = 1 << 10;

pub(super) fn within_reason(value: String) -> String {
    if value.len() > LONGEST { String::new() } else { value }
}

/// Asks what was meant, as often as somebody will read it.
#[derive(Debug)]
pub(super) struct Hints(u32);

impl Hints {
    pub(super) fn new() -> Self {
        Self(100)
    }

    pub(super) fn hint<'n>(&mut self, name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<String> {
        self.0 = self.0.checked_sub(1)?;
        suggest::hint(name, known.into_iter().take(10_000))
    }
}

pub(super) fn check(file: &Dockerfile, globals: &Globals, warnings: &mut Vec<Warning>) {
    let mut hints = Hints::new();
    for stage in &file.stages {
        undeclared(file, globals, &stage.from, &mut hints, warnings);
        default_image(file, globals, &stage.from, warnings);
        platform(file, globals, &stage.from, warnings);
    }
}

fn undeclared(
    file: &Dockerfile,
    globals: &Globals,
    from: &Located<From>,
    hints: &mut Hints,
    warnings: &mut Vec<Warning>,
) {
    let variables = |name: &str| globals.values.get(name).cloned();
    let mut expander = Expander::new(file.directives.escape, &variables);
    for word in std::iter::once(&from.value.image).chain(&from.value.platform) {
        // A word that cannot be expanded ends the build, which says so better.
        let _ = expander.word(word);
    }
    expander.unset.sort();
    expander.unset.dedup();
    for name in expander.unset.iter().filter(|name| !globals.declared.contains(*name)) {
        let meant = hints.hint(name, globals.declared.iter().map(String::as_str));
        let hint = meant.map_or_else(String::new, |hint| format!(" ({hint})"));
        let message = format!("no ARG above the first FROM declares {name}{hint}");
        warnings.push(Warning { rule: Rule::UndefinedArgInFrom, message, span: from.span });
    }
}

fn default_image(file: &Dockerfile, globals: &Globals, from: &Located<From>, warnings: &mut Vec<Warning>) {
    let variables = |name: &str| globals.defaults.get(name).cloned();
    let mut expander = Expander::new(file.directives.escape, &variables);
    let image = expander.word(&from.value.image);
    let is_image = image.is_ok_and(|image| image.parse::<oci::Reference>().is_ok());
    if !expander.named.is_empty() && !is_image {
        let message = format!("{} names no image when no argument is given", from.value.image);
        warnings.push(Warning { rule: Rule::InvalidDefaultArgInFrom, message, span: from.span });
    }
}

fn platform(file: &Dockerfile, globals: &Globals, from: &Located<From>, warnings: &mut Vec<Warning>) {
    let Some(word) = &from.value.platform else { return };
    let variables = |name: &str| globals.values.get(name).cloned();
    let mut expander = Expander::new(file.directives.escape, &variables);
    let Ok(value) = expander.word(word) else { return };
    if expander.named == ["TARGETPLATFORM"] && variables("TARGETPLATFORM").as_ref() == Some(&value) {
        let message = format!("{word} is the platform of a stage that names none");
        warnings.push(Warning { rule: Rule::RedundantTargetPlatform, message, span: from.span });
    }
    let Ok(platform) = value.parse::<oci::Platform>() else { return };
    // A stage that is named for its platform means what it says.
    let name = from.value.name.as_deref().unwrap_or_default();
    let is_meant = name.contains(&platform.os) || name.contains(&platform.architecture);
    if expander.named.is_empty() && !is_meant {
        let message = format!("the platform is always {value}, whoever builds");
        warnings.push(Warning { rule: Rule::FromPlatformFlagConstDisallowed, message, span: from.span });
    }
}
