//! Blobs as they come: a reader that is bounded, hashes what it gives, and goes on where a connection broke.

use std::io::{self, ErrorKind, Read};
use std::time::Instant;

use oci::{Digest, Hasher};
use ureq::http::Method;

use crate::error::{Error, Fault};
use crate::manifest::done_or_gone;
use crate::repository::{Repository, chain};
use crate::session::Session;
use crate::wire::{Answer, understand_io};

/// What is read and thrown away at once, where a server begins anew.
const SKIP: usize = 64 << 10;

impl<'c> Repository<'c> {
    /// Opens a blob, of a mirror or of the registry.
    ///
    /// Nothing that was read may be used before the reader has come to its end: only there are length and digest known
    /// to be right.
    pub fn blob(&self, digest: &Digest, size: u64) -> Result<BlobReader<'_>, Error> {
        let mut reader = BlobReader {
            sources: self.sources(),
            name: self.name().to_owned(),
            digest: *digest,
            size,
            at: 0,
            hasher: Some(Hasher::default()),
            body: None,
            failed: 0,
            since: Instant::now(),
        };
        reader.open(self).map_err(|fault| reader.error(fault))?;
        Ok(reader)
    }

    /// Tells whether the registry has a blob in this repository. Mirrors are not asked: it is for what is to be pushed.
    pub fn has_blob(&self, digest: &Digest) -> Result<bool, Error> {
        let session = &self.registry;
        let what = format!("ask whether {} has {digest} in {}", session.name(), session.site.path);
        let ask = session.ask(Method::HEAD, &format!("blobs/{digest}"), session.pull_scope(), what);
        let asked = session.send(&ask).and_then(|answer| match answer.status {
            404 => Ok(false),
            _ if answer.is_success() => Ok(true),
            _ => Err(session.refused(answer)),
        });
        asked.map_err(self.error(format_args!("ask about blob {digest} of")))
    }

    /// Deletes a blob; content when there is none.
    pub fn delete_blob(&self, digest: &Digest) -> Result<(), Error> {
        let session = &self.registry;
        let what = format!("delete {digest} from {}", session.name());
        let ask = session.ask(Method::DELETE, &format!("blobs/{digest}"), session.delete_scope(), what);
        let deleted = session.send(&ask).and_then(|answer| done_or_gone(session, answer));
        deleted.map_err(self.error(format_args!("delete blob {digest} of")))
    }
}

/// The bytes of a blob.
///
/// A connection that breaks is replaced by a new one that goes on at the same byte; an error is an end, with the
/// [`Error`] inside.
pub struct BlobReader<'c> {
    /// Who may have it, the one that is asked now first.
    sources: Vec<&'c Session<'c>>,
    name: String,
    digest: Digest,
    size: u64,
    at: u64,
    /// Gone when all is read and found right.
    hasher: Option<Hasher>,
    body: Option<ureq::BodyReader<'static>>,
    /// How often in a row nothing came.
    failed: u32,
    since: Instant,
}

impl std::fmt::Debug for BlobReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { digest, size, at, .. } = self;
        write!(f, "BlobReader({digest}, {at} of {size})")
    }
}

impl Read for BlobReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.hasher.is_none() {
            return Ok(0);
        }
        match self.next(buffer) {
            Ok(length) => Ok(length),
            Err(fault) => {
                self.body = None;
                // It stays an error when it is read again.
                self.sources.clear();
                Err(self.error(fault).into())
            }
        }
    }
}

impl<'c> BlobReader<'c> {
    /// Returns the name of the server that the bytes come from now.
    pub fn server(&self) -> &str {
        self.sources.first().map_or("", |session| session.name())
    }

