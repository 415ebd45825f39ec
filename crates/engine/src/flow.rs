//! Bytes on their way from one descriptor to another, in a process that never waits in a read or a write.
//!
//! The caller's own streams are shared with whoever else holds them, so they are not switched to not waiting: they are
//! written to in pieces that they take at once, and waited for in the caller's poller like everything else. From a pipe
//! to a pipe or a file the kernel moves the pages and nothing is copied.
//!
//! Towards a container bytes are copied all the same: what comes out of somebody's pipe may be a page of a file in the
//! page cache, and a reference to that is nothing for a container to hold (CVE-2022-0847).

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use sys::event::{EventFlags, Poller};
use sys::{Calling, Errno, pipe};

use crate::attach::DetachWatch;
use crate::error::Doing;
use crate::wire::BULK;
use crate::{AttachOutcome, Error};

/// How much is copied at once: what fits into a processor's nearer cache.
const PART: usize = 64 * 1024;

/// A source of bytes, the sink they go to, and what is between the two.
#[derive(Debug)]
pub(crate) struct Flow {
    source: Option<Source>,
    sink: Sink,
    /// The kernel moves the bytes.
    splices: bool,
    /// How much is still taken from the source, where that is bounded.
    left: Option<u64>,
    /// Watches what is typed for the keys that leave.
    detach: Option<DetachWatch>,
    /// They were typed.
    pub(crate) detached: bool,
}

#[derive(Debug)]
struct Source {
    file: OwnedFd,
    token: u64,
    watched: bool,
    /// Nobody can wait for it, and it is always ready.
    is_file: bool,
    /// A read waits where there is nothing.
    blocks: bool,
}

#[derive(Debug)]
struct Sink {
    file: OwnedFd,
    token: u64,
    kind: Kind,
    watched: bool,
    /// It takes no more at the moment.
    full: bool,
    /// What was read and is not yet written. It is in `room`, which keeps its length.
    held: std::ops::Range<usize>,
    room: Vec<u8>,
}

/// How a sink is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Its writes do not wait.
    Nonblocking,
    /// Where it takes anything, it takes a small piece.
    Pieces,
    /// It always takes what it gets.
    File,
}

/// Says what comes of an output that takes no more. Where its reader is gone, or its terminal, a program would have died of
/// SIGPIPE; so do we, and the container runs on. Anything else, such as a full disk, is an error.
pub(crate) fn broken(error: sys::Error) -> Result<AttachOutcome, Error> {
    match error.errno() {
        Errno::PIPE | Errno::IO => Ok(AttachOutcome::Exited(128 + 13)),
        _ => Err(error).doing(|| "write the output"),
    }
}

/// What came of one move.
enum Moved {
    Bytes(usize),
    /// The source has nothing now.
    Empty,
    /// The sink takes nothing now.
    Full,
    End,
}

impl Flow {
    /// Opens a way out to one of our own streams; what flows is pushed, or comes from a source that is set later.
    pub(crate) fn to_ours(stream: impl AsFd, token: u64, poller: &Poller) -> sys::Result<Self> {
        let own = stream.as_fd().try_clone_to_owned().call(|| "fcntl(F_DUPFD_CLOEXEC)")?;
        if sys::pty::is_terminal(&own)
            && let Ok(terminal) = sys::pty::reopen_nonblocking(&own)
        {
            return Ok(Self::new(Sink::new(terminal, token, Kind::Nonblocking)));
        }
        let kind = match poller.add(&own, token, EventFlags::OUT) {
            Err(error) if error.errno() == Errno::PERM => Kind::File,
            added => added.and_then(|()| poller.remove(own.as_fd())).map(|()| Kind::Pieces)?,
        };
        Ok(Self::new(Sink::new(own, token, kind)))
    }

    /// Opens a way into a pipe or a terminal of our own making, whose writes do not wait.
    pub(crate) fn to_nonblocking(file: OwnedFd, token: u64) -> Self {
        Self::new(Sink::new(file, token, Kind::Nonblocking))
    }

