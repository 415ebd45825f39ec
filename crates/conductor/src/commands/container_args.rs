//! The options of `run` and `create`: words that become a [`CreateRequest`].
//!
//! [`ContainerArgs::into_request`] decides and reads nothing: what it needs to know of the world outside (variables, files,
//! the current directory) is asked from an [`Outside`], which a test makes up.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use engine::{
    ContainerName, CreateRequest, LogDriver, LogOptions, MountRequest, Resources, RestartPolicy, Security, Signal,
    Ulimit,
};

use super::health_args::HealthArgs;
use super::network_args::NetworkArgs;
use crate::error::Failure;
use crate::ui::time::parse_duration;

/// The options that describe a container.
#[derive(Debug, Default, Args)]
pub(crate) struct ContainerArgs {
    /// Keep standard input open even if nobody is attached
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Remove the container when it exits
    #[arg(long)]
    pub(crate) rm: bool,
    /// Name the container
    #[arg(long)]
    name: Option<String>,
    /// Host name inside the container
    #[arg(short = 'h', long)]
    pub(crate) hostname: Option<String>,
    /// Set an environment variable; a name alone takes the value from here
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Read environment variables from a file, one a line
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// User name or number, and group: USER[:GROUP]
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// Join a further group
    #[arg(long, value_name = "GROUP")]
    group_add: Vec<String>,
    /// Mount a directory or a volume: [SOURCE:]TARGET[:OPTIONS]
    #[arg(short, long, value_name = "VOLUME")]
    volume: Vec<String>,
    /// Mount something: type=bind|volume|tmpfs,source=...,target=...
    #[arg(long, value_name = "MOUNT")]
    mount: Vec<String>,
    /// Mount a file system in memory: TARGET[:OPTIONS]
    #[arg(long, value_name = "TMPFS")]
    tmpfs: Vec<String>,
    /// Make the root file system read-only
    #[arg(long)]
    read_only: bool,
    /// Add a capability
    #[arg(long, value_name = "CAP", value_delimiter = ',')]
    cap_add: Vec<String>,
    /// Drop a capability
    #[arg(long, value_name = "CAP", value_delimiter = ',')]
    cap_drop: Vec<String>,
    /// Change the confinement: no-new-privileges[=false], seccomp=unconfined|FILE, systempaths=unconfined
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,
    /// Lift the confinement: all capabilities and devices, nothing masked
    #[arg(long)]
    privileged: bool,
    /// Give it a device: PATH[:PATH-INSIDE][:rwm], or one that is offered by name, VENDOR/CLASS=NAME
    #[arg(long, value_name = "DEVICE")]
    device: Vec<String>,
    /// Run a small init as the first process: it forwards signals and reaps
    #[arg(long)]
    init: bool,
    /// Replace the image's entrypoint; an empty word clears it
    #[arg(long, value_name = "COMMAND")]
    entrypoint: Option<String>,
    /// Set a label
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    label: Vec<String>,
    /// Read labels from a file, one a line
    #[arg(long, value_name = "FILE")]
    label_file: Vec<PathBuf>,
    /// Set a kernel parameter of the container's namespaces
    #[arg(long, value_name = "KEY=VALUE")]
    sysctl: Vec<String>,
    /// How many processors the container may use, as in 0.5
    #[arg(long, value_name = "NUMBER")]
    cpus: Option<String>,
    /// Share of the processors among busy containers (1024 is the usual one)
    #[arg(short, long, value_name = "NUMBER")]
    cpu_shares: Option<u64>,
    /// Processors to run on, as in 0-2,4
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Memory nodes to use, as in 0,1
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// Memory limit, as in 64m
    #[arg(short, long, value_name = "SIZE")]
    memory: Option<String>,
    /// Memory that the kernel tries to leave to the container
    #[arg(long, value_name = "SIZE")]
    memory_reservation: Option<String>,
    /// Limit of memory and swap together; -1 for no limit of swap
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory_swap: Option<String>,
    /// Limit of processes and threads; -1 for none
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pids_limit: Option<i64>,
    /// How ready the kernel is to kill the container when memory is short (-1000 to 1000)
    #[arg(long, value_name = "SCORE", allow_hyphen_values = true)]
    oom_score_adj: Option<i32>,
    /// Size of /dev/shm
    #[arg(long, value_name = "SIZE")]
    shm_size: Option<String>,
    /// Set a limit of each process: NAME=SOFT[:HARD]
    #[arg(long, value_name = "LIMIT")]
    ulimit: Vec<String>,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    health: HealthArgs,
    /// Start this container first, and wait until it is healthy where that is asked for
    #[arg(long, value_name = "NAME[:healthy]", value_delimiter = ',')]
    requires: Vec<String>,
    /// When to start it again after it has ended: no, on-failure[:MAX-RETRIES], always, unless-stopped
    #[arg(long, value_name = "POLICY")]
    restart: Option<String>,
    /// Signal that asks the command to stop
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// Seconds between that signal and SIGKILL
    #[arg(long, value_name = "SECONDS")]
    stop_timeout: Option<u32>,
    /// Where the output is kept: json-file, local, journald or none
    #[arg(long, value_name = "DRIVER")]
    log_driver: Option<String>,
    /// How it is kept: max-size=SIZE, max-file=NUMBER, compress=BOOL; for journald tag=TEMPLATE, labels=LIST, env=LIST
    #[arg(long, value_name = "KEY=VALUE")]
    log_opt: Vec<String>,
    /// Write the container's id to this file, which must not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) cidfile: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) pull: PullWish,
}

