//! A cgroup that stands: its making and removal, the way in, and the limits it may be given later.
//!
//! What is done with the processes inside (freezing, killing, listing) is in [`crate::processes`], its numbers in
//! [`crate::stats`].

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oci::runtime::LinuxResources;
use sys::{Calling, Errno};
use trace::Recorder;

use crate::apply::{self, Applied};
use crate::devices::DeviceError;
use crate::files;
use crate::hierarchy::{Controller, Hierarchies, Home};
use crate::path::CgroupPath;
use crate::plan::{CgroupPlan, PlanError, Warning, plan_update};

/// A cgroup: one directory in each hierarchy of the host.
///
/// [`create`](Self::create) makes it, and unmakes it when dropped, until it is [kept](Self::keep); any process finds it
/// again by its path with [`open`](Self::open), at no cost. It ends with [`remove`](Self::remove).
///
/// ```no_run
/// use cgroup::{Cgroup, Hierarchies, plan};
/// let host = Hierarchies::detect()?;
/// let plan = plan(&"conductor/web".parse()?, None, &host)?;
/// let cgroup = Cgroup::create(&plan, &trace::Recorder::silent())?;
/// let entry = cgroup.entry()?;
/// // clone3 into `entry.clone_fd()`; the child then calls `entry.join()`.
/// let cgroup = cgroup.keep();
/// cgroup.kill()?;
/// cgroup.remove()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Cgroup {
    path: CgroupPath,
    hierarchies: Hierarchies,
    warnings: Vec<Warning>,
    /// What is removed when this is dropped.
    made: Vec<PathBuf>,
}

/// What could not be done with a cgroup.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CgroupError {
    /// A directory could not be made.
    #[error("cannot make the cgroup {}", dir.display())]
    Make {
        /// Which one.
        dir: PathBuf,
        /// What the kernel answered.
        source: sys::Error,
    },
    /// It is somebody's.
    #[error("the cgroup {path} is in use: the processes {pids:?} are in it")]
    Occupied {
        /// Which cgroup.
        path: CgroupPath,
        /// Who is in it.
        pids: Vec<u32>,
    },
    /// A controller is there, and yet the cgroup cannot have it.
    #[error("cannot enable the controller {controller} in {} (a cgroup with processes of its own cannot)", dir.display())]
    Enable {
        /// Which controller.
        controller: Controller,
        /// In which cgroup.
        dir: PathBuf,
        /// What the kernel answered.
        source: sys::Error,
    },
    /// The kernel takes no such value.
    #[error("cannot set {option} to {value:?}")]
    Set {
        /// The limit, as the OCI specification calls it.
        option: String,
        /// The value, as it was written.
        value: String,
        /// What the kernel answered.
        source: sys::Error,
    },
    /// The kernel has no such file.
    #[error("cannot set {option}: the kernel has no {file}")]
    NoFile {
        /// The limit, as the OCI specification calls it.
        option: String,
        /// The file that is missing.
        file: String,
    },
    /// Device access could not be limited.
    #[error("cannot limit the use of devices in {}", dir.display())]
    Devices {
        /// In which cgroup.
        dir: PathBuf,
        /// What the kernel answered.
        source: sys::Error,
    },
    /// The device rules make no policy.
    #[error("cannot limit the use of devices")]
    DeviceRules(#[from] DeviceError),
    /// The new limits make no plan.
    #[error("cannot change the limits of the cgroup {path}")]
    Update {
        /// Which cgroup.
        path: CgroupPath,
        /// Why not.
        source: PlanError,
    },
    /// More is in use than the new limit allows, and the caller asked to be told.
    #[error("cannot set memory.limit to {limit}: {usage} bytes are in use")]
    InUse {
        /// The limit.
        limit: i64,
        /// What is in use.
        usage: u64,
    },
    /// It could not be joined, read, frozen or emptied.
    #[error("cannot {what} the cgroup {path}")]
    Access {
        /// The verb.
        what: &'static str,
        /// Which cgroup.
        path: CgroupPath,
        /// What the kernel answered.
        source: sys::Error,
    },
    /// It did not come to rest in time.
    #[error("cannot {what} the cgroup {path}: it took more than {seconds} seconds")]
    Slow {
        /// The verb.
        what: &'static str,
        /// Which cgroup.
        path: CgroupPath,
        /// How long was waited.
        seconds: u64,
    },
    /// Nothing on this host can do it.
    #[error("cannot {what} the cgroup {path}: the host has no cgroup hierarchy that can")]
    NoHierarchy {
        /// The verb.
        what: &'static str,
        /// Which cgroup.
        path: CgroupPath,
    },
    /// A directory could not be removed.
    #[error("cannot remove the cgroup {}, with the processes {pids:?} in it", dir.display())]
    Remove {
        /// Which one.
        dir: PathBuf,
        /// Who is in it.
        pids: Vec<u32>,
        /// What the kernel answered.
        source: sys::Error,
    },
}

