//! What a build tells while it goes on.

use std::time::Duration;

/// One step, as lists number them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId {
    /// The number of its stage in the graph.
    pub stage: usize,
    /// Its number in the stage.
    pub step: usize,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// A step is known: these come first, in the order in which lists show them.
    Planned {
        /// The step.
        id: StepId,
        /// What it is, as in `[builder 2/5] RUN make`.
        title: &'a str,
    },
    /// A step was begun.
    Started(StepId),
    /// A step said something.
    Output {
        /// The step.
        id: StepId,
        /// Whether it was said as an error.
        error: bool,
        /// What it said: some bytes, not always a whole line.
        bytes: &'a [u8],
    },
    /// A step had been made before.
    Cached(StepId),
    /// A step is done.
    Done {
        /// The step.
        id: StepId,
        /// How long it took.
        took: Duration,
    },
    /// A step has failed.
    Failed {
        /// The step.
        id: StepId,
        /// How long it took.
        took: Duration,
    },
    /// Something beside the steps is being done: a file is read, an image is looked for.
    Doing(&'a str),
    /// What the user should know.
    Warning(&'a str),
    /// From now on the terminal is a shell's, until the next event.
    Shell,
}
