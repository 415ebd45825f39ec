//! A netlink socket: batches of requests with their acknowledgements, single questions, dumps, firewall transactions.

use std::os::fd::{BorrowedFd, OwnedFd};

use sys::netlink::Protocol;
use sys::{Errno, Error, Result};

use super::codec::{Answer, Request, answers, attributes, text, u32_at};

const REQUEST: u16 = 0x01;
const ACK: u16 = 0x04;
const DUMP: u16 = 0x300;
/// Set in a dump's answers when what is dumped has changed meanwhile.
const DUMP_INTERRUPTED: u16 = 0x10;
/// Set in an acknowledgement that has attributes.
const ACK_WITH_WORDS: u16 = 0x200;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const SUBSYSTEM_NFTABLES: u8 = 10;
/// How many messages go at once: their acknowledgements must have room in the socket, 768 bytes each.
const AT_ONCE: usize = 128;
/// The kernel fills a dump's answers up to 32 KiB.
const BUFFER: usize = 64 * 1024;
/// What a socket takes at once without having been told.
const USUAL_ROOM: usize = 64 * 1024;
/// How often a dump is begun anew because something changed meanwhile.
const DUMPS: usize = 16;

/// A request that the kernel refused, by its place in the batch.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) index: usize,
    pub(crate) source: Error,
}

