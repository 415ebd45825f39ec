//! What names stand for, from one instruction to the next: variables of the image, and arguments of the build.

use std::collections::{BTreeMap, BTreeSet};

use oci::Platform;

use super::Platforms;

/// Arguments that need no `ARG` to be seen by commands, and that change no result (Dockerfile reference, "Predefined ARGs").
pub(super) const PROXIES: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// What `FROM` sees, and what an `ARG` without a value of its own may take over.
#[derive(Debug, Default)]
pub(super) struct Globals {
    given: BTreeMap<String, String>,
    declared: BTreeMap<String, Option<String>>,
    platform: BTreeMap<String, String>,
}

impl Globals {
    pub(super) fn new(given: &BTreeMap<String, String>, platforms: &Platforms, target: &str) -> Self {
        let mut platform = platform_arguments("BUILD", &platforms.build);
        platform.extend(platform_arguments("TARGET", &platforms.target));
        platform.insert("TARGETSTAGE".into(), target.into());
        Self { given: given.clone(), declared: BTreeMap::new(), platform }
    }

    /// Takes an `ARG` from above the first `FROM`.
    pub(super) fn declare(&mut self, name: &str, default: Option<String>) {
        let value = self.given.get(name).cloned().or(default).or_else(|| self.platform.get(name).cloned());
        self.declared.insert(name.to_owned(), value);
    }

    pub(super) fn lookup(&self, name: &str) -> Option<String> {
        match self.declared.get(name) {
            Some(value) => value.clone(),
            None => self
                .given
                .get(name)
                .filter(|_| self.platform.contains_key(name))
                .or_else(|| self.platform.get(name))
                .cloned(),
        }
    }

    /// Returns the value that an `ARG` of a stage takes.
    fn value(&self, name: &str, default: Option<&str>) -> Option<String> {
        let given = self.given.get(name).cloned();
        given
            .or_else(|| default.map(ToOwned::to_owned))
            .or_else(|| self.declared.get(name).cloned().flatten())
            .or_else(|| self.platform.get(name).cloned())
    }

    pub(super) fn given(&self) -> &BTreeMap<String, String> {
        &self.given
    }
}

/// What an instruction of a stage sees.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    /// The variables of the image, in order.
    env: Vec<(String, String)>,
    /// The arguments that were declared, in order.
    args: Vec<(String, Option<String>)>,
    /// The names of `args` that were declared by the file.
    used: BTreeSet<String>,
}

impl Scope {
    /// Begins with the variables of an image.
    pub(super) fn of(env: &[String]) -> Self {
        let pair = |line: &String| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { env: env.iter().filter_map(pair).collect(), ..Self::default() }
    }

    /// `ENV` has the last word over `ARG`.
    pub(super) fn lookup(&self, name: &str) -> Option<String> {
        let of_image = self.env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        of_image.or_else(|| self.args.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.clone()))
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        match self.env.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => value.clone_into(known),
            None => self.env.push((name.to_owned(), value.to_owned())),
        }
    }

    /// Takes an `ARG`; returns the value that it has.
    pub(super) fn declare(&mut self, name: &str, default: Option<&str>, globals: &Globals) -> Option<String> {
        let value = globals.value(name, default);
        self.used.insert(name.to_owned());
        match self.args.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => known.clone_from(&value),
            None => self.args.push((name.to_owned(), value.clone())),
        }
        value
    }

    /// Returns the variables of the image.
    pub(super) fn env(&self) -> Vec<String> {
        self.env.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// Returns the arguments that commands see, sorted: those with a value that no variable of the image hides.
    pub(super) fn args(&self) -> Vec<(String, String)> {
        let hidden = |name: &str| self.env.iter().any(|(known, _)| known == name);
        let seen = self.args.iter().filter(|(name, _)| !hidden(name));
        let mut seen: Vec<_> = seen.filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect();
        seen.sort();
        seen
    }

    /// Tells whether the file has declared an argument in this stage.
    pub(super) fn has_declared(&self, name: &str) -> bool {
        self.used.contains(name)
    }
}

/// The arguments that tell of a machine (Dockerfile reference, "Automatic platform ARGs in the global scope").
fn platform_arguments(prefix: &str, platform: &Platform) -> BTreeMap<String, String> {
    [
        ("PLATFORM", platform.to_string()),
        ("OS", platform.os.clone()),
        ("OSVERSION", String::new()),
        ("ARCH", platform.architecture.clone()),
        ("VARIANT", platform.variant.clone().unwrap_or_default()),
    ]
    .into_iter()
    .map(|(name, value)| (format!("{prefix}{name}"), value))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globals(given: &[(&str, &str)]) -> Globals {
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let platform: Platform = "linux/arm64/v8".parse().unwrap();
        Globals::new(&given, &Platforms { build: "linux/amd64".parse().unwrap(), target: platform }, "web")
    }

    #[test]
    fn a_stage_sees_a_global_argument_once_it_has_declared_it() {
        let mut globals = globals(&[("GIVEN", "given")]);
        globals.declare("BASE", Some("debian".into()));
        globals.declare("GIVEN", Some("default".into()));
        let mut scope = Scope::of(&[]);
        assert_eq!(scope.lookup("BASE"), None);
        assert_eq!(scope.declare("BASE", None, &globals).as_deref(), Some("debian"));
        assert_eq!(scope.declare("GIVEN", None, &globals).as_deref(), Some("given"));
        assert_eq!(scope.declare("GIVEN", Some("own"), &globals).as_deref(), Some("given"));
        assert_eq!(scope.declare("NONE", None, &globals), None);
        assert_eq!(scope.args().len(), 2);
    }

    #[test]
    fn a_variable_of_the_image_hides_an_argument() {
        let globals = globals(&[("A", "argument")]);
        let mut scope = Scope::of(&["A=image".to_owned()]);
        scope.declare("A", None, &globals);
        assert_eq!(scope.lookup("A").as_deref(), Some("image"));
        assert!(scope.args().is_empty());
    }

    #[test]
    fn machines_are_known_to_from_and_to_stages_that_ask() {
        let globals = globals(&[]);
        assert_eq!(globals.lookup("TARGETPLATFORM").as_deref(), Some("linux/arm64/v8"));
        assert_eq!(globals.lookup("BUILDARCH").as_deref(), Some("amd64"));
        let mut scope = Scope::of(&[]);
        assert_eq!(scope.lookup("TARGETARCH"), None);
        assert_eq!(scope.declare("TARGETARCH", None, &globals).as_deref(), Some("arm64"));
        assert_eq!(scope.declare("TARGETSTAGE", None, &globals).as_deref(), Some("web"));
    }
}
