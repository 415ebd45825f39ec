use super::*;
use crate::parse;

fn inputs() -> CheckInputs<'static> {
    CheckInputs { all_stages: true, ..CheckInputs::default() }
}

/// Names and lines.
fn warnings(text: &str, inputs: &CheckInputs<'_>) -> Vec<(&'static str, u32)> {
    let file = parse(text.as_bytes()).unwrap_or_else(|fault| panic!("{text}: {fault}"));
    check(&file, inputs).iter().map(|warning| (warning.rule.name(), warning.span.first)).collect()
}

#[test]
fn each_rule_finds_what_it_is_about() {
    for (text, expected) in [
        ("FROM scratch AS Base", &[("StageNameCasing", 1)][..]),
        ("FROM scratch as base", &[("FromAsCasing", 1)]),
        ("from scratch as base", &[]),
        ("FROM scratch\nRUN a \\\n\n b", &[("NoEmptyContinuation", 3)]),
        (
            "FROM scratch\nrun a\nUSER b\nUser c",
            &[("ConsistentInstructionCasing", 2), ("ConsistentInstructionCasing", 4)],
        ),
        ("from scratch\nrun a\nUSER b", &[("ConsistentInstructionCasing", 3)]),
        ("FROM scratch AS a\nFROM scratch AS A", &[("StageNameCasing", 2), ("DuplicateStageName", 2)]),
        ("FROM x AS scratch", &[("ReservedStageName", 1)]),
        ("FROM x\nMAINTAINER me", &[("MaintainerDeprecated", 2)]),
        ("FROM x\nCMD a\nENTRYPOINT b", &[("JSONArgsRecommended", 2), ("JSONArgsRecommended", 3)]),
        ("FROM x\nSHELL [\"a\"]\nCMD a", &[]),
        ("FROM x\nCMD [\"a\"]", &[]),
        ("ARG V=1\nFROM x:$V AS a", &[]),
        ("ARG VERSION=1\nFROM x:$VERSION_", &[("UndefinedArgInFrom", 2), ("InvalidDefaultArgInFrom", 2)]),
        ("ARG I\nFROM $I", &[("InvalidDefaultArgInFrom", 2)]),
        ("ARG I=a\nARG I=b:$I\nFROM $I", &[]),
        ("FROM x\nWORKDIR a\nWORKDIR b", &[("WorkdirRelativePath", 2)]),
        ("FROM x\nWORKDIR /a\nWORKDIR b", &[]),
        ("FROM x AS a\nWORKDIR /a\nFROM a\nWORKDIR b", &[]),
        ("FROM scratch\nARG D=/d\nWORKDIR $D", &[]),
        ("FROM scratch\nENV A=$B", &[("UndefinedVar", 2)]),
        ("FROM scratch\nENV A=$B B=1\nENV C=$B", &[("UndefinedVar", 2)]),
        ("FROM scratch\nARG B\nENV A=$B P=$PATH:x D=${E:-e}", &[]),
        ("FROM scratch\nRUN echo $B\nCMD [\"$B\"]", &[]),
        ("FROM scratch AS a\nENV A=1\nFROM a\nENV B=$A", &[]),
        ("FROM unknown\nENV A=$B", &[]),
        ("FROM unknown\nENV VERSION=1\nUSER $VERSION_", &[("UndefinedVar", 3)]),
        ("FROM scratch\nCOPY <<EOF /x\n$NONE\nEOF", &[("UndefinedVar", 2)]),
        ("FROM scratch\nARG A=$B", &[("UndefinedVar", 2)]),
        ("FROM x\nCMD [\"a\"]\nCMD [\"b\"]", &[("MultipleInstructionsDisallowed", 2)]),
        ("FROM x AS a\nCMD [\"a\"]\nFROM a\nCMD [\"b\"]", &[]),
        ("FROM x\nHEALTHCHECK NONE\nHEALTHCHECK CMD a", &[("MultipleInstructionsDisallowed", 2)]),
        ("FROM x\nENV a b\nLABEL c d", &[("LegacyKeyValueFormat", 2), ("LegacyKeyValueFormat", 3)]),
        ("FROM --platform=$TARGETPLATFORM x", &[("RedundantTargetPlatform", 1)]),
        ("FROM --platform=$BUILDPLATFORM x", &[]),
        ("FROM --platform=linux/amd64 x", &[("FromPlatformFlagConstDisallowed", 1)]),
        ("FROM --platform=linux/amd64 x AS build_amd64", &[]),
        (
            "FROM x\nENV API_KEY=1\nARG PUBLIC_KEY NPM_TOKEN MONKEY",
            &[("SecretsUsedInArgOrEnv", 2), ("SecretsUsedInArgOrEnv", 3)],
        ),
        ("FROM x\nEXPOSE 80/TCP 127.0.0.1:80:80", &[("ExposeProtoCasing", 2), ("ExposeInvalidFormat", 2)]),
    ] {
        assert_eq!(warnings(text, &inputs()), expected, "{text}");
    }
}

