//! The command's standard streams: what it writes goes to the log and to the clients, what they send goes to it.
//!
//! The client that started the container in the foreground is what a pipe's reader is to a program: nothing is lost
//! to it, and where it does not read, the command waits in its writes. Whoever attaches later is served from the socket's
//! own buffer, and told how much it missed when that was full: it holds up neither the command nor the log.
//!
//! What little is written goes to that first client in frames. A stream that comes in bulk goes by a pipe ([`Tap`]), into
//! which the kernel moves it; where there is a log, or somebody else who listens, it is read beside that.

use std::os::fd::{AsFd, OwnedFd};

use sys::event::{EventFlags, Poller};
use sys::{Calling, Errno, pipe};

use super::{Monitor, STDERR, STDIN, STDOUT, TAPS};
use crate::logs::Stream;
use crate::wire::{BULK, CHUNK, ToClient};

/// One of the command's outputs.
#[derive(Debug)]
pub(super) struct Output {
    file: OwnedFd,
    /// A terminal's master tells by an error that nobody holds the other end any more.
    is_terminal: bool,
    /// It comes in bulk.
    bulk: bool,
    tap: Option<Tap>,
    /// The poller knows of it. It is taken out rather than asked for nothing: the end of a pipe is told in any case.
    watched: bool,
}

/// A pipe by which the client that started the container gets an output.
#[derive(Debug)]
struct Tap {
    pipe: OwnedFd,
    /// It takes no more now, and the poller tells when it does.
    full: bool,
}

/// How much is read at once: little as long as little comes, for all of it is memory that a monitor has of its own.
const LITTLE: usize = 4 * 1024;
const MUCH: usize = 64 * 1024;

/// The command's input, and what it has not taken yet.
#[derive(Debug)]
pub(super) struct Input {
    file: OwnedFd,
    pub(super) pending: Vec<u8>,
    /// It is closed once all that is pending has been taken.
    pub(super) closing: bool,
    pub(super) is_terminal: bool,
    /// It takes no more now, and the poller tells when it does.
    full: bool,
}

pub(super) type Streams = ([Option<Output>; 2], Option<Input>);

/// Watches the streams of a command: a terminal, or up to three pipes.
pub(super) fn open(
    poller: &Poller,
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    terminal: Option<OwnedFd>,
) -> sys::Result<Streams> {
    if let Some(master) = terminal {
        sys::file::set_nonblocking(&master, true)?;
        let writer = master.try_clone().call(|| "fcntl(F_DUPFD_CLOEXEC)")?;
        poller.add(&master, STDOUT, EventFlags::IN)?;
        let input = Input { file: writer, pending: Vec::new(), closing: false, is_terminal: true, full: false };
        return Ok((
            [Some(Output { file: master, is_terminal: true, bulk: false, tap: None, watched: true }), None],
            Some(input),
        ));
    }
    let watch = |fd: Option<OwnedFd>, token| -> sys::Result<Option<Output>> {
        let Some(file) = fd else { return Ok(None) };
        sys::file::set_nonblocking(&file, true)?;
        poller.add(&file, token, EventFlags::IN)?;
        Ok(Some(Output { file, is_terminal: false, bulk: false, tap: None, watched: true }))
    };
    let outputs = [watch(stdout, STDOUT)?, watch(stderr, STDERR)?];
    if let Some(file) = &stdin {
        sys::file::set_nonblocking(file, true)?;
    }
    let input = stdin.map(|file| Input { file, pending: Vec::new(), closing: false, is_terminal: false, full: false });
    Ok((outputs, input))
}

/// What came of moving a part of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moved {
    /// So many bytes.
    Bytes(usize),
    /// There is nothing at the moment.
    Empty,
    /// The first client takes no more at the moment.
    Full,
    /// There is nothing any more.
    End,
}

impl Monitor {
    /// Moves what the command wrote to the log and the clients.
    pub(super) fn pump(&mut self, stream: Stream) {
        let mut bulk = true;
        // A few parts at a time, so that a command that writes without end leaves time for everything else.
        for _ in 0..4 {
            if self.is_held_up(stream) {
                break;
            }
            match self.move_part(stream) {
                Moved::Bytes(count) => bulk &= count >= LITTLE,
                Moved::Empty => return,
                Moved::Full => break,
                Moved::End => return self.outputs[stream as usize] = None,
            }
        }
        if let Some(output) = &mut self.outputs[stream as usize] {
            output.bulk |= bulk;
        }
        self.open_taps();
        self.watch_outputs();
    }

