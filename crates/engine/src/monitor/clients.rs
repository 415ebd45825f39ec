//! Those who are connected: the command that started the container, and whoever attaches, waits or follows the log.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use sys::Errno;
use sys::event::EventFlags;
use sys::process::Fork;

use super::Monitor;
use super::streams::Input;
use crate::wire::{FRAME, ToClient, ToMonitor, VERSION, Wishes};

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    socket: OwnedFd,
    token: u64,
    wishes: Wishes,
    /// It started the container and stays: nothing is lost to it.
    is_starter: bool,
    /// Frames that it has not taken yet; only the starter's are kept.
    pending: VecDeque<Vec<u8>>,
    /// Bytes that it missed.
    lost: u64,
    /// Its input comes by a pipe.
    has_feed: bool,
}

/// A pipe by which a client sends its input. It may have been filled by one that has gone since.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) pipe: OwnedFd,
    pub(super) token: u64,
    watched: bool,
}

/// What no process outlives.
const KILL: i32 = crate::Signal::KILL.number();

/// How many frames of one client are heard in a row.
const TURN: usize = 16;

/// What came of sending a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Yes,
    Full,
    Gone,
}

impl Client {
    fn send(&self, frame: &[u8]) -> Sent {
        match sys::socket::send(&self.socket, frame, &[]) {
            Ok(_) => Sent::Yes,
            Err(error) if error.errno() == Errno::AGAIN => Sent::Full,
            Err(_) => Sent::Gone,
        }
    }

    /// Tells whether output may come to it by a pipe: it was there from the beginning, and has all that came so far.
    pub(super) fn takes_pipes(&self) -> bool {
        self.is_starter && self.wishes.output && self.wishes.pipes && self.pending.is_empty()
    }

    /// Sends the end of a pipe from which a stream is read from now on; tells whether that was taken.
    pub(super) fn send_pipe(&self, error: bool, pipe: BorrowedFd<'_>) -> bool {
        let mut frame = Vec::new();
        ToClient::Pipe { error }.encode(&mut frame);
        sys::socket::send(&self.socket, &frame, &[pipe]).is_ok()
    }

    /// Puts all that is left to say into the socket, where it waits for its reader without us; tells whether all went in.
    fn hand_over(&mut self) -> bool {
        let mut widened = false;
        while let Some(frame) = self.pending.front() {
            match self.send(frame) {
                Sent::Yes => drop(self.pending.pop_front()),
                Sent::Gone => self.pending.clear(),
                Sent::Full if widened => return false,
                Sent::Full => {
                    // The kernel counts what it needs to keep a frame as well, and there are frames in the socket already.
                    let left: usize = self.pending.iter().map(|frame| 2 * frame.len() + 4096).sum();
                    widened = sys::socket::set_send_buffer(&self.socket, left + (1 << 20)).is_ok();
                    if !widened {
                        return false;
                    }
                }
            }
        }
        true
    }

    fn send_output(&mut self, frame: &[u8]) -> Sent {
        if self.is_starter {
            let sent = if self.pending.is_empty() { self.send(frame) } else { Sent::Full };
            if sent == Sent::Full {
                self.pending.push_back(frame.to_vec());
            }
            return sent;
        }
        if self.lost > 0 {
            let mut told = Vec::new();
            ToClient::Lost { bytes: self.lost }.encode(&mut told);
            match self.send(&told) {
                Sent::Yes => self.lost = 0,
                Sent::Full => {}
                Sent::Gone => return Sent::Gone,
            }
        }
        let sent = if self.lost == 0 { self.send(frame) } else { Sent::Full };
        if sent == Sent::Full {
            self.lost += frame.len() as u64 - 1;
        }
        sent
    }
}

impl Monitor {
    /// Takes a client in.
    pub(super) fn admit(&mut self, socket: OwnedFd, wishes: Wishes, is_starter: bool) -> sys::Result<()> {
        sys::file::set_nonblocking(&socket, true)?;
        let token = self.next_token;
        self.next_token += 1;
        self.poller.add(&socket, token, EventFlags::IN)?;
        self.clients.push(Client {
            socket,
            token,
            wishes,
            is_starter,
            pending: VecDeque::new(),
            lost: 0,
            has_feed: false,
        });
        Ok(())
    }

    /// Accepts those who come; what they want they say in their first frame.
    pub(super) fn welcome(&mut self) {
        while let Ok(Some(socket)) = sys::socket::accept(&self.listener) {
            // A client that cannot be watched is let go, and may come again.
            let _ = self.admit(socket, Wishes::default(), false);
        }
    }

