//! What is done with all processes of a cgroup at once: listing, freezing, killing, waiting until none is left.
//!
//! The v2 tree does it best and is asked wherever there is one, on hybrid hosts too. On pure v1 the freezer holds the
//! processes still while they are killed, so that none escapes by forking.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sys::event::{EventFlags, Poller};
use sys::{Calling, Errno};

use crate::cgroup::{Cgroup, CgroupError};
use crate::files;
use crate::hierarchy::Controller;

const SIGKILL: i32 = 9;
const FREEZE_PATIENCE: Duration = Duration::from_secs(10);
const KILL_PATIENCE: Duration = Duration::from_secs(10);

impl Cgroup {
    /// Returns the processes inside, also those of nested cgroups; those that our PID namespace cannot see are left out.
    pub fn pids(&self) -> Result<Vec<u32>, CgroupError> {
        let Some(dir) = self.listing_dir() else { return Ok(Vec::new()) };
        pids_below(&dir).map_err(|source| self.failed("list the processes of", source))
    }

    /// Tells whether no process is inside, nor in a nested cgroup.
    pub fn is_empty(&self) -> Result<bool, CgroupError> {
        if let Some(populated) = self.event("populated").map_err(|source| self.failed("read", source))? {
            return Ok(!populated);
        }
        Ok(self.pids()?.is_empty())
    }

    /// Waits until no process is inside; returns whether that came to be in time.
    pub fn wait_empty(&self, patience: Duration) -> Result<bool, CgroupError> {
        let deadline = Instant::now() + patience;
        if let Some(empty) =
            self.wait_event("populated", false, deadline).map_err(|source| self.failed("read", source))?
        {
            return Ok(empty);
        }
        wait_by_asking(deadline, || Ok(self.pids()?.is_empty()))
    }

    /// Stops all processes where they are, and returns when they stand still.
    pub fn freeze(&self) -> Result<(), CgroupError> {
        self.set_frozen(true, "freeze")
    }

