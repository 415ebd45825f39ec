//! Where steps lie for others: a repository, or a directory that is laid out as the OCI says (image-spec, image-layout.md).

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use oci::{Digest, Platform, Reference};
use registry::{Repository, Version};
use serde_json::{Value, json};
use sys::Calling;

use super::CacheError;
use super::document::MANIFEST;
use crate::layout::{self, DEPTH, LayoutError, NAME, name_of};
use crate::manifest::{Descriptor, Document, Manifest, choose};
use crate::pull::read_config;

/// A place for steps.
#[derive(Debug)]
pub enum CachePlace<'c> {
    /// A tag of a repository.
    Registry {
        /// The repository.
        repository: Box<Repository<'c>>,
        /// The name that it was found by.
        name: Reference,
    },
    /// A directory.
    Directory(CacheDirectory),
}

/// A directory with steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheDirectory {
    /// Where it is.
    pub path: PathBuf,
    /// The name that the steps have in it.
    pub tag: String,
}

impl CachePlace<'_> {
    /// Reads the manifest for a machine, and its configuration.
    pub(super) fn documents(&self, wanted: &Platform) -> Result<(Manifest, Vec<u8>), CacheError> {
        let mut document = self.first()?;
        for _ in 0..DEPTH {
            match document {
                Document::Manifest(manifest) => {
                    let config = self.config(&manifest.config)?;
                    return Ok((manifest, config));
                }
                Document::Index(images) => document = self.document(choose(&images, wanted)?)?,
            }
        }
        Err(CacheError::NoSteps)
    }

    fn first(&self) -> Result<Document, CacheError> {
        match self {
            Self::Registry { repository, name } => Ok(Document::read(&repository.manifest(&Version::of(name))?.bytes)?),
            Self::Directory(directory) => {
                let entry = directory.entry()?;
                self.document(&entry)
            }
        }
    }

    fn document(&self, entry: &Descriptor) -> Result<Document, CacheError> {
        match self {
            Self::Registry { repository, .. } => {
                Ok(Document::read(&repository.manifest(&Version::Digest(entry.digest))?.bytes)?)
            }
            Self::Directory(directory) => Ok(Document::read(&layout::bytes(&directory.path, &entry.digest)?)?),
        }
    }

    fn config(&self, config: &Descriptor) -> Result<Vec<u8>, CacheError> {
        match self {
            Self::Registry { repository, name } => Ok(read_config(repository, name, config)?),
            Self::Directory(directory) => Ok(layout::bytes(&directory.path, &config.digest)?),
        }
    }

    /// Opens the bytes of a layer.
    pub(super) fn open(&self, blob: &Descriptor) -> Result<Box<dyn Read + '_>, CacheError> {
        match self {
            Self::Registry { repository, .. } => Ok(Box::new(repository.blob(&blob.digest, blob.size)?)),
            Self::Directory(directory) => Ok(Box::new(layout::open(&directory.path, blob)?)),
        }
    }

    /// Tells whether a blob is there already.
    pub(super) fn has(&self, blob: &Descriptor) -> Result<bool, CacheError> {
        match self {
            Self::Registry { repository, .. } => Ok(repository.has_blob(&blob.digest)?),
            Self::Directory(directory) => {
                Ok(directory.blob(&blob.digest).metadata().is_ok_and(|found| found.len() == blob.size))
            }
        }
    }

    /// Puts a file there, as a blob.
    pub(super) fn put(&self, blob: &Descriptor, file: &Path) -> Result<(), CacheError> {
        match self {
            Self::Registry { repository, .. } => {
                use std::io::{Seek, SeekFrom};
                let open = |at: u64| {
                    let mut file = File::open(file)?;
                    file.seek(SeekFrom::Start(at))?;
                    Ok(file)
                };
                Ok(repository.upload(&blob.digest, blob.size, open)?)
            }
            Self::Directory(directory) => directory.place(&blob.digest, |out| {
                let mut file = File::open(file)?;
                // From file to file the kernel copies, or lets both have the same blocks.
                io::copy(&mut file, out).map(drop)
            }),
        }
    }

    /// Announces the documents; returns the manifest's digest.
    pub(super) fn announce(&self, config: &[u8], manifest: &[u8]) -> Result<Digest, CacheError> {
        match self {
            Self::Registry { repository, name } => {
                let digest = Digest::of(config);
                if !repository.has_blob(&digest)? {
                    let open =
                        |at: u64| Ok(config.get(usize::try_from(at).unwrap_or(usize::MAX)..).unwrap_or_default());
                    repository.upload(&digest, config.len() as u64, open)?;
                }
                Ok(repository.put_manifest(&Version::of(name), MANIFEST, manifest)?)
            }
            Self::Directory(directory) => {
                for bytes in [config, manifest] {
                    directory.place(&Digest::of(bytes), |out| io::Write::write_all(out, bytes))?;
                }
                directory.name(manifest)?;
                Ok(Digest::of(manifest))
            }
        }
    }
}

