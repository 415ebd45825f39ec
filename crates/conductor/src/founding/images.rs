//! Images in the grammar of `conductor.sh`.

use super::grammar::Intent;
use crate::context::Context;
use crate::error::{Failure, Outcome};

/// Carries out what concerns images.
pub(super) fn act(_intent: Intent, _context: &Context) -> Outcome {
    Err(Failure::message("images are being written"))
}
