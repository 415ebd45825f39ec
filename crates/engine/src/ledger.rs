//! Who owns what outlives a process, and what is done with what has no owner any more.
//!
//! A run's directory below `<state>/containers` is made before anything else of the run, and removed after everything
//! else of it. Whoever makes it marks its `lock` as held; the mark passes to the monitor with the descriptor and is gone
//! when the last of them dies, however it dies. So a directory whose lock nobody holds is what a crash left behind, and
//! all that belongs to it follows from the container's id: its cgroup, its record, its name. The next command of any kind
//! finds it in the few microseconds that one look takes ([`sweep`]), and [`settle`]s it.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use cgroup::{Cgroup, CgroupPath, Hierarchies};
use jiff::Timestamp;
use sys::Calling;
use sys::file::{Durability, is_held, try_hold};
use trace::{Explain, Recorder, Step, quote};

use crate::error::Doing;
use crate::layout::Layout;
use crate::monitor::again::Again;
use crate::monitor::order::Restart;
use crate::records::{self, Exit, Run};
use crate::restart::{Ended, plan_restart};
use crate::{Container, ContainerId, Error, names, network, recover, remove};

/// A run's directory, and the mark that it has an owner.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) lock: File,
}

/// Makes a directory that only we may enter, with those above it.
pub(crate) fn ensure_directory(path: &Path) -> sys::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.mode(0o700).recursive(true);
    builder.create(path).call(|| format!("mkdir({path:?}, 0700)"))
}

/// Makes a directory that must not exist; those above it are made where they are missing.
pub(crate) fn create_directory(path: &Path) -> sys::Result<()> {
    let create = || std::fs::DirBuilder::new().mode(0o700).create(path);
    let answer = match create() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), ensure_directory)?;
            create()
        }
        answer => answer,
    };
    answer.call(|| format!("mkdir({path:?}, 0700)"))
}

/// Opens a run: from here on the container has an owner. Fails when it has one already.
pub(crate) fn claim(layout: &Layout, id: &ContainerId, recorder: &Recorder) -> Result<Option<Claim>, Error> {
    recorder.record(&LedgerStep::Claim(layout, id));
    // Whoever holds the mark of a directory that we have made is a sweep, which soon lets go of it; or it is somebody who has
    // claimed the run after the sweep, and stays.
    let mut swept = None;
    loop {
        match create_directory(&layout.run(id)) {
            Err(error) if error.errno() == sys::Errno::EXIST => match owner(layout, id)? {
                Owner::Living if swept.is_none_or(|at: Instant| at.elapsed() > SWEEP) => return Ok(None),
                Owner::Living => std::thread::sleep(Duration::from_millis(1)),
                Owner::None => std::thread::yield_now(),
                Owner::Dead => settle(layout, id)?,
            },
            made => {
                made.doing(|| "open a run")?;
                // A sweep may meet the directory before it is marked, and remove it: then it is made again.
                match hold(&layout.lock(id)).doing(|| "mark a run")? {
                    Some(lock) => return Ok(Some(Claim { lock })),
                    None => swept = Some(Instant::now()),
                }
            }
        }
    }
}

/// How long a sweep may hold a run that it removes.
const SWEEP: Duration = Duration::from_secs(2);

/// Reads the record of a container whose run the caller has claimed. Without one it has just been removed, and the run goes
/// with it; the error calls it as the user did.
pub(crate) fn claimed_record(layout: &Layout, id: &ContainerId, called: &str) -> Result<Container, Error> {
    match records::container(layout, id)? {
        Some(container) => Ok(container),
        None => {
            remove::remove_run(layout, id)?;
            Err(Error::NoSuchContainer(called.to_owned()))
        }
    }
}

