//! The end of a run: how it ended is written down, and everything that outlived the processes is removed.
//!
//! Clients hear of the end last. When `run --rm` returns there is nothing left to be found.

use cgroup::{Cgroup, CgroupPath};
use jiff::Timestamp;
use sys::file::Durability;
use sys::process::ExitStatus;

use super::order::hierarchies;
use super::{Monitor, code};
use crate::layout::Layout;
use crate::records::{self, Exit};
use crate::remove;

impl Monitor {
    /// Ends the run.
    pub(super) fn finish(mut self, status: ExitStatus) -> sys::Result<()> {
        self.drain();
        let (oom_killed, cleared) = self.clear_cgroup();
        let recorded = match self.order.remove {
            true => remove::remove_files(&self.layout, &self.order.id, Some(&self.order.name), &self.order.volumes),
            false => self.record(status, oom_killed),
        };
        // What could not be cleared keeps its place in the ledger, where the next command finds it.
        if cleared && recorded.is_ok() {
            let _ = remove::remove_run(&self.layout, &self.order.id);
        }
        self.tell_end(code(status));
        // Reaped last: until here the process ID cannot come to mean another process.
        sys::process::wait(&self.process).map(drop)
    }

    /// Removes the cgroup; tells whether a process of it was killed for want of memory, and whether it is gone.
    fn clear_cgroup(&self) -> (bool, bool) {
        let Ok(path) = Layout::cgroup(&self.order.id).parse::<CgroupPath>() else { return (false, true) };
        let cgroup = Cgroup::open(&path, &hierarchies(&self.order.trees));
        // A hierarchy without memory accounting counts no kills.
        let oom_killed = cgroup.oom_kills().is_ok_and(|kills| kills > 0);
        (oom_killed, cgroup.remove().is_ok())
    }

    fn record(&self, status: ExitStatus, oom_killed: bool) -> Result<(), crate::Error> {
        let exit = Exit {
            exit_code: code(status),
            oom_killed,
            error: String::new(),
            started_at: Some(self.order.started_at),
            finished_at: Timestamp::now(),
        };
        let written = records::write(&self.layout.exit(&self.order.id), &exit, Durability::Cached);
        if written.is_err() {
            // The state directory is in memory: from there it is saved when there is room again.
            records::write(&self.layout.unsaved_exit(&self.order.id), &exit, Durability::Cached)?;
        }
        written
    }
}
