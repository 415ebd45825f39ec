//! The reader of archives: bytes go in as they come, members come out.

use std::mem;
use std::ops::Range;

use super::BLOCK;
use super::extension::Extension;
use super::fault::{ArchiveError, Fault};
use super::header::{Header, text};
use super::member::{Content, DeviceNumber, Member, MemberKind, Time};
use super::sparse::{Extent, MapReader, SparseFile, parse_old_map};

/// What an extended header may hold at most; Go's reader, and so Docker, draws the line here too.
const EXTENSION_LIMIT: u64 = 1 << 20;
const BLOCK_SIZE: usize = 512;

/// What a block leads to: the next state, and the member that it completes.
type Step = Result<(State, Option<Member>), Fault>;

/// Reads an archive from bytes that come in pieces of any size.
///
/// Give it all bytes by [`push`](Self::push), which hands each member to its second argument, then call
/// [`finish`](Self::finish). Who can seek may leave out the bytes that [`skippable`](Self::skippable) names.
#[derive(Debug)]
pub struct Parser {
    state: State,
    /// How many bytes were taken, skipped ones included.
    offset: u64,
    /// The start of a block whose end has not come yet.
    partial: Vec<u8>,
    extension: Extension,
    global: Extension,
    long_path: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    has_extension: bool,
}

#[derive(Debug)]
enum State {
    /// A header comes next.
    Header,
    /// The body of an extended header.
    Extension { flag: u8, body: Vec<u8>, size: usize },
    /// More of an old GNU sparse map.
    OldMap(Box<Draft>),
    /// The map before the data of a PAX sparse file.
    Map(Box<Draft>, MapReader),
    /// Data that nobody needs to see.
    Skip { rest: u64 },
    /// Data of a sparse file, parts of which the index will hold.
    Keep(Box<Keep>),
    /// Behind the block of zeros that ends the archive.
    End,
}

/// A sparse file whose map is not whole yet.
#[derive(Debug)]
struct Draft {
    member: Member,
    map: Vec<Extent>,
    real_size: u64,
    /// How much is stored, the map of version 1.0 included.
    stored: u64,
}

#[derive(Debug)]
struct Keep {
    member: Member,
    file: SparseFile,
    wanted: std::vec::IntoIter<Range<u64>>,
    next: Option<Range<u64>>,
    end: u64,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    /// Starts before the first byte of an archive.
    pub fn new() -> Self {
        Self {
            state: State::Header,
            offset: 0,
            partial: Vec::new(),
            extension: Extension::default(),
            global: Extension::default(),
            long_path: None,
            long_link: None,
            has_extension: false,
        }
    }