/// Where the image comes from when it is not here.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PullWish {
    /// When to pull the image: missing, always or never (default missing)
    #[arg(long = "pull", value_name = "POLICY", value_parser = ["missing", "always", "never"], hide_possible_values = true)]
    pub(crate) policy: Option<String>,
    /// Pull the image for this machine: OS/ARCHITECTURE[/VARIANT]
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<String>,
    /// Print no progress
    #[arg(short, long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) trust: super::trust_args::TrustArgs,
}

/// What the words mean depends on this much of the world outside.
pub(crate) trait Outside {
    /// Returns an environment variable of ours.
    fn variable(&self, name: &str) -> Option<String>;
    /// Returns the text of a file.
    fn text(&self, path: &Path) -> io::Result<String>;
    /// Returns the directory from which relative paths are meant.
    fn directory(&self) -> io::Result<PathBuf>;
}

/// The world as it is.
#[derive(Debug)]
pub(crate) struct Here;

impl Outside for Here {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn text(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }

    fn directory(&self) -> io::Result<PathBuf> {
        std::env::current_dir()
    }
}

/// What stands behind the options: the image, a name, the command.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ImageWords {
    pub(crate) image: String,
    pub(crate) name: Option<String>,
    pub(crate) command: Vec<String>,
}

impl ImageWords {
    /// Sorts the words behind the options.
    ///
    /// Ours is `IMAGE [NAME] -- COMMAND...`: the first `--` ends our own arguments. Without one among the first three words
    /// (or in a grammar that is Docker's alone) it is Docker's `IMAGE [COMMAND...]`.
    pub(crate) fn sort(words: Vec<String>, docker_alone: bool) -> Self {
        let mut words = words.into_iter().collect::<std::collections::VecDeque<_>>();
        let image = words.pop_front().unwrap_or_default();
        let mark = words.iter().take(2).position(|word| word == "--").filter(|_| !docker_alone);
        let name = if mark == Some(1) { words.pop_front() } else { None };
        if mark.is_some() {
            words.pop_front();
        }
        Self { image, name, command: words.into() }
    }
}

