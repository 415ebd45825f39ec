//! Holds what one builder made against what another one made.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};
use testkit::Sandbox;

use super::buildah;
use super::built::Built;
use super::corpus::Case;
use super::explained::{EXPLAINED, Explained};

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
        report.expectations(case, &ours);
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

/// Tells whether all shall be shown.
fn shows() -> bool {
    std::env::var_os("BUILD_SHOW").is_some()
}

#[allow(clippy::print_stderr, reason = "somebody has asked for it")]
fn show(text: &str) {
    eprintln!("{text}");
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
    /// Holds our image to what its case expects. Theirs is held to it by being the same.
    fn expectations(&mut self, case: &Case, built: &Result<Built, String>) {
        let name = case.name;
        let built = match built {
            Err(_) if case.fails => return,
            Ok(_) if case.fails => return self.wrong.push(format!("{name} was built, and is no build")),
            Err(said) => return self.wrong.push(format!("{name} was not built: {}", last_line(said))),
            Ok(built) => built,
        };
        for (path, expected) in &case.holds {
            let found = built.files.get(*path).and_then(|file| file.text.as_deref());
            if found != Some(expected) {
                self.wrong.push(format!("{name} has {found:?} at {path}, not {expected:?}"));
            }
        }
        for path in case.lacks.iter().filter(|path| built.files.contains_key(**path)) {
            self.wrong.push(format!("{name} has {path}"));
        }
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
