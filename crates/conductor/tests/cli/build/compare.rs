//! Holds what one builder made against what another one made.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};
use testkit::Sandbox;

use super::built::Built;
use super::corpus::Case;
use super::explained::{EXPLAINED, Explained};
use super::{buildah, corpus};

/// Something in which two images differ.
#[derive(Debug)]
struct Difference {
    case: &'static str,
    /// A path, or a member of the configuration such as `config.Env`.
    at: String,
    ours: String,
    theirs: String,
}

/// Builds cases with this program and with the other one, and fails where they differ without an explanation.
pub(crate) fn compare(part: &str, cases: Vec<Case>) {
    let cases = chosen(cases);
    let root = buildah::root();
    let sandbox = crate::busybox();
    let theirs = build_theirs(&sandbox, &root, &cases);
    let mut report = Report::default();
    for (case, theirs) in cases.iter().zip(theirs) {
        let ours = build_ours(&sandbox, case);
        report.expectations(case, "ours", &ours);
        match (&ours, theirs) {
            (_, None) => {}
            (Ok(ours), Some(Ok(theirs))) => report.differences(case, ours, &theirs),
            (Err(_), Some(Err(_))) => {}
            (Ok(_), Some(Err(said))) => report.differ(case, "build", "built", &last_line(&said)),
            (Err(said), Some(Ok(_))) => report.differ(case, "build", &last_line(said), "built"),
        }
    }
    report.finish(part, &cases);
    sandbox.assert_clean();
}

/// Builds the whole corpus with the other builder alone, and holds it to what the cases expect.
pub(crate) fn check_corpus() {
    let root = buildah::root();
    let sandbox = crate::busybox();
    let parts = [
        corpus::stages::cases(),
        corpus::variables::cases(),
        corpus::run::cases(),
        corpus::mounts::cases(),
        corpus::copy::cases(),
        corpus::add::cases(),
        corpus::ignore::cases(),
        corpus::config::cases(),
        corpus::text::cases(),
    ];
    let cases = chosen(parts.concat());
    let names: BTreeSet<_> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len(), "two cases have one name");
    let mut report = Report::default();
    for (case, theirs) in cases.iter().zip(build_theirs(&sandbox, &root, &cases)) {
        let Some(theirs) = theirs else { continue };
        if shows() {
            show(&format!("{}\n{}", case.name, theirs.as_ref().map_or_else(Clone::clone, told)));
        }
        let found = Report::default().with_expectations(case, "theirs", &theirs);
        // What is explained as their fault is not expected of them.
        let is_explained = |at: &str| EXPLAINED.iter().any(|explained| explained.fits(case.name, at));
        report.wrong.extend(found.into_iter().filter(|(at, _)| !is_explained(at)).map(|(_, text)| text));
    }
    report.finish("corpus", &[]);
}

/// Tells whether all shall be shown.
fn shows() -> bool {
    std::env::var_os("BUILD_SHOW").is_some()
}

#[allow(clippy::print_stderr, reason = "somebody has asked for it")]
fn show(text: &str) {
    eprintln!("{text}");
}

/// Tells what an image is, but for what is in every case.
fn told(built: &Built) -> String {
    let members = members(&built.config).into_iter().map(|(name, value)| format!("    {name}: {value}\n"));
    let is_usual = |path: &str| {
        let is_base = ["bin", "sbin", "usr", "var", "dev", "proc", "sys"].contains(&path.split('/').nth(1).unwrap());
        is_base || matches!(path, "/etc" | "/home" | "/root" | "/run" | "/tmp" | "/etc/passwd" | "/etc/group")
    };
    let files = built.files.iter().filter(|(path, _)| !is_usual(path));
    members.chain(files.map(|(path, file)| format!("    {path}: {file}\n"))).collect()
}

/// Returns the cases that the environment asks for.
fn chosen(cases: Vec<Case>) -> Vec<Case> {
    let Ok(wanted) = std::env::var("BUILD_CASES") else { return cases };
    cases.into_iter().filter(|case| wanted.split(',').any(|name| name == case.name)).collect()
}

