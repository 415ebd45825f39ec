//! One upload at a registry, from its beginning to its end, a request at a time.

use std::io::{self, ErrorKind, Read};

use oci::Digest;
use ureq::http::Method;

use crate::error::Fault;
use crate::scope::Scope;
use crate::session::{Ask, Session, Target};
use crate::url::Url;
use crate::wire::{Answer, Body};

/// An upload that the registry knows of.
#[derive(Debug)]
pub(crate) struct Transfer<'s> {
    session: &'s Session<'s>,
    /// Where it goes on; the registry may name another place with each answer.
    location: Url,
    least_chunk: u64,
}

impl<'s> Transfer<'s> {
    /// Begins an upload.
    pub(crate) fn begin(session: &'s Session<'s>) -> Result<Self, Fault> {
        let what = format!("begin to send a blob to {} at {}", session.site.path, session.name());
        let ask = session.ask(Method::POST, "blobs/uploads/", session.push_scope(), what);
        let answer = session.send_bytes(&ask, None)?;
        if answer.status != 202 {
            return Err(session.refused(answer));
        }
        Self::of(session, &answer)
    }

    /// Asks for a blob of another repository; returns an upload where the registry would rather have it sent.
    pub(crate) fn mount(session: &'s Session<'s>, digest: &Digest, from: &str) -> Result<Option<Self>, Fault> {
        let what = format!("mount {digest} of {from} into {} at {}", session.site.path, session.name());
        let below = format!("blobs/uploads/?mount={digest}&from={}", crate::url::encode(from));
        let mut ask = session.ask(Method::POST, &below, session.push_scope(), what);
        ask.scopes.push(Scope::pull(from));
        let answer = session.send_bytes(&ask, None)?;
        match answer.status {
            201 => Ok(None),
            202 => Self::of(session, &answer).map(Some),
            _ => Err(session.refused(answer)),
        }
    }

    fn of(session: &'s Session<'s>, answer: &Answer) -> Result<Self, Fault> {
        let least = answer.header("OCI-Chunk-Min-Length").and_then(|text| text.trim().parse().ok());
        let location = location(session, answer)?.ok_or_else(|| session.odd("does not say where to send the blob"))?;
        Ok(Self { session, location, least_chunk: least.unwrap_or(0) })
    }

    pub(crate) fn session(&self) -> &'s Session<'s> {
        self.session
    }

    /// Returns the least that a chunk must have, the last one apart.
    pub(crate) fn least_chunk(&self) -> u64 {
        self.least_chunk
    }

    /// Asks how far it is; nothing where the registry knows no more of it.
    pub(crate) fn position(&mut self) -> Result<Option<u64>, Fault> {
        let answer = self.session.send(&self.ask(Method::GET, "ask how far it has come"))?;
        match answer.status {
            404 => return Ok(None),
            _ if answer.is_success() => {}
            _ => return Err(self.session.refused(answer)),
        }
        let range = answer.header("Range").map(|text| text.trim().trim_start_matches("bytes="));
        // A registry that has nothing says 0-0 as well as one that has a byte; to send one twice is the lesser evil.
        let end = range.and_then(|range| range.split_once('-')).and_then(|(_, end)| end.parse::<u64>().ok());
        self.follow(&answer)?;
        Ok(Some(end.map_or(0, |end| if end == 0 { 0 } else { end + 1 })))
    }

    /// Sends bytes that are not the last.
    pub(crate) fn chunk(&mut self, source: &mut dyn Read, at: u64, length: u64) -> Result<(), Fault> {
        let ask = self.ask(Method::PATCH, &format!("send {length} bytes, from {at}"));
        let ask = ask.header("Content-Range", format!("{at}-{}", at + length - 1)).header("Content-Type", BYTES);
        let answer = self.session.send_once(&ask, Body::Stream(source, length))?;
        if !answer.is_success() {
            return Err(self.session.refused(answer));
        }
        self.follow(&answer)
    }

