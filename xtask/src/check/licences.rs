//! Licences stay permissive, and everything comes from the Rust package registry.
//!
//! `deny.toml` is the data, in the format of cargo-deny, so whoever has that program can run it as well. CI does not ask
//! for it: building it takes longer than everything else together (docs/decisions/0003-licences-without-cargo-deny.md).

use serde_json::Value;

use crate::{Outcome, shell};

/// Holds every crate that we build with against `deny.toml`.
pub(crate) fn check() -> Outcome {
    let path = shell::house().join("deny.toml");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("cannot read deny.toml: {error}"))?;
    let rules = Rules::parse(&text);
    let metadata = shell::output(&mut shell::cargo(["metadata", "--format-version", "1", "--locked"]))?;
    let metadata: Value = serde_json::from_str(&metadata).map_err(|error| error.to_string())?;
    let wrong: Vec<String> =
        metadata["packages"].as_array().into_iter().flatten().filter_map(|p| rules.objection(p)).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// What `deny.toml` allows and refuses.
#[derive(Debug, Default)]
struct Rules {
    allowed: Vec<String>,
    refused: Vec<String>,
}

impl Rules {
    /// Reads the lists `allow` of `[licenses]` and `deny` of `[bans]`, one quoted entry a line.
    fn parse(text: &str) -> Self {
        let mut rules = Self::default();
        let (mut section, mut list) = ("", "");
        for line in text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
            if line.starts_with('[') && line.ends_with(']') {
                section = line;
            } else if let Some((key, _)) = line.split_once(" = [") {
                list = key;
            } else if let Some(entry) = line.split('"').nth(1) {
                match (section, list) {
                    ("[licenses]", "allow") => rules.allowed.push(entry.into()),
                    ("[bans]", "deny") => rules.refused.push(entry.into()),
                    _ => {}
                }
            }
        }
        rules
    }

    /// Says what is wrong with a package, if something is.
    fn objection(&self, package: &Value) -> Option<String> {
        let name = package["name"].as_str().unwrap_or_default();
        let source = package["source"].as_str()?;
        if !source.starts_with("registry+") {
            return Some(format!("{name} comes from {source}, not from the Rust package registry"));
        }
        if self.refused.iter().any(|refused| refused == name) {
            return Some(format!("{name} is refused by deny.toml"));
        }
        let licence = package["license"].as_str().unwrap_or("no licence");
        (!self.allows(licence)).then(|| format!("{name} is under {licence}, which deny.toml does not allow"))
    }

    /// Tells whether an SPDX expression can be met with what is allowed: any side of OR, every side of AND.
    fn allows(&self, expression: &str) -> bool {
        let expression = expression.replace('/', " OR ");
        if let Some(sides) = split_outside_parentheses(&expression, " OR ") {
            return sides.iter().any(|side| self.allows(side));
        }
        if let Some(sides) = split_outside_parentheses(&expression, " AND ") {
            return sides.iter().all(|side| self.allows(side));
        }
        let bare = expression.trim();
        match bare.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
            Some(inner) => self.allows(inner),
            None => self.allowed.iter().any(|allowed| allowed == bare),
        }
    }
}

fn split_outside_parentheses<'a>(text: &'a str, by: &str) -> Option<Vec<&'a str>> {
    let depth = |end: usize| text[..end].matches('(').count() - text[..end].matches(')').count();
    let mut sides = Vec::new();
    let mut start = 0;
    for (at, _) in text.match_indices(by).filter(|(at, _)| depth(*at) == 0) {
        sides.push(&text[start..at]);
        start = at + by.len();
    }
    sides.push(&text[start..]);
    (sides.len() > 1).then_some(sides)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules::parse(
            "[licenses]\nallow = [\n    \"MIT\",\n    \"Unicode-3.0\", # why\n]\n[bans]\ndeny = [\n    { crate = \"x\" },\n]\n",
        )
    }

    #[test]
    fn a_choice_needs_one_allowed_licence_and_a_union_needs_all() {
        assert!(rules().allows("MIT OR GPL-3.0"));
        assert!(rules().allows("Apache-2.0/MIT"));
        assert!(rules().allows("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(!rules().allows("MIT AND GPL-3.0"));
        assert!(!rules().allows("GPL-3.0-only"));
    }

    #[test]
    fn a_refused_crate_is_named() {
        let package = serde_json::json!({"name": "x", "license": "MIT", "source": "registry+somewhere"});
        assert_eq!(rules().objection(&package).as_deref(), Some("x is refused by deny.toml"));
    }

    #[test]
    fn our_own_crates_have_no_source_and_no_objection() {
        assert_eq!(rules().objection(&serde_json::json!({"name": "sys", "source": null})), None);
    }
}
