//! What is told of a transfer while it goes on.

/// Who is told. Several layers are under way at once, each in a thread of its own.
pub trait TransferProgress: Sync {
    /// Something happened to a layer: `layer` is the short form of a digest, or what else is known of it by then.
    fn tell(&self, layer: &str, news: News);
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
    /// It cannot be read.
    Broken,
}

/// Tells nobody.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl TransferProgress for Silent {
    fn tell(&self, _: &str, _: News) {}
}
