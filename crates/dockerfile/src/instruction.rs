//! The instructions of a stage, as nouns.

use std::time::Duration;

/// One instruction, with its variables not yet put in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    /// `ARG NAME[=DEFAULT] ...`: variables that the builder may set.
    Arg(Vec<ArgDeclaration>),
    /// `ENV NAME=VALUE ...`: variables of the image.
    Env(Vec<(String, String)>),
    /// `LABEL NAME=VALUE ...`: labels of the image.
    Label(Vec<(String, String)>),
    /// `RUN`: a command that is run now.
    Run(Run),
    /// `COPY`: files from the context, a stage or an image.
    Copy(Copy),
    /// `ADD`: files from the context, from the web, or out of archives.
    Add(Add),
    /// `WORKDIR`: where commands run.
    Workdir(String),
    /// `USER`: as whom commands run.
    User(String),
    /// `CMD`: the default command, or the arguments of the entry point.
    Cmd(CommandLine),
    /// `ENTRYPOINT`: the program that always runs.
    Entrypoint(CommandLine),
    /// `SHELL`: what runs commands in shell form.
    Shell(Vec<String>),
    /// `STOPSIGNAL`: what stops a container.
    StopSignal(String),
    /// `VOLUME`: directories that belong on volumes.
    Volume(Vec<String>),
    /// `EXPOSE`: ports that the image listens on.
    Expose(Vec<String>),
    /// `HEALTHCHECK`: how to tell that a container is well.
    HealthCheck(HealthCheck),
    /// `ONBUILD`: an instruction for whoever builds on this image; the text that [`crate::parse_trigger`] reads.
    OnBuild(String),
    /// `MAINTAINER`: the author.
    Maintainer(String),
}

/// One variable of an `ARG`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgDeclaration {
    /// Its name.
    pub name: String,
    /// Its value when the builder gives none.
    pub default: Option<String>,
}

/// A command: a line for the shell, or words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandLine {
    /// A line that the shell reads.
    Shell(String),
    /// The program and its arguments, taken as they are.
    Exec(Vec<String>),
}

/// `RUN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What is run. The markers of here-documents stand in it.
    pub command: CommandLine,
    /// The here-documents that its line begins.
    pub heredocs: Vec<Heredoc>,
    /// What is mounted meanwhile.
    pub mounts: Vec<Mount>,
    /// Which network it sees.
    pub network: Option<NetworkMode>,
    /// How much it may.
    pub security: Option<Security>,
    /// Devices by the names of CDI.
    pub devices: Vec<String>,
}

/// A text that stands below the line it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// The word that ends it, and the name of the file that `COPY` makes of it.
    pub name: String,
    /// The text, with its last line's end.
    pub content: String,
    /// Whether variables are put in: the word was not quoted.
    pub expand: bool,
    /// Whether tabs at the start of lines are dropped (`<<-`). They are still in `content` for `RUN`, where the shell drops
    /// them, and gone for `COPY` and `ADD`.
    pub chomp: bool,
    /// The descriptor in front of the marker, as in `3<<EOF`.
    pub fd: Option<u32>,
}

/// `RUN --network`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkMode {
    /// The builder's usual one.
    Default,
    /// None.
    None,
    /// The host's.
    Host,
}

/// `RUN --security`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Confined.
    Sandbox,
    /// With all privileges.
    Insecure,
}

/// `RUN --mount`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// What it is.
    pub kind: MountKind,
    /// The stage, image or context that it comes from.
    pub from: Option<String>,
    /// The path within `from`.
    pub source: Option<String>,
    /// Where it is mounted. A secret and a socket of ssh have their usual place when this is empty.
    pub target: Option<String>,
    /// Whether it is only read. A bind is, unless it says otherwise.
    pub read_only: bool,
    /// Who may use a cache at the same time.
    pub sharing: Sharing,
    /// The name of a cache, a secret or an agent.
    pub id: Option<String>,
    /// The most that a tmpfs holds, in bytes.
    pub size: Option<u64>,
    /// Whether the build fails without the secret or the agent.
    pub required: bool,
    /// Permissions.
    pub mode: Option<u32>,
    /// The owner.
    pub uid: Option<u32>,
    /// The group.
    pub gid: Option<u32>,
    /// The variable that holds the secret.
    pub env: Option<String>,
}

/// What is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountKind {
    /// Files of the context, a stage or an image.
    Bind,
    /// A directory that outlives the build.
    Cache,
    /// A directory in memory.
    Tmpfs,
    /// A file that is never part of the image.
    Secret,
    /// The socket of an agent.
    Ssh,
}

/// How a cache is shared by builds that run at the same time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sharing {
    /// All write to one.
    #[default]
    Shared,
    /// Each has its own.
    Private,
    /// One after the other.
    Locked,
}

/// What `COPY` or `ADD` takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A path, a pattern, or for `ADD` an address.
    Path(String),
    /// A file that stands in the Dockerfile.
    Heredoc(Heredoc),
}

/// `COPY`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copy {
    /// What is copied.
    pub sources: Vec<Source>,
    /// Where to.
    pub destination: String,
    /// The stage, image or context that sources come from.
    pub from: Option<String>,
    /// The owner, as `user[:group]`.
    pub chown: Option<String>,
    /// Permissions, octal or symbolic.
    pub chmod: Option<String>,
    /// Whether the files are a layer of their own, whatever lies below.
    pub link: bool,
    /// Whether parent directories of the sources are kept.
    pub parents: bool,
    /// What is left out.
    pub exclude: Vec<String>,
}

/// `ADD`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Add {
    /// What is added.
    pub sources: Vec<Source>,
    /// Where to.
    pub destination: String,
    /// The owner, as `user[:group]`.
    pub chown: Option<String>,
    /// Permissions, octal or symbolic.
    pub chmod: Option<String>,
    /// Whether the files are a layer of their own, whatever lies below.
    pub link: bool,
    /// What is left out.
    pub exclude: Vec<String>,
    /// The digest of what is fetched.
    pub checksum: Option<String>,
    /// Whether a repository keeps its `.git`.
    pub keep_git_dir: bool,
    /// Whether archives are unpacked; if unset, those of the context are, and fetched ones are not.
    pub unpack: Option<bool>,
}

/// `HEALTHCHECK`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthCheck {
    /// No check, not even that of the image below.
    None,
    /// A command whose status tells.
    Check {
        /// The command.
        command: CommandLine,
        /// How long from one check to the next.
        interval: Option<Duration>,
        /// How long one may take.
        timeout: Option<Duration>,
        /// How long failures do not count at the start.
        start_period: Option<Duration>,
        /// How long from one check to the next meanwhile.
        start_interval: Option<Duration>,
        /// How many failures in a row there must be.
        retries: Option<u32>,
    },
}

impl Instruction {
    /// Returns the word that the instruction begins with.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Arg(_) => "ARG",
            Self::Env(_) => "ENV",
            Self::Label(_) => "LABEL",
            Self::Run(_) => "RUN",
            Self::Copy(_) => "COPY",
            Self::Add(_) => "ADD",
            Self::Workdir(_) => "WORKDIR",
            Self::User(_) => "USER",
            Self::Cmd(_) => "CMD",
            Self::Entrypoint(_) => "ENTRYPOINT",
            Self::Shell(_) => "SHELL",
            Self::StopSignal(_) => "STOPSIGNAL",
            Self::Volume(_) => "VOLUME",
            Self::Expose(_) => "EXPOSE",
            Self::HealthCheck(_) => "HEALTHCHECK",
            Self::OnBuild(_) => "ONBUILD",
            Self::Maintainer(_) => "MAINTAINER",
        }
    }
}
