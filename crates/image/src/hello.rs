//! `conductor/hello`: an image carried in the binary, so that the first `run` works anywhere, offline, at once.
//!
//! It is put into the store when it is first asked for. That is not synced to the disk, as it can be made anew at any time;
//! instead every use compares the layer with the one carried here, and a store that lost it gets it again.

use jiff::Timestamp;
use oci::{Digest, Reference};
use store::{Documents, Durability, Image, Layer, Store, StoreError};
use trace::{Explain, Recorder, Step};

use crate::documents::{Recipe, compose};
use crate::tree::entry::{Entry, Kind};

/// The name of the image.
pub const HELLO: &str = "conductor/hello";

/// The program, as the build script made it.
static PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hello"));

/// When the image was made: a constant, so that one release gives one image ID.
const CREATED: i64 = 1_767_225_600;

struct HelloStep;

/// Finds an image by name, ID or the beginning of its ID; the one that is carried along is always there.
pub fn resolve(store: &Store, asked: &str, recorder: &Recorder) -> Result<Image, StoreError> {
    let carried = || asked.parse().is_ok_and(|name| is_hello(&name));
    match store.images().resolve(asked) {
        Ok(image) if carried() => checked(store, image, recorder),
        Err(StoreError::NotFound(_)) if carried() => hello(store, recorder),
        result => result,
    }
}

/// Tells whether a name means the image that is carried along.
pub fn is_hello(name: &Reference) -> bool {
    name.digest().is_none() && name.familiar() == "conductor/hello:latest"
}

/// Puts the image that is carried along into the store.
pub fn hello(store: &Store, recorder: &Recorder) -> Result<Image, StoreError> {
    recorder.record(&HelloStep);
    let (tar, documents) = carried()?;
    let mut work = store.begin(Durability::Remakeable)?;
    let mut writer = work.layer()?;
    writer.append(&tar)?;
    work.finish(writer)?;
    work.commit(&documents, &[HELLO.parse()?], recorder)
}

/// A user may have given the name to another image, which is taken as it is.
fn checked(store: &Store, image: Image, recorder: &Recorder) -> Result<Image, StoreError> {
    let (tar, documents) = carried()?;
    let is_ours = image.id == Digest::of(&documents.config);
    let is_whole = || image.layers.iter().all(|layer| std::fs::read(&layer.path).is_ok_and(|bytes| bytes == tar));
    if !is_ours || (is_whole() && image.has_index()) { Ok(image) } else { hello(store, recorder) }
}

/// Returns the layer and the documents.
fn carried() -> Result<(Vec<u8>, Documents), StoreError> {
    let broken =
        |error: Box<dyn std::error::Error + Send + Sync>| StoreError::Damaged { path: HELLO.into(), source: error };
    let tar = tar().map_err(|error| broken(Box::new(error)))?;
    let created = Timestamp::from_second(CREATED).map_err(|error| broken(Box::new(error)))?;
    let mut recipe = Recipe::new(created, "carried in the binary of Conductor");
    recipe.config.set_cmd(Some(vec!["/hello".into()]));
    let layer = Layer { diff_id: Digest::of(&tar), size: tar.len() as u64, path: "/".into() };
    let documents = compose(&recipe, &[layer]).map_err(|error| broken(Box::new(error)))?;
    Ok((tar, documents))
}

fn tar() -> std::io::Result<Vec<u8>> {
    let entry = |path: &str, kind: Kind, mode: u32, size: usize| Entry {
        path: path.into(),
        kind,
        mode,
        uid: 0,
        gid: 0,
        size: size as u64,
        modified: CREATED.unsigned_abs(),
        attributes: Vec::new(),
    };
    let mut tar = Vec::new();
    // The mount points are here so that the image runs read-only as well.
    for path in ["./", "dev", "etc", "proc", "sys"] {
        tar.extend(entry(path, Kind::Directory, 0o755, 0).encode()?);
    }
    tar.extend(entry("hello", Kind::File, 0o755, PROGRAM.len()).encode()?);
    tar.extend_from_slice(PROGRAM);
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    Ok(tar)
}

impl Explain for HelloStep {
    fn explain(&self) -> Step {
        Step::host("put the image conductor/hello, which the binary carries, into the store", "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_small_and_always_the_same() {
        assert!(PROGRAM.starts_with(b"\x7fELF"));
        assert!(PROGRAM.len() < 8192, "{} bytes", PROGRAM.len());
        let (first, second) = (carried().unwrap(), carried().unwrap());
        assert_eq!(first, second);
    }

    #[test]
    fn only_its_own_name_means_it() {
        for (text, expected) in [
            ("conductor/hello", true),
            ("conductor/hello:latest", true),
            ("conductor/hello:1", false),
            ("hello", false),
        ] {
            assert_eq!(is_hello(&text.parse().unwrap()), expected, "{text}");
        }
    }
}