/// Builds with the other builder what it can build; nothing for the rest.
fn build_theirs(sandbox: &Sandbox, root: &Path, cases: &[Case]) -> Vec<Option<Result<Built, String>>> {
    let shared = sandbox.work().join("shared");
    for case in cases {
        case.write(&shared.join("contexts").join(case.name));
    }
    let base = shared.join("base.tar");
    sandbox.conductor(["save", "-q", "-o"]).arg(&base).arg(crate::IMAGE).run().success();
    let known: Vec<_> = cases.iter().filter(|case| case.ours_alone.is_none()).cloned().collect();
    let mut built = buildah::build(root, &known, &shared).into_iter();
    cases.iter().map(|case| if case.ours_alone.is_none() { built.next() } else { None }).collect()
}

fn build_ours(sandbox: &Sandbox, case: &Case) -> Result<Built, String> {
    let context = sandbox.work().join("shared/contexts").join(case.name);
    let path = context.to_string_lossy();
    let build = |name: &str, words: &[String]| {
        let stdin = std::fs::read(context.join("stdin.Dockerfile")).unwrap_or_default();
        let call = sandbox.conductor(["build", "-q", "-t", name]).args(words).arg(&context).input(stdin);
        let ran = call.run();
        if ran.exit_code() == 0 { Ok(()) } else { Err(ran.stderr) }
    };
    if case.parent.is_some() {
        build(&format!("parent-{}", case.name), &["-f".to_owned(), format!("{path}/parent.Dockerfile")])?;
    }
    let words: Vec<_> = case.options.iter().map(|word| word.replace("{context}", &path)).collect();
    build(case.name, &words)?;
    let archive = sandbox.work().join("ours.tar");
    sandbox.conductor(["save", "-q", "--format", "oci-archive", "-o"]).arg(&archive).arg(case.name).run().success();
    Ok(read_and_remove(&archive))
}

fn read_and_remove(archive: &Path) -> Built {
    let built = Built::read_archive(archive);
    std::fs::remove_file(archive).unwrap();
    built
}

fn last_line(said: &str) -> String {
    said.trim_end().lines().last().unwrap_or("(nothing said)").to_owned()
}

/// What has been found.
#[derive(Debug, Default)]
struct Report {
    wrong: Vec<String>,
    differences: Vec<Difference>,
}

impl Report {
    /// Holds an image to what its case expects.
    fn expectations(&mut self, case: &Case, whose: &str, built: &Result<Built, String>) {
        let found = self.with_expectations(case, whose, built);
        self.wrong.extend(found.into_iter().map(|(_, text)| text));
    }

    /// Returns where an image is not what its case expects, and how.
    fn with_expectations(&self, case: &Case, whose: &str, built: &Result<Built, String>) -> Vec<(String, String)> {
        let name = case.name;
        let built = match built {
            Err(_) if case.fails => return Vec::new(),
            Ok(_) if case.fails => {
                return vec![("build".to_owned(), format!("{name}: {whose} was built, and is no build"))];
            }
            Err(said) => {
                return vec![("build".to_owned(), format!("{name}: {whose} was not built: {}", last_line(said)))];
            }
            Ok(built) => built,
        };
        let mut wrong = Vec::new();
        for (path, expected) in &case.holds {
            let found = built.files.get(*path).and_then(|file| file.text.as_deref());
            if found != Some(expected) {
                wrong.push(((*path).to_owned(), format!("{name}: {whose} has {found:?} at {path}, not {expected:?}")));
            }
        }
        for path in case.lacks.iter().filter(|path| built.files.contains_key(**path)) {
            wrong.push(((*path).to_owned(), format!("{name}: {whose} has {path}")));
        }
        wrong
    }

