use crate::files::Made;

use super::*;

const OS_RELEASE: &str = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n";

const STATUS: &str = "Package: libc6
Status: install ok installed
Maintainer: GNU Libc Maintainers <debian-glibc@lists.debian.org>
Architecture: amd64
Source: glibc
Version: 2.36-9+deb12u10
Description: GNU C Library: Shared libraries
 Contains the standard libraries.
 .
 Package: not-a-field

Package: gone
Status: deinstall ok config-files
Version: 1

Package: libgcc-s1
Status: install ok installed
Architecture: amd64
Source: gcc-12 (12.2.0-14)
Version: 12.2.0-14+deb12u1
";

fn document(files: &dyn ImageFiles) -> Value {
    let platform = "linux/amd64".parse().unwrap();
    let id = Digest::of(b"image");
    let subject = Subject { name: "docker.io/library/app:1", id: Some(&id), platform: &platform, version: "0.1.0" };
    sbom(files, &subject, Timestamp::UNIX_EPOCH).unwrap()
}

fn purls(document: &Value) -> Vec<&str> {
    let packages = document["packages"].as_array().unwrap().iter().skip(1);
    packages.map(|package| package["externalRefs"][0]["referenceLocator"].as_str().unwrap()).collect()
}

#[test]
fn packages_of_debian_name_their_source_and_their_distribution() {
    let files = Made::default().with("etc/os-release", OS_RELEASE).with("var/lib/dpkg/status", STATUS);
    assert_eq!(
        purls(&document(&files)),
        [
            "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64&distro=debian-12&upstream=glibc",
            "pkg:deb/debian/libgcc-s1@12.2.0-14%2Bdeb12u1?arch=amd64&distro=debian-12&upstream=gcc-12%4012.2.0-14",
        ]
    );
}

#[test]
fn an_image_without_dpkg_has_a_file_a_package() {
    let files = Made::default()
        .with("usr/lib/os-release", OS_RELEASE)
        .with("var/lib/dpkg/status.d/tzdata", "Package: tzdata\nVersion: 2024a-0\nArchitecture: all\n")
        .with("var/lib/dpkg/status.d/tzdata.md5sums", "0123  usr/share/zoneinfo/UTC\n");
    assert_eq!(purls(&document(&files)), ["pkg:deb/debian/tzdata@2024a-0?arch=all&distro=debian-12"]);
}

#[test]
fn packages_of_alpine_tell_their_licence() {
    let installed = "C:Q1abc=\nP:busybox-binsh\nV:1.36.1-r15\nA:x86_64\nL:GPL-2.0-only\no:busybox\nm:Some One <one@example.org>\nF:bin\n\nP:musl\nV:1.2.4-r2\nA:x86_64\no:musl\n\n";
    let files = Made::default()
        .with("etc/os-release", "ID=alpine\nVERSION_ID=3.19.1\n")
        .with("lib/apk/db/installed", installed);
    let document = document(&files);
    assert_eq!(
        purls(&document),
        [
            "pkg:apk/alpine/busybox-binsh@1.36.1-r15?arch=x86_64&distro=alpine-3.19.1&upstream=busybox",
            "pkg:apk/alpine/musl@1.2.4-r2?arch=x86_64&distro=alpine-3.19.1",
        ]
    );
    assert_eq!(document["packages"][1]["licenseComments"], "The package declares: GPL-2.0-only");
    assert_eq!(document["packages"][1]["supplier"], "Person: Some One (one@example.org)");
}

#[test]
fn packages_of_python_are_found_wherever_python_looks_for_them() {
    let head = |name: &str| {
        format!("Metadata-Version: 2.1\nName: {name}\nVersion: 1.0+local\nLicense: UNKNOWN\n\nName: text\n")
    };
    let files = Made::default()
        .with("usr/lib/python3/dist-packages/Flask_Login-1.0.dist-info/METADATA", &head("Flask_Login"))
        .with("opt/venv/lib/python3.11/site-packages/old-1.0.egg-info/PKG-INFO", &head("old"))
        .with("usr/lib/python3/dist-packages/older-1.0.egg-info", &head("older"))
        .with("srv/vendored/x-1.0.dist-info/METADATA", &head("not-installed"));
    assert_eq!(
        purls(&document(&files)),
        ["pkg:pypi/flask-login@1.0%2Blocal", "pkg:pypi/old@1.0%2Blocal", "pkg:pypi/older@1.0%2Blocal"]
    );
}

