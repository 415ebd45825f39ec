//! Directives: the comments of the form `# name=value` at the very top.

use super::lines::Lines;
use crate::{Checks, Directives, Fault, Skip};

/// Reads the directives. The first line that is none ends them.
pub(super) fn read(lines: &Lines<'_>) -> Result<Directives, Fault> {
    let mut directives = Directives { syntax: None, escape: '\\', check: Checks::default() };
    let mut seen: Vec<&str> = Vec::new();
    for (number, line) in (1..).zip(lines.iter()) {
        if number == 1 && line.starts_with("#!") {
            continue;
        }
        let Some((name, value)) = directive(line) else { break };
        let Some(name) = ["syntax", "escape", "check"].into_iter().find(|known| name.eq_ignore_ascii_case(known))
        else {
            break;
        };
        let count = |text: &str| u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        let fault = |word: &str, message: String| {
            let column = line.find(word).map_or(1, |at| count(&line[..at]) + 1);
            Fault { line: number, column, length: count(word), message, hint: None }
        };
        if seen.contains(&name) {
            return Err(fault(line.trim(), format!("only one {name} directive can be used")));
        }
        seen.push(name);
        match name {
            "syntax" => directives.syntax = value.split_whitespace().next().map(str::to_owned),
            "escape" => directives.escape = escape(value).map_err(|message| fault(value, message))?,
            _ => directives.check = checks(value).map_err(|message| fault(value, message))?,
        }
    }
    Ok(directives)
}

/// Tells whether a comment without its sign is a directive, so that it is not taken for a description.
pub(super) fn is_directive(comment: &str) -> bool {
    let name = |name: &str| ["syntax", "escape", "check"].iter().any(|known| name.eq_ignore_ascii_case(known));
    comment.split_once('=').is_some_and(|(left, _)| name(left.trim()))
}

fn directive(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.trim_start().strip_prefix('#')?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let is_name =
        name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.bytes().all(|b| b.is_ascii_alphanumeric());
    (is_name && !value.is_empty()).then_some((name, value))
}

fn escape(value: &str) -> Result<char, String> {
    match value {
        "\\" => Ok('\\'),
        "`" => Ok('`'),
        _ => Err(format!("the escape can be \\ or `, and not {value}")),
    }
}

/// `skip=all` or names, `experimental` likewise, `error=true`, with semicolons between them.
fn checks(value: &str) -> Result<Checks, String> {
    let mut checks = Checks::default();
    for part in value.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        match part.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
            Some(("skip", value)) => checks.skip = rules(value),
            Some(("experimental", value)) => checks.experimental = rules(value),
            Some(("error", value)) => {
                checks.error =
                    super::flags::boolean(value).ok_or_else(|| format!("error can be true or false, not {value}"))?;
            }
            _ => return Err(format!("{part:?} is no option of check: there are skip, error and experimental")),
        }
    }
    Ok(checks)
}

fn rules(value: &str) -> Skip {
    let names = || value.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    if value.eq_ignore_ascii_case("all") { Skip::All } else { Skip::Rules(names()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directives(text: &str) -> Result<Directives, Fault> {
        read(&Lines::of(text.as_bytes()))
    }

    #[test]
    fn directives_stand_at_the_top() {
        let read =
            directives("#!/bin/x\n# syntax = docker/dockerfile:1 x\r\n#Escape=`\n# check=skip=A, B;error=true\nFROM a");
        let read = read.unwrap();
        assert_eq!((read.syntax.as_deref(), read.escape), (Some("docker/dockerfile:1"), '`'));
        assert_eq!(read.check.skip, Skip::Rules(vec!["A".into(), "B".into()]));
        assert!(read.check.error);
        assert_eq!(directives("# check=skip=all;experimental=all").unwrap().check.experimental, Skip::All);
        for text in ["\n# escape=`", "# a comment\n# escape=`", "# other=1\n# escape=`", "FROM a\n# escape=`"] {
            assert_eq!(directives(text).unwrap().escape, '\\', "{text}");
        }
    }

    #[test]
    fn wrong_directives_are_refused() {
        for (text, line) in [
            ("# escape=x", 1),
            ("# syntax=a\n# syntax=b", 2),
            ("# check=skip", 1),
            ("# check=error=maybe", 1),
            ("# check=other=1", 1),
        ] {
            assert_eq!(directives(text).unwrap_err().line, line, "{text}");
        }
    }
}
