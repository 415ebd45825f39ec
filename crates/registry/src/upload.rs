//! Blobs on their way to a registry (distribution-spec, "Pushing blobs"): mounted from another repository, sent in one
//! piece, or in chunks where nobody knows yet how long they are.
//!
//! What breaks on the way is asked about and gone on with from where the registry is. What cannot be finished is cancelled.

use std::io::Read;
use std::time::Instant;

use oci::{Digest, Hasher};

use crate::error::{Error, Fault};
use crate::repository::{Repository, chain};
use crate::session::Session;
use crate::transfer::{Transfer, Watched, read_full};

/// What is sent at once of a blob of unknown length.
const CHUNK: u64 = 8 << 20;
/// The largest chunk that a registry may insist on: it has to stay in memory until it has arrived.
const LARGEST_CHUNK: u64 = 64 << 20;

/// What was sent without its length and digest being known before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Streamed {
    /// Its digest.
    pub digest: Digest,
    /// How many bytes.
    pub size: u64,
}

impl Repository<'_> {
    /// Has a blob appear here that another repository of the same registry has; `false` where the registry will not, and
    /// it has to be sent.
    pub fn mount(&self, digest: &Digest, from: &Repository<'_>) -> Result<bool, Error> {
        let (own, other) = (&self.registry, &from.registry.site);
        if own.site.authority() != other.authority() {
            return Ok(false);
        }
        let mounted = Transfer::mount(own, digest, &other.path).map(|begun| match begun {
            None => true,
            Some(transfer) => {
                transfer.cancel();
                false
            }
        });
        mounted.map_err(self.error(format_args!("mount blob {digest} from {} into", from.name())))
    }

    /// Sends a blob whose digest and size are known, in one piece. `open` gives its bytes from any one on: it is asked
    /// again when something breaks.
    pub fn upload<R: Read>(
        &self,
        digest: &Digest,
        size: u64,
        open: impl Fn(u64) -> std::io::Result<R>,
    ) -> Result<(), Error> {
        let sent = send_known(&self.registry, digest, size, &open);
        sent.map_err(self.error(format_args!("send blob {digest} to")))
    }

    /// Sends a blob that comes as a stream, in chunks, and returns what it was.
    pub fn upload_stream(&self, source: impl Read) -> Result<Streamed, Error> {
        let sent = Transfer::begin(&self.registry).and_then(|mut transfer| {
            let sent = send_stream(&mut transfer, source);
            if sent.is_err() {
                transfer.cancel();
            }
            sent
        });
        sent.map_err(self.error("send a blob to"))
    }
}

fn send_known<R: Read>(
    session: &Session<'_>,
    digest: &Digest,
    size: u64,
    open: &impl Fn(u64) -> std::io::Result<R>,
) -> Result<(), Fault> {
    let (mut failed, since) = (0, Instant::now());
    let mut begun = None;
    loop {
        let (mut transfer, at) = continued(session, begun.take(), size)?;
        let Err(fault) = send_rest(&mut transfer, digest, at, size, open) else { return Ok(()) };
        failed += 1;
        let why = format!("{} while {digest} is sent", chain(&fault));
        if !may_go_on(&fault, failed) || !session.pause(failed, since, None, &why) {
            transfer.cancel();
            return Err(fault);
        }
        // The answer may have been lost, and not the blob.
        if session.has(digest).unwrap_or(false) {
            return Ok(());
        }
        begun = Some(transfer);
    }
}

/// Goes on with what was begun, if the registry still knows of it, or begins.
fn continued<'s>(
    session: &'s Session<'s>,
    begun: Option<Transfer<'s>>,
    size: u64,
) -> Result<(Transfer<'s>, u64), Fault> {
    if let Some(mut transfer) = begun {
        match transfer.position() {
            Ok(Some(at)) if at <= size => return Ok((transfer, at)),
            _ => transfer.cancel(),
        }
    }
    Ok((Transfer::begin(session)?, 0))
}

