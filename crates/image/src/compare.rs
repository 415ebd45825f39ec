//! What differs between two images, read from their indexes and layers: nothing is mounted, and nothing unpacked.
//!
//! Two files whose bytes lie at the same place of the same layer are the same, so images that share layers are compared
//! without a look at the data that they share.

use std::cmp::Ordering;
use std::fs::File;
use std::iter::Peekable;
use std::vec::IntoIter;

use oci::Digest;
use store::erofs::{Entry, Index, IndexError, Origin, Piece, ReadAt};
use store::{Image, Layer, Store, StoreError};
use sys::Calling;

use crate::differences::{Difference, DifferenceKind};

/// How much of two files is compared at once.
const BUFFER: usize = 128 << 10;

/// Why two images could not be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// An index is of no use.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A layer cannot be read.
    #[error("cannot read layer {0}")]
    Layer(Digest, #[source] sys::Error),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Lists in which files `image` differs from `base`, in order of their paths.
pub fn compare(store: &Store, base: &Image, image: &Image) -> Result<Vec<Difference>, CompareError> {
    differing(Side::open(store, &base.layers)?, Side::open(store, &image.layers)?)
}

/// Lists what the highest layer of an image changed of those below it, in order of the paths.
pub fn compare_with_parent(store: &Store, image: &Image) -> Result<Vec<Difference>, CompareError> {
    let below = image.layers.len().saturating_sub(1);
    differing(Side::open(store, &image.layers[..below])?, Side::open(store, &image.layers)?)
}

fn differing(before: Side, after: Side) -> Result<Vec<Difference>, CompareError> {
    let (old, new) = (before.index.root(), after.index.root());
    let mut comparison = Comparison { before, after, found: Vec::new() };
    if comparison.has_changed(old, new)? {
        comparison.found.push(Difference { path: Vec::new(), kind: DifferenceKind::Changed });
    }
    comparison.directories(b"", Some(old), Some(new))?;
    Ok(comparison.found)
}

/// A stack of layers.
struct Side {
    index: Index<File>,
    layers: Vec<(Digest, File)>,
}

struct Comparison {
    before: Side,
    after: Side,
    found: Vec<Difference>,
}

type Children = Peekable<IntoIter<(Vec<u8>, Entry)>>;

impl Side {
    fn open(store: &Store, layers: &[Layer]) -> Result<Self, CompareError> {
        let file = |layer: &Layer| {
            let opened = File::open(&layer.path).call(|| format!("open({})", layer.path.display()));
            Ok((layer.diff_id, opened.map_err(|error| CompareError::Layer(layer.diff_id, error))?))
        };
        let index = Index::open(store.index_over(layers)?)?;
        Ok(Self { index, layers: layers.iter().map(file).collect::<Result<_, CompareError>>()? })
    }

    /// Returns the names in a directory, sorted; where there is none, none.
    fn children(&self, directory: Option<Entry>) -> Result<Children, IndexError> {
        let children = directory.map(|directory| self.index.children(directory)).transpose()?;
        Ok(children.unwrap_or_default().into_iter().peekable())
    }

    fn layer(&self, number: u16) -> Result<&(Digest, File), IndexError> {
        self.layers.get(usize::from(number)).ok_or(IndexError::Damaged("a layer is missing"))
    }

    /// Reads from a file at an offset that lies in one of its pieces; `pieces` are those, in order.
    fn read(&self, pieces: &[Piece], offset: u64, buffer: &mut [u8]) -> Result<(), IndexError> {
        let (mut start, mut filled) = (0_u64, 0);
        for piece in pieces {
            let end = start.saturating_add(piece.length);
            let at = offset + filled as u64;
            if filled < buffer.len() && (start..end).contains(&at) {
                let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len() - filled);
                let (into, from) = (&mut buffer[filled..filled + length], piece.offset + (at - start));
                match piece.origin {
                    Origin::Hole => into.fill(0),
                    Origin::Index => self.index.read_at(into, from)?,
                    Origin::Layer(layer) => ReadAt::read_exact_at(&self.layer(layer)?.1, into, from)?,
                }
                filled += length;
            }
            start = end;
        }
        Ok(())
    }
}

