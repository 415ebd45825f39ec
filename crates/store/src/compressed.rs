//! Layers as registries have them: compressed, under the digest of that.
//!
//! The compressed bytes are not kept, but what is known of them is, so that a push knows where the same bytes lie already. It is a
//! hint from whoever the layer's name came from, and whoever follows it checks what comes. A layer that has come whole is kept for a day even if the image it came for never
//! was complete, so that the next attempt begins where the last one ended.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use oci::Digest;
use serde::{Deserialize, Serialize};
use sys::Calling;

use crate::error::Doing;
use crate::{Durability, Layer, Layout, Store, StoreError, Work, file};

/// One compressed form of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compressed {
    /// The digest of the compressed bytes.
    pub digest: Digest,
    /// The diff-id of the layer.
    pub layer: Digest,
    /// What manifests and registries say of it.
    pub form: Form,
}

/// What is known of a compressed layer beside its digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Form {
    /// How long it is.
    pub size: u64,
    /// Its media type.
    pub media_type: String,
    /// Whether it was compressed here, and can be made again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub made_here: bool,
    /// The repositories that have it, as `registry/path`, the last one first.
    #[serde(default)]
    pub repositories: Vec<String>,
}

/// How many repositories are remembered for each.
const REPOSITORIES: usize = 8;
/// How long a layer is kept that belongs to no image.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// The right to download a blob, for as long as it lives: whoever wants the same one waits and finds it done.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    _locked: File,
}

impl Store {
    /// Finds what is known of a compressed layer whose uncompressed bytes are here.
    pub fn compressed(&self, digest: &Digest) -> Result<Option<Compressed>, StoreError> {
        let mut found = self.compressed_where(|_, compressed| compressed == digest)?;
        Ok(found.pop())
    }

    /// Returns all compressed forms of a layer that are known.
    pub fn compressed_of(&self, layer: &Digest) -> Result<Vec<Compressed>, StoreError> {
        self.compressed_where(|of, _| of == layer)
    }

    fn compressed_where(&self, meant: impl Fn(&Digest, &Digest) -> bool) -> Result<Vec<Compressed>, StoreError> {
        let all = pairs(self.layout())?;
        let meant = all.into_iter().filter(|(layer, digest)| meant(layer, digest));
        let read = meant.filter_map(|(layer, digest)| read(self.layout(), layer, digest).transpose());
        let mut found = Vec::new();
        for compressed in read {
            let compressed = compressed?;
            let layer = self.layout().layer(&compressed.layer);
            if sys::file::exists(&layer).doing(|| format!("look for layer {}", compressed.layer))? {
                found.push(compressed);
            }
        }
        Ok(found)
    }

    /// Remembers a compressed form of a layer that is here, and the repositories that have it beside those known before.
    pub fn note_compressed(&self, compressed: &Compressed) -> Result<(), StoreError> {
        self.ensure()?;
        let _locked = self.lock()?;
        note(self.layout(), compressed, &self.layout().beside_name())
    }

    /// Waits until nobody else downloads this blob. `waiting` is called once, if there is somebody.
    pub fn claim(&self, digest: &Digest, waiting: impl FnOnce()) -> Result<Claim, StoreError> {
        let path = self.layout().tmp().join(format!("claim-{}", digest.hex()));
        let doing = || format!("wait for the download of {digest}");
        let mut waiting = Some(waiting);
        loop {
            // A sweeper would take a file for abandoned that is made and not locked yet.
            let store = self.lock()?;
            let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
            let locked = opened.call(|| format!("open({}, O_WRONLY|O_CREAT, 0600)", path.display())).doing(doing)?;
            let free = sys::file::try_lock(&locked).doing(doing)?;
            drop(store);
            if !free {
                waiting.take().into_iter().for_each(|tell| tell());
                sys::file::lock(&locked).doing(doing)?;
            }
            // Whoever had it before has taken the name away, and somebody else may have made another one since.
            if is_named(&locked, &path) {
                return Ok(Claim { path, _locked: locked });
            }
        }
    }
}

