//! The process of a stage, as seen by the process that started it.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use store::Work;
use sys::Calling;
use sys::event::{EventFlags, Poller};
use sys::process::{self, Child, Fork};

use crate::error::BuildError;
use crate::event::{Event, StepId};

/// A stage's process.
pub(super) struct Worker {
    pub(super) stage: usize,
    pub(super) socket: OwnedFd,
    /// It has nothing left to do.
    pub(super) finished: bool,
    /// It has told that a step has failed, and ends.
    pub(super) failed: bool,
    child: Child,
    outputs: [Option<File>; 2],
    /// The step that it is at.
    step: usize,
    /// What the step said last.
    tail: Vec<u8>,
}

/// What a stage's process has at its start.
pub(super) struct Streams {
    /// Where it tells how far it is.
    pub(super) socket: OwnedFd,
    /// The streams that its parent has.
    pub(super) given: [OwnedFd; 3],
}

/// A part of a process that is watched.
pub(super) enum Part {
    News,
    Output(Stream),
}

/// Where a step's output comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Out,
    Error,
}

/// How many parts of a process are watched, each under a number of its own.
const PARTS: u64 = 3;

/// How much of what a step says is remembered for when it fails.
const TAIL: usize = 16 * 1024;

/// How many of the last lines of a failed step are told.
const LINES: usize = 25;

/// What no process outlives.
const KILL: i32 = engine::Signal::KILL.number();

impl Part {
    /// Returns which process of those that are watched, and which part of it.
    pub(super) fn of(token: u64) -> (usize, Self) {
        let part = match token % PARTS {
            0 => Self::News,
            1 => Self::Output(Stream::Out),
            _ => Self::Output(Stream::Error),
        };
        (usize::try_from(token / PARTS).unwrap_or(usize::MAX), part)
    }
}

impl Worker {
    /// Starts a process, which does what `main` does from a step on.
    pub(super) fn start(
        stage: usize,
        step: usize,
        work: Work,
        main: impl FnOnce(Streams, Work) -> sys::Result<()>,
    ) -> Result<Self, BuildError> {
        let system = |source| BuildError::System { doing: "start a stage of the build", source };
        let (socket, theirs) = sys::socket::message_pair().map_err(system)?;
        let (out, stdout) = sys::pipe::open().map_err(system)?;
        let (err, stderr) = sys::pipe::open().map_err(system)?;
        match process::clone_into(&[], None).map_err(system)? {
            Fork::Parent(child) => {
                // Its directory is the process's own to remove.
                std::mem::forget(work);
                for output in [&out, &err] {
                    sys::file::set_nonblocking(output, true).map_err(system)?;
                }
                let outputs = [Some(out.into()), Some(err.into())];
                Ok(Self { stage, socket, finished: false, failed: false, child, outputs, step, tail: Vec::new() })
            }
            Fork::Child => {
                drop((socket, out, err));
                let told = take_streams(&stdout, &stderr);
                let told = told.and_then(|given| main(Streams { socket: theirs, given }, work));
                if let Err(error) = &told {
                    let _ = sys::path::write_stderr(format!("{error}\n").as_bytes());
                }
                process::exit(i32::from(told.is_err()))
            }
        }
    }

    /// Has a poller tell of it, as the process with this number.
    pub(super) fn watch(&self, poller: &Poller, number: usize) -> Result<(), BuildError> {
        let system = |source| BuildError::System { doing: "watch a stage of the build", source };
        let token = number as u64 * PARTS;
        poller.add(&self.socket, token, EventFlags::IN).map_err(system)?;
        for (part, output) in (1..).zip(&self.outputs) {
            if let Some(output) = output {
                poller.add(output, token + part, EventFlags::IN).map_err(system)?;
            }
        }
        Ok(())
    }

    /// Notes that a step begins.
    pub(super) fn begin(&mut self, step: usize) {
        self.step = step;
        self.tail.clear();
    }

    /// Takes what the step's command has said on a stream.
    pub(super) fn take_output(
        &mut self,
        poller: &Poller,
        stream: Stream,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), BuildError> {
        let place = &mut self.outputs[usize::from(stream == Stream::Error)];
        let Some(output) = place else { return Ok(()) };
        let mut buffer = [0; 16 * 1024];
        loop {
            let length = match sys::file::read(&*output, &mut buffer) {
                Err(error) if error.errno() == sys::Errno::AGAIN => return Ok(()),
                Err(source) => return Err(BuildError::System { doing: "read what a step says", source }),
                Ok(length) => length,
            };
            if length == 0 {
                let _ = poller.remove(output.as_fd());
                *place = None;
                return Ok(());
            }
            self.tail.extend_from_slice(&buffer[..length]);
            let surplus = self.tail.len().saturating_sub(TAIL);
            self.tail.drain(..surplus);
            let id = StepId { stage: self.stage, step: self.step };
            tell(Event::Output { id, error: stream == Stream::Error, bytes: &buffer[..length] });
        }
    }

    /// Returns what the step said last.
    pub(super) fn said(&self) -> String {
        String::from_utf8_lossy(&self.tail).into_owned()
    }

    /// Returns the last lines of what the step said.
    pub(super) fn last_lines(&self) -> Vec<String> {
        let said = self.said();
        let lines: Vec<_> = said.lines().map(ToOwned::to_owned).collect();
        lines[lines.len().saturating_sub(LINES)..].to_vec()
    }

    /// Ends it.
    pub(super) fn kill(&self) {
        let _ = process::pidfd_send_signal(&self.child.pidfd, KILL);
    }

    /// Waits for its end.
    pub(super) fn wait(&self) {
        let _ = process::wait(&self.child.pidfd);
    }
}

/// Gives a new process the streams of a stage; returns those that it had.
fn take_streams(stdout: &OwnedFd, stderr: &OwnedFd) -> sys::Result<[OwnedFd; 3]> {
    process::die_with_parent(KILL)?;
    let keep = |stream: BorrowedFd<'_>| process::duplicate_above_standard(stream);
    let streams = [keep(std::io::stdin().as_fd())?, keep(std::io::stdout().as_fd())?, keep(std::io::stderr().as_fd())?];
    let null = File::open("/dev/null").call(|| "open(\"/dev/null\")")?;
    process::duplicate_to(&null, 0)?;
    process::duplicate_to(stdout, 1)?;
    process::duplicate_to(stderr, 2)?;
    Ok(streams)
}
