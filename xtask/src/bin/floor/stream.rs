//! Output that can be told apart from any other: made at one end of a pipe, compared byte by byte at the other.
//!
//! `floor write KIND BYTES` makes it, `floor check KIND BYTES` reads it and refuses a byte that is wrong, missing or one too
//! many, `floor copy` is what stands between them: a plain cat(1). The same three are the bench's own ends of every pipe
//! and what runs in its containers, so that nobody has a faster program than another.

use std::io::{self, Read, Write};

/// What is written at once, and a whole number of lines and of pages: as much as a new pipe takes, about.
const LINES: usize = 640;
const LINE: usize = 100;
const PAGES: usize = 16;
const PAGE: usize = 4096;

/// As much as cat(1) of Debian reads at once.
const COPIED: usize = 128 * 1024;

/// A stream of a known length, piece by piece.
struct Stream {
    kind: Kind,
    piece: Vec<u8>,
    left: u64,
    /// How many lines or pages have been given out.
    number: u64,
}

/// What a stream is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Lines of text of a hundred bytes, each of which begins with its number.
    Lines,
    /// Pages of noise, each of which begins with its number.
    Noise,
}

impl Stream {
    /// Reads `KIND BYTES`.
    fn parse(words: &[String]) -> io::Result<Self> {
        let [kind, bytes] = words else { return Err(io::Error::other("lines|noise BYTES")) };
        let kind = match kind.as_str() {
            "lines" => Kind::Lines,
            "noise" => Kind::Noise,
            other => return Err(io::Error::other(format!("there is no stream of {other}"))),
        };
        let left = bytes.parse().map_err(|_| io::Error::other(format!("{bytes} is no number of bytes")))?;
        Ok(Self { kind, piece: kind.piece(), left, number: 0 })
    }

    /// Returns the next piece, or an empty one at the end.
    fn next(&mut self) -> &[u8] {
        for unit in self.piece.chunks_exact_mut(self.kind.unit()) {
            match self.kind {
                Kind::Lines => write_decimal(&mut unit[..10], self.number),
                Kind::Noise => unit[..8].copy_from_slice(&self.number.to_le_bytes()),
            }
            self.number += 1;
        }
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.piece.len());
        self.left -= length as u64;
        &self.piece[..length]
    }
}

impl Kind {
    fn unit(self) -> usize {
        match self {
            Self::Lines => LINE,
            Self::Noise => PAGE,
        }
    }

    fn piece(self) -> Vec<u8> {
        match self {
            Self::Lines => [&[b'.'; LINE - 1][..], b"\n"].concat().repeat(LINES),
            Self::Noise => noise().take(PAGES * PAGE).collect(),
        }
    }
}

/// Bytes without an order that is easily seen, and among them all that a text must not have.
fn noise() -> impl Iterator<Item = u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    })
}

fn write_decimal(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Writes a stream to stdout.
pub(crate) fn write(words: &[String]) -> io::Result<()> {
    let (mut stream, mut out) = (Stream::parse(words)?, unbuffered(1)?);
    loop {
        match stream.next() {
            [] => return Ok(()),
            piece => out.write_all(piece)?,
        }
    }
}

/// Reads a stream from stdin and refuses any other.
pub(crate) fn check(words: &[String]) -> io::Result<()> {
    compare(&mut Stream::parse(words)?, &mut unbuffered(0)?)
}

fn compare(stream: &mut Stream, from: &mut impl Read) -> io::Result<()> {
    let mut came = vec![0; stream.piece.len()];
    let mut at = 0_u64;
    loop {
        let piece = stream.next();
        if piece.is_empty() {
            break;
        }
        let came = &mut came[..piece.len()];
        from.read_exact(came).map_err(|error| io::Error::other(format!("lost after byte {at}: {error}")))?;
        if came != piece {
            let wrong = came.iter().zip(piece).position(|(came, due)| came != due).unwrap_or(0);
            return Err(io::Error::other(format!("byte {} is not the one that was written", at + wrong as u64)));
        }
        at += piece.len() as u64;
    }
    match from.read(&mut came)? {
        0 => Ok(()),
        more => Err(io::Error::other(format!("{more} bytes or more after the end at {at}"))),
    }
}

/// Copies stdin to stdout.
pub(crate) fn copy() -> io::Result<()> {
    let (mut from, mut to) = (unbuffered(0)?, unbuffered(1)?);
    let mut held = vec![0; COPIED];
    loop {
        match from.read(&mut held)? {
            0 => return Ok(()),
            length => to.write_all(&held[..length])?,
        }
    }
}

/// Opens a descriptor of ours without the buffer that the standard library puts before it.
fn unbuffered(fd: i32) -> io::Result<std::fs::File> {
    use std::os::fd::AsFd;
    let own = match fd {
        0 => io::stdin().as_fd().try_clone_to_owned(),
        _ => io::stdout().as_fd().try_clone_to_owned(),
    };
    own.map(std::fs::File::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(kind: &str, bytes: usize) -> Stream {
        Stream::parse(&[kind.to_owned(), bytes.to_string()]).unwrap()
    }

    fn whole(kind: &str, bytes: usize) -> Vec<u8> {
        let mut stream = stream(kind, bytes);
        let mut whole = Vec::new();
        while let piece @ [_, ..] = stream.next() {
            whole.extend_from_slice(piece);
        }
        whole
    }

    #[test]
    fn lines_are_numbered_and_end_in_a_newline() {
        let text = String::from_utf8(whole("lines", 100_000)).unwrap();
        let numbers: Vec<usize> = text.lines().map(|line| line[..10].parse().unwrap()).collect();
        assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
        assert!(text.split_inclusive('\n').all(|line| line.len() == LINE));
    }

    #[test]
    fn a_stream_is_taken_as_it_is_and_in_no_other_way() {
        for kind in ["lines", "noise"] {
            let right = whole(kind, 200_000);
            let compared = |bytes: &[u8]| compare(&mut stream(kind, right.len()), &mut &bytes[..]);
            assert!(compared(&right).is_ok());
            let mut wrong = right.clone();
            wrong[150_000] ^= 1;
            let mut exchanged = right.clone();
            exchanged[..8192].rotate_left(4096);
            let longer = [&right[..], b"x"].concat();
            for other in [&right[..199_999], &wrong, &exchanged, &longer] {
                assert!(compared(other).is_err(), "{kind}");
            }
        }
    }
}
