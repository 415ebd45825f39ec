//! What a caller asks for: the nouns behind the flags of `build`.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;

use cdi::Catalogue;
use engine::{HostWish, Ulimit};
use image::LayoutImage;
use oci::{Platform, Reference};
use store::Image;

/// A build as it was asked for.
#[derive(Debug)]
pub struct BuildRequest {
    /// The file that says how.
    pub file: BuildFile,
    /// Where `COPY` and `ADD` find their sources.
    pub context: ContextSource,
    /// The text of the file of patterns that the context leaves out, where it stands outside of the context.
    pub ignore: Option<Vec<u8>>,
    /// Further contexts, by the names that `FROM`, `--from` and `from=` know them by.
    pub contexts: BTreeMap<String, NamedContext>,
    /// Values of `ARG`s.
    pub args: BTreeMap<String, String>,
    /// The stage that is wanted; the last one, where nothing is said.
    pub target: Option<String>,
    /// The machine that the image is for; this one, where nothing is said.
    pub platform: Option<Platform>,
    /// Labels beside those of the file.
    pub labels: Vec<(String, String)>,
    /// What is taken from the cache.
    pub no_cache: NoCache,
    /// What commands see of the network where the file says nothing.
    pub network: StepNetwork,
    /// Names that commands know.
    pub hosts: Vec<HostWish>,
    /// Limits of commands.
    pub ulimits: Vec<Ulimit>,
    /// The size of `/dev/shm` for commands.
    pub shm_size: Option<u64>,
    /// What `--mount=type=secret` may name.
    pub secrets: BTreeMap<String, Secret>,
    /// The sockets of agents that `--mount=type=ssh` may name.
    pub agents: BTreeMap<String, PathBuf>,
    /// Whether `RUN --security=insecure` is allowed.
    pub insecure: bool,
    /// The devices that `RUN --device` may name, beside those that their vendors allow to all.
    pub devices: DeviceRights,
    /// When the image and its files are said to be made, in seconds since 1970 (`SOURCE_DATE_EPOCH`).
    pub epoch: Option<u64>,
    /// Puts all layers of the build into one.
    pub squash: bool,
    /// Opens a shell in a step that has failed, as it left it.
    pub debug_shell: bool,
}

/// A Dockerfile, by whatever name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildFile {
    /// How messages call it.
    pub name: String,
    /// What it says.
    pub text: Vec<u8>,
}

/// Where files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContextSource {
    /// Nowhere: there are none.
    Empty,
    /// A directory of the host.
    Directory(PathBuf),
    /// An archive, uncompressed.
    Archive(PathBuf),
}

/// A further context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedContext {
    /// Files.
    Files(ContextSource),
    /// An image.
    Image(Reference),
    /// An image of a directory.
    Layout(LayoutImage),
}

/// What of the cache is not used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum NoCache {
    /// All of it is used.
    #[default]
    Nothing,
    /// None of it is used.
    All,
    /// That of these stages is not used.
    Stages(Vec<String>),
}

/// Which devices commands may have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DeviceRights {
    /// None.
    #[default]
    None,
    /// These: each is a kind (`VENDOR/CLASS`) or one device of it (`VENDOR/CLASS=NAME`).
    Some(Vec<String>),
    /// All.
    All,
}

/// What a command sees of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StepNetwork {
    /// The default network.
    #[default]
    Default,
    /// Nothing but the loopback interface.
    None,
    /// The host's.
    Host,
}

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// A file of the host.
    File(PathBuf),
    /// A variable of our own environment.
    Variable(String),
}

impl Default for BuildRequest {
    fn default() -> Self {
        Self {
            file: BuildFile { name: "Dockerfile".into(), text: Vec::new() },
            context: ContextSource::Empty,
            ignore: None,
            contexts: BTreeMap::new(),
            args: BTreeMap::new(),
            target: None,
            platform: None,
            labels: Vec::new(),
            no_cache: NoCache::Nothing,
            network: StepNetwork::Default,
            hosts: Vec::new(),
            ulimits: Vec::new(),
            shm_size: None,
            secrets: BTreeMap::new(),
            agents: BTreeMap::new(),
            insecure: false,
            devices: DeviceRights::default(),
            epoch: None,
            squash: false,
            debug_shell: false,
        }
    }
}

/// Why an image that a build starts from could not be had.
pub type BaseError = Box<dyn std::error::Error + Send + Sync>;

/// Who knows what there is beside the file and its contexts: images, from the store, from registries or made; files and repositories
/// of other machines; devices of this one.
pub trait Bases {
    /// Returns an image by its name, for a machine.
    fn image(&mut self, name: &Reference, platform: &Platform) -> Result<Image, BaseError>;

    /// Returns an image of a directory, for a machine.
    fn layout(&mut self, image: &LayoutImage, platform: &Platform) -> Result<Image, BaseError>;

    /// Returns the devices that this machine offers by name.
    fn devices(&mut self) -> Catalogue;

    /// Fetches a file for `ADD`, or finds that what was fetched before still holds; returns it and its name.
    fn fetch(&mut self, address: &str, checksum: Option<&str>) -> Result<Fetched, BaseError>;

    /// Fetches a repository for `ADD`, as an uncompressed archive.
    fn clone_repository(&mut self, address: &str, keep_git_dir: bool) -> Result<PathBuf, BaseError>;
}

/// A file that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Where it lies now.
    pub path: PathBuf,
    /// The name that its address gives it.
    pub name: String,
    /// When it was changed, as its server says, in seconds since 1970.
    pub modified: Option<u64>,
}
