//! `import`: a root file system in a tar becomes an image of one layer.
//!
//! The tar goes into the store as it comes, byte for byte (a gzip around it is taken off), hashed on the way; reading it for
//! the index is what finds out whether it is a tar at all.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use jiff::Timestamp;
use oci::Reference;
use store::{Durability, Image, LayerWriter, Store, StoreError};
use sys::Calling;
use trace::{Explain, Recorder, Step};

use crate::documents::{DocumentError, Recipe, compose};
use crate::{Change, apply_changes};

/// What the imported image shall be.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// Its names; without one it is known by its ID alone.
    pub names: Vec<Reference>,
    /// Changes to its configuration.
    pub changes: Vec<Change>,
    /// A remark for its history.
    pub message: Option<String>,
    /// When it was made: now, or what SOURCE_DATE_EPOCH says.
    pub created: Timestamp,
}

/// Why a tar could not be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The stream broke.
    #[error("cannot read the root file system's tar")]
    Read(#[source] sys::Error),
    /// It is compressed in a way that is not taken.
    #[error(
        "the tar is compressed with {tool}: unpack it on the way, as in `{tool} -dc FILE | conductor import - NAME`"
    )]
    Compressed {
        /// The program that unpacks it.
        tool: &'static str,
    },
    /// There is nothing in it.
    #[error("the tar is empty: a root file system was expected")]
    Empty,
    /// The store refused.
    #[error("cannot import the image")]
    Store(#[from] StoreError),
    /// The documents could not be composed.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

/// How a stream is compressed, told from its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Foreign(&'static str),
}

struct CopyStep(Compression);

/// Makes an image of one layer from a tar of a root file system, which may be compressed with gzip.
pub fn import(
    store: &Store,
    source: impl Read,
    options: &ImportOptions,
    recorder: &Recorder,
) -> Result<Image, ImportError> {
    let mut source = BufReader::with_capacity(256 * 1024, source);
    let compression = detect(source.fill_buf().call(|| "read(tar)").map_err(ImportError::Read)?)?;
    let mut work = store.begin(Durability::Durable)?;
    let mut writer = work.layer()?;
    recorder.record(&CopyStep(compression));
    match compression {
        Compression::Gzip => copy(&mut MultiGzDecoder::new(source), &mut writer)?,
        _ => copy(&mut source, &mut writer)?,
    }
    let layer = work.finish(writer)?;
    let mut recipe = Recipe::new(options.created, "conductor import");
    recipe.comment.clone_from(&options.message);
    apply_changes(&mut recipe.config, &options.changes);
    Ok(work.commit(&compose(&recipe, &[layer])?, &options.names, recorder)?)
}

fn detect(start: &[u8]) -> Result<Compression, ImportError> {
    let compression = match start {
        [] => return Err(ImportError::Empty),
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Foreign("zstd"),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => Compression::Foreign("xz"),
        [b'B', b'Z', b'h', ..] => Compression::Foreign("bzip2"),
        _ => Compression::None,
    };
    match compression {
        Compression::Foreign(tool) => Err(ImportError::Compressed { tool }),
        plain => Ok(plain),
    }
}

/// A failure of the source is told apart from one of the disk, since they are mended in different places.
fn copy(source: &mut impl Read, layer: &mut LayerWriter) -> Result<(), ImportError> {
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let length = match source.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result.call(|| "read(tar)").map_err(ImportError::Read)?,
        };
        layer.append(&buffer[..length])?;
    }
}

impl Explain for CopyStep {
    fn explain(&self) -> Step {
        let unpack = if self.0 == Compression::Gzip { " | gunzip" } else { "" };
        let shell = format!("cat TAR{unpack} | tee LAYER | sha256sum");
        Step::host("write the tar into the store as the image's layer, hashing it on the way", shell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_is_told_from_the_first_bytes() {
        assert_eq!(detect(b"\x1f\x8b\x08").unwrap(), Compression::Gzip);
        assert_eq!(detect(b"./\0\0").unwrap(), Compression::None);
        assert!(matches!(detect(b"\x28\xb5\x2f\xfd"), Err(ImportError::Compressed { tool: "zstd" })));
        assert!(matches!(detect(b""), Err(ImportError::Empty)));
    }
}
