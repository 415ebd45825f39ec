//! What is told of a transfer while it goes on.

use std::io::{self, BufRead, Read};

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

/// A stream of a layer that tells how far it is read.
pub(crate) struct Watched<'a, S> {
    pub(crate) source: S,
    pub(crate) layer: String,
    pub(crate) progress: &'a dyn TransferProgress,
}

impl<S: Read> Read for Watched<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(buffer)?;
        self.progress.tell(&self.layer, News::Moved(length as u64));
        Ok(length)
    }
}

impl<S: BufRead> BufRead for Watched<'_, S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.source.fill_buf()
    }

    fn consume(&mut self, length: usize) {
        self.progress.tell(&self.layer, News::Moved(length as u64));
        self.source.consume(length);
    }
}
