//! An archive of any kind as a layer: what `ADD` unpacks.

use std::io::{BufReader, Read};

use store::{Layer, StoreError, Work};

use crate::compression::{BUFFER, Compression, is_tar, look};
use crate::pour::{PourError, pour};

/// Why an archive could not be unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveFault {
    /// It could not be read to its end.
    #[error("cannot read the archive")]
    Read(#[source] sys::Error),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Writes a stream as a layer of `work` if it is a tar, compressed or not; `None` where it is something else. Compressed
/// with gzip, bzip2, xz or zstd, as Docker takes them (Dockerfile reference, "ADD").
pub fn archive_layer(work: &mut Work, source: impl Read) -> Result<Option<Layer>, ArchiveFault> {
    let read = |error: std::io::Error| ArchiveFault::Read(sys::Error::from_io("read(archive)", &error));
    let (start, source) = look(BufReader::with_capacity(BUFFER, source)).map_err(read)?;
    if start.is_empty() {
        return Ok(None);
    }
    let compression = Compression::of(&start);
    // It may only begin as if it were compressed.
    let Ok(plain) = compression.take_off(source) else { return Ok(None) };
    let (start, mut plain) = match look(plain) {
        Ok(looked) => looked,
        Err(_) if compression != Compression::None => return Ok(None),
        Err(error) => return Err(read(error)),
    };
    if start.is_empty() || !is_tar(&start) {
        return Ok(None);
    }
    let mut writer = work.layer()?;
    pour(&mut plain, &mut writer).map_err(|error| match error {
        PourError::Source(error) => read(error),
        PourError::Store(error) => error.into(),
    })?;
    Ok(Some(work.finish(writer)?))
}