    /// Sends the last bytes, or none, and has the registry look whether they are right.
    pub(crate) fn finish(&mut self, digest: &Digest, source: &mut dyn Read, length: u64) -> Result<(), Fault> {
        let mut ask = self.ask(Method::PUT, &format!("send {length} bytes and finish {digest}"));
        ask.target = Target::Given(self.location.clone().with("digest", &digest.to_string()));
        let answer = self.session.send_once(&ask.header("Content-Type", BYTES), Body::Stream(source, length))?;
        // 202 would say that the end is still to come.
        if !answer.is_success() || answer.status == 202 {
            return Err(self.session.refused(answer));
        }
        match answer.header("Docker-Content-Digest").and_then(|text| text.trim().parse::<Digest>().ok()) {
            Some(actual) if actual != *digest => {
                Err(Fault::Digest { server: self.session.name().to_owned(), expected: *digest, actual })
            }
            _ => Ok(()),
        }
    }

    /// Has the registry forget it. One that cannot be asked will do so by itself some day.
    pub(crate) fn cancel(self) {
        let ask = self.ask(Method::DELETE, "cancel it");
        if let Err(error) = self.session.send_once(&ask, Body::Nothing) {
            tracing::debug!(%error, "an upload could not be cancelled");
        }
    }

    fn ask(&self, method: Method, what: &str) -> Ask {
        let what = format!("{what}, in the upload to {} at {}", self.session.site.path, self.session.name());
        Ask::new(method, Target::Given(self.location.clone()), self.session.push_scope(), what)
    }

    fn follow(&mut self, answer: &Answer) -> Result<(), Fault> {
        if let Some(location) = location(self.session, answer)? {
            self.location = location;
        }
        Ok(())
    }
}

impl Session<'_> {
    /// Tells whether the registry has a blob; for those who may push.
    pub(crate) fn has(&self, digest: &Digest) -> Result<bool, Fault> {
        let what = format!("ask whether {} has {digest}", self.name());
        let answer = self.send(&self.ask(Method::HEAD, &format!("blobs/{digest}"), self.push_scope(), what))?;
        Ok(answer.is_success())
    }
}

const BYTES: &str = "application/octet-stream";

fn location(session: &Session<'_>, answer: &Answer) -> Result<Option<Url>, Fault> {
    let Some(text) = answer.header("Location") else { return Ok(None) };
    let location = answer.url.join(text);
    location.map(Some).map_err(|source| Fault::Address { server: session.name().to_owned(), source })
}

/// A source that gives as many bytes as were announced, or an error, and remembers that it was at fault.
pub(crate) struct Watched<R> {
    source: R,
    expected: u64,
    given: u64,
    fault: Option<Fault>,
}

impl<R: Read> Watched<R> {
    pub(crate) fn new(source: R, expected: u64) -> Self {
        Self { source, expected, given: 0, fault: None }
    }

    pub(crate) fn take_fault(&mut self) -> Option<Fault> {
        self.fault.take()
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.expected - self.given;
        let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if most == 0 {
            return Ok(0);
        }
        let broken = match self.source.read(&mut buffer[..most]) {
            Ok(0) => Fault::SourceLength { expected: self.expected, actual: self.given },
            Ok(length) => {
                self.given += length as u64;
                return Ok(length);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
            Err(error) => Fault::Source(error),
        };
        self.fault = Some(broken);
        Err(io::Error::other("the source of the body fails"))
    }
}

/// Fills a buffer; tells whether the source is at its end.
pub(crate) fn read_full(source: &mut impl Read, buffer: &mut Vec<u8>, length: u64) -> io::Result<bool> {
    buffer.clear();
    source.take(length).read_to_end(buffer)?;
    Ok((buffer.len() as u64) < length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_gives_what_was_announced_or_is_at_fault() {
        let mut exact = Watched::new(&b"abc"[..], 3);
        assert_eq!(io::copy(&mut exact, &mut io::sink()).unwrap(), 3);
        assert!(exact.take_fault().is_none());
        let mut long = Watched::new(&b"abcdef"[..], 3);
        assert_eq!(io::copy(&mut long, &mut io::sink()).unwrap(), 3);
        let mut short = Watched::new(&b"ab"[..], 3);
        assert!(io::copy(&mut short, &mut io::sink()).is_err());
        assert!(matches!(short.take_fault(), Some(Fault::SourceLength { expected: 3, actual: 2 })));
    }

    #[test]
    fn a_buffer_is_filled_and_the_end_is_seen() {
        let mut source = &b"abcdef"[..];
        let mut buffer = Vec::new();
        let mut ends = Vec::new();
        for _ in 0..3 {
            ends.push((read_full(&mut source, &mut buffer, 4).unwrap(), buffer.len()));
        }
        assert_eq!(ends, [(false, 4), (true, 2), (true, 0)]);
    }
}
