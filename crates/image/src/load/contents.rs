//! What is in an archive: documents in memory, and layers in the store's work.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};

use oci::{Digest, Hasher};
use store::archive::{ArchiveError, Content, Member, MemberKind, Parser};
use store::{Layer, Work};

use super::LoadError;
use crate::belt::fill;
use crate::compression::{Compression, look, refusal};
use crate::manifest::Descriptor;
use crate::pour::{PourError, pour};
use crate::progress::{News, TransferProgress, Watched};

/// What an archive holds, by path.
#[derive(Debug, Default)]
pub(super) struct Contents {
    files: BTreeMap<String, File>,
    /// Paths that lead to other paths: a layer that several images have stands once in some archives.
    links: BTreeMap<String, String>,
    /// How much memory the documents and names take.
    held: usize,
}

#[derive(Debug)]
enum File {
    /// It is small and begins as JSON does. It may be a layer all the same.
    Document(Vec<u8>),
    Layer(Stored),
    /// It was no layer that could be read, which matters only if somebody names it.
    Broken(String),
}

impl File {
    /// Returns how much memory it takes.
    fn held(&self) -> usize {
        if let Self::Document(bytes) = self { bytes.len() } else { 0 }
    }
}

/// A layer in the work, and the bytes by which it came.
#[derive(Debug, Clone)]
struct Stored {
    digest: Digest,
    size: u64,
    layer: Layer,
}

/// The largest document that is taken: the limit that registries have for manifests (distribution-spec, "Pushing Manifests").
const LARGEST_DOCUMENT: u64 = 4 << 20;
/// How much all documents and names may take together.
const MOST: usize = 32 << 20;
/// What keeping a name costs beside its length.
const OVERHEAD: usize = 128;
/// How often a link may lead to a link.
const LINKS: usize = 8;

impl Contents {
    /// Reads an archive to its end.
    pub(super) fn read(
        mut source: impl BufRead,
        work: &mut Work,
        progress: &dyn TransferProgress,
    ) -> Result<Self, LoadError> {
        let (mut contents, mut parser) = (Self::default(), Parser::new());
        let mut block = [0; 512];
        while !parser.is_at_end() {
            let ahead = usize::try_from(parser.skippable()).unwrap_or(usize::MAX);
            let wanted = if ahead == 0 { block.len() } else { ahead.min(block.len()) };
            let length = fill(&mut source, &mut block[..wanted]).map_err(LoadError::Read)?;
            let mut found = None;
            let mut keep = |member| {
                found = Some(member);
                Ok::<_, ArchiveError>(())
            };
            parser.push(&block[..length], &mut keep)?;
            if length < wanted {
                parser.finish()?;
                break;
            }
            if let Some(member) = found
                && !contents.take(member, &mut source, &mut parser, (work, progress))?
            {
                // It breaks off in there, and the parser knows how to say so.
                parser.finish()?;
                break;
            }
        }
        // To its end, with what pads it: whoever writes a pipe is not to find it closed, and what is compressed has its
        // checksum there.
        io::copy(&mut source, &mut io::sink()).map_err(LoadError::Read)?;
        Ok(contents)
    }

    /// Takes a member with its data; tells whether all of that came.
    fn take(
        &mut self,
        member: Member,
        source: &mut impl BufRead,
        parser: &mut Parser,
        (work, progress): (&mut Work, &dyn TransferProgress),
    ) -> Result<bool, LoadError> {
        let path = plain(&String::from_utf8_lossy(&member.path));
        self.held += path.len() + OVERHEAD;
        match member.kind {
            MemberKind::Symlink(target) => {
                self.held += target.len();
                let target = beside(&path, &String::from_utf8_lossy(&target));
                self.links.insert(path, target);
            }
            MemberKind::HardLink(target) => {
                self.held += target.len();
                self.links.insert(path, plain(&String::from_utf8_lossy(&target)));
            }
            MemberKind::File(Content::Whole { size, .. }) => {
                let mut data = Watched { source: source.take(size), layer: label(&path), progress };
                let file = read_file(&mut data, size, work)?;
                io::copy(&mut data, &mut io::sink()).map_err(LoadError::Read)?;
                if data.source.limit() > 0 {
                    return Ok(false);
                }
                parser.skip(size);
                self.held += file.held();
                self.files.insert(path, file);
            }
            MemberKind::File(Content::Sparse(_)) => {
                self.files.insert(path, File::Broken("it is a sparse file".to_owned()));
            }
            _ => {}
        }
        if self.held > MOST { Err(LoadError::TooMuch(MOST)) } else { Ok(true) }
    }

