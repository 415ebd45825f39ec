//! A container of a test's own: its bundle, its cgroup, its output.

use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use cgroup::{Cgroup, CgroupPath, Hierarchies};
use oci::runtime::Spec;
use runtime::plan::RootSource;
use runtime::{ContainerPlan, CreateError, CreateOptions, Created, Inputs, Process, StartGate};
use serde_json::{Value, json};
use sys::mount::Propagation;
use sys::namespace::{self, NamespaceKind};
use sys::process::{self as processes, ExitStatus};
use tempfile::TempDir;
use testkit::Census;
use testkit::fixture::Bundle;
use trace::Recorder;

/// A container to be run.
pub(crate) struct Case {
    pub(crate) dir: TempDir,
    pub(crate) bundle: Bundle,
    pub(crate) id: String,
    pub(crate) hierarchies: Hierarchies,
    pub(crate) root: Option<RootSource>,
    pub(crate) preserve_fds: u32,
    pub(crate) init: bool,
    before: Census,
}

/// What came of a container.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Expects success, and returns what was printed.
    #[track_caller]
    pub(crate) fn prints(self) -> String {
        assert_eq!(self.status, ExitStatus::Exited(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// Expects success and these lines.
    #[track_caller]
    pub(crate) fn says(self, lines: &[&str]) {
        let text = self.prints();
        assert_eq!(text.lines().collect::<Vec<_>>(), lines);
    }
}

/// Moves the test into a place of its own: a sealed binary and private mounts.
pub(crate) fn enter() {
    processes::ensure_sealed().unwrap();
    namespace::unshare(&[NamespaceKind::Mount]).unwrap();
    sys::mount::set_propagation(Path::new("/"), Propagation::Private, true).unwrap();
}

impl Case {
    /// Makes a container that runs a program of busybox.
    pub(crate) fn new(words: &[&str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        enter();
        let dir = tempfile::Builder::new().prefix("conductor-test-").tempdir().unwrap();
        // A container's users must get through to its root.
        std::os::unix::fs::chown(dir.path(), None, None).unwrap();
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let bundle = Bundle::busybox(dir.path().join("bundle"), words);
        let id = format!("runtime-test-{}-{}", processes::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let hierarchies = Hierarchies::detect().unwrap();
        let before = Census { links: Default::default(), loops: Default::default(), ..Census::take(&[]) };
        Self { dir, bundle, id, hierarchies, root: None, preserve_fds: 0, init: false, before }
    }

    /// Makes a container that runs a script.
    pub(crate) fn sh(script: &str) -> Self {
        Self::new(&["/bin/sh", "-c", script])
    }

    /// Changes the spec.
    pub(crate) fn edit(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.bundle.spec);
        self
    }

    /// Sets a part of the spec by its JSON pointer, whose parent is there.
    pub(crate) fn set(self, pointer: &str, value: Value) -> Self {
        self.edit(|spec| {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            spec.pointer_mut(parent).unwrap()[name] = value;
        })
    }

    /// Adds a mount.
    pub(crate) fn mount(self, destination: &str, kind: &str, source: &Path, options: &[&str]) -> Self {
        self.edit(|spec| {
            let mount = json!({ "destination": destination, "type": kind, "source": source, "options": options });
            spec["mounts"].as_array_mut().unwrap().push(mount);
        })
    }

    /// Changes the namespaces.
    pub(crate) fn namespaces(self, change: impl FnOnce(&mut Vec<Value>)) -> Self {
        self.edit(|spec| change(spec["linux"]["namespaces"].as_array_mut().unwrap()))
    }

    /// Replaces or adds a namespace.
    pub(crate) fn namespace(self, kind: &str, path: Option<&str>) -> Self {
        self.namespaces(|all| {
            all.retain(|namespace| namespace["type"] != kind);
            all.push(match path {
                Some(path) => json!({ "type": kind, "path": path }),
                None => json!({ "type": kind }),
            });
        })
    }

    /// Takes the host's namespace of a kind.
    pub(crate) fn without(self, kind: &str) -> Self {
        self.namespaces(|all| all.retain(|namespace| namespace["type"] != kind))
    }

    /// Gives many capabilities, and takes the filter away that would forbid to use them.
    pub(crate) fn privileged(self) -> Self {
        let names = many_capabilities();
        self.edit(|spec| {
            for set in ["bounding", "effective", "permitted"] {
                spec["process"]["capabilities"][set] = names.clone();
            }
            spec["linux"].as_object_mut().unwrap().remove("seccomp");
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.bundle.rootfs()
    }

    pub(crate) fn cgroup_path(&self) -> CgroupPath {
        format!("conductor/{}", self.id).parse().unwrap()
    }

    pub(crate) fn cgroup(&self) -> Cgroup {
        Cgroup::open(&self.cgroup_path(), &self.hierarchies)
    }

    pub(crate) fn spec(&self) -> Spec {
        serde_json::from_value(self.bundle.spec.clone()).unwrap()
    }

    pub(crate) fn plan(&self) -> Result<ContainerPlan, runtime::PlanError> {
        let cgroup = self.cgroup_path();
        let inputs = Inputs {
            id: &self.id,
            bundle: &self.bundle.path,
            root: self.root.clone(),
            cgroup: &cgroup,
            hierarchies: &self.hierarchies,
            init: self.init,
        };
        runtime::plan::container(&self.spec(), &inputs)
    }

    pub(crate) fn create(&self, stdio: runtime::Stdio<'_>) -> Result<Created, CreateError> {
        let spec = self.spec();
        let recorder = Recorder::silent();
        let options = CreateOptions {
            spec: &spec,
            bundle: &self.bundle.path,
            stdio,
            gate: StartGate::Caller,
            dies_with_creator: false,
            preserve_fds: self.preserve_fds,
            recorder: &recorder,
        };
        runtime::create(&self.plan()?, &options)
    }

    /// Makes the container and starts it; its output comes through what is returned.
    pub(crate) fn start(&self) -> Result<Running, CreateError> {
        let (stdout, their_stdout) = std::io::pipe().unwrap();
        let (stderr, their_stderr) = std::io::pipe().unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        let stdio = Some([null.as_fd(), their_stdout.as_fd(), their_stderr.as_fd()]);
        let (process, cgroup) = self.create(stdio)?.start()?;
        Ok(Running { process, cgroup, stdout: stdout.into(), stderr: stderr.into() })
    }

    /// Runs the container to its end, and looks that nothing is left.
    #[track_caller]
    pub(crate) fn run(&self) -> Outcome {
        let running = self.start().unwrap_or_else(|error| panic!("{}", chain(&error)));
        let outcome = running.ends();
        self.assert_clean();
        outcome
    }

    /// Expects that the container cannot be made, and looks that nothing is left; returns all that the error says.
    #[track_caller]
    pub(crate) fn fails(&self) -> (CreateError, String) {
        match self.start() {
            Ok(running) => panic!("it runs: {:?}", running.ends()),
            Err(error) => {
                self.assert_clean();
                let text = chain(&error);
                (error, text)
            }
        }
    }

    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        assert!(!self.cgroup().exists().unwrap(), "the cgroup is left");
        let left = Census { links: Default::default(), loops: Default::default(), ..Census::take(&[]) };
        assert_eq!(left.more_than(&self.before), Vec::<String>::new());
        assert_eq!(processes::reap_any().unwrap_err().errno(), sys::Errno::CHILD, "a child is left");
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        // What the test has mounted in its directory would keep it from being removed.
        let mounts = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
        let places = mounts.lines().rev().filter_map(|line| line.split(' ').nth(4).map(Path::new));
        for place in places.filter(|place| place.starts_with(self.dir.path())) {
            let _ = sys::mount::unmount(place);
        }
    }
}

/// A container that runs.
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) cgroup: Cgroup,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

impl Running {
    /// Waits for its end.
    pub(crate) fn ends(self) -> Outcome {
        let stdout = read_all(self.stdout);
        let stderr = read_all(self.stderr);
        let status = processes::wait(&self.process.pidfd).unwrap();
        self.cgroup.kill().unwrap();
        self.cgroup.remove().unwrap();
        Outcome { status, stdout, stderr }
    }

    /// Waits until a line has been printed.
    pub(crate) fn line(&self) -> String {
        read_line(&self.stdout)
    }

    /// Ends it, whatever it does.
    pub(crate) fn kill(self) -> Outcome {
        processes::pidfd_send_signal(&self.process.pidfd, 9).unwrap();
        self.ends()
    }
}

/// Reads up to the end of a line, and not a byte further.
pub(crate) fn read_line(from: &OwnedFd) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while sys::file::read(from, &mut byte).unwrap() == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}

pub(crate) fn read_all(from: OwnedFd) -> String {
    let mut bytes = Vec::new();
    std::fs::File::from(from).read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns an error with all its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// More than a container usually has.
pub(crate) fn many_capabilities() -> Value {
    let all = serde_json::from_value::<Vec<oci::runtime::Capability>>(json!([
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FOWNER",
        "CAP_KILL",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_SETPCAP",
        "CAP_NET_ADMIN",
        "CAP_NET_RAW",
        "CAP_SYS_ADMIN",
        "CAP_SYS_CHROOT",
        "CAP_SYS_PTRACE",
        "CAP_MKNOD",
        "CAP_DAC_READ_SEARCH",
        "CAP_SETFCAP"
    ]));
    serde_json::to_value(all.unwrap()).unwrap()
}

/// Tells whether the kernel is at least this one; a test that needs it says what it leaves out.
pub(crate) fn kernel_has(what: &str, major: u32, minor: u32) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|part| part.trim().parse::<u32>().unwrap_or(0));
    let now = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let has = now >= (major, minor);
    if !has {
        println!("left out: {what} needs Linux {major}.{minor}, and this is {}", release.trim());
    }
    has
}
