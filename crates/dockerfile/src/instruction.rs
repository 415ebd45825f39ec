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
    /// Devices that vendors offer by name (the Container Device Interface).
    pub devices: Vec<Device>,
}

/// `RUN --device`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// `VENDOR/CLASS=NAME`, `VENDOR/CLASS` for the first of a kind, `VENDOR/CLASS=*` for all, or the name of a class.
    pub name: String,
    /// Whether the command is of no use without it.
    pub required: bool,
}

/// What a `RUN` in shell form comes to, its here-documents taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Script {
    /// A text for the shell.
    Shell(String),
    /// A program of its own: a here-document that begins with `#!`.
    Program(String),
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
    /// Whether tabs at the start of lines are dropped (`<<-`). They are still in `content` for `RUN`, where the shell
    /// drops them, and gone for `COPY` and `ADD`.
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

/// `RUN --mount`. What depends on a variable is missing before [`Instruction::expand`], and nothing is missing after
/// it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mount {
    /// The flag's value as it is written.
    pub written: String,
    /// What it is.
    pub kind: MountKind,
    /// The stage, image or context that it comes from.
    pub from: Option<String>,
    /// The path within `from`.
    pub source: Option<String>,
    /// Where it is mounted. Without a target a secret is at `/run/secrets/ID`, or in its variable alone if it has one,
    /// an agent is at `/run/buildkit/ssh_agent.N`, counted from 0 within the instruction, and all else at the working
    /// directory.
    pub target: Option<String>,
    /// Whether it is only read. A bind is, unless it says otherwise, and a cache and a tmpfs are not.
    pub read_only: bool,
    /// Who may use a cache at the same time.
    pub sharing: Sharing,
    /// The name of a cache, a secret or an agent. A secret has one; a cache without one is named by its target, and an
    /// agent is `default`.
    pub id: Option<String>,
    /// The most that a tmpfs holds, in bytes.
    pub size: Option<u64>,
    /// Whether the build fails without the secret or the agent.
    pub required: bool,
    /// Permissions. A cache, a secret and an agent have them, as well as an owner and a group.
    pub mode: Option<u32>,
    /// The owner.
    pub uid: Option<u32>,
    /// The group.
    pub gid: Option<u32>,
    /// The variable that holds the secret.
    pub env: Option<String>,
}

/// What is mounted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MountKind {
    /// Files of the context, a stage or an image.
    #[default]
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

impl MountKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Bind, Self::Cache, Self::Tmpfs, Self::Secret, Self::Ssh];

    /// Returns the word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Cache => "cache",
            Self::Tmpfs => "tmpfs",
            Self::Secret => "secret",
            Self::Ssh => "ssh",
        }
    }
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

impl Run {
    /// Returns what the shell is given, or nothing for a command in words. A here-document that is all there is becomes
    /// the script itself, so that it works with shells that know none.
    pub fn script(&self) -> Option<Script> {
        let CommandLine::Shell(line) = &self.command else { return None };
        match (crate::parse::marker(line), self.heredocs.as_slice()) {
            (Some(_), [document]) => {
                let text = document.chomped();
                Some(if text.starts_with("#!") { Script::Program(text) } else { Script::Shell(text) })
            }
            _ => {
                let documents = self.heredocs.iter().map(|document| format!("\n{}{}", document.content, document.name));
                Some(Script::Shell(std::iter::once(line.clone()).chain(documents).collect()))
            }
        }
    }
}

impl Heredoc {
    /// Returns the text without the tabs that `<<-` drops.
    pub fn chomped(&self) -> String {
        if !self.chomp {
            return self.content.clone();
        }
        self.content.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }
}

impl Instruction {
    /// The word of each instruction that a stage can have.
    pub const NAMES: [&str; 17] = [
        "ADD",
        "ARG",
        "CMD",
        "COPY",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "HEALTHCHECK",
        "LABEL",
        "MAINTAINER",
        "ONBUILD",
        "RUN",
        "SHELL",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
        "WORKDIR",
    ];

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