impl Comparison {
    /// Compares what is in two directories, one of which may not be there.
    fn directories(&mut self, prefix: &[u8], old: Option<Entry>, new: Option<Entry>) -> Result<(), CompareError> {
        let (mut old, mut new) = (self.before.children(old)?, self.after.children(new)?);
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((a, _)), Some((b, _))) => a.cmp(b),
            };
            let gone = if order.is_le() { old.next() } else { None };
            let come = if order.is_ge() { new.next() } else { None };
            let name = gone.as_ref().or(come.as_ref()).map(|(name, _)| name.as_slice()).unwrap_or_default();
            let path = [prefix, name].concat();
            self.entries(path, gone.map(|(_, entry)| entry), come.map(|(_, entry)| entry))?;
        }
    }

    /// Compares what is at one path.
    fn entries(&mut self, path: Vec<u8>, old: Option<Entry>, new: Option<Entry>) -> Result<(), CompareError> {
        let kind = match (old, new) {
            (_, None) => DifferenceKind::Deleted,
            (None, Some(_)) => DifferenceKind::Added,
            (Some(_), Some(_)) => DifferenceKind::Changed,
        };
        let changed = match (old, new) {
            (Some(old), Some(new)) => self.has_changed(old, new)?,
            _ => true,
        };
        let directory = |entry: Option<Entry>| entry.filter(Entry::is_directory);
        let count = self.found.len();
        self.found.push(Difference { path: path.clone(), kind });
        // Of what is gone with its directory nothing is told.
        if let Some(new) = directory(new) {
            self.directories(&[&path, b"/".as_slice()].concat(), directory(old), Some(new))?;
        }
        if !changed && self.found.len() == count + 1 {
            self.found.pop();
        }
        Ok(())
    }

    /// Tells whether a file is another one. A directory's time changes with what is in it, and is not looked at.
    fn has_changed(&self, old: Entry, new: Entry) -> Result<bool, CompareError> {
        let attributes = |entry: Entry| {
            let own = if entry.is_directory() { None } else { Some((entry.mtime(), entry.size())) };
            (entry.mode(), entry.uid(), entry.gid(), entry.device(), own)
        };
        if attributes(old) != attributes(new) || self.before.index.xattrs(old)? != self.after.index.xattrs(new)? {
            return Ok(true);
        }
        if old.is_symlink() {
            return Ok(self.before.index.target(old)? != self.after.index.target(new)?);
        }
        Ok(old.is_file() && self.data_differs(old, new)?)
    }

    fn data_differs(&self, old: Entry, new: Entry) -> Result<bool, CompareError> {
        let (a, b) = (self.before.index.pieces(old)?, self.after.index.pieces(new)?);
        if a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| self.is_same_place(a, b)) {
            return Ok(false);
        }
        let (mut one, mut other) = (vec![0; BUFFER], vec![0; BUFFER]);
        let mut offset = 0;
        while offset < old.size() {
            let length = usize::try_from(old.size() - offset).unwrap_or(usize::MAX).min(BUFFER);
            self.before.read(&a, offset, &mut one[..length])?;
            self.after.read(&b, offset, &mut other[..length])?;
            if one[..length] != other[..length] {
                return Ok(true);
            }
            offset += length as u64;
        }
        Ok(false)
    }

    fn is_same_place(&self, old: &Piece, new: &Piece) -> bool {
        let layers = match (old.origin, new.origin) {
            (Origin::Hole, Origin::Hole) => return old.length == new.length,
            (Origin::Layer(old), Origin::Layer(new)) => (self.before.layer(old), self.after.layer(new)),
            _ => return false,
        };
        matches!(layers, (Ok((old, _)), Ok((new, _))) if old == new)
            && (old.offset, old.length) == (new.offset, new.length)
    }
}
