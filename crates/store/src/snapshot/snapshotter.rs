//! What a snapshotter is.

use std::fmt::Debug;

use trace::Recorder;

use super::{View, ViewError};
use crate::Image;

/// Makes views of images: one way of turning what the store holds into a tree of files.
///
/// Whatever the way, a view shows what unpacking the layers one over the other would make, read-only, and whiteouts are
/// applied; it outlives the image it is of; and nothing has to be converted when a store is used by another snapshotter.
pub trait Snapshotter: Debug {
    /// Returns the tree of an image, mounted and attached nowhere.
    fn view(&self, image: &Image, recorder: &Recorder) -> Result<View, ViewError>;
}
