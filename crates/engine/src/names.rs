//! The names of containers: links to their records, reserved by an atomic create.

use std::path::Path;

use sys::Calling;

use crate::error::Doing;
use crate::layout::Layout;
use crate::ledger::{self, Owner};
use crate::recover::is_nobody;
use crate::{ContainerId, ContainerName, Error, records, remove};

/// Reserves a name; returns the short id of the container that has it already.
pub(crate) fn reserve(layout: &Layout, id: &ContainerId, name: &ContainerName) -> Result<Option<String>, Error> {
    let link = layout.name(name);
    let target = Path::new("../containers").join(id.as_str());
    loop {
        let made = match std::os::unix::fs::symlink(&target, &link) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                ledger::ensure_directory(&layout.names()).doing(|| "make the directory of names")?;
                continue;
            }
            made => made.call(|| format!("symlink({target:?}, {link:?})")),
        };
        match made {
            Err(error) if error.errno() == sys::Errno::EXIST => {
                let Some(holder) = named(layout, name)? else {
                    clear_unreadable(&link).doing(|| format!("reserve the name {name}"))?;
                    continue;
                };
                if lives(layout, &holder)? {
                    return Ok(Some(holder.short().to_owned()));
                }
                // Left by a crash.
                release(layout, name, &holder)?;
            }
            made => return made.map(|()| None).doing(|| format!("reserve the name {name}")),
        }
    }
}

/// Removes a link that leads to no container at all, which we never make; content when the name has just been given back.
fn clear_unreadable(link: &Path) -> sys::Result<()> {
    match std::fs::read_link(link) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Ok(target)
            if target.file_name().and_then(|id| id.to_str()).is_some_and(|id| id.parse::<ContainerId>().is_ok()) =>
        {
            Ok(())
        }
        _ => remove::unlink(link),
    }
}

fn lives(layout: &Layout, id: &ContainerId) -> Result<bool, Error> {
    Ok(records::exists(&layout.record(id))? || ledger::owner(layout, id)? == Owner::Living)
}

/// Gives a name back, if it is this container's: it may have gone to another one meanwhile.
///
/// Whoever removes a name holds a lock on the directory of names, so that it removes the link that it has read. A
/// name is made without it: the link is made by one alone.
pub(crate) fn release(layout: &Layout, name: &ContainerName, id: &ContainerId) -> Result<(), Error> {
    let doing = || format!("give the name {name} back");
    let directory = layout.names();
    let opened = match std::fs::File::open(&directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        opened => opened.call(|| format!("open({directory:?})")).doing(doing)?,
    };
    opened.lock().call(|| format!("flock({directory:?}, LOCK_EX)")).doing(doing)?;
    match was_given_back(layout, name, id)? {
        true => Ok(()),
        false => remove::unlink(&layout.name(name)).doing(doing),
    }
}

/// Returns the container to which a name leads; `None` where there is no such name, or its link leads to no container at all.
/// What cannot be read is an error: to say that there is no such container might be a lie.
pub(crate) fn named(layout: &Layout, name: &ContainerName) -> Result<Option<ContainerId>, Error> {
    let link = layout.name(name);
    match std::fs::read_link(&link) {
        Ok(target) => Ok(target.file_name().and_then(|id| id.to_str()?.parse().ok())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).call(|| format!("readlink({link:?})")).doing(|| format!("look up the name {name}")),
    }
}

/// Tells whether a container that is on record no longer has its name. A link that cannot be read tells nothing, and is an
/// error: what follows from the answer is the removal of the container.
pub(crate) fn was_given_back(layout: &Layout, name: &ContainerName, id: &ContainerId) -> Result<bool, Error> {
    let link = layout.name(name);
    match std::fs::read_link(&link) {
        Ok(target) => Ok(target.file_name().is_none_or(|file| file != id.as_str())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error).call(|| format!("readlink({link:?})")).doing(|| format!("look up the name {name}")),
    }
}

/// Returns the name that leads to a container. It is looked for among all names: the record is the place to ask first.
pub(crate) fn of(layout: &Layout, id: &ContainerId) -> Option<ContainerName> {
    links(layout, id).ok()?.pop()
}

/// Removes the names of a container whose record is gone.
pub(crate) fn forget(layout: &Layout, id: &ContainerId) -> Result<(), Error> {
    links(layout, id)?.iter().try_for_each(|name| release(layout, name, id))
}

/// Removes the names that lead to nobody: a power cut came after the name of a new container, and before the container.
pub(crate) fn forget_nobody(layout: &Layout) -> Result<(), Error> {
    for name in all(layout)? {
        // What cannot be read stays, and stops nobody.
        if let Ok(Some(id)) = named(layout, &name)
            && is_nobody(layout, &id)?
        {
            release(layout, &name, &id)?;
        }
    }
    Ok(())
}

/// Returns the names that lead to a container. One that cannot be read is passed over.
fn links(layout: &Layout, id: &ContainerId) -> Result<Vec<ContainerName>, Error> {
    let leads_there = |name: &ContainerName| {
        let target = std::fs::read_link(layout.name(name)).unwrap_or_default();
        target.file_name().is_some_and(|file| file == id.as_str())
    };
    Ok(all(layout)?.into_iter().filter(leads_there).collect())
}

fn all(layout: &Layout) -> Result<Vec<ContainerName>, Error> {
    let names = ledger::names_in(&layout.names()).doing(|| "list the names of containers")?;
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}
