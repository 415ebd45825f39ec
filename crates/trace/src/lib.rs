//! Steps: the changes made to the host, told in words.
//!
//! A plan is a list of typed steps (`MountStep`, `CgroupStep`, ...). Each of them can tell itself as a [`Step`]: one
//! sentence and the shell command that does the same. The apply functions hand every step to a [`Recorder`] just before
//! they carry it out, so `--explain` shows what is really applied; `conductor explain` hands the same plan to the same
//! recorder and applies nothing.
//!
//! Start reading at [`Step`]; [`Recorder`] is where steps go.

mod recorder;
mod step;

pub use recorder::{Format, Recorder};
pub use step::{Explain, Place, Step, quote};
