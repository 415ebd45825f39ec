//! Where each thing of the store lies. Pure: it joins paths and looks at none of them.

use std::path::{Path, PathBuf};

use oci::{Digest, Reference};

use crate::ChainId;

/// The paths below a store's root; the tree is drawn in the crate's documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Lays a store out below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Returns the root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns every directory that a writer expects, outermost first.
    pub(crate) fn directories(&self) -> [PathBuf; 9] {
        let below = |path: &str| self.root.join(path);
        [
            self.root.clone(),
            below("blobs"),
            self.blobs(),
            below("layers"),
            self.layers(),
            self.indexes(),
            self.images(),
            self.names(),
            self.tmp(),
        ]
    }

    /// Returns the directory of documents.
    pub fn blobs(&self) -> PathBuf {
        self.root.join("blobs/sha256")
    }

    /// Returns the place of a document.
    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    /// Returns the directory of layers.
    pub fn layers(&self) -> PathBuf {
        self.root.join("layers/sha256")
    }

    /// Returns the place of a layer.
    pub fn layer(&self, diff_id: &Digest) -> PathBuf {
        self.layers().join(diff_id.hex())
    }

    /// Returns the directory of what is known of compressed layers.
    pub fn compressed(&self) -> PathBuf {
        self.root.join("compressed")
    }

    /// Returns the place of what is known of one compressed form of a layer: either digest is found by listing names.
    pub fn compressed_form(&self, layer: &Digest, digest: &Digest) -> PathBuf {
        self.compressed().join(format!("{}+{}", layer.hex(), digest.hex()))
    }

    /// Returns the directory of indexes.
    pub fn indexes(&self) -> PathBuf {
        self.root.join("indexes")
    }

    /// Returns the place of the index over a chain of layers.
    pub fn index(&self, chain: &ChainId) -> PathBuf {
        self.indexes().join(index_file(chain))
    }

    /// Returns the directory of unpacked images; it is there once an image was unpacked.
    pub fn trees(&self) -> PathBuf {
        self.root.join("trees")
    }

    /// Returns the place of the tree unpacked from a chain of layers.
    pub fn tree(&self, chain: &ChainId) -> PathBuf {
        self.trees().join(chain.digest().hex())
    }

    /// Returns a place for a tree on its way out; one of the same chain may be there still, so `word` is to be a new one.
    pub(crate) fn retired(&self, tree: &str, word: &str) -> PathBuf {
        self.tmp().join(format!("retired-{tree}-{word}"))
    }

    /// Returns the directory in which a chain of layers is being unpacked.
    pub(crate) fn unpacking(&self, chain: &ChainId) -> PathBuf {
        self.tmp().join(format!("unpack-{}", chain.digest().hex()))
    }

    /// Returns the directory of image records.
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// Returns the place of an image's record.
    pub fn record(&self, id: &Digest) -> PathBuf {
        self.images().join(id.hex())
    }

    /// Returns the directory of names.
    pub fn names(&self) -> PathBuf {
        self.root.join("names")
    }

    /// Returns the directory of the names of one repository.
    pub fn repository(&self, name: &Reference) -> PathBuf {
        self.names().join(repository_directory(name))
    }

    /// Returns the place of a name: a link to the image's record. No tag contains a ':', and each digest does.
    pub fn name(&self, name: &Reference) -> PathBuf {
        let last = match (name.digest(), name.tag()) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.unwrap_or_default().to_owned(),
        };
        self.repository(name).join(last)
    }

    /// Returns the directory of lists of images; it is there once there was one.
    pub fn lists(&self) -> PathBuf {
        self.root.join("lists")
    }

    /// Returns the place of a list, which is named as an image is.
    pub fn list(&self, name: &Reference) -> PathBuf {
        let repository = self.lists().join(repository_directory(name));
        repository.join(name.tag().unwrap_or_default())
    }

    /// Returns the directory of what builds keep.
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// Returns the directory of the steps that were built.
    pub(crate) fn cached_steps(&self) -> PathBuf {
        self.cache().join("steps")
    }

    /// Returns the place of a step's record.
    pub(crate) fn cached_step(&self, key: &Digest) -> PathBuf {
        self.cached_steps().join(key.hex())
    }

    /// Returns the directory of cache mounts.
    pub(crate) fn cache_mounts(&self) -> PathBuf {
        self.cache().join("mounts")
    }

    /// Returns the directory of what is known of contexts.
    pub(crate) fn contexts(&self) -> PathBuf {
        self.cache().join("contexts")
    }

    /// Returns the directory of what builds fetched from elsewhere.
    pub(crate) fn fetched(&self) -> PathBuf {
        self.cache().join("fetched")
    }

    /// Returns the directory of writable layers.
    pub fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    /// Returns the directory of work in flight.
    pub fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Returns where a name is made before it is put into its place.
    pub(crate) fn beside_name(&self) -> PathBuf {
        self.tmp().join("name")
    }

    /// Returns the file that writers lock.
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }
}

/// Returns the name of a repository as that of a directory.
///
/// No name contains a '+', so it reads back in one way; a name of 255 characters is a file name as long.
fn repository_directory(name: &Reference) -> String {
    name.repository().replace('/', "+")
}

/// Returns the file name of the index over a chain of layers.
pub(crate) fn index_file(chain: &ChainId) -> String {
    format!("{}.erofs", chain.digest().hex())
}

/// Reads a name back from the two file names that [`Layout::name`] makes of it.
pub(crate) fn parse_name(repository: &str, last: &str) -> Option<Reference> {
    let repository = repository.replace('+', "/");
    let separator = if last.contains(':') { '@' } else { ':' };
    format!("{repository}{separator}{last}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_one_file_and_reads_back_from_it() {
        let hex = Digest::of(b"").hex();
        let layout = Layout::new("/s");
        for (text, file) in [
            ("mydebian", "/s/names/docker.io+library+mydebian/latest".to_owned()),
            ("conductor/hello:1", "/s/names/docker.io+conductor+hello/1".to_owned()),
            ("localhost:5000/a/b:V2", "/s/names/localhost:5000+a+b/V2".to_owned()),
            (&format!("a@sha256:{hex}"), format!("/s/names/docker.io+library+a/sha256:{hex}")),
        ] {
            let name: Reference = text.parse().unwrap();
            let path = layout.name(&name);
            assert_eq!(path.to_str(), Some(file.as_str()));
            let part = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
            assert_eq!(parse_name(&part(path.parent().unwrap()), &part(&path)), Some(name));
        }
    }
}