/// Opens the lock and marks it as held; `None` when somebody else does, or when it is being removed.
fn hold(path: &Path) -> sys::Result<Option<File>> {
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let lock = match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.call(|| format!("open({path:?}, O_CREAT)"))?,
    };
    if !try_hold(&lock)? {
        return Ok(None);
    }
    // The run may have been closed between the two, and even opened again by somebody else.
    let (held, there) = (lock.metadata().call(|| format!("fstat({path:?})"))?, std::fs::metadata(path));
    let same = there.is_ok_and(|there| (there.dev(), there.ino()) == (held.dev(), held.ino()));
    Ok(same.then_some(lock))
}

/// Whether a run has an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Its monitor (or the command that is just starting it) lives.
    Living,
    /// It died and left the run behind.
    Dead,
    /// There is no run.
    None,
}

/// Tells whether a container runs, as far as its owner goes.
pub(crate) fn owner(layout: &Layout, id: &ContainerId) -> Result<Owner, Error> {
    let path = layout.lock(id);
    match File::open(&path) {
        Ok(lock) => {
            let held = is_held(&lock).doing(|| format!("ask for the owner of container {}", id.short()))?;
            Ok(if held { Owner::Living } else { Owner::Dead })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Ok(if records::exists(&layout.run(id))? { Owner::Dead } else { Owner::None })
        }
        Err(error) => Err(error).call(|| format!("open({path:?})")).doing(|| "ask for the owner of a run"),
    }
}

/// Returns the runs that have a directory.
pub(crate) fn runs(layout: &Layout) -> Result<Vec<ContainerId>, Error> {
    identifiers(&layout.runs())
}

/// Returns the entries of a directory that are ids; none when it does not exist.
pub(crate) fn identifiers(directory: &Path) -> Result<Vec<ContainerId>, Error> {
    let names = names_in(directory).doing(|| "list the containers")?;
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

/// Returns the names in a directory; none when it does not exist. A directory that cannot be read to its end is an error: whoever
/// is not in the list is taken for absent.
pub(crate) fn names_in(directory: &Path) -> sys::Result<Vec<String>> {
    match std::fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        entries => {
            let entries = entries.call(|| format!("opendir({directory:?})"))?;
            let names = entries.map(|entry| entry.map(|entry| entry.file_name().into_string().ok()));
            let names = names.collect::<std::io::Result<Vec<_>>>().call(|| format!("getdents64({directory:?})"))?;
            Ok(names.into_iter().flatten().collect())
        }
    }
}

/// Settles every run that has lost its owner. What cannot be settled now (on a full disk) stops no command, least of all
/// the one that makes room; it keeps its place in the ledger for the next one.
pub(crate) fn sweep(layout: &Layout) -> Result<(), Error> {
    for id in runs(layout)? {
        if owner(layout, &id)? == Owner::Dead {
            settle_or_warn(layout, &id);
        }
    }
    clear_closed(layout);
    store::snapshot::forget_dead(layout.state());
    if !layout.swept().exists() {
        recover::recover(layout);
    }
    // Without the mark the next command looks again, which costs time and nothing else.
    let _ = File::create(layout.swept()).and_then(|mark| mark.set_modified(SystemTime::now()));
    Ok(())
}

/// Removes what is left of runs, containers and networks whose removal was interrupted. What cannot be removed now stops no command.
pub(crate) fn clear_closed(layout: &Layout) {
    // While somebody is at it, it is held.
    let closed = |run: &Path| match hold(&run.join("lock"))? {
        Some(_lock) => remove::remove_closed(run),
        None => Ok(()),
    };
    let runs = hidden(&layout.runs()).into_iter().map(|run| (closed(&run), run));
    let files = [layout.containers(), layout.networks()].into_iter().flat_map(|directory| hidden(&directory));
    let files = files.map(|files| (remove::remove_tree(&files), files));
    for (removed, path) in runs.chain(files) {
        if let Err(error) = removed {
            tracing::warn!(path = %path.display(), "what is half removed cannot be cleared away yet: {error}");
        }
    }
}

fn hidden(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b".")).map(|entry| entry.path()).collect()
}

