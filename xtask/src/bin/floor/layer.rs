//! A layer of an image, taken and given away in the least way: one thread, one pass, one file.
//!
//! `floor keep SOURCE FILE` reads a blob, takes gzip off it if it is packed, hashes what comes and what comes out, writes one
//! file and waits for the disk. The source is a file, or a path at a registry as in `127.0.0.1:5000/v2/NAME/blobs/DIGEST`,
//! asked for by plain HTTP. `floor pack LAYER FILE` is the way back. Library and level are those of the product.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

/// What is read, and written, at once.
const PIECE: usize = 256 * 1024;

/// The first bytes of what gzip made.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// Takes a blob, and prints the digests of what came and of what was kept.
pub(crate) fn keep(words: &[String]) -> io::Result<()> {
    let [source, kept] = words else { return Err(io::Error::other("SOURCE FILE")) };
    let mut came = BufReader::with_capacity(PIECE, Hashed::new(open(source)?));
    let mut file = File::create(kept)?;
    let packed = came.fill_buf()?.starts_with(GZIP);
    // What is not packed is hashed once: what comes is what is kept.
    let went = if packed {
        let mut out = Hashed::new(&mut file);
        pour(&mut GzDecoder::new(&mut came), &mut out)?;
        // A blob is read to its end, whatever was packed in it.
        io::copy(&mut came, &mut io::sink())?;
        Some(out.hash)
    } else {
        pour(&mut came, &mut file)?;
        None
    };
    file.sync_all()?;
    let came = came.into_inner().hash;
    tell(came.clone(), went.unwrap_or(came));
    Ok(())
}

/// Packs a layer, and prints the digests of what was read and of what was written.
pub(crate) fn pack(words: &[String]) -> io::Result<()> {
    let [layer, packed] = words else { return Err(io::Error::other("LAYER FILE")) };
    let mut came = Hashed::new(File::open(layer)?);
    let mut encoder = GzEncoder::new(Hashed::new(File::create(packed)?), Compression::default());
    pour(&mut came, &mut encoder)?;
    let out = encoder.finish()?;
    out.inner.sync_all()?;
    tell(came.hash, out.hash);
    Ok(())
}

fn pour(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        match from.read(&mut piece)? {
            0 => return Ok(()),
            length => to.write_all(&piece[..length])?,
        }
    }
}

fn open(source: &str) -> io::Result<Box<dyn Read>> {
    match source.split_once("/v2/") {
        Some((host, path)) if !host.starts_with('/') => ask(host, path),
        _ => Ok(Box::new(File::open(source)?)),
    }
}

/// Asks a registry and returns the body of its answer.
fn ask(host: &str, path: &str) -> io::Result<Box<dyn Read>> {
    let mut stream = TcpStream::connect(host)?;
    write!(stream, "GET /v2/{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = BufReader::with_capacity(PIECE, stream);
    let (mut line, mut length) = (String::new(), None);
    answer.read_line(&mut line)?;
    if !line.contains(" 200 ") {
        return Err(io::Error::other(format!("{path}: {}", line.trim())));
    }
    while !line.trim().is_empty() {
        line.clear();
        answer.read_line(&mut line)?;
        length = length.or_else(|| content_length(&line));
    }
    let length = length.ok_or_else(|| io::Error::other(format!("{path}: the answer has no length")))?;
    Ok(Box::new(answer.take(length)))
}

fn content_length(line: &str) -> Option<u64> {
    let (name, value) = line.split_once(':')?;
    if name.eq_ignore_ascii_case("content-length") { value.trim().parse().ok() } else { None }
}

fn tell(came: Sha256, went: Sha256) {
    let text = |hash: Sha256| hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    println!("{} {}", text(came), text(went));
}

/// What passes is hashed.
struct Hashed<T> {
    inner: T,
    hash: Sha256,
}

impl<T> Hashed<T> {
    fn new(inner: T) -> Self {
        Self { inner, hash: Sha256::new() }
    }
}

impl<T: Read> Read for Hashed<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.hash.update(&buffer[..length]);
        Ok(length)
    }
}

impl<T: Write> Write for Hashed<T> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let length = self.inner.write(buffer)?;
        self.hash.update(&buffer[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_an_answer_is_found_by_its_name() {
        assert_eq!(content_length("Content-Length: 42\r\n"), Some(42));
        assert_eq!(content_length("content-length:7"), Some(7));
        assert_eq!(content_length("Content-Type: 7"), None);
    }

    #[test]
    fn what_is_packed_comes_out_as_it_was() {
        let bytes = b"a layer".repeat(100_000);
        let mut encoder = GzEncoder::new(Hashed::new(Vec::new()), Compression::default());
        pour(&mut &bytes[..], &mut encoder).unwrap();
        let packed = encoder.finish().unwrap().inner;
        assert!(packed.starts_with(GZIP));
        let mut plain = Hashed::new(Vec::new());
        pour(&mut GzDecoder::new(&packed[..]), &mut plain).unwrap();
        assert_eq!((plain.inner.len(), plain.hash.finalize()), (bytes.len(), Sha256::digest(&bytes)));
    }
}
