//! What the labs share: a root directory with a program and its libraries, the way into it, and how they end.
//!
//! The labs are the founding documents' tasks 1 and 2 as small programs on Conductor's own crates. Each program under
//! `src/bin/` is one lesson and is read from the top; what several lessons need stands here. `docs/labs/` explains them.

pub mod libraries;
pub mod root;

use std::ffi::CString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use sys::process::{Child, ExitStatus};

use root::ContainerRoot;

/// Why a lab could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A system call failed.
    #[error(transparent)]
    Sys(#[from] sys::Error),
    /// A file of the lab's root could not be put there.
    #[error("cannot {what}")]
    File {
        /// What was to be done, with the path.
        what: String,
        /// Why it could not be done.
        source: std::io::Error,
    },
    /// A cgroup could not be made, joined or removed.
    #[error("cannot limit the container")]
    Cgroup(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The program in the container failed.
    #[error("the program in the container ended with {code}")]
    Ended {
        /// Its exit code.
        code: i32,
    },
    /// A program's libraries could not be listed.
    #[error("cannot find the libraries of {program}: {reason}")]
    Libraries {
        /// The program.
        program: String,
        /// What was wrong.
        reason: String,
    },
}

/// What a lab gives back.
pub type Result<T> = std::result::Result<T, Error>;

/// Adds what was to be done to an error of a file operation.
pub trait Doing<T> {
    /// Names what was to be done, as in `copy /bin/ls`.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::File { what: what(), source })
    }
}

/// Runs a lab and prints why it failed, cause by cause.
#[allow(clippy::print_stderr, reason = "a lab is a program of its own")]
pub fn finish(outcome: Result<()>) -> ExitCode {
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    eprintln!("error: {error}");
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
    if sys::credentials::effective_user() != 0 {
        eprintln!("  hint: new namespaces and cgroups need root; run it with sudo");
    }
    ExitCode::FAILURE
}

/// Prints one line at once, so that lines of several processes come in the order in which they were said.
pub fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).doing(|| "write to stdout".into())
}

/// Waits for a child and gives back its exit code as a shell shows it.
pub fn wait(child: &Child) -> Result<i32> {
    Ok(sys::process::wait(&child.pidfd).map(ExitStatus::code)?)
}

/// Ends a cloned child with what its story came to.
pub fn end(outcome: Result<()>) -> ! {
    let failed = outcome.is_err();
    finish(outcome);
    sys::process::exit(i32::from(failed))
}

/// Waits for the container, which has to succeed, and tells that the host is still called as before.
pub fn conclude(container: &Child) -> Result<()> {
    match wait(container)? {
        0 => say(&format!("Hostname in the host: {}", host_name())),
        code => Err(Error::Ended { code }),
    }
}

/// Returns the name of the host as the calling process's UTS namespace has it.
pub fn host_name() -> String {
    sys::namespace::host_name()
}

/// The program that a lab puts into its container, with its arguments.
#[derive(Debug)]
pub struct Task {
    /// Where the program is on the host.
    program: PathBuf,
    arguments: Vec<String>,
}

impl Task {
    /// Reads the command line; what is missing is `container_prog`, which stands beside the lab.
    pub fn from_arguments() -> Result<Self> {
        let mut words = std::env::args().skip(1).peekable();
        // Digits alone are for container_prog: how long it computes.
        let own = words.peek().is_none_or(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
        let program = match words.next_if(|_| !own) {
            Some(word) => PathBuf::from(word),
            None => std::env::current_exe().doing(|| "find our own program".into())?.with_file_name("container_prog"),
        };
        Ok(Self { program, arguments: words.collect() })
    }

    /// Makes a root that holds the program, ls(1), and the libraries of both.
    pub fn root(&self) -> Result<ContainerRoot> {
        let root = ContainerRoot::create()?;
        root.install(&self.program)?;
        root.install("/bin/ls".as_ref())?;
        Ok(root)
    }

    /// Becomes the program, which stands at the top of the new root. It returns only on failure.
    pub fn execute(&self) -> Result<()> {
        let name = self.program.file_name().unwrap_or_default().to_string_lossy();
        let path = c_string(format!("/{name}"));
        let words: Vec<_> =
            [name.into_owned()].into_iter().chain(self.arguments.iter().cloned()).map(c_string).collect();
        Err(sys::process::execve(&path, &words, &[c"PATH=/".into()]).into())
    }
}

/// Command line words hold no NUL, since that is what ends them.
fn c_string(word: String) -> CString {
    CString::new(word).unwrap_or_default()
}
