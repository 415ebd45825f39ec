//! What every experiment is given: the program under test, places of its own, the seed.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use testkit::fixture;

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
#[derive(Debug)]
pub(crate) struct Context {
    /// The binary under test.
    pub(crate) program: PathBuf,
    /// Where all choices come from.
    pub(crate) seed: u64,
    /// How many rounds were asked for.
    pub(crate) rounds: usize,
    /// Whether to say what each round does.
    pub(crate) verbose: bool,
    directory: TempDir,
}

impl Context {
    /// Reads the command line, and imports the image. Returns the names of the experiments as well.
    pub(crate) fn from_words(words: &[String]) -> Result<(Self, Vec<String>), Failure> {
        let (mut program, mut seed, mut rounds, mut short, mut verbose) = (None, None, None, false, false);
        let (mut names, mut words) = (Vec::new(), words.iter());
        while let Some(word) = words.next() {
            match word.as_str() {
                "--program" => program = words.next().map(PathBuf::from),
                "--seed" => seed = Some(number(word, words.next())?),
                "--rounds" => rounds = Some(number(word, words.next())?),
                "--short" => short = true,
                "--verbose" => verbose = true,
                option if option.starts_with('-') => return Err(Failure(format!("there is no option {option}"))),
                name => names.push(name.to_owned()),
            }
        }
        let program = program.ok_or_else(|| Failure("--program PATH says what is under test".into()))?;
        let directory = tempfile::Builder::new().prefix("conductor-torture-").tempdir();
        let directory = directory.map_err(|error| Failure(format!("cannot make a directory: {error}")))?;
        let rounds = rounds.unwrap_or(if short { 60 } else { 1000 });
        let rounds = usize::try_from(rounds).map_err(|error| Failure(error.to_string()))?;
        let context = Self { program, seed: seed.unwrap_or_else(clock), rounds, verbose, directory };
        context.import()?;
        Ok((context, names))
    }

    /// Returns the directory for `--root`.
    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// Returns the directory for `--state`.
    pub(crate) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// Makes a call of the program on the harness's own directories.
    pub(crate) fn conductor(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(self.root()).arg("--state").arg(self.state()).args(words);
        command.env("NO_COLOR", "1").env("HOME", self.directory.path()).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end; `None` if it is stuck, in which case it has been killed.
    pub(crate) fn ended(&self, words: &[&str]) -> Result<Option<Output>, Failure> {
        let cannot = |error: std::io::Error| Failure(format!("cannot run {}: {error}", words.join(" ")));
        // Files, and not pipes: what the command leaves behind may hold them open for ever.
        let [out, err] = ["out", "err"].map(|name| self.directory.path().join(name));
        let mut command = self.conductor(words);
        command.stdout(std::fs::File::create(&out).map_err(cannot)?);
        command.stderr(std::fs::File::create(&err).map_err(cannot)?);
        let mut child = command.spawn().map_err(cannot)?;
        let start = Instant::now();
        while start.elapsed() < DEADLINE {
            if let Some(status) = child.try_wait().map_err(cannot)? {
                let [stdout, stderr] = [out, err].map(|path| std::fs::read(path).unwrap_or_default());
                return Ok(Some(Output { status, stdout, stderr }));
            }
            std::thread::park_timeout(Duration::from_millis(2));
        }
        child.kill().and_then(|()| child.wait()).map_err(cannot)?;
        Ok(None)
    }

    fn import(&self) -> Result<(), Failure> {
        let archive = self.directory.path().join("busybox.tar");
        let file = std::fs::File::create(&archive).map_err(|error| Failure(error.to_string()))?;
        fixture::busybox_tar(file);
        match self.ended(&["import", &archive.to_string_lossy(), IMAGE])? {
            Some(output) if output.status.success() => Ok(()),
            Some(output) => Err(Failure(String::from_utf8_lossy(&output.stderr).into_owned())),
            None => Err(Failure("the import of the image did not end".into())),
        }
    }
}

fn number(option: &str, word: Option<&String>) -> Result<u64, Failure> {
    word.and_then(|word| word.parse().ok()).ok_or_else(|| Failure(format!("{option} takes a number")))
}

/// A seed that nobody chose; it is printed.
fn clock() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos()) ^ now.as_secs().rotate_left(20)
}
