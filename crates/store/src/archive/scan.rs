//! Reads an archive from a file: headers only, the data is seeked over.

use std::io::{ErrorKind, Read, Seek, SeekFrom};

use super::fault::{ArchiveError, Fault};
use super::member::Member;
use super::parser::Parser;

/// What is read at once after a seek; a header and a little more.
const SMALL: usize = 4 << 10;
/// What is read at once while headers follow each other closely: reading is cheaper than seeking then.
const LARGE: usize = 64 << 10;

/// Reads the archive from its start to its end, gives each member to `sink`, and returns the archive's length.
pub fn scan<R: Read + Seek, E: From<ArchiveError>>(
    reader: &mut R,
    mut sink: impl FnMut(Member) -> Result<(), E>,
) -> Result<u64, E> {
    let length = reader.seek(SeekFrom::End(0)).map_err(|error| Fault::Read(error).at(0))?;
    reader.rewind().map_err(|error| Fault::Read(error).at(0))?;
    let mut parser = Parser::new();
    let mut buffer = vec![0; LARGE];
    let (mut position, mut window) = (0, SMALL);
    while position < length && !parser.is_at_end() {
        let count = read(reader, &mut buffer[..window], position)?;
        push(&mut parser, &buffer[..count], &mut sink)?;
        position += count as u64;
        let ahead = if parser.is_at_end() { 0 } else { parser.skippable() };
        window = if ahead > LARGE as u64 { SMALL } else { (window * 2).min(LARGE) };
        if ahead > 0 {
            if ahead > length - position {
                return Err(Fault::Truncated { what: "the data of a member" }.at(length).into());
            }
            parser.skip(ahead);
            position += ahead;
            reader.seek(SeekFrom::Start(position)).map_err(|error| Fault::Read(error).at(position))?;
        }
    }
    if !parser.is_at_end() {
        parser.finish()?;
    }
    Ok(length)
}

/// Gives the parser what it wants to see of `bytes`.
fn push<E: From<ArchiveError>>(
    parser: &mut Parser,
    mut bytes: &[u8],
    sink: &mut impl FnMut(Member) -> Result<(), E>,
) -> Result<(), E> {
    while !bytes.is_empty() && !parser.is_at_end() {
        let skippable = usize::try_from(parser.skippable()).unwrap_or(usize::MAX).min(bytes.len());
        if skippable > 0 {
            parser.skip(skippable as u64);
            bytes = &bytes[skippable..];
        } else {
            // A block at a time, so that the data behind a header is not fed in beside it.
            let (block, rest) = bytes.split_at(bytes.len().min(512));
            parser.push(block, sink)?;
            bytes = rest;
        }
    }
    Ok(())
}

fn read(reader: &mut impl Read, buffer: &mut [u8], position: u64) -> Result<usize, ArchiveError> {
    loop {
        match reader.read(buffer) {
            Ok(0) => return Err(Fault::Truncated { what: "what it was when opened" }.at(position)),
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Fault::Read(error).at(position)),
        }
    }
}
