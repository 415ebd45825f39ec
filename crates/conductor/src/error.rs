//! A command's failure: what could not be done, why, what to do next, and the exit code.
//!
//! Every error of the lower floors becomes a [`Failure`] by `?`. The whole chain is printed, a cause a line, each cause
//! said once; hints that need the chain (no root, disk full) are found here, others come with [`Failure::hint`].

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use sys::Errno;

/// What a command gives back.
pub(crate) type Outcome = Result<ExitCode, Failure>;

/// The exit code of a command that failed before any container's process had a say, as Docker has it.
pub(crate) const ENGINE_FAILED: u8 = 125;

/// Why a command failed, and with which exit code it ends.
#[derive(Debug)]
pub(crate) struct Failure {
    doing: Option<String>,
    cause: Box<dyn Error + Send + Sync>,
    hint: Option<String>,
    code: Option<u8>,
    printed: bool,
}

/// What to do where a program is not for this machine.
const ELSEWHERE: &str = "the program is for another machine, or a script without #!; 'apt install qemu-user-static \
                         binfmt-support' lets this one run programs of others";

/// What to do where there is no image of a name.
pub(crate) const NO_IMAGE: &str = "'conductor images' lists what there is; 'conductor build NAME' makes a Debian image";

impl Failure {
    /// Makes a failure of an error.
    pub(crate) fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { doing: None, cause: cause.into(), hint: None, code: None, printed: false }
    }

    /// Makes a failure of words that say what could not be done.
    pub(crate) fn message(words: impl Into<String>) -> Self {
        Self::new(words.into())
    }

    /// Makes a failure whose lines were printed already; only its exit code is left.
    pub(crate) fn printed(code: u8) -> Self {
        Self { printed: true, ..Self::message("") }.code(code)
    }

    /// Leaves the exit code and nothing to print.
    #[must_use]
    pub(crate) fn into_printed(self) -> Self {
        Self { printed: true, ..self }
    }

    /// Makes a failure of a verb that starts a command: a command that is not there ends with 127, one that cannot be
    /// executed with 126.
    pub(crate) fn starting(error: engine::Error) -> Self {
        match error {
            engine::Error::Start { code, .. } | engine::Error::Exec { code, .. } => Self::new(error).code(code),
            _ => Self::new(error),
        }
    }

    /// Says, above the error, what could not be done.
    #[must_use]
    pub(crate) fn doing(self, what: impl Into<String>) -> Self {
        Self { doing: Some(what.into()), ..self }
    }

    /// Says what the user can do next.
    #[must_use]
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Says what the user can do next where nothing was said before.
    #[must_use]
    pub(crate) fn or_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: self.hint.or_else(|| Some(hint.into())), ..self }
    }

    /// Sets the exit code.
    #[must_use]
    pub(crate) fn code(self, code: u8) -> Self {
        Self { code: Some(code), ..self }
    }

    /// Sets the exit code where none was set before.
    #[must_use]
    pub(crate) fn default_code(self, code: u8) -> Self {
        Self { code: Some(self.code.unwrap_or(code)), ..self }
    }

    /// Returns the error alone, for one that says itself what could not be done.
    pub(crate) fn into_cause(self) -> Box<dyn Error + Send + Sync> {
        match self.doing {
            Some(_) => engine::Chain::read(&self.chain().join("\n")).into(),
            None => self.cause,
        }
    }

    /// Returns the exit code: 1 unless one was set.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code.unwrap_or(1))
    }

    /// Returns the lines for the user, without a last newline; nothing when they were printed already.
    pub(crate) fn lines(&self) -> Option<String> {
        if self.printed {
            return None;
        }
        let mut chain = self.chain().into_iter();
        let first = chain.next().unwrap_or_default();
        let mut text = match self.lacks_root() {
            true => format!("error: this needs root: {first}"),
            false => format!("error: {first}"),
        };
        for cause in chain {
            text.push_str("\n  because: ");
            text.push_str(&cause);
        }
        for hint in self.hint.iter().cloned().chain(self.found_hint()) {
            text.push_str("\n  hint: ");
            text.push_str(&hint);
        }
        Some(text)
    }

    /// Returns the chain in words, the outermost first, without what an outer error said already.
    fn chain(&self) -> Vec<String> {
        let mut chain: Vec<String> = self.doing.iter().cloned().collect();
        for error in self.errors() {
            let words = error.to_string();
            if !chain.iter().any(|said| said.ends_with(&words)) {
                chain.push(words);
            }
        }
        chain
    }

    fn errors(&self) -> impl Iterator<Item = &(dyn Error + 'static)> {
        let first: &(dyn Error + 'static) = self.cause.as_ref();
        std::iter::successors(Some(first), |&error| error.source())
    }

    fn errno(&self) -> Option<Errno> {
        self.errors().find_map(|error| {
            let own = error.downcast_ref::<sys::Error>().map(sys::Error::errno);
            own.or_else(|| error.downcast_ref::<std::io::Error>()?.raw_os_error().map(Errno::from_raw_os_error))
        })
    }

    fn lacks_root(&self) -> bool {
        matches!(self.errno(), Some(Errno::PERM | Errno::ACCESS)) && !crate::context::is_root()
    }

    fn found_hint(&self) -> Option<String> {
        if let Some(hint) = self.cause.downcast_ref::<engine::Error>().and_then(engine::Error::hint) {
            return Some(hint);
        }
        if self.errors().any(names_no_image) {
            return Some(NO_IMAGE.to_owned());
        }
        if self.errors().any(names_no_network) {
            return Some(
                "'conductor network ls' lists what there is; 'conductor network create NAME' makes one".to_owned(),
            );
        }
        if self.errors().any(runs_elsewhere) {
            return Some(ELSEWHERE.to_owned());
        }
        match self.errno()? {
            Errno::PERM | Errno::ACCESS if !crate::context::is_root() => {
                Some("run the same command as root, for example with sudo".to_owned())
            }
            Errno::NOSPC | Errno::DQUOT => Some(
                "the disk is full: remove images (conductor rmi) or stopped containers (conductor system prune)"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

fn names_no_image(error: &(dyn Error + 'static)) -> bool {
    // The engine hands a store's error on as its own, so that it is no link of the chain.
    let within = match error.downcast_ref() {
        Some(engine::Error::Store(error)) => Some(error),
        _ => error.downcast_ref(),
    };
    matches!(within, Some(store::StoreError::NotFound(_)))
}

/// Tells whether the kernel took a program for none. What another process of ours told is text by now.
fn runs_elsewhere(error: &(dyn Error + 'static)) -> bool {
    error.to_string().ends_with("(ENOEXEC)")
}

fn names_no_network(error: &(dyn Error + 'static)) -> bool {
    // As above.
    let within = match error.downcast_ref() {
        Some(engine::Error::Network(error)) => Some(error),
        _ => error.downcast_ref(),
    };
    matches!(within, Some(engine::NetworkError::NoSuchNetwork(_)))
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chain().join(": "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot start container web")]
    struct Start(#[source] sys::Error);

    #[test]
    fn a_chain_is_printed_a_cause_a_line() {
        let error = Start(sys::Error::new("bind(0.0.0.0:8080)", Errno::ADDRINUSE));
        let failure = Failure::new(error).hint("port 8080 is held by nginx (pid 4121)");
        assert_eq!(
            failure.lines().unwrap(),
            "error: cannot start container web\n  \
             because: bind(0.0.0.0:8080): address already in use (EADDRINUSE)\n  \
             hint: port 8080 is held by nginx (pid 4121)"
        );
    }

    #[test]
    fn what_was_said_is_not_said_again() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot write the log: {0}")]
        struct Log(#[source] sys::Error);
        let failure = Failure::new(Log(sys::Error::new("write(5)", Errno::PIPE)));
        assert_eq!(failure.lines().unwrap(), "error: cannot write the log: write(5): broken pipe (EPIPE)");
    }

    #[test]
    fn a_full_disk_comes_with_a_hint() {
        let failure = Failure::new(Start(sys::Error::new("write(5)", Errno::NOSPC)));
        assert!(failure.lines().unwrap().contains("hint: the disk is full"));
    }
}