fn send_rest<R: Read>(
    transfer: &mut Transfer<'_>,
    digest: &Digest,
    at: u64,
    size: u64,
    open: &impl Fn(u64) -> std::io::Result<R>,
) -> Result<(), Fault> {
    let mut source = Watched::new(open(at).map_err(Fault::Source)?, size - at);
    let sent = match at {
        0 => transfer.finish(digest, &mut source, size),
        _ if at == size => transfer.finish(digest, &mut std::io::empty(), 0),
        _ => {
            transfer.chunk(&mut source, at, size - at).and_then(|()| transfer.finish(digest, &mut std::io::empty(), 0))
        }
    };
    // A source that fails looks like a connection that does.
    sent.map_err(|fault| source.take_fault().unwrap_or(fault))
}

fn send_stream(transfer: &mut Transfer<'_>, mut source: impl Read) -> Result<Streamed, Fault> {
    let size_of_chunk = transfer.least_chunk().max(CHUNK);
    if size_of_chunk > LARGEST_CHUNK {
        return Err(transfer
            .session()
            .odd(format!("wants chunks of {size_of_chunk} bytes, more than fit into memory")));
    }
    let mut hasher = Hasher::default();
    let mut at = 0;
    let mut chunk = Vec::new();
    loop {
        let is_last = read_full(&mut source, &mut chunk, size_of_chunk).map_err(Fault::Source)?;
        hasher.update(&chunk);
        let whole = is_last && at == 0;
        if !whole && !chunk.is_empty() {
            send_chunk(transfer, &chunk, at)?;
        }
        at += chunk.len() as u64;
        if is_last {
            let digest = hasher.finish();
            finish_stream(transfer, &digest, if whole { &chunk } else { &[] }, at)?;
            return Ok(Streamed { digest, size: at });
        }
    }
}

/// Sends a chunk, and after a failure what the registry has not of it.
fn send_chunk(transfer: &mut Transfer<'_>, chunk: &[u8], at: u64) -> Result<(), Fault> {
    let session = transfer.session();
    let (mut failed, since) = (0, Instant::now());
    let end = at + chunk.len() as u64;
    let mut from = at;
    while from < end {
        // The difference is shorter than the chunk, which is in memory.
        let mut rest = &chunk[usize::try_from(from - at).unwrap_or(chunk.len())..];
        let Err(fault) = transfer.chunk(&mut rest, from, end - from) else { return Ok(()) };
        failed += 1;
        let why = format!("{} after {from} bytes", chain(&fault));
        if !may_go_on(&fault, failed) || !session.pause(failed, since, None, &why) {
            return Err(fault);
        }
        match transfer.position() {
            Ok(Some(position)) if (at..=end).contains(&position) => from = position,
            _ => return Err(fault),
        }
    }
    Ok(())
}

fn finish_stream(transfer: &mut Transfer<'_>, digest: &Digest, rest: &[u8], size: u64) -> Result<(), Fault> {
    let session = transfer.session();
    let (mut failed, since) = (0, Instant::now());
    let mut rest = rest;
    loop {
        let Err(fault) = transfer.finish(digest, &mut { rest }, rest.len() as u64) else { return Ok(()) };
        failed += 1;
        if !may_go_on(&fault, failed) || !session.pause(failed, since, None, &chain(&fault)) {
            return Err(fault);
        }
        if session.has(digest).unwrap_or(false) {
            return Ok(());
        }
        // All of it is in memory or there, so there are two places where the registry can be.
        match transfer.position() {
            Ok(Some(position)) if position == size => rest = &[],
            Ok(Some(0)) => {}
            _ => return Err(fault),
        }
    }
}

/// Tells whether it makes sense to ask where the registry is: after what passes, and once after a token has run out, or
/// the registry and we have counted differently.
fn may_go_on(fault: &Fault, failed: u32) -> bool {
    let once = match fault {
        Fault::Unauthorized { .. } | Fault::Denied { .. } | Fault::NotFound { .. } => true,
        Fault::Refused { status, .. } => *status == 416,
        Fault::Wire { .. } => true,
        _ => false,
    };
    fault.is_passing() || (once && failed == 1)
}