impl ContainerArgs {
    /// Turns the words into what they mean.
    pub(crate) fn into_request(self, words: ImageWords, outside: &dyn Outside) -> Result<CreateRequest, Failure> {
        let name = container_name(self.name.as_deref(), words.name.as_deref())?;
        let mounts = self.mounts(outside)?;
        let resources = self.resources()?;
        let security = self.security(outside)?;
        let log = self.log()?;
        self.network.fill(CreateRequest {
            image: words.image,
            name,
            command: words.command,
            entrypoint: self.entrypoint.map(|word| if word.is_empty() { Vec::new() } else { vec![word] }),
            env: environment(&self.env_file, &self.env, outside)?,
            labels: labels(&self.label_file, &self.label, outside)?,
            sysctls: self.sysctl.iter().map(|pair| key_value("sysctl", pair)).collect::<Result<_, _>>()?,
            requires: self.requires.iter().map(|word| flag("requires", word.parse())).collect::<Result<_, _>>()?,
            health: self.health.into_request()?,
            restart: flag("restart", self.restart.as_deref().unwrap_or_default().parse::<RestartPolicy>())?,
            stop_signal: self
                .stop_signal
                .as_deref()
                .map(|word| flag("stop-signal", word.parse::<Signal>()))
                .transpose()?,
            devices: self.device.iter().map(|word| flag("device", word.parse())).collect::<Result<_, _>>()?,
            mounts,
            resources,
            security,
            log,
            hostname: self.hostname,
            workdir: self.workdir,
            user: self.user,
            group_add: self.group_add,
            read_only: self.read_only,
            cap_add: self.cap_add,
            cap_drop: self.cap_drop,
            privileged: self.privileged,
            init: self.init,
            tty: self.tty,
            open_stdin: self.interactive,
            remove_on_exit: self.rm,
            stop_timeout: self.stop_timeout,
            ..CreateRequest::default()
        })
    }

    fn mounts(&self, outside: &dyn Outside) -> Result<Vec<MountRequest>, Failure> {
        if self.volume.is_empty() && self.mount.is_empty() && self.tmpfs.is_empty() {
            return Ok(Vec::new());
        }
        let here =
            outside.directory().map_err(|error| Failure::new(error).doing("cannot find the current directory"))?;
        let volumes = self.volume.iter().map(|text| flag("volume", MountRequest::parse_volume(text, &here)));
        let mounts = self.mount.iter().map(|text| flag("mount", MountRequest::parse_mount(text, &here)));
        let tmpfs = self.tmpfs.iter().map(|text| flag("tmpfs", MountRequest::parse_tmpfs(text)));
        volumes.chain(mounts).chain(tmpfs).collect()
    }

    fn resources(&self) -> Result<Resources, Failure> {
        let size =
            |name, word: &Option<String>| word.as_deref().map(|word| flag(name, engine::parse_size(word))).transpose();
        let swap = match self.memory_swap.as_deref() {
            None => None,
            Some("-1") => Some(-1),
            Some(word) => Some(flag("memory-swap", engine::parse_size(word))?.try_into().unwrap_or(i64::MAX)),
        };
        // Docker's 0 means "no limit", as -1 does.
        let pids = self.pids_limit.map(|limit| if limit == 0 { -1 } else { limit });
        Ok(Resources {
            nano_cpus: self.cpus.as_deref().map(|word| flag("cpus", engine::parse_cpus(word))).transpose()?,
            cpu_shares: self.cpu_shares,
            cpuset_cpus: self.cpuset_cpus.clone(),
            cpuset_mems: self.cpuset_mems.clone(),
            memory: size("memory", &self.memory)?,
            memory_reservation: size("memory-reservation", &self.memory_reservation)?,
            memory_swap: swap,
            pids_limit: pids,
            shm_size: size("shm-size", &self.shm_size)?,
            oom_score_adj: self.oom_score_adj,
            ulimits: self.ulimit.iter().map(|text| flag("ulimit", text.parse::<Ulimit>())).collect::<Result<_, _>>()?,
        })
    }

    fn security(&self, outside: &dyn Outside) -> Result<Security, Failure> {
        let mut security = Security::default();
        for option in &self.security_opt {
            flag("security-opt", security.set(option))?;
        }
        // The profile is read when the container starts, perhaps from elsewhere: a relative path is meant from here.
        if let engine::Seccomp::Profile(path) = &mut security.seccomp
            && path.is_relative()
        {
            *path = outside.directory()?.join(&*path);
        }
        Ok(security)
    }

