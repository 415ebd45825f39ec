//! What registries of the bench hold: images made of tars by plain tools, so that no engine moves what it has packed itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::subjects::{Workplace, make, text, write};
use crate::{Outcome, shell};

/// What a layer with many files is made of: so many directories, so many files in each, so many lines in a file at most.
const DIRECTORIES: usize = 160;
const FILES: usize = 100;
const LINES: usize = 80;

/// The name of every image in its repository.
pub(super) const TAG: &str = "1";

/// A layer, plain and packed.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) tar: PathBuf,
    diff_id: String,
    packed: PathBuf,
    digest: String,
}

impl Layer {
    /// Packs a tar as most layers are packed: by gzip, at its usual level.
    pub(super) fn pack(place: &Workplace, name: &str, tar: &Path) -> Outcome<Self> {
        let directory = place.path("images/layers");
        make(&directory)?;
        let packed = directory.join(format!("{name}.gz"));
        let script = "gzip -6 -n < \"$1\" > \"$2\"";
        shell::output(Command::new("sh").args(["-ec", script, "sh"]).arg(tar).arg(&packed))?;
        Ok(Self { tar: tar.to_owned(), diff_id: digest(tar)?, digest: digest(&packed)?, packed })
    }

    /// Returns where it is at a registry, behind the host's name.
    pub(super) fn path(&self, repository: &str) -> String {
        format!("/v2/{repository}/blobs/{}", self.digest)
    }

    fn descriptor(&self) -> Outcome<serde_json::Value> {
        descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &self.packed, &self.digest)
    }
}

/// Makes an OCI layout of layers and returns its directory.
pub(super) fn layout(place: &Workplace, name: &str, layers: &[&Layer]) -> Outcome<PathBuf> {
    let directory = place.path("images").join(name);
    let blobs = directory.join("blobs/sha256");
    make(&blobs)?;
    for layer in layers {
        let blob = blobs.join(layer.digest.trim_start_matches("sha256:"));
        std::fs::hard_link(&layer.packed, &blob).map_err(|error| format!("cannot link {}: {error}", blob.display()))?;
    }
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let diff_ids: Vec<_> = layers.iter().map(|layer| &layer.diff_id).collect();
    let config = json!({
        "architecture": architecture, "os": "linux", "config": { "Cmd": ["/bin/true"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let config = document(&blobs, "application/vnd.oci.image.config.v1+json", &config)?;
    let layers = layers.iter().map(|layer| layer.descriptor()).collect::<Outcome<Vec<_>>>()?;
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({ "schemaVersion": 2, "mediaType": manifest_type, "config": config, "layers": layers });
    let mut manifest = document(&blobs, manifest_type, &manifest)?;
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": TAG });
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    write(&directory.join("index.json"), index.to_string().as_bytes())?;
    write(&directory.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(directory)
}

/// Puts a document among the blobs and returns what points at it.
fn document(blobs: &Path, media_type: &str, document: &serde_json::Value) -> Outcome<serde_json::Value> {
    let new = blobs.join("new");
    write(&new, document.to_string().as_bytes())?;
    let digest = digest(&new)?;
    let named = blobs.join(digest.trim_start_matches("sha256:"));
    std::fs::rename(&new, &named).map_err(|error| format!("cannot name {}: {error}", named.display()))?;
    descriptor(media_type, &named, &digest)
}

fn descriptor(media_type: &str, file: &Path, digest: &str) -> Outcome<serde_json::Value> {
    let size = std::fs::metadata(file).map_err(|error| format!("cannot see {}: {error}", file.display()))?.len();
    Ok(json!({ "mediaType": media_type, "digest": digest, "size": size }))
}

fn digest(file: &Path) -> Outcome<String> {
    let told = shell::output(Command::new("sha256sum").arg("-b").arg(file))?;
    told.split(' ').next().map(|hex| format!("sha256:{hex}")).ok_or_else(|| "sha256sum says nothing".to_owned())
}

/// Returns the tar of a Debian root, bootstrapped once a machine and kept beside other temporary files, as the tests do.
pub(super) fn debian() -> Outcome<PathBuf> {
    let cache = std::env::temp_dir().join("conductor-cache");
    let tar = cache.join("bookworm-minbase.tar");
    if tar.exists() {
        return Ok(tar);
    }
    let work = cache.join(format!("bench-{}", std::process::id()));
    let (root, made) = (text(&work.join("root")), work.join("tar"));
    make(&work)?;
    shell::output(&mut shell::program("debootstrap", ["--variant=minbase", "bookworm", &root]))?;
    let words = ["--format=posix", "--numeric-owner", "--xattrs", "-C", &root, "-cf", &text(&made), "."];
    shell::output(&mut shell::program("tar", words))?;
    std::fs::rename(&made, &tar).map_err(|error| format!("cannot name {}: {error}", tar.display()))?;
    std::fs::remove_dir_all(&work).map_err(|error| format!("cannot remove {}: {error}", work.display()))?;
    Ok(tar)
}

/// Makes a tree of 16,000 small files.
pub(super) fn many(place: &Workplace) -> Outcome<PathBuf> {
    let tree = place.path("images/many");
    let mut state = 1_u64;
    for directory in 0..DIRECTORIES {
        let name = tree.join(format!("srv/d{directory:03}"));
        make(&name)?;
        for file in 0..FILES {
            // Text of which gzip makes about half.
            let lines = (0..=(directory * 31 + file * 7) % LINES).map(|line| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                format!("line {line} of {file}: {:016x}\n", state ^ (state >> 29))
            });
            write(&name.join(format!("f{file:02}")), lines.collect::<String>().as_bytes())?;
        }
    }
    Ok(tree)
}

/// Packs that tree in so many layers, of about the same size.
pub(super) fn split(place: &Workplace, tree: &Path, count: usize) -> Outcome<Vec<Layer>> {
    let part = |number: usize| {
        let name = format!("many-{count}-{number}");
        let tar = place.path("images").join(format!("{name}.tar"));
        let mut command = shell::program("tar", ["-C", &text(tree), "-cf", &text(&tar)]);
        command.args(directories(count, number));
        shell::output(&mut command)?;
        Layer::pack(place, &name, &tar)
    };
    (0..count).map(part).collect()
}

/// Names the directories of one part of so many.
fn directories(count: usize, number: usize) -> impl Iterator<Item = String> {
    (number..DIRECTORIES).step_by(count).map(|directory| format!("srv/d{directory:03}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_tree_hold_every_directory_once() {
        for count in [1, 10, 50] {
            let mut all: Vec<_> = (0..count).flat_map(|number| directories(count, number)).collect();
            all.sort();
            assert_eq!(all, (0..DIRECTORIES).map(|number| format!("srv/d{number:03}")).collect::<Vec<_>>());
        }
    }
}
