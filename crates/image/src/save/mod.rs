//! `save`: images into one archive, which both Docker and the tools of the OCI take.
//!
//! The archive is an OCI image layout (image-spec, image-layout.md), and beside its index.json stands the manifest.json of
//! Docker's own form, which names the same files. Layers go out as they lie in the store, byte for byte.

pub(crate) mod plan;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use oci::{Digest, Reference};
use store::{Image, Store, StoreError};
use sys::Calling;
use trace::{Explain, Recorder, Step};

use crate::documents::DocumentError;
use crate::progress::{News, TransferProgress};
use crate::tree::entry::{Entry, Kind};
use plan::{Part, Source};

/// How much of a layer is written before that is told.
const AT_ONCE: u64 = 16 << 20;

/// What stands in the archive beside the image layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Docker's manifest.json.
    Docker,
    /// Nothing.
    Oci,
}

/// Why images could not be saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {
    /// The archive could not be written.
    #[error("cannot write the archive")]
    Write(#[source] sys::Error),
    /// A layer of the store could not be read.
    #[error("cannot read layer {0}")]
    Layer(Digest, #[source] sys::Error),
    /// A layer of the store is shorter than it was when it came.
    #[error("layer {digest} is damaged: it has {actual} bytes and had {expected}")]
    Damaged {
        /// The layer.
        digest: Digest,
        /// How long it is.
        actual: u64,
        /// How long it was.
        expected: u64,
    },
    /// The documents could not be composed.
    #[error(transparent)]
    Compose(#[from] DocumentError),
    /// The store refused.
    #[error("cannot save the image")]
    Store(#[from] StoreError),
}

struct SaveStep {
    layers: usize,
    directory: bool,
}

/// Writes images, each with the names that it is to be known by, into an archive. Each part that several of them have is
/// written once.
pub fn save(
    store: &Store,
    images: &[(Image, Vec<Reference>)],
    form: Form,
    out: &mut File,
    progress: &dyn TransferProgress,
    recorder: &Recorder,
) -> Result<(), SaveError> {
    let parts = plan::plan(store, images, form)?;
    let layers = open_layers(&parts)?;
    recorder.record(&SaveStep { layers: layers.len(), directory: false });
    for part in &parts {
        write(part, &layers, out, progress)?;
    }
    emit(out, &[0; 1024])
}

/// Writes images into a new directory, as an OCI image layout.
pub fn save_layout(
    store: &Store,
    images: &[(Image, Vec<Reference>)],
    directory: &Path,
    progress: &dyn TransferProgress,
    recorder: &Recorder,
) -> Result<(), SaveError> {
    let parts = plan::plan(store, images, Form::Oci)?;
    let layers = open_layers(&parts)?;
    recorder.record(&SaveStep { layers: layers.len(), directory: true });
    for part in &parts {
        let path = directory.join(&part.path);
        let failed = |call: &str, path: &Path| format!("{call}({})", path.display());
        if matches!(part.source, Source::Directory) {
            std::fs::create_dir(&path).call(|| failed("mkdir", &path)).map_err(SaveError::Write)?;
            continue;
        }
        let mut out = File::create_new(&path).call(|| failed("open", &path)).map_err(SaveError::Write)?;
        write_data(part, &layers, &mut out, progress)?;
    }
    Ok(())
}

/// Opened before anything is written: from here on nobody's removal can take a layer away.
pub(crate) fn open_layers(parts: &[Part]) -> Result<BTreeMap<Digest, File>, SaveError> {
    let mut layers = BTreeMap::new();
    for part in parts {
        if let Source::Layer(layer) = &part.source {
            let opened = File::open(&layer.path).call(|| format!("open({})", layer.path.display()));
            layers.insert(layer.diff_id, opened.map_err(|error| SaveError::Layer(layer.diff_id, error))?);
        }
    }
    Ok(layers)
}

pub(crate) fn write(
    part: &Part,
    layers: &BTreeMap<Digest, File>,
    out: &mut File,
    progress: &dyn TransferProgress,
) -> Result<(), SaveError> {
    let size = part.source.size();
    let kind = if matches!(part.source, Source::Directory) { Kind::Directory } else { Kind::File };
    let mode = if kind == Kind::Directory { 0o755 } else { 0o644 };
    let path = part.path.clone().into_bytes();
    let entry = Entry { path, kind, mode, uid: 0, gid: 0, size, modified: 0, attributes: Vec::new() };
    emit(out, &entry.encode().call(|| "write(archive)").map_err(SaveError::Write)?)?;
    write_data(part, layers, out, progress)?;
    let padding = usize::try_from(size.next_multiple_of(512) - size).unwrap_or_default();
    emit(out, &[0; 512][..padding])
}

fn write_data(
    part: &Part,
    layers: &BTreeMap<Digest, File>,
    out: &mut File,
    progress: &dyn TransferProgress,
) -> Result<(), SaveError> {
    match &part.source {
        Source::Directory => Ok(()),
        Source::Bytes(bytes) => emit(out, bytes),
        Source::Layer(layer) => layers.get(&layer.diff_id).map_or(Ok(()), |file| copy(file, layer, out, progress)),
    }
}

fn copy(
    mut file: &File,
    layer: &store::Layer,
    out: &mut File,
    progress: &dyn TransferProgress,
) -> Result<(), SaveError> {
    let (digest, expected) = (layer.diff_id, layer.size);
    let length = file.metadata().call(|| "fstat(layer)").map_err(|error| SaveError::Layer(digest, error))?.len();
    if length != expected {
        return Err(SaveError::Damaged { digest, actual: length, expected });
    }
    let label = digest.short();
    progress.tell(&label, News::Begun(expected));
    let mut actual = 0;
    loop {
        // From file to file the kernel copies (copy_file_range, splice).
        let moved = io::copy(&mut (&mut file).take(AT_ONCE), out).call(|| "write(archive)");
        let moved = moved.map_err(SaveError::Write)?;
        if moved == 0 {
            break;
        }
        actual += moved;
        progress.tell(&label, News::Moved(moved));
    }
    if actual != expected {
        return Err(SaveError::Damaged { digest, actual, expected });
    }
    progress.tell(&label, News::Done);
    Ok(())
}

pub(crate) fn emit(out: &mut File, bytes: &[u8]) -> Result<(), SaveError> {
    out.write_all(bytes).call(|| "write(archive)").map_err(SaveError::Write)
}

impl Explain for SaveStep {
    fn explain(&self) -> Step {
        let (place, shell) = match self.directory {
            true => ("the directory", "cp -r oci-layout index.json blobs DIRECTORY"),
            false => ("the archive", "tar -c oci-layout index.json manifest.json blobs > ARCHIVE"),
        };
        Step::host(format!("write the documents of the images and {} layers into {place}", self.layers), shell)
    }
}