/// How long a look at all runs is good for.
const SWEPT: Duration = Duration::from_secs(1);

/// Tells whether all runs were looked at a moment ago, so that commands in a row do not each look at all of them.
pub(crate) fn was_just_swept(layout: &Layout) -> bool {
    let Ok(modified) = std::fs::metadata(layout.swept()).and_then(|mark| mark.modified()) else { return false };
    // A clock that was put back gives a time to come, which tells nothing.
    modified.elapsed().is_ok_and(|age| age < SWEPT)
}

/// Settles a run, and tells where that fails.
pub(crate) fn settle_or_warn(layout: &Layout, id: &ContainerId) {
    if let Err(error) = settle(layout, id) {
        let chain = crate::error::Chain::write(&error).replace('\n', ": ");
        tracing::warn!(container = id.short(), "what it left cannot be cleared away yet: {chain}");
    }
}

/// Brings a run to its end whose owner died: kills what is left of it, and removes or records the container.
pub(crate) fn settle(layout: &Layout, id: &ContainerId) -> Result<(), Error> {
    // Whoever gets the mark does the work; another one that comes meanwhile has nothing left to do.
    let Some(_lock) = hold(&layout.lock(id)).doing(|| "mark a run")? else { return Ok(()) };
    tracing::debug!(container = id.short(), "its monitor is gone, settling what it left");
    let run: Option<Run> = records::read(&layout.run_state(id)).unwrap_or_default();
    let mut again = None;
    kill_and_remove_cgroup(id)?;
    network::release(layout, id)?;
    store::snapshot::forget_dead(layout.state());
    match records::container(layout, id) {
        // What is damaged stays where it is until somebody removes it.
        Err(error @ Error::Damaged { .. }) => tracing::warn!(container = id.short(), "{error}"),
        Err(error) => return Err(error),
        // It was being created, or removed.
        Ok(None) => remove::remove_files(layout, id, None, &[])?,
        // Its name goes first when it is removed, and comes first when it is created.
        Ok(Some(container)) if names::was_given_back(layout, &container.name, id)? => {
            // Whether the removal was to take the volumes along is on record for those alone that remove themselves.
            let own = container.request.remove_on_exit.then_some(container.anonymous_volumes.as_slice());
            remove::remove_files(layout, id, None, own.unwrap_or_default())?;
        }
        // A step that never ran is nobody's either: no list shows it, so nobody would remove it.
        Ok(Some(container)) if container.is_step() || run.is_some() && container.request.remove_on_exit => {
            remove::remove_files(layout, id, Some(&container.name), &container.anonymous_volumes)?;
        }
        Ok(Some(container)) => {
            record_loss(layout, &container, run.as_ref())?;
            again = next_start(layout, &container, run.as_ref());
        }
    }
    remove::remove_run(layout, id)?;
    match again {
        Some(restart) => Again::new(layout, id, restart).spawn().doing(|| "start a container again"),
        None => Ok(()),
    }
}

/// Takes back what dead runs have of networks, so that others can have it; the rest is left to whoever settles them.
pub(crate) fn release_dead(layout: &Layout) -> Result<(), Error> {
    for id in runs(layout)? {
        if owner(layout, &id)? != Owner::Dead {
            continue;
        }
        if let Some(_lock) = hold(&layout.lock(&id)).doing(|| "mark a run")? {
            kill_and_remove_cgroup(&id)?;
            network::release(layout, &id)?;
        }
    }
    Ok(())
}

