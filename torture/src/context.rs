//! What every experiment is given: the program under test, places of its own, the seed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use testkit::fixture;

use crate::peer::{Engine, configure_podman};

/// How long a command may take before it counts as stuck.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The image of busybox that every experiment has.
pub(crate) const IMAGE: &str = "busybox";

/// Why an experiment could not be carried out; what it finds is no failure.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What every experiment is given.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// The engine under test.
    pub(crate) engine: Engine,
    /// The binary under test, where it is ours.
    pub(crate) program: PathBuf,
    /// Where all choices come from.
    pub(crate) seed: u64,
    /// How many rounds were asked for.
    pub(crate) rounds: Option<usize>,
    /// The one operation that is wanted, by its first word, where an experiment has several.
    pub(crate) only: Option<String>,
    /// Whether to be done in a minute.
    pub(crate) short: bool,
    /// Whether to say what each round does.
    pub(crate) verbose: bool,
    directory: Arc<TempDir>,
    root: PathBuf,
    state: PathBuf,
    answers: Arc<AtomicU64>,
}

/// Where one call's output goes. Files, and not pipes: what the command leaves behind may hold them open for ever.
#[derive(Debug)]
pub(crate) struct AnswerFiles(PathBuf);

impl AnswerFiles {
    /// Makes the file of one stream.
    pub(crate) fn create(&self, name: &str) -> std::io::Result<std::fs::File> {
        std::fs::File::create(self.path(name))
    }

    /// Reads what was written so far.
    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_default()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.with_extension(name)
    }
}

impl Drop for AnswerFiles {
    fn drop(&mut self) {
        for name in ["out", "err"] {
            let _ = std::fs::remove_file(self.path(name));
        }
    }
}

impl Context {
    /// Reads the command line, and imports the image. Returns the names of the experiments as well.
    pub(crate) fn from_words(words: &[String]) -> Result<(Self, Vec<String>), Failure> {
        let (mut program, mut seed, mut rounds, mut only) = (None, None, None, None);
        let (mut short, mut verbose) = (false, false);
        let (mut names, mut words) = (Vec::new(), words.iter());
        while let Some(word) = words.next() {
            match word.as_str() {
                "--program" => program = words.next().map(PathBuf::from),
                "--seed" => seed = Some(number(word, words.next())?),
                "--rounds" => rounds = Some(number(word, words.next())?),
                "--only" => only = words.next().cloned(),
                "--short" => short = true,
                "--verbose" => verbose = true,
                option if option.starts_with('-') => return Err(Failure(format!("there is no option {option}"))),
                name => names.push(name.to_owned()),
            }
        }
        let program = program.ok_or_else(|| Failure("--program PATH says what is under test".into()))?;
        let directory = tempfile::Builder::new().prefix("conductor-torture-").tempdir();
        let directory = directory.map_err(|error| Failure(format!("cannot make a directory: {error}")))?;
        let rounds = rounds.map(usize::try_from).transpose().map_err(|error| Failure(error.to_string()))?;
        let seed = seed.unwrap_or_else(clock);
        let [root, state] = ["root", "state"].map(|name| directory.path().join(name));
        let (directory, answers) = (Arc::new(directory), Arc::new(AtomicU64::new(0)));
        let context = Self {
            engine: Engine::Conductor,
            program,
            seed,
            rounds,
            only,
            short,
            verbose,
            directory,
            root,
            state,
            answers,
        };
        context.write_archive()?;
        context.import()?;
        Ok((context, names))
    }

    /// Tells whether an operation is wanted.
    pub(crate) fn wants(&self, operation: &[&str]) -> bool {
        self.only.as_deref().is_none_or(|only| operation.first() == Some(&only))
    }

    /// Returns how many rounds to go.
    pub(crate) fn rounds_or(&self, long: usize, short: usize) -> usize {
        self.rounds.unwrap_or(if self.short { short } else { long })
    }

