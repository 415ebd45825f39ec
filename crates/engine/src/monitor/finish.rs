//! The end of a run: how it ended is written down, and everything that outlived the processes is removed.
//!
//! Clients hear of the end last. When `run --rm` returns there is nothing left to be found. Where the container's policy
//! starts it again the run stays open: the monitor waits for a while and then hands it on ([`again`](super::again)).

use std::time::{Duration, Instant};

use cgroup::{Cgroup, CgroupPath};
use jiff::Timestamp;
use sys::file::Durability;
use sys::process::ExitStatus;

use super::again::Again;
use super::order::{Restart, hierarchies};
use super::{LISTENER, Monitor, code};
use crate::health::Health;
use crate::layout::Layout;
use crate::records::{self, Exit, Pause, Run};
use crate::restart::{Ended, plan_restart};
use crate::{Error, RestartPolicy, remove};

impl Monitor {
    /// Ends the run, or hands it on to the next one.
    #[inline(never)]
    pub(super) fn finish(mut self, status: ExitStatus) -> sys::Result<()> {
        self.end_probe();
        self.drain();
        let (oom_killed, cleared) = self.clear_cgroup();
        // Closed when everybody has been told.
        let closing = self.leave_networks();
        let cleared = closing.is_some() && cleared;
        let exit = self.exit(code(status), oom_killed);
        match self.next_start(&exit).filter(|_| cleared) {
            None => self.close(&exit, cleared),
            Some(next) => {
                drop(closing);
                return self.pause_and_restart(exit, next);
            }
        }?;
        drop(closing);
        Ok(())
    }

    /// Ends the run for good.
    fn close(mut self, exit: &Exit, cleared: bool) -> sys::Result<()> {
        let recorded = match self.order.remove {
            true => remove::remove_files(&self.layout, &self.order.id, Some(&self.order.name), &self.order.volumes),
            false => self.record(exit),
        };
        // What could not be cleared keeps its place in the ledger, where the next command finds it.
        if cleared && recorded.is_ok() {
            let _ = remove::remove_run(&self.layout, &self.order.id);
        }
        self.tell_end(exit.exit_code);
        self.reap()?;
        self.wait_for_readers();
        Ok(())
    }

    /// Reaps the command. Until then its process ID cannot come to mean another process.
    fn reap(&mut self) -> sys::Result<()> {
        if std::mem::replace(&mut self.reaped, true) { Ok(()) } else { sys::process::wait(&self.process).map(drop) }
    }

    /// Waits as long as the policy says, and starts the container again; ends the run if that is asked for meanwhile.
    fn pause_and_restart(mut self, mut exit: Exit, next: Restart) -> sys::Result<()> {
        let told = self.record(&exit).and_then(|()| self.announce_pause(&exit, next));
        if told.is_err() {
            return self.close(&exit, true);
        }
        self.tell_end(exit.exit_code);
        self = self.leave_readers()?;
        self.poller.remove(std::os::fd::AsFd::as_fd(&self.process))?;
        self.reap()?;
        if self.wait_unless_stopped(Duration::from_millis(next.waited))? {
            let again = Again::new(&self.layout, &self.order.id, next);
            // A monitor that cannot go on leaves the run to the next command.
            return Err(again.replace_monitor(&self.lock, &self.listener));
        }
        exit.stopped = true;
        self.close(&exit, true)
    }

    fn announce_pause(&self, exit: &Exit, next: Restart) -> Result<(), Error> {
        let path = self.layout.run_state(&self.order.id);
        let Some(run) = records::read::<Run>(&path)? else { return Ok(()) };
        let pause = Pause { exit_code: exit.exit_code, finished_at: exit.finished_at };
        let run = Run { pid: 0, restarts: next.restarts, pause: Some(pause), ..run };
        remove::unlink(&self.layout.rootfs(&self.order.id))
            .map_err(|error| Error::Doing { doing: "close the container's root".to_owned(), source: error.into() })?;
        records::write(&path, &run, Durability::Cached)
    }

    /// Waits; tells whether nobody asked for the end. Whoever does connects, and so ends the wait.
    fn wait_unless_stopped(&mut self, delay: Duration) -> sys::Result<bool> {
        let until = Instant::now() + delay;
        while !self.is_stopping() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(true);
            }
            for event in self.poller.wait(Some(left))? {
                match event.token {
                    LISTENER => self.welcome(),
                    token => self.serve(token, event.flags),
                }
            }
        }
        Ok(false)
    }

    fn is_stopping(&self) -> bool {
        self.layout.stopping(&self.order.id).exists()
    }

    /// Decides whether the container is started again.
    fn next_start(&self, exit: &Exit) -> Option<Restart> {
        let Restart { policy, restarts, waited } = self.order.restart?;
        let lasted = exit.finished_at.duration_since(self.order.started_at);
        let ended = Ended {
            code: exit.exit_code,
            stopped: exit.stopped,
            lasted: lasted.try_into().unwrap_or_default(),
            restarts,
            waited: Duration::from_millis(waited),
        };
        let unhealthy = self.health.as_ref().is_some_and(|health| health.restarts) && !exit.stopped;
        let wait = plan_restart(if unhealthy { RestartPolicy::Always } else { policy }, &ended)?;
        Some(Restart { policy, restarts: restarts + 1, waited: wait.as_millis().try_into().unwrap_or(u64::MAX) })
    }

    /// Removes the cgroup; tells whether a process of it was killed for want of memory, and whether it is gone.
    fn clear_cgroup(&self) -> (bool, bool) {
        let Ok(path) = Layout::cgroup(&self.order.id).parse::<CgroupPath>() else { return (false, true) };
        let cgroup = Cgroup::open(&path, &hierarchies(&self.order.trees));
        // A hierarchy without memory accounting counts no kills.
        let oom_killed = cgroup.oom_kills().is_ok_and(|kills| kills > 0);
        (oom_killed, cgroup.remove().is_ok())
    }

    fn exit(&self, exit_code: u8, oom_killed: bool) -> Exit {
        Exit {
            exit_code,
            oom_killed,
            stopped: self.order.restart.is_some() && self.is_stopping(),
            restarts: self.order.restart.map_or(0, |restart| restart.restarts),
            error: String::new(),
            health: self.health.as_ref().and_then(|_| self.last_health()),
            started_at: Some(self.order.started_at),
            finished_at: Timestamp::now(),
        }
    }

    fn last_health(&self) -> Option<Health> {
        records::read(&self.layout.health(&self.order.id)).unwrap_or_default()
    }

    fn record(&self, exit: &Exit) -> Result<(), Error> {
        let written = records::write(&self.layout.exit(&self.order.id), exit, Durability::Cached);
        if written.is_err() {
            // The state directory is in memory: from there it is saved when there is room again.
            records::write(&self.layout.unsaved_exit(&self.order.id), exit, Durability::Cached)?;
        }
        written
    }
}
