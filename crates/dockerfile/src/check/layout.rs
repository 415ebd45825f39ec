//! What can be seen in the lines alone.

use std::collections::BTreeSet;

use super::{Rule, Warning};
use crate::parse::{at_spaces, outside_quotes, split};
use crate::{Dockerfile, From, Instruction, Located, Span};

/// Names that mean something else already.
const RESERVED: [&str; 2] = ["context", "scratch"];

pub(super) fn check(file: &Dockerfile, warnings: &mut Vec<Warning>) {
    let mut warn = |rule, span, message| warnings.push(Warning { rule, message, span });
    for gap in &file.remarks.gaps {
        warn(Rule::NoEmptyContinuation, *gap, "an instruction goes on after this empty line".into());
    }
    let mut names = BTreeSet::new();
    for stage in &file.stages {
        from(&stage.from, &mut warn);
        let Some(name) = stage.from.value.name.as_deref() else { continue };
        if RESERVED.contains(&name) {
            warn(Rule::ReservedStageName, stage.from.span, format!("{name} is no name for a stage: it has a meaning"));
        }
        if !names.insert(name) {
            warn(Rule::DuplicateStageName, stage.from.span, format!("another stage is called {name} already"));
        }
    }
    for instruction in file.stages.iter().flat_map(|stage| &stage.instructions) {
        if matches!(instruction.value, Instruction::Maintainer(_)) {
            let label = "say LABEL org.opencontainers.image.authors=... in place of MAINTAINER";
            warn(Rule::MaintainerDeprecated, instruction.span, label.into());
        }
    }
    casing(file, &mut warn);
    descriptions(file, &mut warn);
}

fn from(from: &Located<From>, warn: &mut impl FnMut(Rule, Span, String)) {
    let (word, _, rest) = split(&from.text);
    let [_, link, name] = at_spaces(rest)[..] else { return };
    if name.chars().any(|c| c.is_ascii_uppercase()) {
        warn(Rule::StageNameCasing, from.span, format!("the name {name} is not in lower case"));
    }
    let differs = is_upper(word) && !is_upper(link) || is_lower(word) && !is_lower(link);
    if differs {
        warn(Rule::FromAsCasing, from.span, format!("{word} and {link} are not written alike"));
    }
}

/// Most instructions decide how all are to be written.
fn casing(file: &Dockerfile, warn: &mut impl FnMut(Rule, Span, String)) {
    let word = |text: &str| split(text).0.to_owned();
    let words: Vec<(String, Span)> = file
        .stages
        .iter()
        .flat_map(|stage| {
            let rest = stage.instructions.iter().map(|instruction| (word(&instruction.text), instruction.span));
            std::iter::once((word(&stage.from.text), stage.from.span)).chain(rest)
        })
        .collect();
    let lower = words.iter().filter(|(word, _)| is_lower(word)).count();
    let upper = words.iter().filter(|(word, _)| is_upper(word)).count();
    for (word, span) in &words {
        if lower > upper && !is_lower(word) {
            warn(Rule::ConsistentInstructionCasing, *span, format!("{word} is not in lower case, as most are"));
        } else if lower <= upper && !is_upper(word) {
            warn(Rule::ConsistentInstructionCasing, *span, format!("{word} is not in capitals, as most are"));
        }
    }
}

fn descriptions(file: &Dockerfile, warn: &mut impl FnMut(Rule, Span, String)) {
    let mut defined: Vec<(Span, &str, Vec<&str>)> = Vec::new();
    for arguments in &file.globals {
        defined.push((arguments.span, "ARG", arguments.value.iter().map(|argument| argument.name.as_str()).collect()));
    }
    for stage in &file.stages {
        defined.push((stage.from.span, "FROM", stage.from.value.name.as_deref().into_iter().collect()));
        for instruction in &stage.instructions {
            if let Instruction::Arg(arguments) = &instruction.value {
                let names = arguments.iter().map(|argument| argument.name.as_str()).collect();
                defined.push((instruction.span, "ARG", names));
            }
        }
    }
    for (span, word, names) in defined {
        let Some(comment) = file.remarks.comments.get(&span.first) else { continue };
        let first = comment.split(' ').next().unwrap_or_default();
        if !names.is_empty() && !names.contains(&first) {
            let message = format!("the comment above {word} does not begin with {}", names.join(" or "));
            warn(Rule::InvalidDefinitionDescription, span, message);
        }
    }
}

/// Tells whether `ENV` or `LABEL` has the form without an equals sign.
pub(super) fn is_legacy(text: &str, escape: char) -> bool {
    let (_, _, rest) = split(text);
    outside_quotes(rest, escape).first().is_some_and(|word| !word.contains('='))
}

fn is_upper(word: &str) -> bool {
    !word.chars().any(|c| c.is_ascii_lowercase())
}

fn is_lower(word: &str) -> bool {
    !word.chars().any(|c| c.is_ascii_uppercase())
}
