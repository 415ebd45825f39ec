//! One layer on its way from a registry into the store.

use std::io::{self, Read};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use store::{Compressed, Form, LayerWriter, Work};

use super::plan::Layer;
use super::{PullError, Transfer};
use crate::belt::Belt;
use crate::compression::{Compression, look, refusal};
use crate::pour::{PourError, pour};
use crate::progress::{News, Watched};
use crate::several::lock;

impl Transfer<'_> {
    /// Brings one layer into the work, from the store if it is there.
    pub(super) fn bring(&self, wanted: &Layer, work: &Mutex<Work>, stop: &AtomicBool) -> Result<(), PullError> {
        let digest = wanted.blob.digest;
        if self.keep(wanted, work)? {
            self.progress.tell(&digest.short(), News::Exists);
            return Ok(());
        }
        let waiting = || self.progress.tell(&digest.short(), News::Waiting);
        let _claim = self.store.claim(&digest, waiting).map_err(self.refused())?;
        // Whoever had the claim before has brought it.
        if self.keep(wanted, work)? {
            self.progress.tell(&digest.short(), News::Exists);
            return Ok(());
        }
        let mut writer = lock(work).layer().map_err(self.refused())?;
        self.download(wanted, &mut writer, stop)?;
        writer.sync().map_err(self.refused())?;
        let mut work = lock(work);
        let layer = work.finish(writer).map_err(self.refused())?;
        if layer.diff_id != wanted.diff_id {
            let (name, actual, expected) = (self.name.familiar(), layer.diff_id, wanted.diff_id.to_string());
            return Err(PullError::WrongLayer { digest, name, actual, expected });
        }
        work.keep(&layer, &self.compressed(wanted)).map_err(self.refused())?;
        self.progress.tell(&digest.short(), News::Done);
        Ok(())
    }

    /// Takes a layer that is in the store, however it came there: the configuration says what is to be in it. Where its compressed
    /// bytes are is worth knowing for a push.
    fn keep(&self, wanted: &Layer, work: &Mutex<Work>) -> Result<bool, PullError> {
        let kept = lock(work).keep_layer(&wanted.diff_id).map_err(self.refused())?;
        if kept.is_some() {
            self.store.note_compressed(&self.compressed(wanted)).map_err(self.refused())?;
        }
        Ok(kept.is_some())
    }

    fn compressed(&self, wanted: &Layer) -> Compressed {
        let form = Form {
            size: wanted.blob.size,
            media_type: wanted.blob.media_type.clone(),
            made_here: false,
            repositories: vec![self.repository.name().to_owned()],
        };
        Compressed { digest: wanted.blob.digest, layer: wanted.diff_id, form }
    }

    fn download(&self, wanted: &Layer, writer: &mut LayerWriter, stop: &AtomicBool) -> Result<(), PullError> {
        let digest = wanted.blob.digest;
        let blob = self.repository.blob(&digest, wanted.blob.size)?;
        self.progress.tell(&digest.short(), News::Begun(wanted.blob.size));
        let source = Watched { source: blob, layer: digest.short(), progress: self.progress };
        unpack(Stoppable { source, stop }, writer).map_err(|error| match error {
            PourError::Store(error) => self.refused()(error),
            PourError::Source(error) => match error.downcast::<registry::Error>() {
                Ok(error) => error.into(),
                Err(error) => PullError::Layer { digest, name: self.name.familiar(), reason: error.to_string() },
            },
        })
    }
}

/// Reads, takes compression off and writes, each in a thread of its own.
fn unpack(source: impl Read + Send, writer: &mut LayerWriter) -> Result<(), PourError> {
    std::thread::scope(|scope| {
        let packed = Belt::start(scope, || Ok(source)).map_err(PourError::Source)?;
        let (start, packed) = look(packed).map_err(PourError::Source)?;
        if let Some(reason) = refusal(&start) {
            return Err(PourError::Source(io::Error::other(reason)));
        }
        let compression = Compression::of(&start);
        if compression == Compression::None {
            let mut packed = packed;
            return pour(&mut packed, writer);
        }
        let plain = Belt::start(scope, move || compression.take_off(packed));
        let mut plain = plain.map_err(PourError::Source)?;
        pour(&mut plain, writer)
    })
}

/// A stream that ends when another layer has failed.
struct Stoppable<'a, R> {
    source: R,
    stop: &'a AtomicBool,
}

impl<R: Read> Read for Stoppable<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("another layer of the image has failed"));
        }
        self.source.read(buffer)
    }
}
