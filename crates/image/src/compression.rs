//! How a stream is compressed, told from its first bytes, and taken off.

use std::io::{self, BufRead, Chain, Cursor, Read as _};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use store::archive::{ArchiveError, Parser};

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
    Xz,
    Bzip2,
}

impl Compression {
    /// Tells it from the first bytes of a stream.
    pub(crate) fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', ..] => Self::Xz,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            _ => Self::None,
        }
    }

    /// Returns the stream as it was before it was compressed.
    pub(crate) fn take_off<'r>(self, source: impl BufRead + 'r) -> io::Result<Box<dyn BufRead + 'r>> {
        Ok(match self {
            Self::Gzip => Box::new(io::BufReader::with_capacity(BUFFER, MultiGzDecoder::new(source))),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(source)?;
                decoder.window_log_max(LARGEST_WINDOW)?;
                Box::new(io::BufReader::with_capacity(BUFFER, decoder))
            }
            Self::Xz => Box::new(io::BufReader::with_capacity(BUFFER, XzReader::new(source, true))),
            Self::Bzip2 => Box::new(io::BufReader::with_capacity(BUFFER, MultiBzDecoder::new(source))),
            Self::None => Box::new(source),
        })
    }

    /// Returns the command that does the same in a shell's pipe.
    pub(crate) fn pipe(self) -> &'static str {
        match self {
            Self::Gzip => " | gunzip",
            Self::Zstd => " | zstd -d",
            Self::Xz => " | xz -d",
            Self::Bzip2 => " | bunzip2",
            Self::None => "",
        }
    }
}

/// A stream whose beginning has been looked at.
pub(crate) type Begun<S> = Chain<Cursor<Vec<u8>>, S>;

/// Looks at the beginning of a stream: a block of it, or all there is. A pipe gives as little at once as its writer liked, so
/// one read would not do.
pub(crate) fn look<S: BufRead>(mut source: S) -> io::Result<(Vec<u8>, Begun<S>)> {
    let mut start = Vec::with_capacity(LOOK);
    (&mut source).take(LOOK as u64).read_to_end(&mut start)?;
    Ok((start.clone(), Cursor::new(start).chain(source)))
}

/// Tells whether a tar begins so. What cannot be a layer is not written: where somebody gives the tar of a root file system,
/// that is every file in it.
pub(crate) fn is_tar(start: &[u8]) -> bool {
    start.is_empty() || Parser::new().push(start, &mut |_| Ok::<_, ArchiveError>(())).is_ok() && start.len() == LOOK
}

/// How much is looked at: a block of a tar.
const LOOK: usize = 512;

/// What is read at once.
pub(crate) const BUFFER: usize = 256 * 1024;

/// The binary logarithm of the most memory that a zstd stream may ask for: 8 MiB, as RFC 8878 (section 3.1.1.1.2) recommends.
const LARGEST_WINDOW: u32 = 23;

/// Tells why what begins so is no layer.
pub(crate) fn refusal(start: &[u8]) -> Option<String> {
    match Compression::of(start) {
        Compression::None if !is_tar(start) => Some("it is neither a tar nor compressed".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_is_told_from_the_first_bytes() {
        assert_eq!(Compression::of(b"\x1f\x8b\x08"), Compression::Gzip);
        assert_eq!(Compression::of(b"\x28\xb5\x2f\xfd"), Compression::Zstd);
        assert_eq!(Compression::of(b"BZh9"), Compression::Bzip2);
        assert_eq!(Compression::of(b"./\0\0"), Compression::None);
        assert_eq!(Compression::of(b""), Compression::None);
    }

    #[test]
    fn the_beginning_is_seen_however_little_comes_at_once() {
        let bytes: Vec<u8> = (0..2000_u32).map(|number| number.to_le_bytes()[0]).collect();
        let (start, mut whole) = look(io::BufReader::with_capacity(1, &bytes[..])).unwrap();
        assert_eq!(start, bytes[..LOOK]);
        let mut read = Vec::new();
        whole.read_to_end(&mut read).unwrap();
        assert_eq!(read, bytes);
        assert_eq!(look(&b"few"[..]).unwrap().0, b"few");
    }
}
