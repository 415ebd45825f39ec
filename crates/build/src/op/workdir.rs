//! `WORKDIR`: the directory is made where it is missing, and belongs to whoever works in it.

use std::rc::Rc;

use store::{Layer, Stack, Work};

use super::copy::{CopyError, owner_of};
use super::layer;
use super::target::Target;
use crate::files::Files;
use crate::graph::Workdir;

/// Writes the layer of a working directory.
pub(crate) fn workdir(workdir: &Workdir, work: &mut Work, below: &Stack, epoch: u64) -> Result<Layer, CopyError> {
    let owner = if workdir.user.is_empty() { None } else { Some(owner_of(&workdir.user, below)?) };
    let mut target = Target::new(Some(below), epoch, owner);
    let at = target.resolve(workdir.path.as_bytes())?;
    if !target.is_directory(&at) {
        target.ensure_directory(&at)?;
    }
    let trees: [Rc<dyn Files>; 0] = [];
    layer::write(work, &target.entries, &trees)
}
