//! What is told of a transfer while it goes on.

use oci::Digest;

/// Who is told. Several layers are under way at once, each in a thread of its own.
pub trait TransferProgress: Sync {
    /// Something happened to a layer, which is named by the digest that the manifest has for it.
    fn tell(&self, layer: &Digest, news: News);
}

/// What happened to a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum News {
    /// It is there already.
    Exists,
    /// Somebody else transfers the same one; we wait for that.
    Waiting,
    /// It is compressed first; so many bytes are to go through.
    Packing(u64),
    /// It begins to move; so many bytes are to come.
    Begun(u64),
    /// So many bytes more have moved.
    Moved(u64),
    /// It is there, and found right.
    Done,
    /// The registry had it, in another repository.
    Mounted,
}

/// Tells nobody.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl TransferProgress for Silent {
    fn tell(&self, _: &Digest, _: News) {}
}
