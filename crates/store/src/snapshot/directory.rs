//! The unpacked tree of an image: made at the first use, held by those who use it.
//!
//! ```text
//!  view      open trees/<chain> ─ flock(LOCK_SH) ─ still that name? ─ open_tree ─ read-only
//!  no tree   tmp/unpack-<chain> ─ flock(LOCK_EX), waiting ─ unpack ─ syncfs ─ rename to trees/<chain>
//!  removal   rename to tmp/<work> ─ flock(LOCK_EX), not waiting ─ remove, or leave it to the next writer
//! ```
//!
//! Nothing says that a tree is whole but its name, and nothing that it is used but the locks on the directory itself. A tree
//! whose image is removed loses its name at once, and goes when the last view of it has gone.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use sys::Calling;
use sys::mount::{self, Attributes, MountAttrFlags};
use trace::{Explain, Recorder, Step, quote};

use super::{Hold, Origin, Snapshotter, View, ViewError};
use crate::error::Doing;
use crate::removal::remove_tree;
use crate::unpack::{self, Ability, UnpackError};
use crate::{ChainId, Image, Store, StoreError, erofs, file};

/// How often a tree that vanishes between two looks is looked for again.
const ATTEMPTS: u32 = 16;

/// Unpacks images into directories, and mounts these.
#[derive(Debug)]
pub(super) struct Directories {
    store: Store,
}

/// What is done for a view.
#[derive(Debug)]
enum TreeStep<'a> {
    Unpack { image: &'a Image, tree: &'a Path },
    Mount { tree: &'a Path },
}

impl Directories {
    /// Names the store that the trees lie in.
    pub(super) fn new(store: &Store) -> Self {
        Self { store: store.clone() }
    }
}

impl Snapshotter for Directories {
    fn view(&self, image: &Image, recorder: &Recorder) -> Result<View, ViewError> {
        let tree = self.store.layout().tree(&image.chain);
        for _ in 0..ATTEMPTS {
            if let Some(directory) = hold(&tree)? {
                return mount_tree(image, &tree, directory, recorder);
            }
            self.unpack(image, &tree, recorder)?;
        }
        // Somebody removes it as fast as we make it.
        Err(ViewError::Incomplete { image: image.id.short(), path: tree })
    }
}

impl Directories {
    /// Unpacks an image, unless another process has done so while we waited for it.
    fn unpack(&self, image: &Image, tree: &Path, recorder: &Recorder) -> Result<(), ViewError> {
        let workplace = Workplace::enter(&self.store, &image.chain)?;
        if tree.exists() {
            return Ok(());
        }
        recorder.record(&TreeStep::Unpack { image, tree });
        let tars = open_layers(image)?;
        let made = fill(&tars, &workplace.directory).and_then(|()| self.put_in_place(&workplace, tree));
        made.map_err(|source| ViewError::Unpack { image: image.id.short(), source })
    }

    /// Gives the tree its name, once it is on the disk.
    fn put_in_place(&self, workplace: &Workplace, tree: &Path) -> Result<(), UnpackError> {
        let trees = self.store.layout().trees();
        let put = || {
            rustix::fs::syncfs(&workplace.directory).call(|| "syncfs(store)")?;
            file::ensure_directory(&trees)?;
            file::rename(&workplace.path.join(unpack::TREE), tree)?;
            file::sync_directory(&trees)
        };
        put().map_err(|source| UnpackError::Around { doing: "put the tree into its place", source })
    }
}

/// Unpacks the layers, merged, into a directory.
fn fill(tars: &[File], directory: &File) -> Result<(), UnpackError> {
    let mut tree = erofs::Tree::new();
    tars.iter().try_for_each(|tar| tree.add_layer(tar).map(drop))?;
    let plan = unpack::plan(&tree, ability());
    if plan.left_out > 0 {
        let count = plan.left_out;
        tracing::warn!(count, "devices and attributes of the image need the host's root, and are left out");
    }
    unpack::unpack(&plan, tars, directory)
}

/// Opens a tree and keeps it from being removed; `None` when there is none, or it is just being removed.
fn hold(tree: &Path) -> Result<Option<File>, ViewError> {
    let doing = || format!("open the tree {}", tree.display());
    let directory = match File::open(tree) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.call(|| format!("open({})", tree.display())).doing(doing)?,
    };
    let held = sys::file::try_share(&directory).doing(doing)?;
    // Once it is held, what has the name stays; what has lost it may be half gone.
    Ok((held && is_at(&directory, tree)).then_some(directory))
}

