//! After a power cut the state directory is empty, and no run tells of what was under way: the first command looks at every
//! container once.
//!
//! A container is created in this order: its name, its directory, its record; and removed in this: its name, all the
//! rest. So what has no record was never made; and what has a record and no name was about to be removed, or its name was not
//! yet on the disk.

use crate::error::Doing;
use crate::layout::Layout;
use crate::ledger::{self, Owner};
use crate::{ContainerId, Error, names, records, remove};

/// Brings to their end what a power cut has interrupted, if no command has looked since the state directory was made.
pub(crate) fn recover_once(layout: &Layout) -> Result<(), Error> {
    if records::exists(&layout.swept())? { Ok(()) } else { ledger::sweep(layout) }
}

/// Looks at every container and every name. What cannot be mended now stops no command.
pub(crate) fn recover(layout: &Layout) {
    for id in ledger::identifiers(&layout.containers()).unwrap_or_default() {
        if let Err(error) = recover_container(layout, &id) {
            tracing::warn!(container = id.short(), "what a power cut left of it cannot be mended yet: {error}");
        }
    }
    if let Err(error) = names::forget_nobody(layout) {
        tracing::warn!("names that lead to nobody cannot be given back yet: {error}");
    }
}

fn recover_container(layout: &Layout, id: &ContainerId) -> Result<(), Error> {
    let sound = |layout: &Layout| -> Result<bool, Error> {
        let Some(container) = records::container(layout, id)? else { return Ok(false) };
        // A step ends with its builder, which the power cut has ended.
        Ok(!container.is_step() && !names::was_given_back(layout, &container.name, id)?)
    };
    if sound(layout)? {
        return Ok(());
    }
    // Whoever has a claim on it is just creating or removing it.
    let Some(claim) = ledger::claim(layout, id, &trace::Recorder::silent())? else { return Ok(()) };
    if !sound(layout)? {
        let taken = match records::container(layout, id)? {
            // A container that has run had a record: this is no work of ours that was interrupted.
            None if records::exists(&layout.upper(id))? => {
                let files = layout.container(id);
                tracing::warn!(
                    "a container has lost its record; its changes lie in {}: remove that directory when they are not wanted",
                    files.display()
                );
                false
            }
            None => true,
            Some(container) if container.is_step() => true,
            // The name is another one's by now: the removal had come to its end for all to see.
            Some(container) => names::reserve(layout, id, &container.name)?.is_some(),
        };
        if taken {
            remove::remove_files(layout, id, None, &[]).doing(|| "finish what was half done")?;
        }
    }
    remove::remove_run(layout, id)?;
    drop(claim);
    Ok(())
}

/// Tells whether a name leads to a container that was never made.
pub(crate) fn is_nobody(layout: &Layout, id: &ContainerId) -> Result<bool, Error> {
    Ok(!records::exists(&layout.container(id))? && ledger::owner(layout, id)? == Owner::None)
}
