//! Builds: from a Dockerfile to an image.
//!
//! ```text
//! text ── dockerfile::parse ── graph::plan ── a graph: stages, steps, every word decided           plan
//!                                 │
//!                              contents      what each step takes from contexts, by digest
//!                                 │
//!                              solve         keys ── the cache has it ── nothing to do
//!                                 │                └ it has not ── a process a stage ── op::{copy, run, workdir}
//!                              export        the image, announced with its names
//! ```
//!
//! A step's key is a digest of all that decides what it makes: the layers below (by their contents), the instruction, and the
//! contents of what it takes from elsewhere. So the same step over the same layers is made once, whoever asked for it, in
//! whichever build. Each stage that has something to do is a process of ours (`solve/`), which dies with us; where two want
//! the same step, in one build or in two, the second one waits for the first.
//!
//! Start reading at [`build()`]; the nouns of the graph are in `graph/mod.rs`.

mod contents;
mod elsewhere;
mod error;
mod event;
mod export;
mod files;
mod graph;
mod ignored;
mod key;
mod op;
mod paths;
mod request;
mod solve;

pub use contents::file_of_archive;
pub use elsewhere::{Elsewhere, Nowhere, SolvedStep};
pub use error::{BuildError, ContextError, Place};
pub use event::{Event, StepId};
pub use export::{Built, ImageWish};
pub use ignored::{patterns_at, patterns_of};
pub use request::{
    BaseError, Bases, BuildFile, BuildRequest, ContextSource, DeviceRights, Fetched, NamedContext, NoCache, Secret,
    StepNetwork,
};
pub use solve::{Solved, build};