    /// Lets frozen processes go on.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        self.set_frozen(false, "thaw")
    }

    /// Tells whether the processes have been stopped where they are.
    pub fn is_frozen(&self) -> bool {
        let v2 = self.v2_dir().and_then(|dir| files::read(&dir.join("cgroup.freeze")).ok());
        let v1 = || files::read(&self.dir_of(Controller::Freezer)?.join("freezer.state")).ok();
        match v2 {
            Some(state) => state.trim() == "1",
            None => v1().is_some_and(|state| state.trim() != "THAWED"),
        }
    }

    /// Kills all processes, those of nested cgroups and those that are just being forked included.
    pub fn kill(&self) -> Result<(), CgroupError> {
        let failed = |source| self.failed("kill the processes of", source);
        if let Some(dir) = self.v2_dir() {
            // Since Linux 5.14.
            match files::write(&dir.join("cgroup.kill"), "1") {
                Err(error) if error.errno() == Errno::NOENT && !dir.exists() => return Ok(()),
                Err(error) if error.errno() == Errno::NOENT => {}
                result => return result.map_err(failed),
            }
        }
        self.kill_each()
    }

    /// Kills process by process. They are held still meanwhile, or a fork could outrun the list; without a freezer the
    /// list is read until it stays empty.
    fn kill_each(&self) -> Result<(), CgroupError> {
        let failed = |source| self.failed("kill the processes of", source);
        let killed = wait_by_asking(Instant::now() + KILL_PATIENCE, || {
            let frozen = self.freeze();
            let pids = self.pids()?;
            for pid in &pids {
                match sys::process::kill(*pid, SIGKILL) {
                    Err(error) if error.errno() != Errno::SRCH => return Err(failed(error)),
                    _ => {}
                }
            }
            // A process that is frozen by v1 dies when it is let go.
            frozen.and_then(|()| self.thaw()).or_else(|error| match error {
                CgroupError::NoHierarchy { .. } => Ok(()),
                error => Err(error),
            })?;
            Ok(pids.is_empty())
        })?;
        if killed { Ok(()) } else { Err(self.slow("kill the processes of", KILL_PATIENCE)) }
    }

    fn set_frozen(&self, frozen: bool, what: &'static str) -> Result<(), CgroupError> {
        let failed = |source| self.failed(what, source);
        if let Some(dir) = self.v2_dir() {
            // Since Linux 5.2.
            match files::write(&dir.join("cgroup.freeze"), if frozen { "1" } else { "0" }) {
                Err(error) if error.errno() == Errno::NOENT && dir.exists() => {}
                Err(error) => return Err(failed(error)),
                Ok(()) => {
                    let deadline = Instant::now() + FREEZE_PATIENCE;
                    let done = self.wait_event("frozen", frozen, deadline).map_err(failed)?;
                    return if done == Some(true) { Ok(()) } else { Err(self.slow(what, FREEZE_PATIENCE)) };
                }
            }
        }
        if !self.is_v1(Controller::Freezer) {
            return Err(CgroupError::NoHierarchy { what, path: self.path().clone() });
        }
        let dir = self.dir_of(Controller::Freezer).unwrap_or_default();
        self.set_frozen_v1(&dir.join("freezer.state"), if frozen { "FROZEN" } else { "THAWED" }, what)
    }

    /// v1 does not tell when it is done, and may need to be told again to take hold of what was forked meanwhile.
    fn set_frozen_v1(&self, file: &Path, state: &str, what: &'static str) -> Result<(), CgroupError> {
        let done = wait_by_asking(Instant::now() + FREEZE_PATIENCE, || {
            files::write(file, state).map_err(|source| self.failed(what, source))?;
            Ok(files::read(file).map_err(|source| self.failed(what, source))?.trim() == state)
        })?;
        if done {
            return Ok(());
        }
        // Half frozen is worse than not at all. The failure to tell of is that it took too long.
        let _ = files::write(file, "THAWED");
        Err(self.slow(what, FREEZE_PATIENCE))
    }

    fn slow(&self, what: &'static str, patience: Duration) -> CgroupError {
        CgroupError::Slow { what, path: self.path().clone(), seconds: patience.as_secs() }
    }

    /// Returns the directory that knows all processes: the v2 tree's, or that of the cheapest v1 tree.
    fn listing_dir(&self) -> Option<PathBuf> {
        self.v2_dir().or_else(|| self.dir_of(Controller::Freezer)).or_else(|| self.dirs().next())
    }

    /// Reads a yes or no out of cgroup.events, where there is one. A cgroup that is gone has no processes.
    fn event(&self, key: &str) -> sys::Result<Option<bool>> {
        let Some(dir) = self.v2_dir() else { return Ok(None) };
        let Some(text) = files::read_if_there(&dir.join("cgroup.events"))? else { return Ok(Some(false)) };
        Ok(files::field(&text, key).map(|value| value == 1))
    }

    /// Waits until an event has a value; the kernel announces each change. Returns nothing where there are no events.
    fn wait_event(&self, key: &str, wanted: bool, deadline: Instant) -> sys::Result<Option<bool>> {
        let Some(dir) = self.v2_dir() else { return Ok(None) };
        let file = dir.join("cgroup.events");
        let announcements = match File::open(&file).call(|| format!("open({})", file.display())) {
            Err(error) if error.errno() == Errno::NOENT => return Ok(Some(!wanted)),
            result => result?,
        };
        let poller = Poller::new()?;
        poller.add(&announcements, 0, EventFlags::PRI)?;
        loop {
            // Asked after the descriptor is waited for, so that no change falls between.
            match self.event(key)? {
                None => return Ok(None),
                Some(value) if value == wanted => return Ok(Some(true)),
                Some(_) => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Some(false));
            }
            poller.wait(Some(left))?;
        }
    }
}

/// Returns the processes in a directory of a hierarchy and in those inside it, in order.
pub(crate) fn pids_below(dir: &Path) -> sys::Result<Vec<u32>> {
    let mut pids = Vec::new();
    collect_pids(dir, &mut pids)?;
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

fn collect_pids(dir: &Path, pids: &mut Vec<u32>) -> sys::Result<()> {
    match files::read_if_there(&dir.join("cgroup.procs")) {
        Ok(text) => pids.extend(text.iter().flat_map(|text| text.lines()).filter_map(pid)),
        // A threaded cgroup lists its processes in the one above.
        Err(error) if error.errno() == Errno::OPNOTSUPP => {}
        Err(error) => return Err(error),
    }
    files::children(dir).try_for_each(|child| collect_pids(&child, pids))
}

/// Reads a process id. A 0 stands for a process that our PID namespace does not show.
fn pid(line: &str) -> Option<u32> {
    line.parse().ok().filter(|pid| *pid != 0)
}

/// Asks at growing distances, where the kernel has no way to tell.
fn wait_by_asking(deadline: Instant, mut ask: impl FnMut() -> Result<bool, CgroupError>) -> Result<bool, CgroupError> {
    let mut pause = Duration::from_micros(200);
    while !ask()? {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    Ok(true)
}
