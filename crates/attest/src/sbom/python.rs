//! What pip and its kin have installed, and the Python packages that distributions bring.

use super::debian::field;
use super::package::{Distribution, Package, encode};

/// Tells whether a file describes a Python package.
pub(super) fn lists(path: &str) -> bool {
    let mut parts = path.rsplit('/');
    let (name, directory) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let is_home = |directory: Option<&str>| matches!(directory, Some("site-packages" | "dist-packages"));
    match name {
        "METADATA" => directory.ends_with(".dist-info") && is_home(parts.next()),
        "PKG-INFO" => directory.ends_with(".egg-info") && is_home(parts.next()),
        // What distutils installed has no directory for it.
        _ => name.ends_with(".egg-info") && is_home(Some(directory)),
    }
}

/// Reads the head of the description; behind it comes a text for people.
pub(super) fn packages(path: &str, _: &Distribution, text: &str) -> Option<Vec<Package>> {
    let text = text.replace("\r\n", "\n");
    let head = text.split("\n\n").next().unwrap_or_default();
    let (name, version) = (field(head, "Name")?, field(head, "Version")?);
    // One name has many spellings here, and the URL has one of them.
    let normal = name.to_lowercase().replace('_', "-");
    let licence = field(head, "License-Expression").or(field(head, "License")).filter(|text| *text != "UNKNOWN");
    Some(vec![Package {
        purl: format!("pkg:pypi/{}@{}", encode(&normal), encode(version)),
        listed_in: path.to_owned(),
        name: name.to_owned(),
        version: version.to_owned(),
        maintainer: None,
        licence: licence.map(str::to_owned),
    }])
}