/// A netlink socket.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket about the calling thread's network namespace, or about the one behind `ns`.
    pub(crate) fn open(protocol: Protocol, ns: Option<BorrowedFd<'_>>) -> Result<Self> {
        let fd = match ns {
            Some(ns) => sys::netlink::open_in(ns, protocol)?,
            None => sys::netlink::open(protocol)?,
        };
        Ok(Self { fd, sequence: 0, buffer: vec![0; BUFFER] })
    }

    /// Lets the socket hold so many bytes of answers.
    pub(crate) fn make_room(&self, bytes: usize) -> Result<()> {
        sys::netlink::set_receive_buffer(&self.fd, bytes)
    }

    /// Carries out requests, many in one call. The kernel goes on after one that it refuses; gives back those refused.
    pub(crate) fn batch(&mut self, requests: &[Request]) -> Vec<Refused> {
        let mut refused = Vec::new();
        for (chunk, part) in requests.chunks(AT_ONCE).enumerate() {
            let start = chunk * AT_ONCE;
            let mut bytes = Vec::with_capacity(part.len() * 160);
            let first = self.sequence + 1;
            for request in part {
                self.sequence += 1;
                request.append_to(&mut bytes, self.sequence, REQUEST | ACK);
            }
            let mut answers = Answers { first, start, requests: part, done: vec![false; part.len()], refused };
            let sent = self.exchange(&bytes, &mut answers);
            refused = answers.refused;
            if let Err(source) = sent {
                refused.push(Refused { index: start, source });
                break;
            }
        }
        refused
    }

    /// Carries out firewall requests, all of them or none; gives back all that the kernel refuses. With `generation`,
    /// only if nothing has changed since.
    pub(crate) fn transaction(
        &mut self,
        requests: &[Request],
        generation: Option<u32>,
    ) -> std::result::Result<(), Vec<Refused>> {
        let whole = |source| vec![Refused { index: 0, source }];
        let Some((last, others)) = requests.split_last() else { return Ok(()) };
        let mut bytes = Vec::with_capacity(requests.len() * 160);
        let first = self.sequence + 1;
        frame(BATCH_BEGIN, generation).append_to(&mut bytes, first, REQUEST);
        // Refusals are told unasked, so one acknowledgement is enough, and a batch of any length fits the socket.
        for (request, sequence) in others.iter().zip(first + 1..) {
            request.append_to(&mut bytes, sequence, REQUEST);
        }
        self.sequence = first + u32::try_from(requests.len()).unwrap_or(0) + 1;
        last.append_to(&mut bytes, self.sequence - 1, REQUEST | ACK);
        frame(BATCH_END, None).append_to(&mut bytes, self.sequence, REQUEST);
        if bytes.len() > USUAL_ROOM {
            sys::socket::set_send_buffer(&self.fd, bytes.len() * 2).map_err(whole)?;
        }
        let mut answers = Committed { first, requests, refused: Vec::new(), done: false };
        self.exchange(&bytes, &mut answers).map_err(whole)?;
        match answers.refused {
            refused if !refused.is_empty() => Err(refused),
            _ if answers.done => Ok(()),
            _ => Err(whole(Error::new("recv(NETLINK_NETFILTER)", Errno::NOBUFS))),
        }
    }

    /// Asks for one thing; `None` when it does not exist.
    pub(crate) fn get<T>(&mut self, request: &Request, read: impl Fn(&Answer<'_>) -> Option<T>) -> Result<Option<T>> {
        self.sequence += 1;
        let mut bytes = Vec::with_capacity(128);
        request.append_to(&mut bytes, self.sequence, REQUEST);
        sys::netlink::send(&self.fd, &bytes)?;
        let sequence = self.sequence;
        while let Some(length) = sys::netlink::receive(&self.fd, &mut self.buffer)? {
            for answer in answers(&self.buffer[..length]).filter(|answer| answer.sequence == sequence) {
                match refusal(&answer, &request.what) {
                    Some(Err(error)) if matches!(error.errno(), Errno::NODEV | Errno::NOENT) => return Ok(None),
                    Some(Err(error)) => return Err(error),
                    Some(Ok(())) => {}
                    None => return Ok(read(&answer)),
                }
            }
        }
        Ok(None)
    }

    /// Asks for all things of a kind. What changes meanwhile makes it begin anew.
    pub(crate) fn dump<T>(&mut self, request: &Request, read: impl Fn(&Answer<'_>) -> Option<T>) -> Result<Vec<T>> {
        let mut last = Error::new(request.what.clone(), Errno::INTR);
        for _ in 0..DUMPS {
            match self.dump_once(request, &read) {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                Err(error) if matches!(error.errno(), Errno::NOBUFS | Errno::INTR) => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// Gives `None` if what is dumped changed meanwhile.
    fn dump_once<T>(&mut self, request: &Request, read: impl Fn(&Answer<'_>) -> Option<T>) -> Result<Option<Vec<T>>> {
        self.sequence += 1;
        let mut bytes = Vec::with_capacity(128);
        request.append_to(&mut bytes, self.sequence, REQUEST | DUMP);
        sys::netlink::send(&self.fd, &bytes)?;
        let (sequence, mut found, mut whole) = (self.sequence, Vec::new(), true);
        while let Some(length) = sys::netlink::receive(&self.fd, &mut self.buffer)? {
            for answer in answers(&self.buffer[..length]).filter(|answer| answer.sequence == sequence) {
                whole &= answer.flags & DUMP_INTERRUPTED == 0;
                match refusal(&answer, &request.what) {
                    Some(Ok(())) => return Ok(whole.then_some(found)),
                    Some(Err(error)) => return Err(error),
                    None => found.extend(read(&answer)),
                }
            }
        }
        Err(Error::new(request.what.clone(), Errno::NOBUFS))
    }

    /// Sends bytes and hands all answers on.
    fn exchange(&mut self, bytes: &[u8], answered: &mut impl Take) -> Result<()> {
        sys::netlink::send(&self.fd, bytes)?;
        while let Some(length) = sys::netlink::receive(&self.fd, &mut self.buffer)? {
            answers(&self.buffer[..length]).for_each(|answer| answered.take(&answer));
        }
        answered.finish()
    }
}

/// Makes the message that begins or ends a transaction.
fn frame(kind: u16, generation: Option<u32>) -> Request {
    const GENERATION: u16 = 1;
    Request::new(kind, 0, "NFNL_MSG_BATCH".to_owned(), |body| {
        body.raw(&[0, 0, 0, SUBSYSTEM_NFTABLES]);
        if let Some(generation) = generation {
            body.attribute(GENERATION, &generation.to_be_bytes());
        }
    })
}

/// Takes the answers to what was sent.
trait Take {
    fn take(&mut self, answer: &Answer<'_>);
    /// Tells whether an answer is missing.
    fn finish(&self) -> Result<()>;
}

struct Answers<'a> {
    first: u32,
    start: usize,
    requests: &'a [Request],
    done: Vec<bool>,
    refused: Vec<Refused>,
}

impl Take for Answers<'_> {
    fn take(&mut self, answer: &Answer<'_>) {
        let index = answer.sequence.wrapping_sub(self.first) as usize;
        let Some(request) = self.requests.get(index) else { return };
        if let Some(ended) = refusal(answer, &request.what) {
            self.done[index] = true;
            if let Err(source) = ended {
                self.refused.push(Refused { index: self.start + index, source });
            }
        }
    }

    fn finish(&self) -> Result<()> {
        match self.done.iter().position(|done| !done) {
            Some(index) => Err(Error::new(self.requests[index].what.clone(), Errno::NOBUFS)),
            None => Ok(()),
        }
    }
}

struct Committed<'a> {
    first: u32,
    requests: &'a [Request],
    refused: Vec<Refused>,
    done: bool,
}

impl Take for Committed<'_> {
    fn take(&mut self, answer: &Answer<'_>) {
        // The first message begins the transaction; what concerns the whole of it is answered there.
        let place = answer.sequence.wrapping_sub(self.first) as usize;
        if place > self.requests.len() + 1 {
            return;
        }
        let what = match place.checked_sub(1).and_then(|index| self.requests.get(index)) {
            Some(request) => request.what.clone(),
            None => format!("NFNL_MSG_BATCH({} messages)", self.requests.len()),
        };
        match refusal(answer, &what) {
            Some(Err(source)) => {
                self.refused.push(Refused { index: place.saturating_sub(1), source });
            }
            Some(Ok(())) => self.done |= place == self.requests.len(),
            None => {}
        }
    }

    fn finish(&self) -> Result<()> {
        Ok(())
    }
}

/// Reads an acknowledgement, a refusal or the end of a dump; `None` when the answer is something else.
fn refusal(answer: &Answer<'_>, what: &str) -> Option<Result<()>> {
    if answer.kind != ERROR && answer.kind != DONE {
        return None;
    }
    let errno = u32_at(answer.body, 0).unwrap_or(0).cast_signed();
    if errno == 0 {
        return Some(Ok(()));
    }
    let errno = Errno::from_raw_os_error(errno.saturating_neg());
    let call = match words(answer) {
        Some(words) => format!("{what} (\"{words}\")"),
        None => what.to_owned(),
    };
    Some(Err(Error::new(call, errno)))
}

/// Reads the words that the kernel puts beside some refusals.
fn words(answer: &Answer<'_>) -> Option<String> {
    const MESSAGE: u16 = 1;
    if answer.flags & ACK_WITH_WORDS == 0 {
        return None;
    }
    // The error number, then the header of the refused message, for its body is left out. A dump's end has no header.
    let fixed = if answer.kind == ERROR { 20 } else { 4 };
    let attributes = attributes(answer.body.get(fixed..)?);
    attributes.filter(|(kind, _)| *kind == MESSAGE).map(|(_, value)| text(value)).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_what_was_asked_and_the_kernels_words() {
        let mut body = (-17_i32).to_ne_bytes().to_vec();
        body.extend_from_slice(&[0; 16]);
        body.extend_from_slice(&[13, 0, 1, 0]);
        body.extend_from_slice(b"it is so\0");
        let answer = Answer { kind: ERROR, flags: ACK_WITH_WORDS, sequence: 1, body: &body };
        let error = refusal(&answer, "RTM_NEWLINK(\"br0\")").unwrap().unwrap_err();
        assert_eq!(error.to_string(), "RTM_NEWLINK(\"br0\") (\"it is so\"): file exists (EEXIST)");
    }
}
