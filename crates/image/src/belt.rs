//! A stream read by a thread of its own, some buffers ahead of whoever takes it.
//!
//! Reading from a network, taking compression off and writing each keep one processor busy; with a belt between them they
//! go on at the same time. The buffers go round, so the memory that a belt takes is bounded and is taken once.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::Scope;

/// How long a buffer is.
const LENGTH: usize = 256 * 1024;
/// How many buffers lie on a belt.
const AHEAD: usize = 4;

/// The end of a belt where the stream is taken.
#[derive(Debug)]
pub(crate) struct Belt {
    full: Receiver<io::Result<Vec<u8>>>,
    empty: Sender<Vec<u8>>,
    buffer: Vec<u8>,
    at: usize,
}

impl Belt {
    /// Starts to read what `open` gives, in a thread of its own. Nobody who takes it any more ends the thread. It is an error where
    /// the kernel gives no thread.
    pub(crate) fn start<'scope, 'env, R: Read>(
        scope: &'scope Scope<'scope, 'env>,
        open: impl FnOnce() -> io::Result<R> + Send + 'scope,
    ) -> io::Result<Self> {
        let (put, full) = sync_channel(AHEAD);
        let (empty, returned) = channel();
        std::thread::Builder::new().spawn_scoped(scope, move || {
            if let Err(error) = open().and_then(|source| convey(source, &put, &returned)) {
                let _ = put.send(Err(error));
            }
        })?;
        Ok(Self { full, empty, buffer: Vec::new(), at: 0 })
    }
}

fn convey(
    mut source: impl Read,
    put: &SyncSender<io::Result<Vec<u8>>>,
    returned: &Receiver<Vec<u8>>,
) -> io::Result<()> {
    loop {
        let mut buffer = returned.try_recv().unwrap_or_default();
        buffer.resize(LENGTH, 0);
        let length = fill(&mut source, &mut buffer)?;
        buffer.truncate(length);
        if length == 0 || put.send(Ok(buffer)).is_err() {
            return Ok(());
        }
    }
}

/// Fills a buffer as far as the stream goes.
pub(crate) fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match source.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

impl BufRead for Belt {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.buffer.len()
            && let Ok(next) = self.full.recv()
        {
            let _ = self.empty.send(std::mem::replace(&mut self.buffer, next?));
            self.at = 0;
        }
        Ok(&self.buffer[self.at..])
    }

    fn consume(&mut self, length: usize) {
        self.at = (self.at + length).min(self.buffer.len());
    }
}

impl Read for Belt {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ready = self.fill_buf()?;
        let length = ready.len().min(buffer.len());
        buffer[..length].copy_from_slice(&ready[..length]);
        self.consume(length);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes() -> Vec<u8> {
        (0..3_000_000_u32).map(|number| number.to_le_bytes()[1]).collect()
    }

    #[test]
    fn what_goes_on_a_belt_comes_off_it() {
        let (bytes, mut taken) = (bytes(), Vec::new());
        std::thread::scope(|scope| Belt::start(scope, || Ok(&bytes[..])).unwrap().read_to_end(&mut taken)).unwrap();
        assert!(taken == bytes);
    }

    #[test]
    fn an_error_comes_after_what_was_read_before_it() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        let bytes: &[u8] = &vec![1; 2 * LENGTH];
        std::thread::scope(|scope| {
            let mut belt = Belt::start(scope, || Ok(bytes.chain(Broken))).unwrap();
            io::copy(&mut belt.by_ref().take(2 * LENGTH as u64), &mut io::sink()).unwrap();
            assert_eq!(belt.read(&mut [0; 8]).unwrap_err().to_string(), "broken");
            let mut belt = Belt::start(scope, || Err::<&[u8], _>(io::Error::other("shut"))).unwrap();
            assert_eq!(belt.read(&mut [0; 8]).unwrap_err().to_string(), "shut");
        });
    }

    #[test]
    fn a_belt_that_nobody_takes_from_stops() {
        std::thread::scope(|scope| drop(Belt::start(scope, || Ok(io::repeat(7))).unwrap()));
    }
}
