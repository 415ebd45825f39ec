//! `build IMAGE` without a file: a Debian base system, made by debootstrap, as an image of one layer.
//!
//! debootstrap runs in a mount and PID namespace of its own and dies with us, so that whatever is killed, no mount and no
//! process stays. Its tree stands on a tmpfs that only that namespace has attached, where there is memory enough (then
//! nothing of it outlives us either); else in the work directory of the store. It is read back by descriptor, cleaned and
//! streamed into the layer while it is hashed: the only copy ever made.
//!
//! The default is what the founding documents do in their containers, and little more: Debian bookworm in the `minbase` variant,
//! with procps (`ps`, `top`, `free`), iproute2 (`ip`) and iputils-ping (`ping`); `df`, `tty` and `bash` come with every Debian.
//!
//! Start reading at [`bootstrap()`].

mod plan;
mod progress;
mod run;

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use oci::{Platform, Reference};
use rustix::fs::Dir;
use store::{Durability, Image, Layer, Store, StoreError, Work};
use sys::path::Root;
use trace::Recorder;

use crate::documents::{DocumentError, Recipe, compose};
use crate::tree::{Cleaning, TreeError, write_tree};
use crate::{Change, apply_changes};

pub use plan::{Plan, Workplace};
pub use progress::{Phase, Progress};

/// What base system shall be made, and what the image shall be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootstrapOptions {
    /// The names of the image.
    pub names: Vec<Reference>,
    /// The release: `bookworm`, `trixie`, `sid`, or one of a derivative's.
    pub suite: String,
    /// Where packages come from; debootstrap knows the default.
    pub mirror: Option<String>,
    /// The choice of packages: `minbase`, `buildd`, or `-` for debootstrap's own default.
    pub variant: String,
    /// Debian's name of the machine (`amd64`, `arm64`); the host's when not given.
    pub architecture: Option<String>,
    /// Packages beside the variant's.
    pub include: Vec<String>,
    /// Changes to the image's configuration.
    pub changes: Vec<Change>,
    /// When the image was made: now, or what SOURCE_DATE_EPOCH says; as of when the archive's packages are, where nothing is said.
    pub created: Option<Timestamp>,
}

impl Default for BootstrapOptions {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            suite: "bookworm".into(),
            mirror: None,
            variant: "minbase".into(),
            architecture: None,
            include: ["procps", "iproute2", "iputils-ping"].map(Into::into).into(),
            changes: Vec::new(),
            created: None,
        }
    }
}

/// Why no base system could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootstrapError {
    /// debootstrap is not there.
    #[error("debootstrap is not installed: apt-get install debootstrap")]
    Missing,
    /// An option holds what none can hold.
    #[error("{value:?} cannot be {what}")]
    Option {
        /// What was given.
        what: &'static str,
        /// Its value.
        value: String,
    },
    /// Namespaces and mounts need root.
    #[error("making a base system needs root")]
    NotRoot,
    /// debootstrap gave up.
    #[error("debootstrap failed ({status}): {said}")]
    Failed {
        /// How it ended.
        status: String,
        /// What it said last.
        said: String,
    },
    /// The tree outgrew the memory set aside for it.
    #[error("the base system does not fit into memory")]
    MemoryFull,
    /// The kernel refused.
    #[error("cannot {doing}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// The call that failed.
        source: sys::Error,
    },
    /// The tree could not be written as a layer.
    #[error("cannot write the base system as a layer")]
    Tree(#[from] TreeError),
    /// The store refused.
    #[error("cannot make the image")]
    Store(#[from] StoreError),
    /// The documents could not be composed.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

/// Makes a Debian base system into an image; `progress` hears of each phase and each line as they come.
pub fn bootstrap(
    store: &Store,
    options: &BootstrapOptions,
    progress: &mut dyn FnMut(Progress<'_>),
    recorder: &Recorder,
) -> Result<Image, BootstrapError> {
    let program = plan::find_program(std::env::var_os("PATH").as_deref()).ok_or(BootstrapError::Missing)?;
    bootstrap_by(program, store, options, progress, recorder)
}

/// Like [`bootstrap()`], with a debootstrap that is not on the search path.
pub fn bootstrap_by(
    program: PathBuf,
    store: &Store,
    options: &BootstrapOptions,
    progress: &mut dyn FnMut(Progress<'_>),
    recorder: &Recorder,
) -> Result<Image, BootstrapError> {
    if !rustix::process::geteuid().is_root() {
        return Err(BootstrapError::NotRoot);
    }
    let mut work = store.begin(Durability::Durable)?;
    let memory = plan::available_memory(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default());
    let mut plan = plan::plan(options, program, work.path(), memory)?;
    let tree = match run::run(&plan, progress, recorder) {
        // The base system is larger than the memory set aside for it; the disk may hold it.
        Err(BootstrapError::MemoryFull) => {
            plan.move_to_disk();
            run::run(&plan, progress, recorder)?
        }
        result => result?,
    };
    let published = release_date(&tree);
    let layer = write_layer(&mut work, &tree, published, progress, recorder)?;
    let published = published.and_then(|seconds| Timestamp::from_second(i64::try_from(seconds).ok()?).ok());
    let created = options.created.or(published).unwrap_or_else(Timestamp::now);
    let documents = compose(&recipe(options, &plan, created), &[layer])?;
    Ok(work.commit(&documents, &options.names, recorder)?)
}

fn write_layer(
    work: &mut Work,
    tree: &OwnedFd,
    published: Option<u64>,
    progress: &mut dyn FnMut(Progress<'_>),
    recorder: &Recorder,
) -> Result<Layer, BootstrapError> {
    progress(Progress::Phase(Phase::Packing));
    recorder.record(&plan::PackStep);
    let cleaning = Cleaning::debian(published);
    let mut writer = work.layer()?;
    write_tree(tree.as_fd(), &cleaning, &mut writer)?;
    Ok(work.finish(writer)?)
}

/// Reads from the archive's own signed list when it was published, in seconds since 1970.
fn release_date(tree: &OwnedFd) -> Option<u64> {
    let root = Root::from_fd(rustix::io::fcntl_dupfd_cloexec(tree, 0).ok()?);
    let lists = Path::new("var/lib/apt/lists");
    let entries = Dir::read_from(root.open_file(lists).ok()?).ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().to_str().ok().map(str::to_owned));
    names.filter(|name| name.ends_with("Release")).find_map(|name| {
        let mut start = Vec::new();
        root.open_file(&lists.join(name)).ok()?.take(4096).read_to_end(&mut start).ok()?;
        plan::parse_release_date(&String::from_utf8_lossy(&start))
    })
}

fn recipe(options: &BootstrapOptions, plan: &Plan, created: Timestamp) -> Recipe {
    let mut recipe = Recipe::new(created, plan.command_line());
    recipe.platform = options.architecture.as_deref().map_or_else(Platform::host, plan::platform);
    recipe.config.set_cmd(Some(vec!["/bin/bash".into()]));
    apply_changes(&mut recipe.config, &options.changes);
    recipe
}

/// Adds what was being done to a failed call.
fn system<T>(result: sys::Result<T>, doing: &'static str) -> Result<T, BootstrapError> {
    result.map_err(|source| BootstrapError::System { doing, source })
}
