//! The store: where it is, and who may change it at the moment.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sys::Calling;
use trace::Recorder;

use crate::error::Doing;
use crate::sweep::Lately;
use crate::{Cache, Images, Layout, Lists, StoreError, Work, file};

/// The images, layers and scratch directories below one root directory.
///
/// ```no_run
/// use store::{Store, snapshot};
///
/// let store = Store::open("/var/lib/conductor".as_ref());
/// let image = store.images().resolve("mydebian")?;
/// let view = snapshot::shared_view(&image, "/run/conductor".as_ref(), &trace::Recorder::silent())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Store {
    layout: Layout,
    largest_layer: u64,
}

/// How long a layer may become that is being written: something that unpacks to more has been made to fill a disk.
pub const LARGEST_LAYER: u64 = 64 << 30;

/// Whether content must outlive a power failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It is on the disk before its name is announced.
    Durable,
    /// It can be made anew at once, and whoever made it checks it before use.
    Remakeable,
}

/// The right to change content, records and names, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Locked {
    _file: File,
}

impl Store {
    /// Opens the store below `root`. Nothing is made or read yet: a store that does not exist is an empty one.
    pub fn open(root: &Path) -> Self {
        // Paths go to the kernel as mount sources, and to steps as something to type elsewhere.
        let root = std::path::absolute(root).unwrap_or_else(|_| PathBuf::from(root));
        Self { layout: Layout::new(root), largest_layer: LARGEST_LAYER }
    }

    /// Returns the store with another bound to the length of new layers.
    #[must_use]
    pub fn with_largest_layer(self, largest_layer: u64) -> Self {
        Self { largest_layer, ..self }
    }

    pub(crate) fn largest_layer(&self) -> u64 {
        self.largest_layer
    }

    /// Returns the paths of the store.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Returns the images.
    pub fn images(&self) -> Images<'_> {
        Images::new(self)
    }

    /// Returns the lists of images.
    pub fn lists(&self) -> Lists<'_> {
        Lists::new(self)
    }

    /// Returns what builds keep to be faster the next time.
    pub fn cache(&self) -> Cache<'_> {
        Cache::new(self)
    }

    /// Begins to add to the store; what was left by those who died doing so is removed.
    pub fn begin(&self, durability: Durability) -> Result<Work, StoreError> {
        Work::begin(self, durability)
    }

    /// Removes what died with its owner, and content that belongs to no image.
    pub fn sweep(&self, recorder: &Recorder) -> Result<(), StoreError> {
        self.ensure()?;
        crate::sweep::sweep(self, Lately::Keep, recorder)
    }

    /// Makes the directories that writers expect.
    pub(crate) fn ensure(&self) -> Result<(), StoreError> {
        let root = self.layout.root();
        let doing = || format!("set up a store in {}", root.display());
        // With the innermost made last, its presence stands for all.
        if self.layout.tmp().is_dir() {
            return Ok(());
        }
        if let Some(parent) = root.parent() {
            std::fs::create_dir_all(parent).call(|| format!("mkdir({})", parent.display())).doing(doing)?;
        }
        self.layout.directories().iter().try_for_each(|path| file::ensure_directory(path)).doing(doing)
    }

    /// Waits for the right to change content, records and names.
    pub(crate) fn lock(&self) -> Result<Locked, StoreError> {
        let path = self.layout.lock();
        let doing = || format!("lock the store in {}", self.layout.root().display());
        let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let lock = opened.call(|| format!("open({}, O_WRONLY|O_CREAT, 0600)", path.display())).doing(doing)?;
        sys::file::lock(&lock).doing(doing)?;
        // A name is made by one at a time, so one that is there was never put into its place.
        file::unlink(&self.layout.beside_name()).doing(doing)?;
        Ok(Locked { _file: lock })
    }
}