impl Work {
    /// Puts a layer into its place before the image is complete, with what is known of its compressed form.
    pub fn keep(&self, layer: &Layer, compressed: &Compressed) -> Result<(), StoreError> {
        let layout = self.store().layout();
        let beside = self.path().join(format!("kept-{}", layer.diff_id.hex()));
        let doing = || format!("keep layer {}", layer.diff_id);
        fs::hard_link(&layer.path, &beside)
            .call(|| format!("link({}, {})", layer.path.display(), beside.display()))
            .doing(doing)?;
        let _locked = self.store().lock()?;
        file::place(&beside, &layout.layer(&layer.diff_id)).doing(doing)?;
        file::unlink(&beside).doing(doing)?;
        if self.durability() == Durability::Durable {
            file::sync_directory(&layout.layers()).doing(doing)?;
        }
        note(layout, compressed, &beside)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Taken away while it is locked, so whoever waits for it sees that it has no name.
        let _ = file::unlink(&self.path);
    }
}

fn is_named(locked: &File, path: &Path) -> bool {
    let identity = |metadata: std::io::Result<fs::Metadata>| metadata.map(|file| (file.dev(), file.ino())).ok();
    let own = identity(locked.metadata());
    own.is_some() && own == identity(fs::symlink_metadata(path))
}

/// Lists the layers with a compressed form that is known, and the digests of those.
pub(crate) fn pairs(layout: &Layout) -> Result<Vec<(Digest, Digest)>, StoreError> {
    let directory = layout.compressed();
    let names = file::names(&directory).doing(|| format!("list {}", directory.display()))?;
    Ok(names.iter().filter_map(|name| parse_pair(name)).collect())
}

fn parse_pair(name: &str) -> Option<(Digest, Digest)> {
    let parse = |hex: &str| format!("sha256:{hex}").parse().ok();
    let (layer, digest) = name.split_once('+')?;
    Some((parse(layer)?, parse(digest)?))
}

/// Tells whether a layer came so lately that it is kept without an image.
pub(crate) fn is_fresh(layout: &Layout, layer: &Digest, digest: &Digest) -> bool {
    let written = layout.compressed_form(layer, digest).metadata().and_then(|metadata| metadata.modified());
    let age = written.ok().and_then(|written| SystemTime::now().duration_since(written).ok());
    age.is_some_and(|age| age < KEPT)
}

fn read(layout: &Layout, layer: Digest, digest: Digest) -> Result<Option<Compressed>, StoreError> {
    let path = layout.compressed_form(&layer, &digest);
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        result => result.call(|| format!("open({})", path.display())).doing(|| "read what is known of a layer")?,
    };
    // It is a note and no content: one that a crash has left empty is as good as none.
    let form = serde_json::from_slice(&bytes).ok();
    Ok(form.map(|form| Compressed { digest, layer, form }))
}

/// The caller holds the store's lock.
fn note(layout: &Layout, compressed: &Compressed, beside: &Path) -> Result<(), StoreError> {
    let doing = || format!("note the compressed form of layer {}", compressed.layer);
    let mut form = compressed.form.clone();
    if let Some(known) = read(layout, compressed.layer, compressed.digest)? {
        if known.form == form {
            return Ok(());
        }
        let more = known.form.repositories.into_iter().filter(|known| !compressed.form.repositories.contains(known));
        form.repositories.extend(more);
        form.made_here |= known.form.made_here;
    }
    form.repositories.truncate(REPOSITORIES);
    let bytes = serde_json::to_vec(&form).map_err(|error| StoreError::Index(Box::new(error)))?;
    file::ensure_directory(&layout.compressed()).doing(doing)?;
    file::write_new(beside, &bytes, false).doing(doing)?;
    file::rename(beside, &layout.compressed_form(&compressed.layer, &compressed.digest)).doing(doing)
}
