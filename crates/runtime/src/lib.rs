//! The OCI runtime: a spec and a root become a running process.
//!
//! [`plan::container`] decides, [`create()`] acts up to the gate, [`Created::start`] opens it; [`exec()`] runs one more
//! process in a container. The crate has never heard of an image, nor of Docker: engines of all kinds call it.
//!
//! Start reading at [`plan`] (what is decided) and then at `init` (what the first process does with it).

pub mod create;
mod error;
pub mod exec;
pub mod hooks;
mod init;
pub mod plan;
pub mod reaper;
pub mod state;
mod sync;

pub use create::{CreateOptions, Created, Process, StartGate, create};
pub use error::{Cause, CreateError, Failure, FailureKind};
pub use exec::{ExecOptions, exec};
pub use init::Stdio;
pub use plan::{ContainerPlan, Inputs, PlanError};
pub use state::{State, Status};