#[test]
fn packages_of_node_may_have_a_scope_and_packages_of_their_own() {
    let package = |name: &str| format!("{{\"name\": \"{name}\", \"version\": \"1.2.3\", \"license\": \"MIT\"}}");
    let files = Made::default()
        .with("app/package.json", &package("app"))
        .with("app/node_modules/left/package.json", &package("left"))
        .with("app/node_modules/@types/node/package.json", &package("@types/node"))
        .with("app/node_modules/left/node_modules/right/package.json", &package("right"))
        .with("app/node_modules/left/test/package.json", &package("not-installed"))
        .with("app/node_modules/nameless/package.json", "{\"private\": true}");
    assert_eq!(purls(&document(&files)), ["pkg:npm/%40types/node@1.2.3", "pkg:npm/left@1.2.3", "pkg:npm/right@1.2.3"]);
}

#[test]
fn what_is_not_read_is_told() {
    let files = Made::default()
        .with("var/lib/rpm/rpmdb.sqlite", "SQLite format 3")
        .with("srv/node_modules/broken/package.json", "{");
    assert_eq!(
        document(&files)["comment"],
        "Not complete. The packages in var/lib/rpm/rpmdb.sqlite are not listed: databases of RPM are not read. \
         srv/node_modules/broken/package.json could not be understood."
    );
    assert_eq!(document(&Made::default())["comment"], Value::Null);
}

#[test]
fn the_same_image_gives_the_same_document_and_another_one_another_name() {
    let files = Made::default().with("var/lib/dpkg/status", STATUS);
    let (one, again) = (document(&files), document(&files));
    assert_eq!(one.to_string(), again.to_string());
    assert_ne!(one["documentNamespace"], document(&Made::default())["documentNamespace"]);
}

#[test]
fn the_whole_document() {
    let status = "Package: tzdata\nVersion: 2024a-0\nArchitecture: all\nMaintainer: lists@example.org\n";
    let document = document(&Made::default().with("var/lib/dpkg/status", status));
    insta::assert_snapshot!(serde_json::to_string_pretty(&document).unwrap(), @r#"
    {
      "SPDXID": "SPDXRef-DOCUMENT",
      "creationInfo": {
        "created": "1970-01-01T00:00:00Z",
        "creators": [
          "Tool: conductor-0.1.0"
        ]
      },
      "dataLicense": "CC0-1.0",
      "documentNamespace": "urn:conductor:sbom:sha256:8412271c9e8790f2c0661b55f8d16856cc0c300f7d0957638ca848862826a72b",
      "name": "docker.io/library/app:1",
      "packages": [
        {
          "SPDXID": "SPDXRef-image",
          "checksums": [
            {
              "algorithm": "SHA256",
              "checksumValue": "6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d"
            }
          ],
          "comment": "an image for linux/amd64",
          "downloadLocation": "NOASSERTION",
          "externalRefs": [
            {
              "referenceCategory": "PACKAGE-MANAGER",
              "referenceLocator": "pkg:oci/app@sha256:6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d?arch=amd64",
              "referenceType": "purl"
            }
          ],
          "filesAnalyzed": false,
          "name": "docker.io/library/app:1",
          "primaryPackagePurpose": "CONTAINER",
          "versionInfo": "sha256:6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d"
        },
        {
          "SPDXID": "SPDXRef-deb-tzdata-9cfd6c94d8ec7b1b",
          "copyrightText": "NOASSERTION",
          "downloadLocation": "NOASSERTION",
          "externalRefs": [
            {
              "referenceCategory": "PACKAGE-MANAGER",
              "referenceLocator": "pkg:deb/debian/tzdata@2024a-0?arch=all",
              "referenceType": "purl"
            }
          ],
          "filesAnalyzed": false,
          "licenseConcluded": "NOASSERTION",
          "licenseDeclared": "NOASSERTION",
          "name": "tzdata",
          "sourceInfo": "listed in /var/lib/dpkg/status",
          "supplier": "Person: lists@example.org",
          "versionInfo": "2024a-0"
        }
      ],
      "relationships": [
        {
          "relatedSpdxElement": "SPDXRef-image",
          "relationshipType": "DESCRIBES",
          "spdxElementId": "SPDXRef-DOCUMENT"
        },
        {
          "relatedSpdxElement": "SPDXRef-deb-tzdata-9cfd6c94d8ec7b1b",
          "relationshipType": "CONTAINS",
          "spdxElementId": "SPDXRef-image"
        }
      ],
      "spdxVersion": "SPDX-2.3"
    }
    "#);
}
