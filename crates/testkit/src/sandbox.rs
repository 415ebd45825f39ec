//! A place of a test's own: namespaces, cgroups, directories.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use sys::mount::Propagation;
use sys::namespace::{self, NamespaceKind};
use tempfile::TempDir;

use crate::cgroups::Cgroups;
use crate::{Census, Conductor, networks, until};

/// Namespaces, cgroups and directories of one test.
///
/// The calling thread moves into new mount, network and cgroup namespaces and stays there; what it starts is born into
/// them. So tests may run as processes (nextest) or as threads (`cargo test`). On a host with cgroup v2 alone, where a
/// process has all its threads in one cgroup, tests that count cgroups have to run as processes.
///
/// When it is dropped, whatever still runs in its cgroups is killed.
#[derive(Debug)]
pub struct Sandbox {
    directory: TempDir,
    program: PathBuf,
    cgroups: Cgroups,
    before: Census,
}

impl Sandbox {
    /// Makes a sandbox for the program at `program` and moves the calling thread into it.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        let sandbox = Self::unshared(program.into(), &[NamespaceKind::Mount, NamespaceKind::Network]);
        // As on a host on which containers have run before: without this the first one tells that it is switched on.
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("a network that forwards");
        let raised = std::process::Command::new("ip").args(["link", "set", "lo", "up"]).status();
        assert!(raised.is_ok_and(|status| status.success()), "the loopback link needs ip of iproute2");
        sandbox
    }

    /// Makes a sandbox that stays in the host's network, for what has to download.
    pub fn with_network(program: impl Into<PathBuf>) -> Self {
        Self::unshared(program.into(), &[NamespaceKind::Mount])
    }

    fn unshared(program: PathBuf, kinds: &[NamespaceKind]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("testkit-{}-{}", sys::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        assert_eq!(sys::credentials::effective_user(), 0, "a sandbox needs root: run the tests with sudo");
        namespace::unshare(kinds).expect("namespaces for the test");
        sys::mount::set_propagation(Path::new("/"), Propagation::Private, true).expect("private mounts");
        let cgroups = Cgroups::enter(&name);
        let directory = tempfile::Builder::new().prefix("conductor-test-").tempdir().expect("a directory for the test");
        for name in ["root", "state", "bin", "work"] {
            std::fs::create_dir(directory.path().join(name)).expect("the test's directories");
        }
        let mut sandbox = Self { directory, program, cgroups, before: Census::default() };
        sandbox.before = sandbox.census();
        sandbox
    }

    /// Returns the directory for `--root`.
    pub fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// Returns the directory for `--state`.
    pub fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// Returns a directory for whatever the test needs.
    pub fn work(&self) -> PathBuf {
        self.directory.path().join("work")
    }

    /// Makes a call of the program on this sandbox's directories.
    pub fn conductor<S: AsRef<std::ffi::OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Conductor {
        let call = self.bare().arg("--root").arg(self.root()).arg("--state").arg(self.state());
        call.args(words)
    }

    /// Makes a call of the program without any word.
    pub fn bare(&self) -> Conductor {
        self.called(&self.program)
    }

    /// Makes a call of the program under another name, which chooses its face.
    pub fn face<S: AsRef<std::ffi::OsStr>>(&self, name: &str, words: impl IntoIterator<Item = S>) -> Conductor {
        let call = self.called(&self.link(name)).arg("--root").arg(self.root()).arg("--state").arg(self.state());
        call.args(words)
    }

    /// Puts a link to the program into the sandbox's `bin` and returns its path.
    pub fn link(&self, name: &str) -> PathBuf {
        let link = self.directory.path().join("bin").join(name);
        if !link.exists() {
            std::os::unix::fs::symlink(&self.program, &link).expect("a link to the program");
        }
        link
    }

    /// Lays the sandbox's directories over those that the program takes without options, for whatever the test starts.
    pub fn cover_defaults(&mut self) {
        for (own, usual) in [(self.root(), "/var/lib/conductor"), (self.state(), "/run/conductor")] {
            std::fs::create_dir_all(usual).expect("the usual directory");
            let mount = sys::mount::clone_tree_at(None, &own, false).expect("a mount of our own directory");
            sys::mount::attach(mount, sys::path::open_host(Path::new(usual)).expect("the usual directory"))
                .expect("a mount");
        }
        self.before = self.census();
    }

    fn called(&self, path: &Path) -> Conductor {
        Conductor::new(path).dir(self.work()).env("HOME", self.work()).env("NO_COLOR", "1")
    }

    /// Lists the processes that the test has started and that still run, however far from their parents.
    pub fn processes(&self) -> Vec<u32> {
        self.cgroups.processes()
    }

    /// Expects that nothing is left of what the test ran: no process, cgroup, mount, link, loop device, and no file
    /// below `--state` or among the containers below `--root`. Networks on record keep their bridges and the files that
    /// tell how those were made, until they are removed or pruned; nobody may be on them.
    #[track_caller]
    pub fn assert_clean(&self) {
        // A monitor may still be on its way out.
        let ended = || self.processes().is_empty().then_some(());
        until(&format!("the processes {:?} end", described(&self.processes())), ended);
        // A container's links go with its network namespace, which the kernel takes apart in its own time.
        let mut left = self.left();
        let links = |left: &[String]| left.iter().any(|line| line.starts_with("link: "));
        if links(&left) {
            let gone = || Some(self.left()).filter(|left| !links(left));
            left = until(&format!("the links go of {left:?}"), gone);
        }
        left.extend(networks::members(&self.state()));
        left.extend(self.cgroups.left_behind().into_iter().map(|path| format!("cgroup: {path}")));
        assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
    }

    /// Lists what there is more than before, without the engine's furniture: the time of the last look at all runs, one
    /// file whatever has run, and what networks keep.
    fn left(&self) -> Vec<String> {
        let mut furniture = vec![format!("file: {}", self.state().join("swept").display())];
        furniture.extend(networks::furniture(&self.root(), &self.state()));
        let mut left = self.census().more_than(&self.before);
        left.retain(|line| !furniture.contains(line));
        left
    }

    fn census(&self) -> Census {
        Census::take(&[&self.state(), &self.root().join("containers")])
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // What a failed test leaves must not disturb the next one.
        for _ in 0..1000 {
            let left = self.processes();
            if left.is_empty() {
                break;
            }
            for pid in left {
                // They are ours by their cgroup, and nothing else can be in it.
                let _ = sys::process::kill(pid, 9);
            }
            std::thread::park_timeout(std::time::Duration::from_millis(2));
        }
        self.cgroups.leave();
    }
}

fn described(pids: &[u32]) -> Vec<String> {
    let name = |pid: &u32| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        format!("{pid} {}", String::from_utf8_lossy(&words).replace('\0', " "))
    };
    pids.iter().map(name).collect()
}
