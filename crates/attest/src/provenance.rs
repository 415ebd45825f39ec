//! How an image was built, and from what: SLSA provenance, version 1.
//!
//! As with BuildKit there are two lengths. [`Detail::Min`] tells what was built from, and names no value that the user gave;
//! [`Detail::Max`] tells these too, with the text of the file and every step. Values of secrets are in neither: they never come
//! here, since a [`Build`] knows only their names.

use std::collections::BTreeMap;

use jiff::Timestamp;
use oci::{Digest, Platform};
use serde_json::{Map, Value, json};

use crate::moment;

/// The kind of statement that provenance is.
pub const PROVENANCE: &str = "https://slsa.dev/provenance/v1";

/// What the parameters of a build mean; the page is `docs/attestations.md`.
const BUILD_TYPE: &str = "urn:conductor:build:dockerfile:1";

/// How much is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Detail {
    /// What was built from, and no value that the user gave.
    #[default]
    Min,
    /// All of it.
    Max,
}

/// A build, as far as it is told.
#[derive(Debug, Clone, Default)]
pub struct Build<'a> {
    /// Who built: a URI.
    pub builder: &'a str,
    /// The version of the program.
    pub version: &'a str,
    /// The machine that built.
    pub machine: Option<&'a Platform>,
    /// The file that says how.
    pub file: BuildFile<'a>,
    /// The context, where it came from elsewhere: a URL.
    pub context: Option<&'a str>,
    /// The stage that was asked for.
    pub target: Option<&'a str>,
    /// The machines that were built for.
    pub platforms: &'a [Platform],
    /// What the command line gave for `ARG`.
    pub arguments: BTreeMap<&'a str, &'a str>,
    /// What the command line gave as labels.
    pub labels: BTreeMap<&'a str, &'a str>,
    /// The names of the secrets that were at hand.
    pub secrets: &'a [&'a str],
    /// The names of the forwarded agents that were at hand.
    pub ssh: &'a [&'a str],
    /// What came from elsewhere.
    pub materials: &'a [Material],
    /// Whether everything that came from elsewhere is among the materials, as nothing that ran had a network.
    pub hermetic: bool,
    /// The steps in their order, as the file has them.
    pub steps: &'a [&'a str],
    /// When it began and ended; a build that is to give the same bytes each time leaves that away.
    pub times: Option<(Timestamp, Timestamp)>,
}

/// The file that says how to build.
#[derive(Debug, Clone, Copy, Default)]
pub struct BuildFile<'a> {
    /// Its path in the context.
    pub path: &'a str,
    /// What is written in it.
    pub text: &'a str,
}

/// What came from elsewhere into a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Material {
    /// An image.
    Image {
        /// Its repository, such as `docker.io/library/debian`.
        repository: String,
        /// Its tag.
        tag: Option<String>,
        /// The digest of its manifest, or of the index that lists it.
        digest: Digest,
        /// The machine it is for.
        platform: Platform,
    },
    /// A file that was downloaded.
    File {
        /// From where.
        url: String,
        /// What came.
        digest: Digest,
    },
    /// A commit of a Git repository.
    Git {
        /// Of which.
        url: String,
        /// The commit, in hexadecimal.
        commit: String,
    },
}

/// Tells how an image was built.
pub fn provenance(build: &Build<'_>, detail: Detail) -> Value {
    let definition = json!({
        "buildType": BUILD_TYPE,
        "externalParameters": external_parameters(build, detail),
        "internalParameters": internal_parameters(build, detail),
        "resolvedDependencies": dependencies(build.materials),
    });
    let mut metadata = json!({
        // The same build has the same name: that of what it was told to do.
        "invocationId": Digest::of(definition.to_string().as_bytes()).hex(),
        "conductor_completeness": { "request": detail == Detail::Max, "resolvedDependencies": build.hermetic },
        "conductor_hermetic": build.hermetic,
    });
    if let Some((started, finished)) = build.times {
        metadata["startedOn"] = json!(moment(started));
        metadata["finishedOn"] = json!(moment(finished));
    }
    let builder = json!({ "id": build.builder, "version": { "conductor": build.version } });
    json!({ "buildDefinition": definition, "runDetails": { "builder": builder, "metadata": metadata } })
}

/// What whoever asked for the build has chosen.
fn external_parameters(build: &Build<'_>, detail: Detail) -> Value {
    let digest = Digest::of(build.file.text.as_bytes());
    let mut file = json!({ "path": build.file.path, "digest": { "sha256": digest.hex() } });
    if let Some(context) = build.context {
        file["uri"] = json!(without_password(context));
    }
    let mut request = Map::new();
    let mut tell = |key: &str, value: Value| _ = request.insert(key.to_owned(), value);
    if let Some(target) = build.target {
        tell("target", json!(target));
    }
    let platforms: Vec<_> = build.platforms.iter().map(Platform::to_string).collect();
    tell("platforms", json!(platforms));
    if detail == Detail::Max {
        tell("args", json!(build.arguments));
        tell("labels", json!(build.labels));
        tell("secrets", names(build.secrets));
        tell("ssh", names(build.ssh));
    }
    json!({ "configSource": file, "request": request })
}

fn names(names: &[&str]) -> Value {
    let mut names = names.to_vec();
    names.sort_unstable();
    names.into_iter().map(|name| json!({ "id": name })).collect()
}

/// What the machine has chosen.
fn internal_parameters(build: &Build<'_>, detail: Detail) -> Value {
    let mut parameters = json!({});
    if let Some(machine) = build.machine {
        parameters["builderPlatform"] = json!(machine.to_string());
    }
    if detail == Detail::Max {
        parameters["buildConfig"] = json!({ "file": build.file.text, "steps": build.steps });
    }
    parameters
}