    /// Returns a document by its path; `None` when there is none.
    pub(super) fn document(&self, path: &str) -> Option<&[u8]> {
        match self.find(path)? {
            File::Document(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Returns a document by its digest, which it has.
    pub(super) fn blob(&self, wanted: &Descriptor) -> Result<&[u8], LoadError> {
        let name = wanted.digest.to_string();
        let bytes = self.document(&blob_path(&wanted.digest)).ok_or(LoadError::Missing { name })?;
        check(wanted, Digest::of(bytes), bytes.len() as u64).map(|()| bytes)
    }

    /// Returns a layer, which has the digest that it is asked for by, if it is.
    pub(super) fn layer(&self, path: &str, blob: Option<&Descriptor>, work: &mut Work) -> Result<Layer, LoadError> {
        let name = || path.to_owned();
        let stored = match self.find(path).ok_or_else(|| LoadError::Missing { name: name() })? {
            File::Layer(stored) => stored.clone(),
            File::Document(bytes) => {
                let start = &bytes[..bytes.len().min(512)];
                store_layer(start, &mut &bytes[..], work).map_err(|fault| fault.named(path))?
            }
            File::Broken(reason) => return Err(LoadError::Layer { name: name(), reason: reason.clone() }),
        };
        blob.map_or(Ok(()), |blob| check(blob, stored.digest, stored.size))?;
        Ok(stored.layer)
    }

    fn find(&self, path: &str) -> Option<&File> {
        let mut path = plain(path);
        for _ in 0..LINKS {
            match self.links.get(&path) {
                Some(target) => path.clone_from(target),
                None => break,
            }
        }
        self.files.get(&path)
    }
}

/// Returns where the image layout has the bytes of a digest (image-spec, image-layout.md).
pub(super) fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn check(wanted: &Descriptor, actual: Digest, length: u64) -> Result<(), LoadError> {
    if wanted.digest == actual && wanted.size == length {
        return Ok(());
    }
    Err(LoadError::Damaged { name: format!("{} ({} bytes)", wanted.digest, wanted.size), actual, length })
}

/// Why the bytes of a file did not become a layer.
enum Fault {
    Unreadable(io::Error),
    Load(LoadError),
}

impl Fault {
    fn named(self, path: &str) -> LoadError {
        match self {
            Self::Unreadable(error) => LoadError::Layer { name: path.to_owned(), reason: error.to_string() },
            Self::Load(error) => error,
        }
    }
}

fn read_file(source: &mut Watched<'_, impl BufRead>, size: u64, work: &mut Work) -> Result<File, LoadError> {
    let (label, progress) = (source.layer.clone(), source.progress);
    let (start, mut source) = look(source).map_err(LoadError::Read)?;
    if matches!(start.first(), None | Some(b'{' | b'[')) && size <= LARGEST_DOCUMENT {
        let mut bytes = Vec::new();
        source.read_to_end(&mut bytes).map_err(LoadError::Read)?;
        return Ok(File::Document(bytes));
    }
    if let Some(reason) = refusal(&start) {
        return Ok(File::Broken(reason));
    }
    progress.tell(&label, News::Begun(size));
    match store_layer(&start, &mut source, work) {
        Ok(stored) => {
            progress.tell(&label, News::Done);
            Ok(File::Layer(stored))
        }
        // If it is the archive that broke off, its next header cannot be read either.
        Err(Fault::Unreadable(error)) => {
            progress.tell(&label, News::Broken);
            Ok(File::Broken(error.to_string()))
        }
        Err(Fault::Load(error)) => Err(error),
    }
}

/// Writes a layer that begins so, unpacked, into the work.
fn store_layer(start: &[u8], source: &mut impl BufRead, work: &mut Work) -> Result<Stored, Fault> {
    if let Some(reason) = refusal(start) {
        return Err(Fault::Unreadable(io::Error::other(reason)));
    }
    let compression = Compression::of(start);
    let mut hashing = Hashing { source, hasher: (compression != Compression::None).then(Hasher::default), size: 0 };
    let mut writer = work.layer().map_err(|error| Fault::Load(error.into()))?;
    let mut plain = compression.take_off(&mut hashing).map_err(Fault::Unreadable)?;
    pour(&mut plain, &mut writer).map_err(|error| match error {
        PourError::Source(error) => Fault::Unreadable(error),
        PourError::Store(error) => Fault::Load(error.into()),
    })?;
    drop(plain);
    let layer = work.finish(writer).map_err(|error| Fault::Load(error.into()))?;
    let digest = hashing.hasher.map_or(layer.diff_id, Hasher::finish);
    Ok(Stored { digest, size: hashing.size, layer })
}

/// Returns what a layer is called before its digest is known: by its own name, or by its directory's, as in `ID/layer.tar`.
fn label(path: &str) -> String {
    let part = path.rsplit('/').find(|part| *part != "layer.tar").unwrap_or(path);
    part.chars().take(12).collect()
}

/// Counts what is read, and hashes it unless the layer's own hash is the same.
struct Hashing<'s, S> {
    source: &'s mut S,
    hasher: Option<Hasher>,
    size: u64,
}

impl<S: BufRead> Read for Hashing<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let length = bytes.len().min(buffer.len());
        buffer[..length].copy_from_slice(&bytes[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl<S: BufRead> BufRead for Hashing<'_, S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.source.fill_buf()
    }

    fn consume(&mut self, length: usize) {
        if length == 0 {
            return;
        }
        // What is consumed has been looked at, so this reads nothing.
        if let (Some(hasher), Ok(bytes)) = (&mut self.hasher, self.source.fill_buf()) {
            hasher.update(&bytes[..length.min(bytes.len())]);
        }
        self.size += length as u64;
        self.source.consume(length);
    }
}

/// Returns a path as it is looked up: without what leads nowhere. Nothing is ever opened by it.
fn plain(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Returns where a symbolic link at `path` leads.
fn beside(path: &str, target: &str) -> String {
    match path.rsplit_once('/') {
        Some((directory, _)) if !target.starts_with('/') => plain(&format!("{directory}/{target}")),
        _ => plain(target),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_beside_themselves() {
        assert_eq!(plain("./a//b/../c"), "a/c");
        assert_eq!(beside("one/layer.tar", "../two/layer.tar"), "two/layer.tar");
        assert_eq!(beside("layer.tar", "two/layer.tar"), "two/layer.tar");
        assert_eq!(plain("../../etc/passwd"), "etc/passwd");
    }

    #[test]
    fn a_layer_is_called_by_what_tells_it_from_others() {
        assert_eq!(label("blobs/sha256/0123456789abcdef"), "0123456789ab");
        assert_eq!(label("fedcba9876543210/layer.tar"), "fedcba987654");
        assert_eq!(label("layer.tar"), "layer.tar");
        assert_eq!(label("öäüöäüöäüöäüöäü"), "öäüöäüöäüöäü");
    }

    #[test]
    fn what_is_read_is_counted_and_hashed_once() {
        let bytes = vec![7; 300_000];
        let mut source = io::BufReader::with_capacity(1000, &bytes[..]);
        let mut hashing = Hashing { source: &mut source, hasher: Some(Hasher::default()), size: 0 };
        let mut read = Vec::new();
        hashing.read_to_end(&mut read).unwrap();
        assert_eq!((read.len(), hashing.size), (300_000, 300_000));
        assert_eq!(hashing.hasher.unwrap().finish(), Digest::of(&bytes));
    }
}