    fn log(&self) -> Result<LogOptions, Failure> {
        let driver = flag("log-driver", self.log_driver.as_deref().map_or(Ok(LogDriver::default()), str::parse))?;
        let mut log = LogOptions::of(driver);
        for option in &self.log_opt {
            flag("log-opt", log.set(option))?;
        }
        Ok(log)
    }
}

/// Says which flag a wrong value was given to.
pub(crate) fn flag<T, E>(name: &str, result: Result<T, E>) -> Result<T, Failure>
where
    E: std::error::Error + Send + Sync + 'static,
{
    result.map_err(|error| Failure::new(error).doing(format!("invalid value for --{name}")))
}

fn container_name(flagged: Option<&str>, positional: Option<&str>) -> Result<Option<ContainerName>, Failure> {
    let hint = "in 'conductor run', -- ends our own arguments: IMAGE [NAME] -- COMMAND...";
    match (flagged, positional) {
        (Some(_), Some(word)) => {
            Err(Failure::message(format!("the container has two names: --name and {word:?}")).hint(hint))
        }
        (Some(word), None) => Ok(Some(word.parse::<ContainerName>()?)),
        (None, Some(word)) => word.parse::<ContainerName>().map(Some).map_err(|error| Failure::new(error).hint(hint)),
        (None, None) => Ok(None),
    }
}

/// Collects variables: those of files first, so that `-e` wins; a name alone takes its value from outside.
pub(crate) fn environment(files: &[PathBuf], words: &[String], outside: &dyn Outside) -> Result<Vec<String>, Failure> {
    let mut env = Vec::new();
    for path in files {
        for line in lines_of("env-file", path, outside)? {
            env.extend(variable(&line, "env-file", outside)?);
        }
    }
    for word in words {
        // A name that has no value here removes the image's variable, in `-e` alone.
        env.push(variable(word, "env", outside)?.unwrap_or_else(|| word.clone()));
    }
    Ok(env)
}

fn variable(word: &str, name: &str, outside: &dyn Outside) -> Result<Option<String>, Failure> {
    let key = word.split('=').next().unwrap_or_default();
    if key.is_empty() || (name == "env-file" && key.contains(char::is_whitespace)) {
        return Err(Failure::message(format!("invalid value for --{name}: {word:?} has no name before its value")));
    }
    match word.contains('=') {
        true => Ok(Some(word.to_owned())),
        false => Ok(outside.variable(word).map(|value| format!("{word}={value}"))),
    }
}

pub(crate) fn labels(
    files: &[PathBuf],
    words: &[String],
    outside: &dyn Outside,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut all = Vec::new();
    for path in files {
        all.extend(lines_of("label-file", path, outside)?);
    }
    all.extend(words.iter().cloned());
    all.iter()
        .map(|word| if word.contains('=') { key_value("label", word) } else { key_value("label", &format!("{word}=")) })
        .collect()
}

pub(crate) fn key_value(name: &str, word: &str) -> Result<(String, String), Failure> {
    match word.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Failure::message(format!("invalid value for --{name}: {word:?} is not KEY=VALUE"))),
    }
}

/// Returns the lines of a file that say something: neither empty nor a comment.
fn lines_of(name: &str, path: &Path, outside: &dyn Outside) -> Result<Vec<String>, Failure> {
    let text = outside
        .text(path)
        .map_err(|error| Failure::new(error).doing(format!("cannot read --{name} {}", path.display())))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let lines = text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(str::to_owned).collect())
}

/// Parses seconds as `stop -t` takes them, or Go's form.
pub(crate) fn parse_seconds(word: &str) -> Result<i64, String> {
    match word.parse() {
        Ok(seconds) => Ok(seconds),
        Err(_) => parse_duration(word).map(|length| length.as_secs().cast_signed()).map_err(|error| error.to_string()),
    }
}
