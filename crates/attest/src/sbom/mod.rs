//! What is in an image: the packages that its package managers have written down, as an SPDX 2.3 document.
//!
//! | packages of | are read from |
//! |---|---|
//! | Debian and its kin | `var/lib/dpkg/status`, `var/lib/dpkg/status.d/*` |
//! | Alpine and its kin | `lib/apk/db/installed`, `usr/lib/apk/db/installed` |
//! | Python | `*.dist-info/METADATA`, `*.egg-info`, `*.egg-info/PKG-INFO` in any `site-packages` or `dist-packages` |
//! | Node | `package.json` of whatever is in any `node_modules` |
//!
//! The database of RPM is not read: it is SQLite or older formats of a library's own, which is more to take in from an image
//! than this is worth so far. An image that has one gets a document that says so, as it does of every file that should list
//! packages and cannot be understood.
//!
//! Start reading at [`sbom`].

mod alpine;
mod debian;
mod node;
mod package;
mod python;

use jiff::Timestamp;
use oci::{Digest, Platform};
use serde_json::{Value, json};

use crate::{FilesError, ImageFiles, moment};
use package::{Distribution, Package, encode};

/// The kind of statement that an SPDX document is.
pub const SPDX: &str = "https://spdx.dev/Document";

/// A file longer than this lists no packages.
const LONGEST: u64 = 64 << 20;

/// The image that a document is about, and who writes it.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    /// The image's name, such as `docker.io/library/app:1`.
    pub name: &'a str,
    /// The image's ID, once it has one.
    pub id: Option<&'a Digest>,
    /// What machine it is for.
    pub platform: &'a Platform,
    /// The version of the program that writes the document.
    pub version: &'a str,
}

/// Lists the packages in an image. `created` is the time that the document tells as its own.
pub fn sbom(files: &dyn ImageFiles, subject: &Subject<'_>, created: Timestamp) -> Result<Value, FilesError> {
    let Found { mut packages, mut unread } = find(files)?;
    packages.sort();
    packages.dedup();
    unread.sort();
    let image = image(subject);
    let contained = packages.iter().map(|package| relationship("SPDXRef-image", "CONTAINS", &package.spdx_id()));
    let describes = relationship("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-image");
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": subject.name,
        "creationInfo": { "created": moment(created), "creators": [format!("Tool: conductor-{}", subject.version)] },
        "relationships": std::iter::once(describes).chain(contained).collect::<Vec<_>>(),
        "packages": std::iter::once(image).chain(packages.iter().map(Package::to_spdx)).collect::<Vec<_>>(),
    });
    if !unread.is_empty() {
        document["comment"] = json!(format!("Not complete. {}", unread.join(" ")));
    }
    // Two documents may not have one name; what they say is what tells them apart.
    let content = Digest::of(document.to_string().as_bytes());
    document["documentNamespace"] = json!(format!("urn:conductor:sbom:{content}"));
    Ok(document)
}

/// What was found in an image.
#[derive(Debug, Default)]
struct Found {
    packages: Vec<Package>,
    /// What should list packages and was not read, a sentence each.
    unread: Vec<String>,
}

impl Found {
    fn cannot_read(&mut self, path: &str) {
        self.unread.push(format!("{path} could not be understood."));
    }
}

/// How a file lists packages.
type Reader = fn(&str, &Distribution, &str) -> Option<Vec<Package>>;

/// Reads every file that lists packages.
fn find(files: &dyn ImageFiles) -> Result<Found, FilesError> {
    let distribution = distribution(files)?;
    let mut found = Found::default();
    for path in files.paths()? {
        let Ok(path) = str::from_utf8(&path) else { continue };
        if is_rpm(path) {
            found.unread.push(format!("The packages in {path} are not listed: databases of RPM are not read."));
        }
        let Some(reader) = reader(path) else { continue };
        let text = files.read(path.as_bytes(), LONGEST)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        match text.and_then(|text| reader(path, &distribution, &text)) {
            Some(packages) => found.packages.extend(packages),
            None => found.cannot_read(path),
        }
    }
    Ok(found)
}

/// Tells by its path how a file lists packages, if it does.
fn reader(path: &str) -> Option<Reader> {
    if debian::lists(path) {
        Some(debian::packages)
    } else if alpine::lists(path) {
        Some(alpine::packages)
    } else if python::lists(path) {
        Some(python::packages)
    } else if node::lists(path) {
        Some(node::packages)
    } else {
        None
    }
}

fn is_rpm(path: &str) -> bool {
    let Some((directory, name)) = path.rsplit_once('/') else { return false };
    matches!(directory, "var/lib/rpm" | "usr/lib/sysimage/rpm" | "usr/share/rpm")
        && matches!(name, "rpmdb.sqlite" | "Packages.db" | "Packages")
}

/// Reads which distribution an image is of.
fn distribution(files: &dyn ImageFiles) -> Result<Distribution, FilesError> {
    for path in ["etc/os-release", "usr/lib/os-release"] {
        if let Some(bytes) = files.read(path.as_bytes(), LONGEST)? {
            return Ok(Distribution::parse(&String::from_utf8_lossy(&bytes)));
        }
    }
    Ok(Distribution::default())
}

/// The image itself, of which all packages are parts.
fn image(subject: &Subject<'_>) -> Value {
    let mut image = json!({
        "SPDXID": "SPDXRef-image",
        "name": subject.name,
        "primaryPackagePurpose": "CONTAINER",
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "comment": format!("an image for {}", subject.platform),
    });
    if let Some(id) = subject.id {
        image["versionInfo"] = json!(id.to_string());
        image["checksums"] = json!([{ "algorithm": "SHA256", "checksumValue": id.hex() }]);
        let name = subject.name.rsplit('/').next().unwrap_or_default();
        let name = name.split(['@', ':']).next().unwrap_or_default();
        let architecture = encode(&subject.platform.architecture);
        let purl = format!("pkg:oci/{}@{}?arch={architecture}", encode(&name.to_lowercase()), encode(&id.to_string()));
        image["externalRefs"] = json!([package::reference(&purl)]);
    }
    image
}

fn relationship(element: &str, kind: &str, related: &str) -> Value {
    json!({ "spdxElementId": element, "relationshipType": kind, "relatedSpdxElement": related })
}

#[cfg(test)]
mod tests;
