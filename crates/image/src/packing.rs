//! Layers compressed for a registry. The same layer gives the same bytes, on every machine.

mod gzip;

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};

use oci::{Digest, Hasher};

/// How layers are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Packing {
    /// With gzip, which every engine reads.
    #[default]
    Gzip,
    /// With zstd, which is read faster, by engines since about 2021.
    Zstd,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

impl Packing {
    /// Tells how a layer of this media type is compressed; nothing where it is not.
    pub(crate) fn of(media_type: &str) -> Option<Self> {
        if media_type.ends_with("gzip") {
            Some(Self::Gzip)
        } else if media_type.ends_with("zstd") {
            Some(Self::Zstd)
        } else {
            None
        }
    }

    /// Returns the media type of a layer compressed so, in the family of the one that it had.
    pub(crate) fn media_type(self, before: &str) -> String {
        let docker = before.starts_with("application/vnd.docker.");
        match (self, docker) {
            (Self::Gzip, true) => "application/vnd.docker.image.rootfs.diff.tar.gzip",
            (Self::Zstd, true) => "application/vnd.docker.image.rootfs.diff.tar.zstd",
            (Self::Gzip, false) => "application/vnd.oci.image.layer.v1.tar+gzip",
            (Self::Zstd, false) => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
        .to_owned()
    }
}

/// Compresses all that comes into a file.
pub(crate) fn pack(packing: Packing, mut source: impl Read, file: File) -> io::Result<Packed> {
    let mut out = Hashing { out: BufWriter::with_capacity(256 * 1024, file), hasher: Hasher::default(), size: 0 };
    let mut out = match packing {
        Packing::Gzip => {
            gzip::write(source, &mut out)?;
            out
        }
        Packing::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(out, zstd::DEFAULT_COMPRESSION_LEVEL)?;
            io::copy(&mut source, &mut encoder)?;
            encoder.finish()?
        }
    };
    out.flush()?;
    Ok(Packed { digest: out.hasher.finish(), size: out.size })
}

struct Hashing {
    out: BufWriter<File>,
    hasher: Hasher,
    size: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.out.write(bytes)?;
        self.hasher.update(&bytes[..length]);
        self.size += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
