//! Blobs on their way from one repository to another, and how that is told.

use std::io::{self, Read};

use oci::Digest;
use registry::Repository;

use crate::manifest::Descriptor;
use crate::progress::{News, TransferProgress, Watched};

/// Sees to it that a repository has a blob that another one has: it is there, or is mounted, or copied.
pub(crate) fn bring(
    from: &Repository<'_>,
    to: &Repository<'_>,
    blob: &Descriptor,
    progress: &dyn TransferProgress,
) -> Result<(), registry::Error> {
    if to.has_blob(&blob.digest)? {
        progress.tell(&blob.digest.short(), News::Exists);
        return Ok(());
    }
    // A registry that knows nothing of mounting, or does not let us look there, takes the bytes all the same.
    if to.mount(&blob.digest, from).unwrap_or(false) {
        progress.tell(&blob.digest.short(), News::Mounted);
        return Ok(());
    }
    // Found out before anything is begun at the other side.
    from.blob(&blob.digest, blob.size).map(drop)?;
    copy(from, to, &blob.digest, blob.size, progress)
}

/// Copies a blob from one repository to another, as a stream that is held against its digest on both sides.
pub(super) fn copy(
    from: &Repository<'_>,
    to: &Repository<'_>,
    digest: &Digest,
    size: u64,
    progress: &dyn TransferProgress,
) -> Result<(), registry::Error> {
    progress.tell(&digest.short(), News::Begun(size));
    let open = |at: u64| {
        let mut blob = from.blob(digest, size)?;
        io::copy(&mut blob.by_ref().take(at), &mut io::sink())?;
        Ok(Watched { source: blob, layer: digest.short(), progress })
    };
    to.upload(digest, size, open)?;
    progress.tell(&digest.short(), News::Done);
    Ok(())
}
