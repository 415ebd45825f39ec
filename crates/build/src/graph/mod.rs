//! The graph of a build: which stages there are, what each starts from, and its steps with every word decided. Pure nouns;
//! [`plan`] makes them.

mod devices;
mod document;
mod instructions;
mod plan;
mod scope;
mod words;

use dockerfile::{CommandLine, Span};
use engine::Ulimit;
use oci::Platform;
use store::Image;

pub(crate) use document::Document;
pub(crate) use plan::plan;

/// The stages that a build needs, each after those that it needs itself; the last one is the target.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) stages: Vec<Stage>,
    /// Images that `COPY --from` and mounts take files from.
    pub(crate) images: Vec<Image>,
    /// Contexts by number; the first one is the main context.
    pub(crate) contexts: Vec<String>,
    /// What is to be said of the file.
    pub(crate) warnings: Vec<String>,
}

/// One stage.
#[derive(Debug)]
pub(crate) struct Stage {
    /// How lists call it.
    pub(crate) name: String,
    /// What it starts from, as written.
    pub(crate) from: String,
    pub(crate) base: Base,
    pub(crate) steps: Vec<Step>,
    /// What the image of the stage says, but for its layers.
    pub(crate) document: Document,
    /// The latest time that a file of a new layer has, and the time of the image: seconds since 1970.
    pub(crate) epoch: u64,
    /// Whether steps are made anew, whatever the cache has.
    pub(crate) anew: bool,
    pub(crate) span: Span,
}

/// What a stage starts from.
#[derive(Debug)]
pub(crate) enum Base {
    Scratch,
    Stage(usize),
    Image(Box<Image>),
    /// The files of a context.
    Context(usize),
}

/// One step that makes a layer.
#[derive(Debug)]
pub(crate) struct Step {
    /// The instruction, as lists show it.
    pub(crate) title: String,
    pub(crate) span: Span,
    pub(crate) op: Op,
}

/// What a step does.
#[derive(Debug)]
pub(crate) enum Op {
    Run(Box<Run>),
    Copy(Box<Copy>),
    Workdir(Workdir),
}

/// Runs a command.
#[derive(Debug)]
pub(crate) struct Run {
    /// The program and its arguments.
    pub(crate) args: Vec<String>,
    /// The environment, `NAME=VALUE` each, and which of it is in the key.
    pub(crate) env: Vec<String>,
    /// Variables that change no result: proxies.
    pub(crate) passed: Vec<String>,
    pub(crate) workdir: String,
    pub(crate) user: String,
    /// A script that stands in the file, with the name that it is called by.
    pub(crate) script: Option<(String, String)>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) network: crate::StepNetwork,
    /// Whether the file itself chose the network. How a builder reaches the world is no part of what it builds.
    pub(crate) chose_network: bool,
    pub(crate) insecure: bool,
    pub(crate) devices: Vec<cdi::DeviceName>,
    pub(crate) hosts: Vec<engine::HostWish>,
    pub(crate) ulimits: Vec<Ulimit>,
    pub(crate) shm_size: Option<u64>,
}

/// What is mounted for a command.
#[derive(Debug)]
pub(crate) enum Mount {
    Bind {
        from: Source,
        source: String,
        target: String,
        read_only: bool,
    },
    Cache {
        id: String,
        from: Option<(Source, String)>,
        target: String,
        sharing: dockerfile::Sharing,
        read_only: bool,
        owner: (u32, u32),
        mode: u32,
    },
    Tmpfs {
        target: String,
        size: Option<u64>,
    },
    Secret {
        id: String,
        target: Option<String>,
        env: Option<String>,
        required: bool,
        owner: (u32, u32),
        mode: u32,
    },
    Ssh {
        id: String,
        target: String,
        required: bool,
        owner: (u32, u32),
        mode: u32,
    },
}

/// Where files of a step come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    Stage(usize),
    Image(usize),
    Context(usize),
}

/// Copies files.
#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) from: Source,
    pub(crate) items: Vec<Item>,
    /// The destination as an absolute path; it ends in a slash where a directory is meant.
    pub(crate) destination: String,
    /// `user[:group]`.
    pub(crate) chown: Option<String>,
    pub(crate) chmod: Option<String>,
    /// Whether the layer is made without regard to what lies below.
    pub(crate) link: bool,
    pub(crate) parents: bool,
    pub(crate) exclude: Vec<String>,
    /// Whether archives of the context are unpacked, and those that were fetched.
    pub(crate) unpack: Unpack,
}

/// Which archives are unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Unpack {
    pub(crate) local: bool,
    pub(crate) fetched: bool,
}

/// One thing that is copied.
#[derive(Debug)]
pub(crate) enum Item {
    /// A path or a pattern of the source.
    Path(String),
    /// A file of the Dockerfile itself.
    Inline { name: String, content: String },
    /// A file that was fetched.
    Fetched { file: crate::Fetched, address: String },
    /// A repository that was fetched, as an archive.
    Repository { archive: std::path::PathBuf, address: String },
}

/// Makes the working directory.
#[derive(Debug)]
pub(crate) struct Workdir {
    pub(crate) path: String,
    pub(crate) user: String,
}

impl Graph {
    /// Returns the stage that is wanted.
    pub(crate) fn target(&self) -> &Stage {
        &self.stages[self.stages.len() - 1]
    }

    /// Returns the stage that is wanted and those below it, whose layers are the image's.
    pub(crate) fn below_target(&self) -> Vec<usize> {
        let mut own = vec![self.stages.len() - 1];
        while let Some(Base::Stage(below)) = own.last().map(|stage| &self.stages[*stage].base) {
            own.push(*below);
        }
        own
    }
}

impl Op {
    /// Returns the stages that must be done before.
    pub(crate) fn stages(&self) -> Vec<usize> {
        let of = |source: &Source| if let Source::Stage(stage) = source { Some(*stage) } else { None };
        match self {
            Self::Copy(copy) => of(&copy.from).into_iter().collect(),
            Self::Run(run) => run.mounts.iter().filter_map(|mount| of(mount.source()?)).collect(),
            Self::Workdir(_) => Vec::new(),
        }
    }
}

impl Mount {
    /// Returns where its files come from, if it has any.
    pub(crate) fn source(&self) -> Option<&Source> {
        match self {
            Self::Bind { from, .. } => Some(from),
            Self::Cache { from: Some((from, _)), .. } => Some(from),
            _ => None,
        }
    }
}

/// The machine that an image is for, and the one that builds it.
#[derive(Debug, Clone)]
pub(crate) struct Platforms {
    pub(crate) build: Platform,
    pub(crate) target: Platform,
}

/// Puts a command in the words that are executed.
pub(crate) fn command(line: &CommandLine, shell: &[String]) -> Vec<String> {
    match line {
        CommandLine::Exec(words) => words.clone(),
        CommandLine::Shell(text) => shell.iter().cloned().chain([text.clone()]).collect(),
    }
}