/// Decides whether the policy of a container whose monitor died starts it again.
fn next_start(layout: &Layout, container: &Container, run: Option<&Run>) -> Option<Restart> {
    let run = run?;
    let exit: Exit = records::read(&layout.exit(&container.id)).ok()??;
    let lasted = exit.started_at.map_or_else(Default::default, |start| exit.finished_at.duration_since(start));
    let ended = Ended {
        code: exit.exit_code,
        stopped: exit.stopped || layout.stopping(&container.id).exists(),
        lasted: lasted.try_into().unwrap_or_default(),
        restarts: run.restarts,
        waited: Duration::ZERO,
    };
    let policy = container.request.restart;
    // Nobody is there to wait: the command that has noticed goes on with its own work.
    plan_restart(policy, &ended).map(|_| Restart { policy, restarts: run.restarts + 1, waited: 0 })
}

fn record_loss(layout: &Layout, container: &Container, run: Option<&Run>) -> Result<(), Error> {
    // Without a state it was only about to start; with an end on record its monitor died while clearing up.
    let Some(run) = run else { return Ok(()) };
    if records::exists(&layout.exit(&container.id))? {
        return Ok(());
    }
    if let Some(exit) = records::read::<Exit>(&layout.unsaved_exit(&container.id)).unwrap_or_default() {
        return records::write(&layout.exit(&container.id), &exit, Durability::Cached);
    }
    let error = "the container's monitor was killed, and its processes after it";
    let stopped = records::exists(&layout.stopping(&container.id))?;
    let exit = Exit { stopped, restarts: run.restarts, ..Exit::unseen(error, Some(run.started_at), Timestamp::now()) };
    records::write(&layout.exit(&container.id), &exit, Durability::Cached)
}

/// Kills all processes of a container and removes its cgroup; content when it is gone.
pub(crate) fn kill_and_remove_cgroup(id: &ContainerId) -> Result<(), Error> {
    let doing = || format!("remove the cgroup of container {}", id.short());
    let Ok(hierarchies) = Hierarchies::detect() else { return Ok(()) };
    let path: CgroupPath = Layout::cgroup(id).parse().doing(doing)?;
    let cgroup = Cgroup::open(&path, &hierarchies);
    if !cgroup.exists().doing(doing)? {
        return Ok(());
    }
    cgroup.kill().doing(doing)?;
    cgroup.remove().doing(doing)
}

/// A change to the ledger.
enum LedgerStep<'a> {
    Claim(&'a Layout, &'a ContainerId),
}

impl Explain for LedgerStep<'_> {
    fn explain(&self) -> Step {
        let Self::Claim(layout, id) = self;
        let run = layout.run(id);
        let run = run.to_string_lossy();
        Step::host(
            "open a run, so that what a crash leaves behind is found",
            format!("mkdir -m 0700 -p {}", quote(&run)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox() -> (tempfile::TempDir, Layout, ContainerId) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("root"), dir.path().join("state"));
        (dir, layout, ContainerId::from_bytes([7; 32]))
    }

    #[test]
    fn a_run_has_one_owner_until_it_dies() {
        let (_dir, layout, id) = sandbox();
        assert_eq!(owner(&layout, &id).unwrap(), Owner::None);
        let claim_one = claim(&layout, &id, &Recorder::silent()).unwrap().unwrap();
        assert_eq!(owner(&layout, &id).unwrap(), Owner::Living);
        assert!(claim(&layout, &id, &Recorder::silent()).unwrap().is_none());
        drop(claim_one);
        assert_eq!(owner(&layout, &id).unwrap(), Owner::Dead);
    }

    #[test]
    fn what_has_no_owner_is_swept() {
        let (_dir, layout, id) = sandbox();
        drop(claim(&layout, &id, &Recorder::silent()).unwrap());
        std::fs::create_dir_all(layout.upper(&id)).unwrap();
        sweep(&layout).unwrap();
        assert_eq!(runs(&layout).unwrap(), []);
        assert!(!layout.container(&id).exists());
    }

    #[test]
    fn a_directory_that_was_not_yet_marked_is_swept_too() {
        let (_dir, layout, id) = sandbox();
        create_directory(&layout.run(&id)).unwrap();
        sweep(&layout).unwrap();
        assert!(!layout.run(&id).exists());
    }
}
