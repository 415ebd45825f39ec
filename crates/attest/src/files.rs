//! The files of an image, as far as a list of packages needs them.

use std::fs::File;

use oci::Digest;
use store::erofs::{Entry, Index, IndexError, ResolveError};
use store::{Image, Store, StoreError};
use sys::Calling;

/// A directory further down than this is not looked into: what is unpacked there was not put there by a package manager.
const DEEPEST: usize = 64;

/// Files of an image, whether they lie in a store or are made up by a test. Paths have no slash at their beginning.
pub trait ImageFiles {
    /// Lists the paths of all regular files. Symbolic links are not followed.
    fn paths(&self) -> Result<Vec<Vec<u8>>, FilesError>;

    /// Reads a regular file; symbolic links are followed within the image. There is nothing to read where there is no such file,
    /// or it is longer than `limit`.
    fn read(&self, path: &[u8], limit: u64) -> Result<Option<Vec<u8>>, FilesError>;
}

/// Why the files of an image cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// The index is of no use.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A layer cannot be read.
    #[error("cannot read layer {0}")]
    Layer(Digest, #[source] sys::Error),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The files of an image in the store, read from its index and its layers: nothing is mounted, and nothing unpacked.
#[derive(Debug)]
pub struct ImageTree {
    index: Index<File>,
    layers: Vec<File>,
}

impl ImageTree {
    /// Opens the index and the layers.
    pub fn open(store: &Store, image: &Image) -> Result<Self, FilesError> {
        let open = |layer: &store::Layer| {
            let opened = File::open(&layer.path).call(|| format!("open({})", layer.path.display()));
            opened.map_err(|error| FilesError::Layer(layer.diff_id, error))
        };
        let layers = image.layers.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { index: Index::open(store.index_over(&image.layers)?)?, layers })
    }

    fn collect(
        &self,
        directory: Entry,
        prefix: &[u8],
        depth: usize,
        paths: &mut Vec<Vec<u8>>,
    ) -> Result<(), FilesError> {
        for (name, entry) in self.index.children(directory)? {
            let path = if prefix.is_empty() { name } else { [prefix, b"/", &name].concat() };
            if entry.is_directory() && depth < DEEPEST {
                self.collect(entry, &path, depth + 1, paths)?;
            } else if entry.is_file() {
                paths.push(path);
            }
        }
        Ok(())
    }
}

impl ImageFiles for ImageTree {
    fn paths(&self) -> Result<Vec<Vec<u8>>, FilesError> {
        let mut paths = Vec::new();
        self.collect(self.index.root(), b"", 0, &mut paths)?;
        Ok(paths)
    }

    fn read(&self, path: &[u8], limit: u64) -> Result<Option<Vec<u8>>, FilesError> {
        match self.index.resolve(path) {
            Ok(file) if file.is_file() && file.size() <= limit => {
                Ok(Some(self.index.read(file, &self.layers, limit)?))
            }
            Ok(_) => Ok(None),
            Err(IndexError::Resolve(ResolveError::NotFound | ResolveError::NotADirectory | ResolveError::Loop)) => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Files that a test makes up.
#[cfg(test)]
#[derive(Debug, Default)]
pub(crate) struct Made(std::collections::BTreeMap<Vec<u8>, Vec<u8>>);

#[cfg(test)]
impl Made {
    pub(crate) fn with(mut self, path: &str, text: &str) -> Self {
        self.0.insert(path.into(), text.into());
        self
    }
}

#[cfg(test)]
impl ImageFiles for Made {
    fn paths(&self) -> Result<Vec<Vec<u8>>, FilesError> {
        Ok(self.0.keys().cloned().collect())
    }

    fn read(&self, path: &[u8], limit: u64) -> Result<Option<Vec<u8>>, FilesError> {
        Ok(self.0.get(path).filter(|bytes| bytes.len() as u64 <= limit).cloned())
    }
}
