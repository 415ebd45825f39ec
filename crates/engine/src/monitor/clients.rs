//! Those who are connected: the command that started the container, and whoever attaches, waits or follows the log.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};

use sys::Errno;
use sys::event::EventFlags;
use sys::process::Fork;

use super::Monitor;
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
}

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
        self.clients.push(Client { socket, token, wishes, is_starter, pending: VecDeque::new(), lost: 0 });
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
        if flags.contains(EventFlags::OUT) {
            self.flush(token);
        }
        if !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            return;
        }
        let mut frame = [0; FRAME];
        loop {
            let Some(client) = self.clients.iter().find(|client| client.token == token) else { return };
            // What a client that has gone had sent is at most what its socket holds, and is taken at once.
            if self.is_input_full() && client.wishes.stdin && !flags.contains(EventFlags::HUP) {
                return;
            }
            match sys::socket::receive(&client.socket, &mut frame) {
                Ok((0, _)) => return self.dismiss(token),
                Ok((length, _)) => self.hear(token, &frame[..length]),
                Err(error) if error.errno() == Errno::AGAIN => return,
                Err(_) => return self.dismiss(token),
            }
        }
    }

    fn hear(&mut self, token: u64, frame: &[u8]) {
        match ToMonitor::decode(frame) {
            Some(ToMonitor::Hello { wishes, .. }) => self.greet(token, wishes),
            Some(ToMonitor::Stdin(bytes)) => {
                if let Some(input) = &mut self.input {
                    input.pending.extend_from_slice(bytes);
                    self.feed();
                }
            }
            Some(ToMonitor::EndOfStdin) if self.order.stdin_once => self.close_stdin(),
            Some(ToMonitor::Resize { rows, columns }) => {
                if let Some(input) = self.input.as_ref().filter(|input| input.is_terminal) {
                    // A terminal that is just being closed needs no size.
                    let _ = sys::pty::set_size(&input.file, rows, columns);
                }
            }
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

    /// Lets a client go that has gone.
    pub(super) fn dismiss(&mut self, token: u64) {
        let Some(at) = self.clients.iter().position(|client| client.token == token) else { return };
        let client = self.clients.swap_remove(at);
        if client.is_starter {
            self.watch_outputs(true);
        }
        if client.wishes.stdin && self.order.stdin_once {
            self.close_stdin();
        }
    }

    fn is_input_full(&self) -> bool {
        self.input.as_ref().is_some_and(|input| !input.pending.is_empty())
    }

    fn close_stdin(&mut self) {
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
    }

    /// Tells whether the client that started the container is behind.
    pub(super) fn is_held_up(&self) -> bool {
        self.clients.iter().any(|client| !client.pending.is_empty())
    }

    /// Sends a frame of output to all who want it.
    pub(super) fn tell_output(&mut self, frame: &[u8]) {
        self.tell(|client| client.wishes.output, |client| client.send_output(frame));
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

    /// Tells everybody that the container has ended; whoever is behind with its output remains to be told.
    pub(super) fn tell_end(&mut self, code: u8) {
        let mut frame = Vec::new();
        ToClient::Exited { code }.encode(&mut frame);
        for client in &mut self.clients {
            match client.pending.is_empty() {
                true => drop(client.send(&frame)),
                false => client.pending.push_back(frame.clone()),
            }
        }
        self.clients.retain(|client| !client.pending.is_empty());
    }

    /// Lets another process stay with those who are behind: this one has a container to start.
    pub(super) fn leave_readers(&mut self) -> sys::Result<()> {
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
        Ok(())
    }

    /// Stays until the client that started the container has all of the output.
    pub(super) fn wait_for_readers(&self) {
        for client in &self.clients {
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
            self.watch_outputs(false);
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
        self.watch_outputs(true);
    }
}
