//! A stream, written into a layer.

use std::io::{self, BufRead};

use store::{LayerWriter, StoreError};

/// Why a stream did not get into a layer. A failure of the source is told apart from one of the disk, since they are mended in
/// different places.
#[derive(Debug)]
pub(crate) enum PourError {
    Source(io::Error),
    Store(StoreError),
}

/// Writes all that comes into a layer.
pub(crate) fn pour(source: &mut impl BufRead, layer: &mut LayerWriter) -> Result<(), PourError> {
    loop {
        let length = match source.fill_buf() {
            Ok([]) => return Ok(()),
            Ok(bytes) => {
                layer.append(bytes).map_err(PourError::Store)?;
                bytes.len()
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(PourError::Source(error)),
        };
        source.consume(length);
    }
}
