//! After a build: the cache is brought back to its size. What the build used stays, however much it is.

use std::time::Duration;

use engine::Engine;
use jiff::Timestamp;
use store::{CacheBounds, Room, StoreError};
use trace::Recorder;

use crate::context::Context;
use crate::error::Failure;

/// File systems tell times a little behind the clock.
const BEHIND: Duration = Duration::from_secs(1);

/// Removes what was used least lately where the cache holds more than it may. A cache that is too large is no reason to fail.
pub(super) fn collect(context: &Context, engine: &Engine, begun: Timestamp) -> Result<(), Failure> {
    let chosen = context.settings()?.build_cache_size;
    match reduce(engine, chosen, begun, &context.recorder()?) {
        Ok(0) => {}
        Ok(freed) => tracing::info!(freed, "the cache of builds held more than it may"),
        Err(error) => tracing::warn!(%error, "the cache of builds could not be made smaller"),
    }
    Ok(())
}

fn reduce(engine: &Engine, chosen: Option<u64>, begun: Timestamp, recorder: &Recorder) -> Result<u64, StoreError> {
    let store = engine.store();
    let room = store.room()?;
    let most = chosen.unwrap_or(CacheBounds::usual(room).most);
    if !may_exceed(room, most) {
        return Ok(0);
    }
    store.cache().collect(most, begun.checked_sub(BEHIND).unwrap_or(begun), recorder)
}

/// Nothing need be counted where all that the file system holds would be allowed.
fn may_exceed(room: Room, most: u64) -> bool {
    room.size.saturating_sub(room.free) > most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_that_holds_little_is_not_searched() {
        let room = Room { size: 1000, free: 900 };
        assert!(!may_exceed(room, 100));
        assert!(may_exceed(room, 99));
    }
}