#[test]
fn experimental_rules_speak_when_asked() {
    let ignore = Ignore::parse(b"secret\n*.md").unwrap();
    let text = "FROM x\nCOPY ./secret /a.md /\nADD https://x/secret a\nCOPY --from=y secret b";
    let with = CheckInputs { ignore: Some(&ignore), experimental: true, ..inputs() };
    assert_eq!(warnings(text, &with), [("CopyIgnoredFile", 2), ("CopyIgnoredFile", 2)]);
    assert_eq!(warnings(text, &CheckInputs { experimental: false, ..with.clone() }), []);
    let text = "# syntax=a\n# other\nARG A\n# B is good\nARG B\n# what\nFROM x AS c\n# what\n\n# c it\n\
                FROM x AS c2\n# z\n#\nARG D";
    let expected = [
        ("InvalidDefinitionDescription", 3),
        ("InvalidDefinitionDescription", 7),
        ("InvalidDefinitionDescription", 11),
    ];
    assert_eq!(warnings(text, &with), expected);
    let text = format!("# check=experimental=InvalidDefinitionDescription\n{}", "# x\nFROM a AS b");
    assert_eq!(warnings(&text, &inputs()), [("InvalidDefinitionDescription", 3)]);
}

#[test]
fn the_file_says_which_rules_are_silent() {
    let text = "FROM scratch as B\nCMD a";
    assert_eq!(warnings(&format!("# check=skip=all\n{text}"), &inputs()), []);
    let some = format!("# check=skip=FromAsCasing, StageNameCasing;error=true\n{text}");
    assert_eq!(warnings(&some, &inputs()), [("JSONArgsRecommended", 3)]);
    let file = parse(some.as_bytes()).unwrap();
    assert!(
        file.skips(Rule::FromAsCasing) && !file.skips(Rule::InvalidBaseImagePlatform) && file.directives.check.error
    );
}

#[test]
fn what_is_given_and_known_counts() {
    let text = "ARG I\nFROM $I\nENV A=$B\nCMD a";
    let facts = ImageFacts { variables: BTreeMap::from([("B".into(), "1".into())]), has_shell: true };
    let mut with = inputs();
    with.build_args.insert("I".into(), "x".into());
    with.images.insert("x".into(), facts);
    assert_eq!(warnings(text, &with), [("InvalidDefaultArgInFrom", 2)]);
    with.images.insert("x".into(), ImageFacts::default());
    let names: Vec<_> = warnings(text, &with).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["InvalidDefaultArgInFrom", "UndefinedVar", "JSONArgsRecommended"]);
}

#[test]
fn stages_that_are_not_built_are_passed_over() {
    let text = "FROM x AS a\nWORKDIR a\nFROM x AS b\nWORKDIR b\nFROM x AS c\nCOPY --from=a f f\n\
                RUN --mount=from=a,target=/a b";
    let with = CheckInputs { all_stages: false, ..inputs() };
    assert_eq!(warnings(text, &with), [("WorkdirRelativePath", 2)]);
    assert_eq!(warnings(text, &CheckInputs { target: Some("b"), ..with }), [("WorkdirRelativePath", 4)]);
    assert_eq!(warnings(text, &inputs()).len(), 2);
}

#[test]
fn rules_have_names_and_places() {
    let mut names: Vec<_> = Rule::ALL.iter().map(|rule| rule.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Rule::ALL.len());
    assert!(Rule::ALL.iter().all(|rule| !rule.description().is_empty()));
    assert_eq!(
        Rule::JsonArgsRecommended.url(),
        "https://docs.docker.com/reference/build-checks/json-args-recommended/"
    );
    let span = Span { first: 1, last: 1 };
    let warning = Warning::base_image_platform(span, "x", "linux/amd64", "linux/arm64");
    assert_eq!(warning.message, "x is for linux/arm64, and the stage was to be for linux/amd64");
}
