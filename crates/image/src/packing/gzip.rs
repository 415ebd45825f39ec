//! gzip (RFC 1952) on all processors at once.
//!
//! The stream is cut into pieces of a fixed length, and each is compressed on its own, with the end of the piece before as its
//! dictionary. One after the other they are one deflate stream again (RFC 1951), so readers see nothing of it; and since the
//! pieces do not depend on how many processors there are, neither do the bytes.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

use crate::belt::fill;

/// How long a piece is.
const PIECE: usize = 1 << 20;
/// How far back deflate looks.
const WINDOW: usize = 32 << 10;
/// More than this many processors wait for one reader and one writer.
const MOST: usize = 8;

/// No name, no time and no system: they would differ from machine to machine.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// A piece to be compressed, and where the result goes.
struct Job {
    before: Arc<Vec<u8>>,
    piece: Arc<Vec<u8>>,
    is_last: bool,
    done: SyncSender<io::Result<Vec<u8>>>,
}

/// Compresses all that comes.
pub(super) fn write(mut source: impl Read, out: &mut impl Write) -> io::Result<()> {
    let workers = available_parallelism().map_or(1, usize::from).min(MOST);
    let (send, jobs) = sync_channel::<Job>(workers);
    let jobs = Mutex::new(jobs);
    out.write_all(&HEADER)?;
    let crc = std::thread::scope(|scope| {
        let start = |_| std::thread::Builder::new().spawn_scoped(scope, || work(&jobs));
        let (started, refused): (Vec<_>, Vec<_>) = (0..workers).map(start).partition(Result::is_ok);
        // Where the kernel gives fewer threads than there are processors it takes longer, and without any it cannot be done.
        if let (true, Some(Err(error))) = (started.is_empty(), refused.into_iter().next()) {
            return Err(error);
        }
        feed(&mut source, send, workers, out)
    })?;
    out.write_all(&crc.sum().to_le_bytes())?;
    // The length counts modulo 2^32, as `amount` does.
    out.write_all(&crc.amount().to_le_bytes())
}

/// Hands the pieces out, and writes what comes back in their order.
fn feed(source: &mut impl Read, send: SyncSender<Job>, workers: usize, out: &mut impl Write) -> io::Result<Crc> {
    let mut crc = Crc::new();
    let mut pending: VecDeque<Receiver<io::Result<Vec<u8>>>> = VecDeque::new();
    let (mut before, mut piece) = (Arc::new(Vec::new()), next(source)?);
    loop {
        crc.update(&piece);
        let following = next(source)?;
        let is_last = following.is_empty();
        let (done, result) = sync_channel(1);
        let piece_of_job = Arc::new(piece);
        let job = Job { before, piece: Arc::clone(&piece_of_job), is_last, done };
        send.send(job).map_err(|_| io::Error::other("nobody compresses any more"))?;
        pending.push_back(result);
        if is_last {
            break;
        }
        (before, piece) = (piece_of_job, following);
        if pending.len() > workers {
            take(&mut pending, out)?;
        }
    }
    drop(send);
    while !pending.is_empty() {
        take(&mut pending, out)?;
    }
    Ok(crc)
}

fn next(source: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut piece = vec![0; PIECE];
    let length = fill(source, &mut piece)?;
    piece.truncate(length);
    Ok(piece)
}

fn take(pending: &mut VecDeque<Receiver<io::Result<Vec<u8>>>>, out: &mut impl Write) -> io::Result<()> {
    let Some(result) = pending.pop_front() else { return Ok(()) };
    let bytes = result.recv().map_err(|_| io::Error::other("nobody compresses any more"))??;
    out.write_all(&bytes)
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    let mut deflate = Compress::new(Compression::default(), false);
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        let dictionary = &job.before[job.before.len().saturating_sub(WINDOW)..];
        let _ = job.done.send(compress(&mut deflate, dictionary, &job.piece, job.is_last));
    }
}

/// Compresses one piece to a byte's boundary, or to the end of the stream.
fn compress(deflate: &mut Compress, dictionary: &[u8], piece: &[u8], is_last: bool) -> io::Result<Vec<u8>> {
    deflate.reset();
    if !dictionary.is_empty() {
        deflate.set_dictionary(dictionary).map_err(io::Error::other)?;
    }
    let mut out = Vec::with_capacity(piece.len() / 2 + 1024);
    let flush = if is_last { FlushCompress::Finish } else { FlushCompress::Sync };
    loop {
        let at = usize::try_from(deflate.total_in()).unwrap_or(piece.len()).min(piece.len());
        let status = deflate.compress_vec(&piece[at..], &mut out, flush).map_err(io::Error::other)?;
        let is_through = match status {
            Status::StreamEnd => true,
            // Room that is left over says that nothing waits to be written.
            _ => !is_last && deflate.total_in() == piece.len() as u64 && out.len() < out.capacity(),
        };
        if is_through {
            return Ok(out);
        }
        out.reserve(64 << 10);
    }
}

#[cfg(test)]
mod tests {
    use flate2::bufread::GzDecoder;

    use super::*;

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    #[test]
    fn what_is_compressed_in_pieces_is_one_stream() {
        let words: Vec<u8> = b"the quick brown fox ".iter().copied().cycle().take(3 * PIECE + 17).collect();
        for bytes in [vec![], vec![7], vec![0; PIECE], vec![0; 2 * PIECE], words, noise(2 * PIECE + 1), noise(PIECE)] {
            let mut packed = Vec::new();
            write(&bytes[..], &mut packed).unwrap();
            // One member, not several: some readers stop at the first.
            let mut read = Vec::new();
            let mut decoder = GzDecoder::new(&packed[..]);
            decoder.read_to_end(&mut read).unwrap();
            assert!(read == bytes && decoder.into_inner().is_empty(), "{} bytes", bytes.len());
            let mut again = Vec::new();
            write(&bytes[..], &mut again).unwrap();
            assert!(packed == again);
        }
    }

    #[test]
    fn pieces_look_back_over_their_beginning() {
        let piece = noise(WINDOW / 2);
        let mut bytes = noise(PIECE - WINDOW / 2);
        bytes.extend(&piece);
        bytes.extend(&piece);
        let mut packed = Vec::new();
        write(&bytes[..], &mut packed).unwrap();
        assert!(packed.len() < PIECE + 2048, "{}", packed.len());
    }

    #[test]
    fn a_source_that_breaks_is_told() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        let start = vec![1; 3 * PIECE];
        assert_eq!(write((&start[..]).chain(Broken), &mut Vec::new()).unwrap_err().to_string(), "broken");
    }
}
