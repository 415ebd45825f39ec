//! Carrying out steps: names looked up, messages gathered, one batch sent where nothing stands between.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::path::{Path, PathBuf};

use sys::netlink::Protocol;
use sys::{Errno, Error};
use trace::{Explain, Recorder};

use super::request::{Known, get_link};
use super::step::{LinkChange, LinkStep, Within};
use crate::netlink::codec::u32_at;
use crate::netlink::{Answer, Request, Socket};

/// Why a change to links, addresses or routes could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The kernel refused the step.
    #[error("cannot {what}")]
    Step {
        /// The step, as it tells itself.
        what: String,
        /// What the kernel said.
        source: Error,
    },
    /// There is no socket to speak over.
    #[error("cannot speak netlink")]
    Socket(#[source] Error),
    /// What there is cannot be read.
    #[error("cannot read the host's links, addresses and routes")]
    Read(#[source] Error),
}

impl LinkError {
    /// Returns what the kernel answered.
    pub fn errno(&self) -> Errno {
        match self {
            Self::Step { source, .. } | Self::Socket(source) | Self::Read(source) => source.errno(),
        }
    }
}

/// Carries out link steps in the host's namespace and in those that it is given.
#[derive(Debug)]
pub struct Links<'a> {
    recorder: &'a Recorder,
    namespaces: HashMap<PathBuf, BorrowedFd<'a>>,
    sockets: HashMap<Within, Socket>,
}

impl<'a> Links<'a> {
    /// Makes one for the host's namespace; sockets are opened when they are needed.
    pub fn new(recorder: &'a Recorder) -> Self {
        Self { recorder, namespaces: HashMap::new(), sockets: HashMap::new() }
    }

    /// Adds the namespace that steps know by this path.
    #[must_use]
    pub fn with_namespace(mut self, path: &Path, namespace: BorrowedFd<'a>) -> Self {
        self.namespaces.insert(path.to_owned(), namespace);
        self
    }

    /// Carries out steps in order. After one that fails, those of its batch may have been carried out and no others are:
    /// whoever needs all or nothing applies what [`undo`](LinkStep::undo) says, which is content with what is not there.
    pub fn apply(&mut self, steps: &[LinkStep]) -> Result<(), LinkError> {
        for run in steps.chunk_by(|one, other| one.within == other.within) {
            let within = &run[0].within;
            if !self.sockets.contains_key(within) {
                let socket = self.open(within)?;
                self.sockets.insert(within.clone(), socket);
            }
            let descriptors = self.namespaces.iter().map(|(path, fd)| (path.clone(), fd.as_raw_fd())).collect();
            let Some(socket) = self.sockets.get_mut(within) else { continue };
            Run { socket, descriptors, indices: HashMap::new(), fresh: HashSet::new(), pending: Vec::new() }
                .apply(run, self.recorder)?;
        }
        Ok(())
    }

    /// Carries out what undoes the steps, last first, as far as it goes; all failures are given back.
    pub fn undo(&mut self, steps: &[LinkStep]) -> Vec<LinkError> {
        let undoing = steps.iter().rev().filter_map(LinkStep::undo);
        undoing.filter_map(|step| self.apply(std::slice::from_ref(&step)).err()).collect()
    }

    fn open(&self, within: &Within) -> Result<Socket, LinkError> {
        let namespace = match within {
            Within::Host => None,
            Within::Namespace(path) => Some(*self.namespaces.get(path).ok_or_else(|| {
                LinkError::Socket(Error::new(format!("setns({:?})", path.display().to_string()), Errno::BADF))
            })?),
        };
        Socket::open(Protocol::Route, namespace).map_err(LinkError::Socket)
    }
}

/// Steps in one namespace.
struct Run<'a> {
    socket: &'a mut Socket,
    descriptors: HashMap<PathBuf, RawFd>,
    indices: HashMap<String, u32>,
    /// Links whose making or removal is not sent yet. The kernel goes on after a refusal, and what follows must not meet
    /// somebody else's link of that name.
    fresh: HashSet<String>,
    pending: Vec<(&'a LinkStep, Request)>,
}

impl<'a> Run<'a> {
    fn apply(mut self, steps: &'a [LinkStep], recorder: &Recorder) -> Result<(), LinkError> {
        for step in steps {
            recorder.record(step);
            self.add(step)?;
        }
        self.flush()
    }

    fn add(&mut self, step: &'a LinkStep) -> Result<(), LinkError> {
        let change = &step.change;
        let needed = change.needs();
        if needed.iter().copied().chain(change.subject()).any(|name| self.fresh.contains(name)) {
            self.flush()?;
        }
        for name in needed {
            match self.index(name)? {
                Some(index) => drop(self.indices.insert(name.to_owned(), index)),
                // The address or the route of a link that has gone has gone with it.
                None if removes(change) => return Ok(()),
                None => return Err(failed(step, Error::new(format!("RTM_GETLINK({name:?})"), Errno::NODEV))),
            }
        }
        let known = Known { indices: &self.indices, namespaces: &self.descriptors };
        let request = change.request(&known);
        self.pending.push((step, request));
        if let LinkChange::Make(super::NewLink { name, .. }) | LinkChange::Remove(name) = change {
            self.indices.remove(name);
            self.fresh.insert(name.clone());
        }
        Ok(())
    }

    fn index(&mut self, name: &str) -> Result<Option<u32>, LinkError> {
        if let Some(index) = self.indices.get(name) {
            return Ok(Some(*index));
        }
        self.flush()?;
        let index = |answer: &Answer<'_>| u32_at(answer.body, 4);
        self.socket.get(&get_link(name), index).map_err(LinkError::Read)
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        self.fresh.clear();
        let (steps, requests): (Vec<_>, Vec<_>) = self.pending.drain(..).unzip();
        for refused in self.socket.batch(&requests) {
            let step = steps[refused.index];
            if !(removes(&step.change) && is_gone(refused.source.errno())) {
                return Err(failed(step, refused.source));
            }
        }
        Ok(())
    }
}

fn failed(step: &LinkStep, source: Error) -> LinkError {
    LinkError::Step { what: step.explain().what, source }
}

fn removes(change: &LinkChange) -> bool {
    matches!(change, LinkChange::Remove(_) | LinkChange::RemoveAddress(..) | LinkChange::RemoveRoute(_))
}

fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::NODEV | Errno::NOENT | Errno::SRCH | Errno::ADDRNOTAVAIL)
}
