//! `system`: looking after the engine.

mod boot;
mod check;
mod df;

pub(crate) use boot::BootArgs;
pub(crate) use check::CheckArgs;
pub(crate) use df::DfArgs;
