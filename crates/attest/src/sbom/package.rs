//! A package, its URL, and how SPDX tells of it.

use oci::Digest;
use serde_json::{Value, json};

/// A package that was found. The order is that of the document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Package {
    /// The package URL, by which other programs know it.
    pub(super) purl: String,
    /// The file that lists it.
    pub(super) listed_in: String,
    pub(super) name: String,
    pub(super) version: String,
    /// Who looks after it, if the list says that.
    pub(super) maintainer: Option<String>,
    /// What it says of its licence; not always an expression of SPDX.
    pub(super) licence: Option<String>,
}

impl Package {
    /// Returns what names the package in its document.
    pub(super) fn spdx_id(&self) -> String {
        let kind = self.purl.trim_start_matches("pkg:").split('/').next().unwrap_or_default();
        let name: String = self.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let digest = Digest::of(format!("{}\n{}", self.purl, self.listed_in).as_bytes()).hex();
        format!("SPDXRef-{kind}-{}-{}", name.trim_matches('-'), &digest[..16])
    }

    /// Returns the package as SPDX has it.
    pub(super) fn to_spdx(&self) -> Value {
        let mut package = json!({
            "SPDXID": self.spdx_id(),
            "name": self.name,
            "versionInfo": self.version,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
            "sourceInfo": format!("listed in /{}", self.listed_in),
            "supplier": self.supplier(),
            "licenseConcluded": "NOASSERTION",
            "licenseDeclared": "NOASSERTION",
            "copyrightText": "NOASSERTION",
            "externalRefs": [reference(&self.purl)],
        });
        if let Some(licence) = &self.licence {
            // In its own words: they are often no expression of SPDX, and would not be allowed in licenseDeclared.
            package["licenseComments"] = json!(format!("The package declares: {licence}"));
        }
        package
    }

    /// Returns the maintainer as SPDX names people: `Person: NAME (ADDRESS)`.
    fn supplier(&self) -> String {
        let Some(maintainer) = &self.maintainer else { return "NOASSERTION".to_owned() };
        match maintainer.split_once('<') {
            Some((name, address)) if !name.trim().is_empty() => {
                let address = address.trim_end().trim_end_matches('>');
                format!("Person: {} ({address})", name.trim().replace(['(', ')'], ""))
            }
            _ => format!("Person: {}", maintainer.replace(['<', '>', '(', ')'], "").trim()),
        }
    }
}

/// Returns the reference from a package to its URL.
pub(super) fn reference(purl: &str) -> Value {
    json!({ "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl })
}

/// The distribution that an image is of, as far as `os-release` tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Distribution {
    pub(super) id: Option<String>,
    version: Option<String>,
}

impl Distribution {
    /// Reads `os-release`.
    pub(super) fn parse(text: &str) -> Self {
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?;
            Some(line.trim_matches(['"', '\'']).to_owned()).filter(|value| !value.is_empty())
        };
        Self { id: value("ID").map(|id| id.to_lowercase()), version: value("VERSION_ID").or(value("VERSION_CODENAME")) }
    }

    /// Returns the URL of one of its packages. `source` is the package, and its version where that is another, from which it
    /// was built; those who look for known flaws look for it.
    pub(super) fn purl(&self, kind: &str, usual: &str, package: &PackageName<'_>) -> String {
        let namespace = self.id.as_deref().unwrap_or(usual);
        let mut purl = format!(
            "pkg:{kind}/{}/{}@{}",
            encode(namespace),
            encode(&package.name.to_lowercase()),
            encode(package.version)
        );
        // In the order of their names, as they are compared as text.
        let distro = self.id.as_ref().map(|id| match &self.version {
            Some(version) => format!("{id}-{version}"),
            None => id.clone(),
        });
        let qualifiers = [
            ("arch", package.architecture.map(str::to_owned)),
            ("distro", distro),
            ("upstream", package.source.map(str::to_owned)),
        ];
        let told = qualifiers.into_iter().filter_map(|(key, value)| Some((key, value?)));
        for (number, (key, value)) in told.enumerate() {
            purl += &format!("{}{key}={}", if number == 0 { '?' } else { '&' }, encode(&value));
        }
        purl
    }
}

/// What a URL is made of.
#[derive(Debug)]
pub(super) struct PackageName<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    pub(super) architecture: Option<&'a str>,
    pub(super) source: Option<&'a str>,
}

/// Writes text as a part of a package URL.
pub(super) fn encode(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'.' | b'-' | b'_' | b'~' | b':' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}