    /// Watches what flows for the keys that leave.
    pub(crate) fn watching(self, detach: Option<DetachWatch>) -> Self {
        Self { detach, ..self }
    }

    fn new(sink: Sink) -> Self {
        Self { source: None, sink, splices: false, left: None, detach: None, detached: false }
    }

    /// Takes bytes from here from now on: a pipe's end or a terminal of our own making, whose reads do not wait.
    pub(crate) fn follow(&mut self, file: OwnedFd, token: u64, poller: &Poller) -> sys::Result<()> {
        self.splices = pipe::is_pipe(&file) && (self.sink.kind == Kind::File || pipe::is_pipe(&self.sink.file));
        self.source = Some(Source { file, token, watched: false, is_file: false, blocks: false });
        self.listen(poller)
    }

    /// Takes bytes from one of our own streams.
    pub(crate) fn follow_ours(&mut self, stream: impl AsFd, token: u64, poller: &Poller) -> sys::Result<()> {
        let file = stream.as_fd().try_clone_to_owned().call(|| "fcntl(F_DUPFD_CLOEXEC)")?;
        self.source = Some(Source { file, token, watched: false, is_file: false, blocks: true });
        self.listen(poller)
    }

    /// Takes nothing more from the source.
    pub(crate) fn cut(&mut self, poller: &Poller) {
        if let Some(source) = self.source.take().filter(|source| source.watched) {
            // It was added; and where other descriptors are open for it, closing ours would not take it out.
            let _ = poller.remove(source.file.as_fd());
        }
    }

    /// Takes from the source what is in it now, and nothing that comes later.
    pub(crate) fn take_the_rest(&mut self, poller: &Poller) -> sys::Result<()> {
        // What a terminal holds is not told, and a pipe may not tell it; both have an end, or nothing more at once.
        let held = |source: &Source| pipe::held(&source.file).ok().filter(|_| self.splices);
        self.left = self.source.as_ref().map(|source| held(source).unwrap_or(BULK as u64 * 4));
        self.advance(poller)
    }

    /// Tells whether nothing waits to be written.
    pub(crate) fn is_free(&self) -> bool {
        !self.sink.full
    }

    /// Tells whether bytes may still come from the source.
    pub(crate) fn has_source(&self) -> bool {
        self.source.is_some()
    }

    /// Tells whether all is done.
    pub(crate) fn is_done(&self) -> bool {
        self.source.is_none() && self.is_free()
    }

