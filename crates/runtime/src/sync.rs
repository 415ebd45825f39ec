//! What the creator of a container and its first process tell each other while the container comes to be.
//!
//! A pair of message sockets, one message a line of thought. The socket closes at the exec, so its end after
//! [`FromInit::Executing`] means that the program runs; its end before means that the process died on the way.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde::{Deserialize, Serialize};

use crate::error::Failure;

/// What the first process tells its creator.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromInit {
    /// The terminal's master comes beside this message.
    Terminal,
    /// The namespaces stand; hooks that run outside may run now.
    RuntimeHooks,
    /// All is set up; the gate is awaited.
    Ready,
    /// The next thing is the exec.
    Executing,
    /// Nothing will come of it.
    Failed(Failure),
}

/// What the creator tells the first process.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ToInit {
    /// The user namespace has its mappings.
    Mapped,
    /// The hooks have run.
    HooksDone,
    /// The container is on record, so the creator may leave.
    Kept,
    /// The gate is open.
    Start,
}

/// One end of the pair.
#[derive(Debug)]
pub(crate) struct Channel(OwnedFd);

/// The longest message: a failure with a few long paths in it.
const MAX_MESSAGE: usize = 16 * 1024;

impl Channel {
    /// Makes a pair: the creator's end and the first process's.
    pub(crate) fn pair() -> sys::Result<(Self, Self)> {
        sys::socket::message_pair().map(|(creator, init)| (Self(creator), Self(init)))
    }

    /// Sends a message, with at most one descriptor.
    pub(crate) fn send(&self, message: &impl Serialize, fd: Option<BorrowedFd<'_>>) -> sys::Result<()> {
        // Our messages are plain enums of strings and numbers, which always serialise.
        let bytes = serde_json::to_vec(message).unwrap_or_default();
        sys::socket::send(&self.0, &bytes, fd.as_slice()).map(drop)
    }

    /// Waits for a message; `None` when the other end is gone.
    pub(crate) fn receive<M: for<'m> Deserialize<'m>>(&self) -> sys::Result<Option<(M, Option<OwnedFd>)>> {
        let mut bytes = [0; MAX_MESSAGE];
        let (length, fds) = sys::socket::receive(&self.0, &mut bytes)?;
        if length == 0 {
            return Ok(None);
        }
        let message = serde_json::from_slice(&bytes[..length])
            .map_err(|_| sys::Error::new("recvmsg(init)", sys::Errno::BADMSG))?;
        Ok(Some((message, fds.into_iter().next())))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