    /// Moves all that the command wrote before it ended.
    pub(super) fn drain(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            while self.has_tap(stream) && matches!(self.move_part(stream), Moved::Bytes(_)) {}
            // What the pipe does not take now follows in frames: it can wait there without us.
            if let Some(output) = &mut self.outputs[stream as usize] {
                output.tap = None;
            }
            while let Moved::Bytes(_) = self.read_part(stream, usize::MAX) {}
            self.outputs[stream as usize] = None;
        }
        self.log.finish();
    }

    fn move_part(&mut self, stream: Stream) -> Moved {
        if !self.has_tap(stream) {
            return self.read_part(stream, usize::MAX);
        }
        let is_read = self.order.log.is_some() || self.has_listeners();
        let Some(output) = &mut self.outputs[stream as usize] else { return Moved::End };
        let Some(tap) = &mut output.tap else { return Moved::Empty };
        let moved = match is_read {
            true => pipe::tee(&output.file, &tap.pipe, MUCH),
            false => pipe::splice(&output.file, &tap.pipe, BULK),
        };
        match moved {
            Ok(0) => Moved::End,
            Ok(count) if is_read => self.read_part(stream, count),
            Ok(count) => Moved::Bytes(count),
            Err(error) if error.errno() == Errno::AGAIN => {
                if sys::event::is_writable(&tap.pipe).unwrap_or(true) {
                    return Moved::Empty;
                }
                tap.full = self.poller.add(&tap.pipe, TAPS[stream as usize], EventFlags::OUT).is_ok();
                Moved::Full
            }
            // The client takes no more of it. It is about to leave, or has left.
            Err(_) => {
                output.tap = None;
                self.refuse_output();
                self.read_part(stream, usize::MAX)
            }
        }
    }

    /// Reads a part of an output, for the log and for the clients that get it in frames.
    fn read_part(&mut self, stream: Stream, most: usize) -> Moved {
        let Some(output) = &self.outputs[stream as usize] else { return Moved::End };
        let tapped = output.tap.is_some();
        let mut buffer = std::mem::take(&mut self.buffer);
        let room = if tapped { MUCH } else { LITTLE };
        buffer.resize(buffer.len().max(room + 1), 0);
        let most = most.min(buffer.len() - 1);
        let moved = match sys::file::read(&output.file, &mut buffer[1..=most]) {
            Ok(0) => Moved::End,
            Ok(count) => Moved::Bytes(count),
            Err(error) if error.errno() == Errno::AGAIN => Moved::Empty,
            // A terminal whose other end nobody holds any more says so by an error.
            Err(_) => Moved::End,
        };
        if let Moved::Bytes(count) = moved {
            if count == buffer.len() - 1 {
                buffer.resize((count * 4).min(MUCH) + 1, 0);
            }
            let grew = self.log.take(stream, &buffer[1..=count]);
            self.tell_part(stream, &mut buffer[..=count], tapped);
            if grew {
                self.tell_news();
            }
        }
        self.buffer = buffer;
        moved
    }

    /// Sends bytes, which stand behind room for a frame's first byte, in frames of a size that every client takes.
    fn tell_part(&mut self, stream: Stream, buffer: &mut [u8], tapped: bool) {
        if self.clients.is_empty() {
            return;
        }
        let frame = match stream {
            Stream::Stdout => ToClient::Stdout(&[]),
            Stream::Stderr => ToClient::Stderr(&[]),
        };
        for start in (0..buffer.len() - 1).step_by(CHUNK) {
            let end = (start + CHUNK).min(buffer.len() - 1);
            // What stood there has been sent.
            buffer[start] = frame.kind();
            self.tell_output(&buffer[start..=end], tapped);
        }
    }

    /// Lets what comes in bulk go by pipes to the client that started the container, where that takes it so.
    pub(super) fn open_taps(&mut self) {
        let Some(starter) = self.clients.iter().find(|client| client.takes_pipes()) else { return };
        let is_logged = self.order.log.is_some();
        for (output, error) in self.outputs.iter_mut().zip([false, true]) {
            let wants = |output: &&mut Output| output.bulk && output.tap.is_none() && !output.is_terminal;
            let Some(output) = output.as_mut().filter(wants) else { continue };
            let Ok((theirs, ours)) = pipe::open() else { return };
            // Less room is slower, and right. Where there is a log, that is the slow part, and what the command's own pipe
            // holds at the end is to be written there before the end is told.
            let _ = pipe::set_size(&ours, BULK);
            let _ = if is_logged { Ok(()) } else { pipe::set_size(&output.file, BULK) };
            // A socket that is full takes it at another time.
            if starter.send_pipe(error, theirs.as_fd()) {
                output.tap = Some(Tap { pipe: ours, full: false });
            }
        }
    }

    fn has_tap(&self, stream: Stream) -> bool {
        self.outputs[stream as usize].as_ref().is_some_and(|output| output.tap.is_some())
    }

    /// Goes on with an output whose pipe takes something again.
    pub(super) fn resume_tap(&mut self, token: u64) {
        let output = self.outputs[usize::from(token == TAPS[1])].as_mut();
        if let Some(tap) = output.and_then(|output| output.tap.as_mut()).filter(|tap| tap.full) {
            tap.full = self.poller.remove(tap.pipe.as_fd()).is_err();
        }
        self.watch_outputs();
    }

    /// Closes the pipes of the client that started the container: it is gone.
    pub(super) fn close_taps(&mut self) {
        self.outputs.iter_mut().flatten().for_each(|output| output.tap = None);
        self.watch_outputs();
    }

    /// Tells whether an output must wait for the client that started the container.
    fn is_held_up(&self, stream: Stream) -> bool {
        let tap = self.outputs[stream as usize].as_ref().and_then(|output| output.tap.as_ref());
        tap.map_or_else(|| self.is_anybody_behind(), |tap| tap.full)
    }

    /// Lets the poller tell of the outputs, but not of those that must wait.
    pub(super) fn watch_outputs(&mut self) {
        for (stream, token) in [(Stream::Stdout, STDOUT), (Stream::Stderr, STDERR)] {
            let on = !self.is_held_up(stream);
            if let Some(output) = self.outputs[stream as usize].as_mut().filter(|output| output.watched != on) {
                let changed = match on {
                    true => self.poller.add(&output.file, token, EventFlags::IN),
                    false => self.poller.remove(output.file.as_fd()),
                };
                output.watched = if changed.is_ok() { on } else { output.watched };
            }
        }
    }

    /// Gives the command what clients sent, as far as it takes it.
    pub(super) fn feed(&mut self) {
        let Some(input) = &mut self.input else { return };
        let full = input.write_pending();
        self.note_full(full);
    }

    /// Moves what is in a client's pipe to the command.
    pub(super) fn feed_from_pipe(&mut self, token: u64) {
        let Some(at) = self.feeds.iter().position(|feed| feed.token == token) else { return };
        let Some(input) = &mut self.input else { return self.feeds.clear() };
        if input.full {
            return;
        }
        match pipe::splice(&self.feeds[at].pipe, &input.file, BULK) {
            // The client has said all.
            Ok(0) => {
                drop(self.feeds.swap_remove(at));
                if self.order.stdin_once {
                    self.close_stdin();
                }
            }
            Ok(_) => {}
            Err(error) if error.errno() == Errno::AGAIN => {
                let full = !sys::event::is_writable(&input.file).unwrap_or(true);
                self.note_full(full);
            }
            // The command has closed its input: whoever sends more is told by the end of its pipe.
            Err(_) => {
                self.input = None;
                self.feeds.clear();
            }
        }
    }

    /// Takes note of whether the command takes more input; where it does and no more comes, closes it.
    fn note_full(&mut self, full: bool) {
        let Some(input) = &mut self.input else { return };
        if full != input.full {
            let changed = match full {
                true => self.poller.add(&input.file, STDIN, EventFlags::OUT),
                false => self.poller.remove(input.file.as_fd()),
            };
            input.full = if changed.is_ok() { full } else { input.full };
        }
        if input.closing && !input.is_terminal && !full {
            self.input = None;
            self.feeds.clear();
        }
        self.listen_for_stdin();
    }

    /// Tells whether moving much has taken memory: what little takes is kept, so that a line now and then costs no more
    /// than its own wake-up.
    pub(super) fn is_large(&self) -> bool {
        self.buffer.capacity() > 2 * LITTLE
    }

    /// Lets go of the memory that moving much has taken.
    pub(super) fn shrink_buffers(&mut self) {
        self.buffer = Vec::new();
        if let Some(input) = &mut self.input {
            input.pending.shrink_to_fit();
        }
    }
}

impl Input {
    /// Tells whether what clients send must wait.
    pub(super) fn is_full(&self) -> bool {
        self.full || !self.pending.is_empty()
    }

    /// Makes room for input in bulk.
    pub(super) fn widen(&self) {
        // Less room is slower, and right.
        let _ = pipe::set_size(&self.file, BULK);
    }

    /// Sets the window's size, where it is a terminal.
    pub(super) fn resize(&self, rows: u16, columns: u16) {
        if self.is_terminal {
            // A terminal that is just being closed needs no size.
            let _ = sys::pty::set_size(&self.file, rows, columns);
        }
    }

    /// Writes what is pending; tells whether the command takes no more of it now.
    fn write_pending(&mut self) -> bool {
        while !self.pending.is_empty() {
            match sys::file::write(&self.file, &self.pending) {
                Ok(written) => drop(self.pending.drain(..written)),
                Err(error) if error.errno() == Errno::AGAIN => return true,
                // The command has closed its input.
                Err(_) => {
                    self.pending.clear();
                    self.closing = true;
                }
            }
        }
        false
    }
}
