//! What dpkg has installed.

use super::package::{Distribution, Package, PackageName};

/// Tells whether a file lists packages of dpkg. Images without dpkg itself have a file a package, below `status.d`.
pub(super) fn lists(path: &str) -> bool {
    path == "var/lib/dpkg/status"
        || path.strip_prefix("var/lib/dpkg/status.d/").is_some_and(|name| !name.ends_with(".md5sums"))
}

/// Reads a list of paragraphs; one without `Status` is of an installed package.
pub(super) fn packages(path: &str, distribution: &Distribution, text: &str) -> Option<Vec<Package>> {
    let package = |paragraph: &str| {
        let field = |key: &str| field(paragraph, key);
        let (name, version) = (field("Package")?, field("Version")?);
        let state = field("Status").and_then(|status| status.split_whitespace().nth(2));
        // Only its configuration files are left, or not even these.
        if matches!(state, Some("config-files" | "not-installed")) {
            return None;
        }
        // `Source: glibc (2.36-9)` has a version where the source has another one than the package.
        let source = field("Source").map(|source| source.replace(" (", "@").replace(')', ""));
        let source = source.filter(|source| source != name);
        let parts = PackageName { name, version, architecture: field("Architecture"), source: source.as_deref() };
        Some(Package {
            purl: distribution.purl("deb", "debian", &parts),
            listed_in: path.to_owned(),
            name: name.to_owned(),
            version: version.to_owned(),
            maintainer: field("Maintainer").map(str::to_owned),
            licence: None,
        })
    };
    Some(paragraphs(text).filter_map(package).collect())
}

fn paragraphs(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty())
}

/// Returns the first line of a field.
pub(super) fn field<'a>(paragraph: &'a str, key: &str) -> Option<&'a str> {
    let of = |line: &'a str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case(key).then(|| value.trim())
    };
    paragraph.lines().find_map(of).filter(|value| !value.is_empty())
}
