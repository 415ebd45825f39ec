//! The command's standard streams: what it writes goes to the log and to the clients, what they send goes to it.
//!
//! The client that started the container in the foreground is what a pipe's reader is to a program: nothing is lost
//! to it, and where it does not read, the command waits in its writes. Whoever attaches later is served from the socket's
//! own buffer, and told how much it missed when that was full: it holds up neither the command nor the log.

use std::os::fd::{AsFd, OwnedFd};

use sys::event::{EventFlags, Poller};
use sys::{Calling, Errno};

use super::{Monitor, STDERR, STDIN, STDOUT};
use crate::logs::Stream;
use crate::wire::{CHUNK, ToClient};

/// One of the command's outputs.
#[derive(Debug)]
pub(super) struct Output {
    file: OwnedFd,
    /// A terminal's master tells by an error that nobody holds the other end any more.
    is_terminal: bool,
    /// The poller knows of it. It is taken out rather than asked for nothing: the end of a pipe is told in any case.
    watched: bool,
}

/// The command's input, and what it has not taken yet.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) file: OwnedFd,
    pub(super) pending: Vec<u8>,
    /// It is closed once all that is pending has been taken.
    pub(super) closing: bool,
    pub(super) is_terminal: bool,
    watched: bool,
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
        let input = Input { file: writer, pending: Vec::new(), closing: false, is_terminal: true, watched: false };
        return Ok(([Some(Output { file: master, is_terminal: true, watched: true }), None], Some(input)));
    }
    let watch = |fd: Option<OwnedFd>, token| -> sys::Result<Option<Output>> {
        let Some(file) = fd else { return Ok(None) };
        sys::file::set_nonblocking(&file, true)?;
        poller.add(&file, token, EventFlags::IN)?;
        Ok(Some(Output { file, is_terminal: false, watched: true }))
    };
    let outputs = [watch(stdout, STDOUT)?, watch(stderr, STDERR)?];
    if let Some(file) = &stdin {
        sys::file::set_nonblocking(file, true)?;
    }
    let input =
        stdin.map(|file| Input { file, pending: Vec::new(), closing: false, is_terminal: false, watched: false });
    Ok((outputs, input))
}

/// What came of reading an output.
enum Chunk {
    /// So many bytes, behind the first byte of the buffer.
    Bytes(usize),
    /// Nothing at the moment.
    None,
    /// Nothing any more.
    End,
}

impl Monitor {
    /// Moves what the command wrote to the log and the clients.
    pub(super) fn pump(&mut self, stream: Stream) {
        // A few chunks at a time, so that a command that writes without end leaves time for everything else.
        for _ in 0..4 {
            if self.is_held_up() {
                return self.watch_outputs(false);
            }
            match self.read_chunk(stream) {
                Chunk::Bytes(_) => {}
                Chunk::None => return,
                Chunk::End => return self.outputs[stream as usize] = None,
            }
        }
    }

    /// Moves all that the command wrote before it ended.
    pub(super) fn drain(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            while let Chunk::Bytes(_) = self.read_chunk(stream) {}
            self.outputs[stream as usize] = None;
        }
        self.log.finish();
    }

    fn read_chunk(&mut self, stream: Stream) -> Chunk {
        let Some(output) = &self.outputs[stream as usize] else { return Chunk::End };
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(CHUNK + 1, 0);
        let chunk = match sys::file::read(&output.file, &mut buffer[1..]) {
            Ok(0) => Chunk::End,
            Ok(length) => Chunk::Bytes(length),
            Err(error) if error.errno() == Errno::AGAIN => Chunk::None,
            Err(error) if error.errno() == Errno::IO && output.is_terminal => Chunk::End,
            Err(_) => Chunk::End,
        };
        if let Chunk::Bytes(length) = chunk {
            let frame = match stream {
                Stream::Stdout => ToClient::Stdout(&[]),
                Stream::Stderr => ToClient::Stderr(&[]),
            };
            buffer[0] = frame.kind();
            let grew = self.log.take(stream, &buffer[1..=length]);
            self.tell_output(&buffer[..=length]);
            if grew {
                self.tell_news();
            }
        }
        self.buffer = buffer;
        chunk
    }

    /// Says whether the outputs are read: not while the client that started the container is behind.
    pub(super) fn watch_outputs(&mut self, on: bool) {
        for (output, token) in self.outputs.iter_mut().zip([STDOUT, STDERR]) {
            if let Some(output) = output
                && output.watched != on
            {
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
        if full != input.watched {
            let changed = match full {
                true => self.poller.add(&input.file, STDIN, EventFlags::OUT),
                false => self.poller.remove(input.file.as_fd()),
            };
            input.watched = if changed.is_ok() { full } else { input.watched };
        }
        if input.closing && !input.is_terminal && !full {
            self.input = None;
        }
        self.listen_for_stdin();
    }
}

impl Input {
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