fn is_at(directory: &File, path: &Path) -> bool {
    let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    let (ours, named) = (directory.metadata().map(identity), path.symlink_metadata().map(identity));
    matches!((ours, named), (Ok(ours), Ok(named)) if ours == named)
}

fn mount_tree(image: &Image, tree: &Path, directory: File, recorder: &Recorder) -> Result<View, ViewError> {
    recorder.record(&TreeStep::Mount { tree });
    let mounted = || {
        let mount = mount::clone_tree(&directory, false)?;
        let set = MountAttrFlags::MOUNT_ATTR_RDONLY;
        mount::set_attributes(&mount, &Attributes { set, ..Attributes::default() }, false)?;
        Ok(mount)
    };
    let mount = mounted().map_err(|source| ViewError::Mount { image: image.id.short(), source })?;
    let hold = Hold { lock: directory.into(), directory: tree.to_owned() };
    Ok(View { hold: Some(hold), ..View::new(mount, Origin::Directory) })
}

fn open_layers(image: &Image) -> Result<Vec<File>, ViewError> {
    let open = |path: &PathBuf| match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(ViewError::Incomplete { image: image.id.short(), path: path.clone() })
        }
        opened => Ok(opened.call(|| format!("open({})", path.display())).doing(|| "read a layer")?),
    };
    image.layers.iter().map(|layer| open(&layer.path)).collect()
}

/// Root of a user namespace has not the rights of the host's: there the kernel maps all IDs to themselves.
fn ability() -> Ability {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let whole = map.split_ascii_whitespace().eq(["0", "0", "4294967295"]);
    if whole { Ability::Host } else { Ability::UserNamespace }
}

/// The directory in which one chain of layers is unpacked, by one at a time.
#[derive(Debug)]
struct Workplace {
    path: PathBuf,
    directory: File,
}

impl Workplace {
    /// Waits until nobody else unpacks the same chain, and begins with an empty directory.
    fn enter(store: &Store, chain: &ChainId) -> Result<Self, StoreError> {
        store.ensure()?;
        let path = store.layout().unpacking(chain);
        let directory = loop {
            let directory = Self::open(store, &path)?;
            sys::file::lock(&directory).doing(|| "wait for the image to be unpacked")?;
            // Who had it before us takes it away, as a sweeper does.
            if is_at(&directory, &path) {
                break directory;
            }
        };
        let workplace = Self { path, directory };
        // What one that was killed has left is half of a tree.
        for name in file::names(&workplace.path).doing(|| "look for a half unpacked image")? {
            remove_tree(&workplace.path.join(name)).doing(|| "remove a half unpacked image")?;
        }
        Ok(workplace)
    }

    /// Makes the directory, or opens that of another, while no sweeper looks: it is owned by nobody until it is locked.
    fn open(store: &Store, path: &Path) -> Result<File, StoreError> {
        let doing = || "make a directory to unpack in";
        let _locked = store.lock()?;
        let opened = || File::open(path).call(|| format!("open({})", path.display()));
        let directory = match std::fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => opened().doing(doing)?,
            made => made.call(|| format!("mkdir({})", path.display())).and_then(|()| opened()).doing(doing)?,
        };
        // Where another has it, it is waited for when the store is not locked.
        sys::file::try_lock(&directory).doing(doing)?;
        Ok(directory)
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        // A rest that cannot be removed now is removed by the next writer.
        if let Err(error) = remove_tree(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "a half unpacked image is left for the next writer to remove");
        }
    }
}

impl Explain for TreeStep<'_> {
    fn explain(&self) -> Step {
        let path = |path: &Path| quote(&path.to_string_lossy()).into_owned();
        match self {
            Self::Unpack { image, tree } => {
                let layers =
                    image.layers.iter().map(|layer| format!("tar -xpf {} -C {}", path(&layer.path), path(tree)));
                let commands: Vec<_> = std::iter::once(format!("mkdir -p {}", path(tree))).chain(layers).collect();
                Step::host(
                    "unpack the image's layers into one directory, applying their whiteouts",
                    commands.join("\n"),
                )
            }
            Self::Mount { tree } => Step::host(
                "mount the image's unpacked tree read-only, attached nowhere",
                format!("mount -o bind,ro {} /mnt", path(tree)),
            ),
        }
    }
}