/// What came from elsewhere, sorted, each once.
fn dependencies(materials: &[Material]) -> Value {
    let mut told: Vec<_> = materials.iter().map(dependency).collect();
    told.sort_by_key(Value::to_string);
    told.dedup();
    told.into()
}

fn dependency(material: &Material) -> Value {
    match material {
        Material::Image { repository, tag, digest, platform } => {
            let repository = repository.strip_prefix("docker.io/").unwrap_or(repository);
            let repository = repository.strip_prefix("library/").unwrap_or(repository);
            let tag = tag.as_ref().map(|tag| format!("@{tag}")).unwrap_or_default();
            let platform = platform.to_string().replace('/', "%2F");
            let uri = format!("pkg:docker/{repository}{tag}?digest={digest}&platform={platform}");
            json!({ "uri": uri, "digest": { "sha256": digest.hex() } })
        }
        Material::File { url, digest } => {
            json!({ "uri": without_password(url), "digest": { "sha256": digest.hex() } })
        }
        Material::Git { url, commit } => {
            let kind = if commit.len() == 64 { "sha256" } else { "sha1" };
            json!({ "uri": without_password(url), "digest": { kind: commit } })
        }
    }
}

/// Takes out of a URL what would let its reader in.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: BuildFile<'_> = BuildFile { path: "Dockerfile", text: "FROM debian\nRUN true\n" };

    fn materials() -> Vec<Material> {
        let digest = Digest::of(b"debian");
        let platform: Platform = "linux/arm64/v8".parse().unwrap();
        let image = |repository: &str, tag: &str| Material::Image {
            repository: repository.into(),
            tag: Some(tag.into()),
            digest,
            platform: platform.clone(),
        };
        vec![
            Material::Git { url: "https://me:secret@example.org/x.git".into(), commit: "0f".repeat(20) },
            Material::File { url: "https://example.org/a.tar".into(), digest },
            image("docker.io/library/debian", "bookworm"),
            image("docker.io/library/debian", "bookworm"),
        ]
    }

    fn build(materials: &[Material]) -> Build<'_> {
        Build {
            builder: "https://example.org/builder",
            version: "0.1.0",
            file: FILE,
            target: Some("last"),
            arguments: BTreeMap::from([("VERSION", "hunter2")]),
            secrets: &["token"],
            materials,
            steps: &["FROM debian", "RUN true"],
            ..Build::default()
        }
    }

    #[test]
    fn the_short_form_names_what_it_was_built_from_and_no_value_of_the_user() {
        let materials = materials();
        let told = provenance(&build(&materials), Detail::Min);
        insta::assert_snapshot!(serde_json::to_string_pretty(&told["buildDefinition"]).unwrap(), @r#"
        {
          "buildType": "urn:conductor:build:dockerfile:1",
          "externalParameters": {
            "configSource": {
              "digest": {
                "sha256": "519451925401fd782e1d9d6acacf0483219e8e646a10c773bc302f8306d332fa"
              },
              "path": "Dockerfile"
            },
            "request": {
              "platforms": [],
              "target": "last"
            }
          },
          "internalParameters": {},
          "resolvedDependencies": [
            {
              "digest": {
                "sha1": "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"
              },
              "uri": "https://example.org/x.git"
            },
            {
              "digest": {
                "sha256": "81d93757457f988523814ae0009837ae893f38d3fe123f2c37896f118b4c7804"
              },
              "uri": "https://example.org/a.tar"
            },
            {
              "digest": {
                "sha256": "81d93757457f988523814ae0009837ae893f38d3fe123f2c37896f118b4c7804"
              },
              "uri": "pkg:docker/debian@bookworm?digest=sha256:81d93757457f988523814ae0009837ae893f38d3fe123f2c37896f118b4c7804&platform=linux%2Farm64%2Fv8"
            }
          ]
        }
        "#);
        for hidden in ["hunter2", "VERSION", "token", "RUN true", "secret"] {
            assert!(!told.to_string().contains(hidden), "{hidden}");
        }
    }

    #[test]
    fn the_long_form_tells_arguments_names_of_secrets_and_steps() {
        let told = provenance(&build(&[]), Detail::Max);
        let request = &told["buildDefinition"]["externalParameters"]["request"];
        assert_eq!(request["args"], json!({ "VERSION": "hunter2" }));
        assert_eq!(request["secrets"], json!([{ "id": "token" }]));
        let config = &told["buildDefinition"]["internalParameters"]["buildConfig"];
        assert_eq!(config["file"], FILE.text);
        assert_eq!(config["steps"], json!(["FROM debian", "RUN true"]));
    }

    #[test]
    fn times_are_told_only_where_they_are_given() {
        let mut build = build(&[]);
        assert_eq!(provenance(&build, Detail::Min)["runDetails"]["metadata"].get("startedOn"), None);
        build.times = Some((Timestamp::UNIX_EPOCH, Timestamp::from_second(1).unwrap()));
        let metadata = &provenance(&build, Detail::Min)["runDetails"]["metadata"];
        assert_eq!(
            (&metadata["startedOn"], &metadata["finishedOn"]),
            (&json!("1970-01-01T00:00:00Z"), &json!("1970-01-01T00:00:01Z"))
        );
    }

    #[test]
    fn the_same_build_has_the_same_name_whenever_it_ran() {
        let id = |build: &Build<'_>| provenance(build, Detail::Min)["runDetails"]["metadata"]["invocationId"].clone();
        let (one, mut later, mut other) = (build(&[]), build(&[]), build(&[]));
        later.times = Some((Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH));
        other.target = None;
        assert_eq!(id(&one), id(&later));
        assert_ne!(id(&one), id(&other));
    }
}