impl CacheDirectory {
    fn blob(&self, digest: &Digest) -> PathBuf {
        layout::blob(&self.path, digest)
    }

    /// Finds what has our name; where nothing has one, the only thing there is.
    fn entry(&self) -> Result<Descriptor, CacheError> {
        let entries = layout::entries(&self.path)?;
        let found = match (entries.iter().find(|entry| name_of(entry) == Some(self.tag.as_str())), &entries[..]) {
            (Some(named), _) => Some(named),
            (None, [only]) if name_of(only).is_none() => Some(only),
            (None, _) => None,
        };
        found.cloned().ok_or_else(|| {
            let known = entries.iter().filter_map(name_of).map(ToOwned::to_owned).collect();
            let directory = self.path.display().to_string();
            LayoutError::Nothing { directory, name: self.tag.clone(), known }.into()
        })
    }

    /// Writes a blob, which has its name when it is whole.
    fn place(&self, digest: &Digest, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), CacheError> {
        self.put(&self.blob(digest), write)
    }

    fn put(&self, path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), CacheError> {
        let directory = path.parent().unwrap_or(&self.path);
        fs::create_dir_all(directory).call(|| format!("mkdir({})", directory.display()))?;
        let written = sys::file::write_whole(
            path,
            |error| error,
            |file| write(file).call(|| format!("write({})", path.display())),
        );
        Ok(written?)
    }

    /// Gives our name to a manifest; what has other names stays.
    fn name(&self, manifest: &[u8]) -> Result<(), CacheError> {
        let known = layout::read(&self.path.join("index.json")).ok();
        let known: Value = known.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let index = serde_json::to_vec(&with_entry(&known, &self.tag, manifest))?;
        let layout = json!({ "imageLayoutVersion": "1.0.0" }).to_string();
        self.put(&self.path.join("oci-layout"), |out| io::Write::write_all(out, layout.as_bytes()))?;
        self.put(&self.path.join("index.json"), |out| io::Write::write_all(out, &index))
    }
}

fn with_entry(index: &Value, tag: &str, manifest: &[u8]) -> Value {
    let known = index.get("manifests").and_then(Value::as_array).cloned().unwrap_or_default();
    let is_other = |entry: &Value| entry.get("annotations").and_then(|all| all.get(NAME)) != Some(&tag.into());
    let mut entries: Vec<_> = known.into_iter().filter(is_other).collect();
    entries.push(json!({
        "mediaType": MANIFEST, "digest": Digest::of(manifest).to_string(), "size": manifest.len(),
        "annotations": { NAME: tag },
    }));
    json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_holds_several_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let of = |tag: &str| CacheDirectory { path: directory.path().join("cache"), tag: tag.to_owned() };
        assert!(matches!(CachePlace::Directory(of("a")).first(), Err(CacheError::Layout(_))));
        for (tag, manifest) in [("a", &b"one"[..]), ("b", b"two"), ("a", b"three")] {
            CachePlace::Directory(of(tag)).announce(b"config", manifest).unwrap();
        }
        let found = |tag: &str| of(tag).entry().ok().map(|entry| entry.digest);
        assert_eq!(found("a"), Some(Digest::of(b"three")));
        assert_eq!(found("b"), Some(Digest::of(b"two")));
        assert_eq!(found("c"), None);
        let bytes = |digest: &Digest| layout::bytes(&of("a").path, digest);
        assert_eq!(bytes(&Digest::of(b"three")).unwrap(), b"three");
        fs::write(of("a").blob(&Digest::of(b"three")), "other").unwrap();
        assert!(matches!(bytes(&Digest::of(b"three")), Err(LayoutError::Damaged { .. })));
    }
}