    fn next(&mut self, buffer: &mut [u8]) -> Result<usize, Fault> {
        if self.at == self.size {
            return self.finish().map(|()| 0);
        }
        loop {
            let most = usize::try_from(self.size - self.at).map_or(buffer.len(), |left| left.min(buffer.len()));
            let broken = match self.body.as_mut().map(|body| body.read(&mut buffer[..most])) {
                Some(Ok(0)) => self.broken(ErrorKind::UnexpectedEof.into()),
                Some(Ok(length)) => {
                    self.take(&buffer[..length]);
                    return Ok(length);
                }
                Some(Err(error)) if error.kind() == ErrorKind::Interrupted => continue,
                Some(Err(error)) => self.broken(error),
                None => self.broken(ErrorKind::NotConnected.into()),
            };
            self.resume(broken)?;
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.at += bytes.len() as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        if self.failed > 0 {
            (self.failed, self.since) = (0, Instant::now());
        }
    }

    /// All bytes are there: nothing more may follow, and they must be the right ones.
    fn finish(&mut self) -> Result<(), Fault> {
        let more = self.body.take().map_or(Ok(0), |mut body| body.read(&mut [0; 1]));
        // An error after the last byte says nothing about the bytes.
        if more.unwrap_or(0) > 0 {
            return Err(self.length(self.size + 1));
        }
        let Some(hasher) = self.hasher.take() else { return Ok(()) };
        let actual = hasher.clone().finish();
        if actual == self.digest {
            return Ok(());
        }
        self.hasher = Some(hasher);
        Err(Fault::Digest { server: self.server().to_owned(), expected: self.digest, actual })
    }

    /// Begins: at the first that has it.
    fn open(&mut self, repository: &Repository<'c>) -> Result<(), Fault> {
        loop {
            let fault = match self.connect() {
                Ok(()) => return Ok(()),
                Err(fault) => fault,
            };
            if self.sources.len() < 2 {
                return Err(fault);
            }
            repository.pass_over(self.sources.remove(0), &fault);
        }
    }

    /// Goes on after a failure, here or, when it does not pass, at the next one that may have it.
    fn resume(&mut self, mut fault: Fault) -> Result<(), Fault> {
        self.body = None;
        while let Some(session) = self.sources.first().copied() {
            self.failed += 1;
            let why = format!("{} after {} of {} bytes", chain(&fault), self.at, self.size);
            if !can_resume(&fault) || !session.pause(self.failed, self.since, None, &why) {
                if self.sources.len() < 2 {
                    return Err(fault);
                }
                self.sources.remove(0);
                (self.failed, self.since) = (0, Instant::now());
            }
            match self.connect() {
                Ok(()) => return Ok(()),
                Err(error) => fault = error,
            }
        }
        Err(fault)
    }

    /// Asks for the bytes from where we are.
    fn connect(&mut self) -> Result<(), Fault> {
        let Some(session) = self.sources.first().copied() else { return Err(self.broken(ErrorKind::NotFound.into())) };
        let what = format!("get {} of {} at {}", self.digest, session.site.path, session.name());
        let mut ask = session.ask(Method::GET, &format!("blobs/{}", self.digest), session.pull_scope(), what);
        if self.at > 0 {
            ask = ask.header("Range", format!("bytes={}-", self.at));
        }
        let answer = session.send(&ask)?;
        match answer.status {
            206 if self.at > 0 => self.check_range(session, &answer)?,
            200 => {
                let length = answer.header("Content-Length").and_then(|text| text.parse().ok());
                if let Some(length) = length.filter(|length| *length != self.size) {
                    return Err(self.length(length));
                }
                self.body = Some(answer.into_reader());
                return self.skip();
            }
            _ => return Err(session.refused(answer)),
        }
        self.body = Some(answer.into_reader());
        Ok(())
    }

    /// A part must begin where we are, of a whole as long as it should be (RFC 9110, 14.4).
    fn check_range(&self, session: &Session<'_>, answer: &Answer) -> Result<(), Fault> {
        let range = answer.header("Content-Range").and_then(|text| text.trim().strip_prefix("bytes "));
        let (part, whole) = range.and_then(|range| range.split_once('/')).unwrap_or_default();
        let start = part.split_once('-').and_then(|(start, _)| start.trim().parse::<u64>().ok());
        if start != Some(self.at) {
            return Err(session.odd(format!("is another part of the blob than the one from {}", self.at)));
        }
        match whole.trim().parse() {
            Ok(whole) if whole != self.size => Err(self.length(whole)),
            _ => Ok(()),
        }
    }

    /// A server that knows no parts begins anew; what we have is passed over.
    fn skip(&mut self) -> Result<(), Fault> {
        let mut left = self.at;
        let mut buffer = vec![0; if left > 0 { SKIP } else { 0 }];
        while left > 0 {
            let most = usize::try_from(left).map_or(SKIP, |left| left.min(SKIP));
            match self.body.as_mut().map_or(Ok(0), |body| body.read(&mut buffer[..most])) {
                Ok(0) => return Err(self.broken(ErrorKind::UnexpectedEof.into())),
                Ok(length) => left -= length as u64,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken(error)),
            }
        }
        Ok(())
    }

    fn broken(&self, error: io::Error) -> Fault {
        match understand_io(error) {
            crate::wire::WireError::Io(source) => Fault::Broken { server: self.server().to_owned(), source },
            source => Fault::Wire { server: self.server().to_owned(), source },
        }
    }

    fn length(&self, actual: u64) -> Fault {
        Fault::Length { server: self.server().to_owned(), expected: self.size, actual }
    }

    fn error(&self, fault: Fault) -> Error {
        Error::new(format!("get blob {} of {}", self.digest, self.name), fault)
    }
}

/// In the midst of a blob a server that refuses connections is one that is being started again.
fn can_resume(fault: &Fault) -> bool {
    fault.is_passing() || matches!(fault, Fault::Wire { source: crate::wire::WireError::Io(_), .. })
}