    /// Takes the next bytes and gives each member that they complete to `sink`.
    pub fn push<E: From<ArchiveError>>(
        &mut self,
        mut bytes: &[u8],
        sink: &mut impl FnMut(Member) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            let taken = match &mut self.state {
                State::Skip { rest } => {
                    let taken = usize::try_from(*rest).unwrap_or(usize::MAX).min(bytes.len());
                    self.skip(taken as u64);
                    taken
                }
                State::End => {
                    self.offset += bytes.len() as u64;
                    return Ok(());
                }
                State::Keep(keep) => {
                    let taken = keep.take(self.offset, bytes);
                    self.offset += taken as u64;
                    if self.offset == keep.end
                        && let State::Keep(keep) = mem::replace(&mut self.state, State::Header)
                    {
                        self.state = skip(keep.end.next_multiple_of(BLOCK) - keep.end);
                        sink(keep.finish())?;
                    }
                    taken
                }
                _ => self.push_block(bytes, sink)?,
            };
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// Returns how many of the next bytes say nothing and may be given to [`skip`](Self::skip).
    pub fn skippable(&self) -> u64 {
        match self.state {
            State::Skip { rest } => rest,
            State::End => u64::MAX - self.offset,
            _ => 0,
        }
    }

    /// Says whether the end of the archive was met: what follows is not part of it.
    pub fn is_at_end(&self) -> bool {
        matches!(self.state, State::End)
    }

    /// Goes over bytes as if they had been pushed; not more than are [`skippable`](Self::skippable).
    pub fn skip(&mut self, bytes: u64) {
        debug_assert!(bytes <= self.skippable(), "only data may be skipped");
        self.offset += bytes;
        if let State::Skip { rest } = &mut self.state {
            *rest -= bytes;
            if *rest == 0 {
                self.state = State::Header;
            }
        }
    }

    /// Says that no more bytes come; gives back how many there were.
    pub fn finish(self) -> Result<u64, ArchiveError> {
        let end = self.offset + self.partial.len() as u64;
        let what = match self.state {
            State::Header if !self.partial.is_empty() => "a header",
            State::Header if self.has_extension => return Err(Fault::Orphan.at(end)),
            // Two blocks of zeros should end an archive, but old writers leave them out.
            State::Header | State::End => return Ok(end),
            State::Extension { .. } => "an extended header",
            State::OldMap(_) | State::Map(..) => "the map of a sparse file",
            State::Skip { .. } | State::Keep(_) => "the data of a member",
        };
        Err(Fault::Truncated { what }.at(end))
    }

    /// Takes the bytes of one block, or what there is of it.
    fn push_block<E: From<ArchiveError>>(
        &mut self,
        bytes: &[u8],
        sink: &mut impl FnMut(Member) -> Result<(), E>,
    ) -> Result<usize, E> {
        if self.partial.is_empty()
            && let Some(block) = bytes.first_chunk::<BLOCK_SIZE>()
        {
            self.take_block(block, sink)?;
            return Ok(BLOCK_SIZE);
        }
        let taken = bytes.len().min(BLOCK_SIZE - self.partial.len());
        self.partial.extend_from_slice(&bytes[..taken]);
        let partial = mem::take(&mut self.partial);
        match partial.first_chunk::<BLOCK_SIZE>() {
            Some(block) => self.take_block(block, sink)?,
            None => self.partial = partial,
        }
        Ok(taken)
    }

    fn take_block<E: From<ArchiveError>>(
        &mut self,
        block: &[u8; BLOCK_SIZE],
        sink: &mut impl FnMut(Member) -> Result<(), E>,
    ) -> Result<(), E> {
        let at = self.offset;
        self.offset += BLOCK;
        let step = match mem::replace(&mut self.state, State::Header) {
            State::Extension { flag, body, size } => self.take_extension(flag, body, size, block),
            State::OldMap(draft) => self.take_old_map(*draft, block),
            State::Map(draft, reader) => self.take_map(*draft, reader, block),
            _ => self.take_header(Header(block), at),
        };
        let (state, member) = step.map_err(|fault| fault.at(at))?;
        self.state = state;
        member.map_or(Ok(()), sink)
    }

    fn take_header(&mut self, header: Header<'_>, at: u64) -> Step {
        if header.is_end() {
            return if self.has_extension { Err(Fault::Orphan) } else { Ok((State::End, None)) };
        }
        header.check()?;
        match header.flag() {
            flag @ (b'x' | b'X' | b'g' | b'L' | b'K') => self.start_extension(flag, header.size()?),
            // The label of a volume: about the archive, not in it.
            b'V' => Ok((self.skip_data(header.size()?)?, None)),
            flag => self.take_member(header, flag, at),
        }
    }

    fn start_extension(&mut self, flag: u8, size: u64) -> Step {
        if size > EXTENSION_LIMIT {
            return Err(Fault::TooLong { what: "extended header", size, limit: EXTENSION_LIMIT });
        }
        self.has_extension |= flag != b'g';
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        // An empty one has no block that could complete it.
        if size == 0 {
            return Ok((State::Header, None));
        }
        Ok((State::Extension { flag, body: Vec::with_capacity(size.next_multiple_of(BLOCK_SIZE)), size }, None))
    }

    fn take_extension(&mut self, flag: u8, mut body: Vec<u8>, size: usize, block: &[u8]) -> Step {
        body.extend_from_slice(block);
        if body.len() < size {
            return Ok((State::Extension { flag, body, size }, None));
        }
        body.truncate(size);
        match flag {
            b'L' => self.long_path = Some(text(&body).to_vec()),
            b'K' => self.long_link = Some(text(&body).to_vec()),
            b'g' => self.global.read(&body)?,
            // Of two headers before one member, the second stands alone: all readers have it so.
            _ => self.extension = Extension::of(&body)?,
        }
        Ok((State::Header, None))
    }

    fn take_member(&mut self, header: Header<'_>, flag: u8, at: u64) -> Step {
        self.has_extension = false;
        let mut extension = mem::take(&mut self.extension).over(&self.global);
        let long = (self.long_path.take(), self.long_link.take());
        let path = extension.sparse.name.take().or(extension.path.take()).or(long.0);
        let path = path.unwrap_or_else(|| header.path());
        let link = extension.link.take().or(long.1).unwrap_or_else(|| header.link().to_vec());
        let size = extension.size.map_or_else(|| header.size(), Ok)?;
        let member = Member {
            offset: at,
            kind: plan_kind(header, flag, &path, link, size, at)?,
            path,
            mode: header.mode()?,
            uid: owner(extension.uid.map_or_else(|| header.uid(), Ok)?, "owner")?,
            gid: owner(extension.gid.map_or_else(|| header.gid(), Ok)?, "group")?,
            mtime: extension.mtime.map_or_else(|| header.mtime().map(|seconds| Time { seconds, nanos: 0 }), Ok)?,
            xattrs: mem::take(&mut extension.xattrs),
        };
        extension.sparse.check(matches!(member.kind, MemberKind::File(_)))?;
        match member.kind {
            MemberKind::File(_) if flag == b'S' && !header.is_gnu() => {
                Err(Fault::Sparse { why: "its header is not of the format that has one" })
            }
            MemberKind::File(_) if flag == b'S' => self.start_old_sparse(header, member, size),
            MemberKind::File(_) if extension.sparse.real_size.is_some() => {
                self.start_pax_sparse(extension, member, size)
            }
            MemberKind::File(_) => Ok((self.skip_data(size)?, Some(member))),
            // GNU's incremental archives keep a directory's listing as its data.
            MemberKind::Directory if flag != b'5' => Ok((self.skip_data(size)?, Some(member))),
            _ => Ok((State::Header, Some(member))),
        }
    }

    fn start_old_sparse(&self, header: Header<'_>, member: Member, stored: u64) -> Step {
        let mut draft = Draft { member, map: Vec::new(), real_size: header.real_size()?, stored };
        parse_old_map(header.sparse_entries(), &mut draft.map)?;
        if header.has_more_entries() {
            return Ok((State::OldMap(Box::new(draft)), None));
        }
        self.start_sparse_data(draft, 0)
    }

    fn take_old_map(&self, mut draft: Draft, block: &[u8]) -> Step {
        parse_old_map(&block[..504], &mut draft.map)?;
        if block[504] != 0 {
            return Ok((State::OldMap(Box::new(draft)), None));
        }
        self.start_sparse_data(draft, 0)
    }

    fn start_pax_sparse(&self, extension: Extension, member: Member, stored: u64) -> Step {
        let real_size = extension.sparse.real_size.unwrap_or_default();
        let draft = Draft { member, map: extension.sparse.map, real_size, stored };
        if extension.sparse.major.is_some_and(|major| major >= 1) {
            return Ok((State::Map(Box::new(draft), MapReader::default()), None));
        }
        self.start_sparse_data(draft, 0)
    }

    fn take_map(&self, mut draft: Draft, mut reader: MapReader, block: &[u8]) -> Step {
        if !reader.read(block)? {
            return Ok((State::Map(Box::new(draft), reader), None));
        }
        draft.map = reader.map;
        // The map began in the block after the header.
        let taken = self.offset - draft.member.offset - BLOCK;
        self.start_sparse_data(draft, taken)
    }

    /// Decides how the file is kept, and which of its bytes have to be seen.
    fn start_sparse_data(&self, draft: Draft, taken: u64) -> Step {
        let Draft { mut member, map, real_size, stored } = draft;
        let stored = stored.checked_sub(taken).ok_or(Fault::Sparse { why: "it is longer than what is stored" })?;
        let file = SparseFile::plan(real_size, &map, self.offset, stored)?;
        let mut wanted = file.wanted().into_iter();
        let Some(next) = wanted.next() else {
            member.kind = MemberKind::File(Content::Sparse(Box::new(file)));
            return Ok((self.skip_data(stored)?, Some(member)));
        };
        self.skip_data(stored)?;
        let end = self.offset + stored;
        Ok((State::Keep(Box::new(Keep { member, file, wanted, next: Some(next), end })), None))
    }

    /// Goes over data and what pads it to a block.
    fn skip_data(&self, size: u64) -> Result<State, Fault> {
        let padded = size.checked_next_multiple_of(BLOCK).ok_or(Fault::Number { field: "size" })?;
        self.offset.checked_add(padded).ok_or(Fault::Number { field: "size" })?;
        Ok(skip(padded))
    }
}

impl Keep {
    /// Takes what is wanted out of the bytes that stand at `offset`; says how many belong to the file.
    fn take(&mut self, offset: u64, bytes: &[u8]) -> usize {
        let end = self.end.min(offset + bytes.len() as u64);
        let index = |position: u64| usize::try_from(position - offset).unwrap_or(usize::MAX);
        while let Some(next) = &self.next {
            let part = next.start.max(offset)..next.end.min(end);
            if part.start < part.end {
                self.file.keep(&bytes[index(part.start)..index(part.end)]);
            }
            if next.end > end {
                break;
            }
            self.next = self.wanted.next();
        }
        index(end)
    }