    /// Returns a place for the output of one call.
    pub(crate) fn answer_files(&self) -> AnswerFiles {
        AnswerFiles(self.directory.path().join(format!("answer-{}", self.answers.fetch_add(1, Ordering::Relaxed))))
    }

    /// Returns the same with podman under test, on directories of its own.
    pub(crate) fn with_podman(&self) -> Result<Self, Failure> {
        let [root, state] = ["podman/root", "podman/state"].map(|name| self.directory.path().join(name));
        std::fs::create_dir_all(&root).map_err(|error| Failure(error.to_string()))?;
        configure_podman(&root)?;
        Ok(Self { engine: Engine::Podman, root, state, ..self.clone() })
    }

    /// Returns the same with other directories for the program.
    pub(crate) fn placed(&self, root: PathBuf, state: PathBuf) -> Self {
        Self { root, state, ..self.clone() }
    }

    /// Returns the directory of the harness, in which everything else is.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the directory for `--root`.
    pub(crate) fn root(&self) -> PathBuf {
        self.root.clone()
    }

    /// Returns the directory for `--state`.
    pub(crate) fn state(&self) -> PathBuf {
        self.state.clone()
    }

    /// Returns the archive of which the image was made.
    pub(crate) fn archive(&self) -> PathBuf {
        self.directory.path().join("busybox.tar")
    }

    /// Makes a call of the engine on the harness's own directories.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.engine.call(&self.program, &self.root, &self.state);
        command.args(words);
        command.env("NO_COLOR", "1").env("HOME", self.directory.path()).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end; `None` if it is stuck, in which case it has been killed.
    pub(crate) fn ended(&self, words: &[&str]) -> Result<Option<Output>, Failure> {
        let cannot = |error: std::io::Error| Failure(format!("cannot run {}: {error}", words.join(" ")));
        let files = self.answer_files();
        let mut command = self.command(words);
        command.stdout(files.create("out").map_err(cannot)?).stderr(files.create("err").map_err(cannot)?);
        let mut child = command.spawn().map_err(cannot)?;
        let start = Instant::now();
        while start.elapsed() < DEADLINE {
            if let Some(status) = child.try_wait().map_err(cannot)? {
                return Ok(Some(Output { status, stdout: files.read("out"), stderr: files.read("err") }));
            }
            std::thread::park_timeout(Duration::from_millis(2));
        }
        eprintln!("{} is stuck: {}", words.join(" "), where_it_waits(child.id()));
        child.kill().and_then(|()| child.wait()).map_err(cannot)?;
        Ok(None)
    }

    fn write_archive(&self) -> Result<(), Failure> {
        let file = std::fs::File::create(self.archive()).map_err(|error| Failure(error.to_string()))?;
        fixture::busybox_tar(file);
        Ok(())
    }

    /// Imports the image.
    pub(crate) fn import(&self) -> Result<(), Failure> {
        let archive = self.archive();
        match self.ended(&["import", &archive.to_string_lossy(), IMAGE])? {
            Some(output) if output.status.success() => Ok(()),
            Some(output) => Err(Failure(String::from_utf8_lossy(&output.stderr).into_owned())),
            None => Err(Failure("the import of the image did not end".into())),
        }
    }
}

/// Says in which call of the kernel a process waits, and what it has open.
fn where_it_waits(pid: u32) -> String {
    let [stack, call] = ["stack", "syscall"].map(|name| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        text.lines().take(6).collect::<Vec<_>>().join("; ")
    });
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let open = entries.filter_map(|entry| {
        let target = std::fs::read_link(entry.path()).ok()?;
        Some(format!("{}={}", entry.file_name().display(), target.display()))
    });
    format!("{call}; {stack}; open: {}", open.collect::<Vec<_>>().join(" "))
}

fn number(option: &str, word: Option<&String>) -> Result<u64, Failure> {
    word.and_then(|word| word.parse().ok()).ok_or_else(|| Failure(format!("{option} takes a number")))
}

/// A seed that nobody chose; it is printed.
fn clock() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos()) ^ now.as_secs().rotate_left(20)
}
