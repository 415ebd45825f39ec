//! Why a container cannot be made or joined.

use serde::{Deserialize, Serialize};

use crate::hooks::HookError;
use crate::plan::PlanError;

/// What went wrong inside the container's first process, told across the process boundary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("cannot {step}")]
pub struct Failure {
    /// The step that could not be done, in the words of `--explain`.
    pub step: String,
    /// What kind of failure it is.
    pub kind: FailureKind,
    /// Why.
    #[source]
    pub cause: Cause,
}

/// The reason of a [`Failure`] in words; what was a chain of errors is a text after it has crossed to another process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
pub struct Cause {
    /// The words.
    pub text: String,
    /// The kernel's answer, if there was one.
    pub errno: Option<i32>,
}

/// What kind of failure it is, since some have exit codes of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// There is no such program: exit code 127.
    NotFound,
    /// There is one, but it cannot be run: exit code 126.
    NotExecutable,
    /// Anything else.
    Other,
}

impl Failure {
    /// Tells which step failed because of which system call.
    pub(crate) fn new(step: impl Into<String>, error: &sys::Error) -> Self {
        let cause = Cause { text: shortened(error.to_string()), errno: Some(error.errno().raw_os_error()) };
        Self { step: shortened(step.into()), kind: FailureKind::Other, cause }
    }

    /// Tells which step failed, in words.
    pub(crate) fn told(step: impl Into<String>, kind: FailureKind, text: impl Into<String>) -> Self {
        Self { step: shortened(step.into()), kind, cause: Cause { text: shortened(text.into()), errno: None } }
    }
}

/// How much of a failure's reason travels: paths are short, and a message has its bounds.
const MAX_TEXT: usize = 4096;

fn shortened(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        text.push_str(" ...");
    }
    text
}

/// Why a container cannot be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The spec asks for what cannot be planned.
    #[error("cannot plan the container")]
    Plan(#[from] PlanError),
    /// The cgroup cannot be made.
    #[error("cannot make the cgroup")]
    Cgroup(#[from] cgroup::CgroupError),
    /// A system call of the creator's own.
    #[error("cannot {what}")]
    Sys {
        /// What could not be done.
        what: &'static str,
        /// The call.
        source: sys::Error,
    },
    /// A step of the first process.
    #[error(transparent)]
    Init(#[from] Failure),
    /// A hook.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The first process died without a word, as under a memory limit that cannot hold it.
    #[error("the container's first process was killed while it set up the container ({0})")]
    Died(String),
    /// The memory limit holds less than it takes to set a container up.
    #[error("the memory limit is too low to start a container: the kernel killed its first process for want of memory")]
    OutOfMemory,
    /// Our own binary could be overwritten from inside.
    #[error("the runtime must run from a sealed binary")]
    NotSealed,
}

impl CreateError {
    /// Returns what kind of failure it is.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Init(failure) => failure.kind,
            _ => FailureKind::Other,
        }
    }

    /// Adds what could not be done to a system call's error.
    pub(crate) fn sys(what: &'static str) -> impl FnOnce(sys::Error) -> Self {
        move |source| Self::Sys { what, source }
    }
}