    /// Lists in what two images differ.
    fn differences(&mut self, case: &Case, ours: &Built, theirs: &Built) {
        let paths: BTreeSet<_> = ours.files.keys().chain(theirs.files.keys()).collect();
        let show = |built: &Built, path: &str| built.files.get(path).map_or("nothing".to_owned(), ToString::to_string);
        for path in paths.into_iter().filter(|path| ours.files.get(*path) != theirs.files.get(*path)) {
            self.differ(case, path, &show(ours, path), &show(theirs, path));
        }
        let (ours, theirs) = (members(&ours.config), members(&theirs.config));
        let names: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
        for name in names.into_iter().filter(|name| ours.get(*name) != theirs.get(*name)) {
            let show =
                |members: &BTreeMap<String, Value>| members.get(name).map_or("nothing".to_owned(), Value::to_string);
            self.differ(case, name, &show(&ours), &show(&theirs));
        }
    }

    fn differ(&mut self, case: &Case, at: &str, ours: &str, theirs: &str) {
        self.differences.push(Difference { case: case.name, at: at.into(), ours: ours.into(), theirs: theirs.into() });
    }

    /// Fails if anything is wrong: an expectation, a difference that nothing explains, an explanation of nothing.
    #[track_caller]
    fn finish(mut self, part: &str, cases: &[Case]) {
        let mut used = BTreeSet::new();
        for Difference { case, at, ours, theirs } in &self.differences {
            let explanation = EXPLAINED.iter().position(|explained| explained.fits(case, at));
            used.extend(explanation);
            let told = format!("{case}: {at}\n    ours:   {ours}\n    theirs: {theirs}");
            match explanation {
                None => self.wrong.push(told),
                Some(number) if shows() => {
                    show(&format!("{told}\n    because {}", EXPLAINED[number].why));
                }
                Some(_) => {}
            }
        }
        let of_these = |explained: &Explained| cases.iter().any(|case| case.name == explained.case);
        for (_, idle) in EXPLAINED.iter().enumerate().filter(|(number, e)| of_these(e) && !used.contains(number)) {
            self.wrong.push(format!("{}: {} does not differ, and is explained: {}", idle.case, idle.at, idle.why));
        }
        let (count, wrong) = (self.wrong.len(), self.wrong.join("\n"));
        assert!(self.wrong.is_empty(), "{part}: {count} things to explain or to mend\n{wrong}");
    }
}

/// Returns what is compared of a configuration, by name. What is empty is as good as not there.
fn members(config: &Value) -> BTreeMap<String, Value> {
    let mut members = BTreeMap::new();
    for name in ["architecture", "os", "author"] {
        members.insert(name.to_owned(), config[name].clone());
    }
    for (name, value) in config["config"].as_object().into_iter().flatten() {
        members.insert(format!("config.{name}"), value.clone());
    }
    // What the other one makes up, anew each time.
    members.remove("config.Hostname");
    if let Some(labels) = members.get_mut("config.Labels").and_then(Value::as_object_mut) {
        labels.remove("io.buildah.version");
    }
    // One entry a step; whether it has made a layer.
    let history = config["history"].as_array().into_iter().flatten();
    let layers: Vec<_> = history.map(|entry| json!(entry["empty_layer"] != json!(true))).collect();
    members.insert("history".to_owned(), layers.into());
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Bool(set) => !set,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(values) => values.is_empty(),
        Value::Number(_) => false,
    };
    members.retain(|_, value| !is_empty(value));
    members
}

#[test]
#[should_panic(expected = "made-up: config.User\n    ours:   \"alice\"\n    theirs: nothing")]
fn what_differs_without_an_explanation_fails() {
    let built = |config: Value| Built { config: json!({ "config": config }), files: BTreeMap::new() };
    let case = Case::new("made-up", "FROM busybox\nUSER alice\n");
    let mut report = Report::default();
    // Empty is as good as not there, and a label of the other builder's own is not compared.
    let (ours, theirs) = (json!({ "User": "alice", "Cmd": null }), json!({ "Labels": { "io.buildah.version": "1" } }));
    report.differences(&case, &built(ours), &built(theirs));
    report.finish("made-up", &[case]);
}
