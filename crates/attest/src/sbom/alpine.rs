//! What apk has installed.

use super::package::{Distribution, Package, PackageName};

/// Tells whether a file lists packages of apk.
pub(super) fn lists(path: &str) -> bool {
    matches!(path, "lib/apk/db/installed" | "usr/lib/apk/db/installed")
}

/// Reads a list of paragraphs, in which each line begins with a letter that says what it tells.
pub(super) fn packages(path: &str, distribution: &Distribution, text: &str) -> Option<Vec<Package>> {
    let package = |paragraph: &str| {
        let told =
            |key: &str| paragraph.lines().find_map(|line| line.strip_prefix(key)).filter(|text| !text.is_empty());
        let (name, version) = (told("P:")?, told("V:")?);
        let source = told("o:").filter(|origin| *origin != name);
        let parts = PackageName { name, version, architecture: told("A:"), source };
        Some(Package {
            purl: distribution.purl("apk", "alpine", &parts),
            listed_in: path.to_owned(),
            name: name.to_owned(),
            version: version.to_owned(),
            maintainer: told("m:").map(str::to_owned),
            licence: told("L:").map(str::to_owned),
        })
    };
    Some(text.split("\n\n").filter_map(package).collect())
}
