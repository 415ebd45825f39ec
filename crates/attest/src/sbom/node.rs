//! What npm and its kin have installed.

use serde_json::Value;

use super::package::{Distribution, Package, encode};

/// Tells whether a file describes a Node package: `node_modules/NAME/package.json` or `node_modules/@SCOPE/NAME/package.json`.
pub(super) fn lists(path: &str) -> bool {
    let parts: Vec<_> = path.rsplit('/').take(4).collect();
    match parts[..] {
        ["package.json", name, "node_modules", ..] => !name.starts_with(['.', '@']),
        ["package.json", _, scope, "node_modules"] => scope.starts_with('@'),
        _ => false,
    }
}

/// Reads the description of a package. One without a version was never published, and is no package by itself.
pub(super) fn packages(path: &str, _: &Distribution, text: &str) -> Option<Vec<Package>> {
    let description: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).ok()?;
    let (Some(name), Some(version)) = (description["name"].as_str(), description["version"].as_str()) else {
        return Some(Vec::new());
    };
    let url = name.split('/').map(encode).collect::<Vec<_>>().join("/");
    // Old packages have an object in place of the words.
    let licence = description["license"].as_str().or(description["license"]["type"].as_str());
    Some(vec![Package {
        purl: format!("pkg:npm/{}@{}", url, encode(version)),
        listed_in: path.to_owned(),
        name: name.to_owned(),
        version: version.to_owned(),
        maintainer: None,
        licence: licence.map(str::to_owned),
    }])
}
