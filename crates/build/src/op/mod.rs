//! What steps do. Each kind has a plan, made from nouns and trees that can be looked at, and an apply that writes a layer.

pub(crate) mod copy;
pub(crate) mod layer;
pub(crate) mod mounts;
pub(crate) mod run;
pub(crate) mod select;
pub(crate) mod squash;
pub(crate) mod target;
pub(crate) mod workdir;