    /// Hears what a client says, and goes on where it had been behind.
    pub(super) fn serve(&mut self, token: u64, flags: EventFlags) {
        if self.feeds.iter().any(|feed| feed.token == token) {
            return self.feed_from_pipe(token);
        }
        if flags.contains(EventFlags::OUT) {
            self.flush(token);
        }
        if !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            return;
        }
        let mut frame = std::mem::take(&mut self.buffer);
        frame.resize(frame.len().max(FRAME), 0);
        for _ in 0..TURN {
            let Some(client) = self.clients.iter().find(|client| client.token == token) else { break };
            // What a client that has gone had sent is at most what its socket holds, and is taken at once.
            if self.is_input_full() && client.wishes.stdin && !flags.contains(EventFlags::HUP) {
                break;
            }
            match sys::socket::receive(&client.socket, &mut frame) {
                Ok((0, _)) => self.dismiss(token),
                Ok((length, descriptors)) => self.hear(token, &frame[..length], descriptors),
                Err(error) if error.errno() == Errno::AGAIN => break,
                Err(_) => self.dismiss(token),
            }
        }
        self.buffer = frame;
    }

    fn hear(&mut self, token: u64, frame: &[u8], descriptors: Vec<OwnedFd>) {
        match ToMonitor::decode(frame) {
            Some(ToMonitor::Hello { wishes, .. }) => self.greet(token, wishes),
            Some(ToMonitor::Stdin(bytes)) => {
                if let Some(input) = &mut self.input {
                    input.pending.extend_from_slice(bytes);
                    self.feed();
                }
            }
            Some(ToMonitor::Pipe) => {
                if let Some(pipe) = descriptors.into_iter().next() {
                    self.open_feed(token, pipe);
                }
            }
            Some(ToMonitor::EndOfStdin) if self.order.stdin_once => self.close_stdin(),
            Some(ToMonitor::Resize { rows, columns }) => {
                if let Some(input) = &self.input {
                    input.resize(rows, columns);
                }
            }
            Some(ToMonitor::Keep) => self.keep(token, descriptors),
            Some(ToMonitor::Free(address)) => self.free(token, address),
            Some(ToMonitor::Answer) => self.take_resolver(token, descriptors),
            // A newer client may know more than we do.
            Some(ToMonitor::EndOfStdin) | None => {}
        }
    }

    /// Answers a client's first frame with our version and the command's pidfd, by which it can send signals.
    fn greet(&mut self, token: u64, wishes: Wishes) {
        // While the container waits for its restart there is no process.
        let process = self.process.as_fd();
        let process: &[_] = if self.reaped { &[] } else { &[process] };
        let Some(client) = self.clients.iter_mut().find(|client| client.token == token) else { return };
        client.wishes = wishes;
        let mut frame = Vec::new();
        ToClient::Welcome { version: VERSION }.encode(&mut frame);
        if sys::socket::send(&client.socket, &frame, process).is_err() {
            self.dismiss(token);
        }
    }

    /// Tells a client that what it has asked for is done.
    pub(super) fn say_done(&mut self, token: u64) {
        let Some(client) = self.clients.iter().find(|client| client.token == token) else { return };
        let mut frame = Vec::new();
        ToClient::Done.encode(&mut frame);
        // One that cannot be told finds out by asking again.
        client.send(&frame);
    }

    /// Lets a client go that has gone.
    pub(super) fn dismiss(&mut self, token: u64) {
        let Some(at) = self.clients.iter().position(|client| client.token == token) else { return };
        let client = self.clients.swap_remove(at);
        if client.is_starter {
            self.close_taps();
            if self.order.bound {
                // With the first process the kernel ends all others of its namespace.
                let _ = sys::process::pidfd_send_signal(&self.process, KILL);
            }
        }
        // What is still in its pipe is input too, and that ends by itself.
        if client.wishes.stdin && self.order.stdin_once && !client.has_feed {
            self.close_stdin();
        }
    }

    /// Takes a client's pipe, which brings the rest of its input.
    fn open_feed(&mut self, token: u64, pipe: OwnedFd) {
        // Of a command that has closed its input, the client hears by the end of its pipe.
        let Some(input) = self.input.as_ref().filter(|input| !input.is_terminal && sys::pipe::is_pipe(&pipe)) else {
            return;
        };
        input.widen();
        if let Some(client) = self.clients.iter_mut().find(|client| client.token == token) {
            client.has_feed = true;
        }
        self.feeds.push(Feed { pipe, token: self.next_token, watched: false });
        self.next_token += 1;
        self.listen_for_stdin();
    }

    fn is_input_full(&self) -> bool {
        self.input.as_ref().is_some_and(Input::is_full)
    }

    pub(super) fn close_stdin(&mut self) {
        if let Some(input) = &mut self.input {
            input.closing = true;
            self.feed();
        }
    }

    /// Hears those who send input only while the command takes it: what it does not take waits with them.
    pub(super) fn listen_for_stdin(&mut self) {
        let full = self.is_input_full();
        for client in self.clients.iter().filter(|client| client.wishes.stdin) {
            let mut flags = if full { EventFlags::empty() } else { EventFlags::IN };
            flags.set(EventFlags::OUT, !client.pending.is_empty());
            // It was added with this number, so it can be changed.
            let _ = self.poller.change(&client.socket, client.token, flags);
        }
        for feed in self.feeds.iter_mut().filter(|feed| feed.watched == full) {
            // Taken out rather than asked for nothing: the end of a pipe is told in any case.
            let changed = match full {
                true => self.poller.remove(feed.pipe.as_fd()),
                false => self.poller.add(&feed.pipe, feed.token, EventFlags::IN),
            };
            feed.watched = if changed.is_ok() { !full } else { feed.watched };
        }
    }

    /// Tells whether the client that started the container is behind with its frames.
    pub(super) fn is_anybody_behind(&self) -> bool {
        self.clients.iter().any(|client| !client.pending.is_empty())
    }

    /// Tells whether somebody gets output in frames, beside the client that started the container.
    pub(super) fn has_listeners(&self) -> bool {
        self.clients.iter().any(|client| client.wishes.output && !client.is_starter)
    }

    /// Sends a frame of output to all who want it, but not to the client that started the container where that has the
    /// stream by a pipe.
    pub(super) fn tell_output(&mut self, frame: &[u8], tapped: bool) {
        self.tell(|client| client.wishes.output && !(tapped && client.is_starter), |client| client.send_output(frame));
    }

    /// Sends the client that started the container no more output: nobody reads there.
    pub(super) fn refuse_output(&mut self) {
        self.clients.iter_mut().filter(|client| client.is_starter).for_each(|client| client.wishes.output = false);
    }

    /// Tells those who follow the log that it has grown.
    pub(super) fn tell_news(&mut self) {
        // Where the buffer is full, earlier news are waiting to be read, which say the same.
        self.tell(
            |client| client.wishes.news,
            |client| match client.send(b"L") {
                Sent::Full => Sent::Yes,
                sent => sent,
            },
        );
    }

    /// Tells everybody that the container has ended. What a client has not read yet waits in its socket, and not with us;
    /// only where the host does not grant that much room does the client remain.
    pub(super) fn tell_end(&mut self, code: u8) {
        for client in &mut self.clients {
            for last in [ToClient::Lost { bytes: client.lost }, ToClient::Exited { code }] {
                let mut frame = Vec::new();
                last.encode(&mut frame);
                if last != (ToClient::Lost { bytes: 0 }) {
                    client.pending.push_back(frame);
                }
            }
        }
        self.clients.retain_mut(|client| !client.hand_over());
    }

    /// Lets another process stay with those who are behind: this one has a container to start.
    pub(super) fn leave_readers(mut self) -> sys::Result<Self> {
        let between = match self.clients.is_empty() {
            true => None,
            false => Some(sys::process::clone_into(&[], None)?),
        };
        match between {
            // The child of a process that ends at once is reaped by the host's init, not by us.
            Some(Fork::Child) => {
                if let Ok(Fork::Child) = sys::process::clone_into(&[], None) {
                    self.wait_for_readers();
                }
                sys::process::exit(0)
            }
            Some(Fork::Parent(child)) => drop(sys::process::wait(&child.pidfd)?),
            None => {}
        }
        self.clients.clear();
        Ok(self)
    }

    /// Stays until the client that started the container has all of the output, and holds nothing else meanwhile.
    pub(super) fn wait_for_readers(mut self) {
        let clients = std::mem::take(&mut self.clients);
        drop(self);
        for client in &clients {
            if sys::file::set_nonblocking(&client.socket, false).is_err() {
                continue;
            }
            for frame in &client.pending {
                if client.send(frame) == Sent::Gone {
                    break;
                }
            }
        }
    }

    fn tell(&mut self, to: impl Fn(&Client) -> bool, mut send: impl FnMut(&mut Client) -> Sent) {
        let mut gone = Vec::new();
        let mut behind = false;
        for client in self.clients.iter_mut().filter(|client| to(client)) {
            match send(client) {
                Sent::Yes => {}
                Sent::Gone => gone.push(client.token),
                Sent::Full if client.is_starter => {
                    behind = true;
                    let flags = EventFlags::IN | EventFlags::OUT;
                    // It was added with this number, so it can be changed.
                    let _ = self.poller.change(&client.socket, client.token, flags);
                }
                Sent::Full => {}
            }
        }
        if behind {
            self.watch_outputs();
        }
        gone.into_iter().for_each(|token| self.dismiss(token));
    }

    /// Sends a client what it was behind with.
    fn flush(&mut self, token: u64) {
        let at = self.clients.iter().position(|client| client.token == token && !client.pending.is_empty());
        let Some(client) = at.map(|at| &mut self.clients[at]) else { return };
        while let Some(frame) = client.pending.front() {
            match client.send(frame) {
                Sent::Yes => drop(client.pending.pop_front()),
                Sent::Full => return,
                Sent::Gone => return self.dismiss(token),
            }
        }
        // It was added with this number, so it can be changed.
        let _ = self.poller.change(&client.socket, token, EventFlags::IN);
        self.open_taps();
        self.watch_outputs();
    }
}
