//! The OCI runtime: a spec and a root become a running process.
//!
//! [`plan::container`] decides, [`create()`] acts up to the gate, [`Created::start`] opens it; [`exec()`] runs one more
//! process in a container. The crate has never heard of an image, nor of Docker: engines of all kinds call it.
//!
//! Start reading at [`plan`] (what is decided) and then at `init` (what the first process does with it).

pub mod console;
pub mod create;
mod error;
pub mod exec;
pub mod hooks;
mod init;
pub mod lifecycle;
mod listener;
pub mod overlay;
pub mod plan;
pub mod reaper;
pub mod records;
pub mod state;
mod sync;

pub use create::{CreateOptions, Created, Creating, Process, StartGate, begin, create};
pub use error::{Cause, CreateError, Failure, FailureKind};
pub use exec::{ExecOptions, exec};
pub use init::Stdio;
pub use lifecycle::{CreateRequest, LifecycleError, Runtime};
pub use plan::{ContainerPlan, Inputs, PlanError};
pub use records::{Record, Records};
pub use state::{SPEC_VERSION, State, Status};