    /// Tells whether there is something to do at once, for which nobody needs to wait.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_free() && self.source.as_ref().is_some_and(|source| source.is_file)
    }

    /// Writes bytes, behind those that wait.
    pub(crate) fn push(&mut self, bytes: &[u8], poller: &Poller) -> sys::Result<()> {
        self.sink.hold(bytes);
        self.sink.flush()?;
        self.listen(poller)
    }

    /// Writes what waits, and moves a bounded piece more. A failure is that of the sink: nobody takes the bytes.
    pub(crate) fn advance(&mut self, poller: &Poller) -> sys::Result<()> {
        self.sink.flush()?;
        if self.is_free() && self.source.is_some() {
            match self.take()? {
                Moved::Bytes(count) => self.note(count, poller),
                Moved::Empty if self.left.is_some() => self.cut(poller),
                Moved::Empty => {}
                Moved::Full => self.sink.full = true,
                Moved::End => self.cut(poller),
            }
        }
        self.listen(poller)
    }

    fn note(&mut self, count: usize, poller: &Poller) {
        let Some(left) = &mut self.left else { return };
        *left = left.saturating_sub(count as u64);
        if *left == 0 {
            self.cut(poller);
        }
    }

    fn take(&mut self) -> sys::Result<Moved> {
        let Some(source) = &self.source else { return Ok(Moved::End) };
        let most = self.left.map_or(BULK, |left| usize::try_from(left).unwrap_or(BULK).min(BULK));
        if self.splices {
            return match pipe::splice(&source.file, &self.sink.file, most) {
                Ok(0) => Ok(Moved::End),
                Ok(count) => Ok(Moved::Bytes(count)),
                Err(error) if error.errno() == Errno::AGAIN => {
                    let takes = self.sink.kind == Kind::File || sys::event::is_writable(&self.sink.file)?;
                    Ok(if takes { Moved::Empty } else { Moved::Full })
                }
                Err(error) if pipe::is_refused(error.errno()) => {
                    self.splices = false;
                    self.take()
                }
                Err(error) => Err(error),
            };
        }
        if source.blocks && !sys::signal::wait_readable(&source.file, Some(Duration::ZERO))? {
            return Ok(Moved::Empty);
        }
        self.sink.room.resize(self.sink.room.len().max(PART), 0);
        let most = most.min(PART);
        let read = match sys::file::read(&source.file, &mut self.sink.room[..most]) {
            Ok(0) => return Ok(Moved::End),
            Ok(count) => count,
            Err(error) if error.errno() == Errno::AGAIN => return Ok(Moved::Empty),
            // A terminal that has gone away has nothing more to say.
            Err(_) => return Ok(Moved::End),
        };
        self.sink.held = 0..read;
        if let Some(detach) = &mut self.detach {
            let mut passed = Vec::with_capacity(read);
            self.detached |= detach.feed(&self.sink.room[..read], &mut passed);
            self.sink.held = 0..0;
            self.sink.hold(&passed);
        }
        self.sink.flush()?;
        Ok(Moved::Bytes(read))
    }

    /// Waits for the sink while it is full, and for the source otherwise.
    fn listen(&mut self, poller: &Poller) -> sys::Result<()> {
        let full = self.sink.full;
        if self.sink.watched != full {
            match full {
                true => poller.add(&self.sink.file, self.sink.token, EventFlags::OUT)?,
                false => poller.remove(self.sink.file.as_fd())?,
            }
            self.sink.watched = full;
        }
        let Some(source) = self.source.as_mut().filter(|source| !source.is_file && source.watched == full) else {
            return Ok(());
        };
        match if full {
            poller.remove(source.file.as_fd())
        } else {
            poller.add(&source.file, source.token, EventFlags::IN)
        } {
            Err(error) if error.errno() == Errno::PERM => source.is_file = true,
            changed => {
                changed?;
                source.watched = !full;
            }
        }
        Ok(())
    }
}

impl Sink {
    fn new(file: OwnedFd, token: u64, kind: Kind) -> Self {
        Self { file, token, kind, watched: false, full: false, held: 0..0, room: Vec::new() }
    }

    /// Keeps bytes behind those that are held.
    fn hold(&mut self, bytes: &[u8]) {
        let end = self.held.end + bytes.len();
        self.room.resize(self.room.len().max(end), 0);
        self.room[self.held.end..end].copy_from_slice(bytes);
        self.held.end = end;
    }

    /// Writes what is held, as far as it is taken.
    fn flush(&mut self) -> sys::Result<()> {
        self.full = false;
        while !self.held.is_empty() {
            match self.write()? {
                0 => {
                    self.full = true;
                    return Ok(());
                }
                written => self.held.start += written,
            }
        }
        self.held = 0..0;
        Ok(())
    }

    fn write(&self) -> sys::Result<usize> {
        let mut bytes = &self.room[self.held.clone()];
        if self.kind == Kind::Pieces {
            bytes = &bytes[..bytes.len().min(pipe::ATOMIC)];
            if !sys::event::is_writable(&self.file)? {
                return Ok(0);
            }
        }
        match sys::file::write(&self.file, bytes) {
            Err(error) if error.errno() == Errno::AGAIN => Ok(0),
            written => written,
        }
    }
}