    /// Gives the member that is whole now.
    fn finish(self) -> Member {
        let mut member = self.member;
        member.kind = MemberKind::File(Content::Sparse(Box::new(self.file)));
        member
    }
}

fn skip(rest: u64) -> State {
    if rest == 0 { State::Header } else { State::Skip { rest } }
}

fn plan_kind(
    header: Header<'_>,
    flag: u8,
    path: &[u8],
    link: Vec<u8>,
    size: u64,
    at: u64,
) -> Result<MemberKind, Fault> {
    Ok(match flag {
        // Before there was a type for directories, a slash said it; some writers still say it so.
        0 | b'0' | b'7' if path.ends_with(b"/") => MemberKind::Directory,
        0 | b'0' | b'7' | b'S' => MemberKind::File(Content::Whole { size, offset: at + BLOCK }),
        b'1' => MemberKind::HardLink(link),
        b'2' => MemberKind::Symlink(link),
        b'3' => MemberKind::CharDevice(device(header)?),
        b'4' => MemberKind::BlockDevice(device(header)?),
        b'5' | b'D' => MemberKind::Directory,
        b'6' => MemberKind::Fifo,
        flag => return Err(Fault::Type { flag }),
    })
}

/// The kernel has 12 bits for the major number and 20 for the minor.
fn device(header: Header<'_>) -> Result<DeviceNumber, Fault> {
    let bounded = |number: u64, limit: u32| {
        u32::try_from(number).ok().filter(|&number| number < limit).ok_or(Fault::Number { field: "device number" })
    };
    let (major, minor) = header.device()?;
    Ok(DeviceNumber { major: bounded(major, 1 << 12)?, minor: bounded(minor, 1 << 20)? })
}

/// The largest number means "nobody" to the kernel and can own nothing.
fn owner(number: u64, field: &'static str) -> Result<u32, Fault> {
    u32::try_from(number).ok().filter(|&number| number != u32::MAX).ok_or(Fault::Number { field })
}

#[cfg(test)]
mod tests;