impl Cgroup {
    /// Makes the cgroup of `plan`. What was made is removed when the value is dropped, until it is [kept](Self::keep); a
    /// cgroup that was there is taken over, unless processes are in it.
    pub fn create(plan: &CgroupPlan, recorder: &Recorder) -> Result<Self, CgroupError> {
        let mut cgroup = Self::open(plan.path(), plan.hierarchies());
        let mut applied = Applied::default();
        let result = apply::apply(plan, recorder, &mut applied);
        cgroup.made = applied.made;
        result?;
        cgroup.warnings = plan.warnings().iter().cloned().chain(applied.warnings).collect();
        Ok(cgroup)
    }

    /// Returns the cgroup at `path`, whether or not it exists; nothing is read before it is needed.
    pub fn open(path: &CgroupPath, hierarchies: &Hierarchies) -> Self {
        Self { path: path.clone(), hierarchies: hierarchies.clone(), warnings: Vec::new(), made: Vec::new() }
    }

    /// Lets the cgroup outlive this value.
    #[must_use]
    pub fn keep(mut self) -> Self {
        self.made.clear();
        self
    }

    /// Returns where it is.
    pub fn path(&self) -> &CgroupPath {
        &self.path
    }

    /// Returns the limits that are not enforced, those of the plan and those found out while it was applied.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Tells whether it exists, in any hierarchy.
    pub fn exists(&self) -> Result<bool, CgroupError> {
        self.dirs()
            .map(|dir| sys::file::exists(&dir))
            .find(|there| !matches!(there, Ok(false)))
            .unwrap_or(Ok(false))
            .map_err(|source| self.failed("find", source))
    }

    /// Opens the way in, for a first process or for one that is executed later.
    pub fn entry(&self) -> Result<Entry, CgroupError> {
        let failed = |source| self.failed("join", source);
        let v2 = self.v2_dir().map(|dir| File::open(&dir).call(|| format!("open({}, O_DIRECTORY)", dir.display())));
        let v1 = self.v1_dirs().map(|dir| files::open_for_writing(&dir.join("tasks"))).collect::<sys::Result<_>>();
        Ok(Entry { v2: v2.transpose().map_err(failed)?, v1: v1.map_err(failed)? })
    }

    /// Changes the limits to those of `resources`; what it does not speak of stays. Returns what is not enforced.
    pub fn update(&self, resources: &LinuxResources, recorder: &Recorder) -> Result<Vec<Warning>, CgroupError> {
        self.check_usage(resources)?;
        let resources = self.complete(resources);
        let plan = plan_update(&self.path, &resources, &self.hierarchies)
            .map_err(|source| CgroupError::Update { path: self.path.clone(), source })?;
        let mut applied = Applied::default();
        apply::apply(&plan, recorder, &mut applied)?;
        Ok(plan.warnings().iter().cloned().chain(applied.warnings).collect())
    }

    /// Removes it with the cgroups inside it, from every hierarchy. It is content when nothing is there; processes that
    /// are just exiting are waited for, up to two seconds.
    pub fn remove(&self) -> Result<(), CgroupError> {
        let deadline = Instant::now() + REMOVE_PATIENCE;
        let failures = self.dirs().filter_map(|dir| {
            let source = remove_tree(&dir, deadline).err()?;
            Some(CgroupError::Remove { pids: self.pids().unwrap_or_default(), dir, source })
        });
        // All hierarchies are tried; what stops one stops the others too, so one of them tells the story.
        failures.collect::<Vec<_>>().into_iter().next().map_or(Ok(()), Err)
    }

    fn check_usage(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        let Some(memory) = resources.memory().filter(|memory| memory.check_before_update() == Some(true)) else {
            return Ok(());
        };
        match (memory.limit(), self.memory_usage()) {
            (Some(limit @ 1..), Some(usage)) if usage > limit.unsigned_abs() => {
                Err(CgroupError::InUse { limit, usage })
            }
            _ => Ok(()),
        }
    }

