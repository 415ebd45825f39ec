//! What the tests share: a place of their own in every hierarchy, and processes inside a cgroup.

use std::path::PathBuf;
use std::sync::Mutex;

use cgroup::{Cgroup, CgroupPath, Hierarchies, plan};
use oci::runtime::LinuxResources;
use sys::process::{self, Child, ExitStatus, Fork};
use trace::Recorder;

/// A process that clones must not be torn between threads, so tests of one process take turns.
static TURN: Mutex<()> = Mutex::new(());

/// A place for the cgroups of one test, removed with all that is in it.
pub(crate) struct Sandbox {
    pub(crate) host: Hierarchies,
    top: Cgroup,
    _turn: std::sync::MutexGuard<'static, ()>,
}

impl Sandbox {
    /// Makes the place, named after the test.
    pub(crate) fn new(test: &str) -> Self {
        let turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let host = Hierarchies::detect().unwrap();
        let path: CgroupPath = format!("conductor-test-{}-{test}", process::id()).parse().unwrap();
        Self { top: Cgroup::open(&path, &host), host, _turn: turn }
    }

    /// Makes the place, and lets its processes go before all others: what is left of a busy machine's time is no measure
    /// of a limit.
    pub(crate) fn favoured(test: &str) -> Self {
        let sandbox = Self::new(test);
        let most = resources(r#"{"cpu": {"shares": 262144}}"#);
        let plan = plan(sandbox.top.path(), Some(&most), &sandbox.host).unwrap();
        drop(Cgroup::create(&plan, &Recorder::silent()).unwrap().keep());
        sandbox
    }

    /// Returns the path of a cgroup in this place.
    pub(crate) fn path(&self, name: &str) -> CgroupPath {
        format!("{}/{name}", self.top.path()).parse().unwrap()
    }

    /// Makes a cgroup with limits, with every device allowed unless they say otherwise.
    pub(crate) fn create(&self, name: &str, limits: &str) -> Cgroup {
        let cgroup = self.try_create(name, limits).unwrap();
        assert_eq!(cgroup.warnings(), [], "every limit of this test can be enforced here");
        cgroup
    }

    /// Tries to make a cgroup with limits.
    pub(crate) fn try_create(&self, name: &str, limits: &str) -> Result<Cgroup, cgroup::CgroupError> {
        let plan = plan(&self.path(name), Some(&resources(limits)), &self.host).unwrap();
        Cgroup::create(&plan, &Recorder::silent())
    }

    /// Returns the directories of a cgroup in this place.
    pub(crate) fn dirs(&self, name: &str) -> Vec<PathBuf> {
        Cgroup::open(&self.path(name), &self.host).dirs().collect()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let killed = self.top.kill();
        let removed = self.top.remove();
        if !std::thread::panicking() {
            killed.unwrap();
            removed.unwrap();
            assert!(!self.top.exists().unwrap());
        }
    }
}

/// Reads limits as a bundle has them.
pub(crate) fn resources(json: &str) -> LinuxResources {
    let mut resources: LinuxResources = serde_json::from_str(json).unwrap();
    if resources.devices().is_none() {
        resources.set_devices(Some(serde_json::from_str(r#"[{"allow": true, "access": "rwm"}]"#).unwrap()));
    }
    resources
}

/// Starts a process inside the cgroup, in every hierarchy; it ends with the code that `body` returns.
pub(crate) fn start(cgroup: &Cgroup, body: impl FnOnce() -> i32) -> Child {
    let entry = cgroup.entry().unwrap();
    match process::clone_into(&[], entry.clone_fd()).unwrap() {
        Fork::Parent(child) => child,
        Fork::Child => {
            let code = if entry.join().is_ok() { body() } else { 99 };
            process::exit(code)
        }
    }
}

/// Starts a process and waits for its end.
pub(crate) fn run(cgroup: &Cgroup, body: impl FnOnce() -> i32) -> ExitStatus {
    process::wait(&start(cgroup, body).pidfd).unwrap()
}

/// Starts a process and returns when it is inside every hierarchy.
pub(crate) fn start_and_meet(cgroup: &Cgroup, body: impl FnOnce() -> i32) -> Child {
    let (met, meeting) = std::io::pipe().unwrap();
    let child = start(cgroup, move || {
        use std::io::Write;
        let _ = (&meeting).write_all(b"here");
        drop(meeting);
        body()
    });
    let mut word = [0; 4];
    std::io::Read::read_exact(&mut &met, &mut word).unwrap();
    child
}

/// Uses CPU time until it is killed.
pub(crate) fn spin() -> i32 {
    loop {
        std::hint::spin_loop();
    }
}

/// Waits to be killed.
pub(crate) fn wait_for_ever() -> i32 {
    loop {
        std::thread::park();
    }
}

/// The status of a process that was killed.
pub(crate) const KILLED: ExitStatus = ExitStatus::Signaled(9);