    /// Completes a new period with the quota that stands: v2 has both in one file, which takes a quota alone but no period.
    fn complete(&self, resources: &LinuxResources) -> LinuxResources {
        let mut resources = resources.clone();
        let incomplete = resources.cpu_mut().as_mut().filter(|cpu| cpu.period().is_some() && cpu.quota().is_none());
        if let (Some(cpu), Some(dir)) = (incomplete, self.dir_of(Controller::Cpu)) {
            let max = files::read(&dir.join("cpu.max")).unwrap_or_default();
            cpu.set_quota(max.split(' ').next().and_then(|quota| quota.parse().ok()));
        }
        resources
    }

    pub(crate) fn failed(&self, what: &'static str, source: sys::Error) -> CgroupError {
        CgroupError::Access { what, path: self.path.clone(), source }
    }

    /// Returns the directory in the v2 tree.
    pub(crate) fn v2_dir(&self) -> Option<PathBuf> {
        self.hierarchies.v2().map(|tree| self.path.below(&tree.mount))
    }

    fn v1_dirs(&self) -> impl Iterator<Item = PathBuf> {
        self.hierarchies.v1().iter().map(|tree| self.path.below(&tree.mount))
    }

    /// Returns the directories in all hierarchies.
    pub fn dirs(&self) -> impl Iterator<Item = PathBuf> {
        self.v1_dirs().chain(self.v2_dir())
    }

    /// Returns the directory in which a controller has its files.
    pub(crate) fn dir_of(&self, controller: Controller) -> Option<PathBuf> {
        match self.hierarchies.home(controller)? {
            Home::V1(tree) | Home::V2(tree) => Some(self.path.below(&tree.mount)),
        }
    }

    /// Tells whether a controller speaks v1 here.
    pub(crate) fn is_v1(&self, controller: Controller) -> bool {
        matches!(self.hierarchies.home(controller), Some(Home::V1(_)))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let deadline = Instant::now() + REMOVE_PATIENCE;
        for dir in self.made.iter().rev() {
            if let Err(error) = remove_tree(dir, deadline) {
                tracing::warn!(%error, "a cgroup could not be removed");
            }
        }
    }
}

/// The way into a cgroup, open before the process that takes it exists.
///
/// In the v2 tree a process is born: clone3 takes [`clone_fd`](Self::clone_fd). A v1 tree is joined by the process itself,
/// with [`join`](Self::join): for the kernel that is 25 us, while moving another process takes a global lock and 400 us.
#[derive(Debug)]
pub struct Entry {
    v2: Option<File>,
    v1: Vec<File>,
}

impl Entry {
    /// Returns the directory for clone3's `CLONE_INTO_CGROUP`.
    pub fn clone_fd(&self) -> Option<BorrowedFd<'_>> {
        self.v2.as_ref().map(AsFd::as_fd)
    }

    /// Returns the `tasks` files of the v1 trees, each of which takes a `0`.
    pub fn join_fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.v1.iter().map(AsFd::as_fd)
    }

    /// Moves the calling thread into the v1 trees. A process must call it while it has one thread.
    pub fn join(&self) -> sys::Result<()> {
        self.v1.iter().try_for_each(|mut tasks| tasks.write_all(b"0").call(|| "write(tasks, \"0\")"))
    }
}

const REMOVE_PATIENCE: Duration = Duration::from_secs(2);

/// Removes a directory and those inside it, deepest first. The kernel answers EBUSY while a process in it is not yet
/// gone, and tells no other way when it is: so it is asked again, at growing distances.
fn remove_tree(dir: &Path, deadline: Instant) -> sys::Result<()> {
    let mut pause = Duration::from_micros(200);
    loop {
        match std::fs::remove_dir(dir).call(|| format!("rmdir({})", dir.display())) {
            Ok(()) => return Ok(()),
            Err(error) if error.errno() == Errno::NOENT => return Ok(()),
            Err(error) if !matches!(error.errno(), Errno::BUSY | Errno::NOTEMPTY) => return Err(error),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => {}
        }
        let mut nested = files::children(dir).peekable();
        if nested.peek().is_some() {
            nested.try_for_each(|child| remove_tree(&child, deadline))?;
        } else {
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }
}
