//! A root and a state directory of a test's own, with an image in it, and a way to call verbs as commands.

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use engine::{Container, CreateRequest, Engine, Status};
use serde_json::{Value, json};
use trace::Recorder;

/// The image that every sandbox has.
pub(crate) const IMAGE: &str = "busybox";

/// A place for containers.
pub(crate) struct Sandbox {
    directory: tempfile::TempDir,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let sandbox = Self { directory: tempfile::Builder::new().prefix("engine-").tempdir().unwrap() };
        import_image(&sandbox.engine());
        sandbox
    }

    /// Makes a sandbox on a disk of its own, so many bytes large, in a mount namespace of the test's own.
    pub(crate) fn small(bytes: u64) -> Self {
        sys::namespace::unshare(&[sys::namespace::NamespaceKind::Mount]).unwrap();
        sys::mount::set_propagation(Path::new("/"), sys::mount::Propagation::Private, true).unwrap();
        let sandbox = Self { directory: tempfile::Builder::new().prefix("engine-").tempdir().unwrap() };
        std::fs::create_dir(sandbox.root()).unwrap();
        let disk = sys::mount::Filesystem::open("tmpfs").unwrap().option("size", &bytes.to_string()).unwrap();
        let disk = disk.mount(sys::mount::MountAttrFlags::empty()).unwrap();
        sys::mount::attach(&disk, sys::path::open_host(&sandbox.root()).unwrap()).unwrap();
        import_image(&sandbox.engine());
        sandbox
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    pub(crate) fn engine(&self) -> Engine {
        Engine::open(&self.root(), &self.state(), Recorder::silent()).unwrap()
    }

    /// Returns a command that calls a verb in a process of its own.
    pub(crate) fn verb(&self, words: &[&str]) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("verb").arg(self.root()).arg(self.state()).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a container in the foreground.
    pub(crate) fn run(&self, words: &[&str], more: Value) -> Ran {
        self.call(&["run", &request(words, more).to_string()])
    }

    /// Starts a container in the background and returns its name.
    pub(crate) fn start(&self, name: &str, words: &[&str], more: Value) -> String {
        let mut more = more;
        more["name"] = name.into();
        self.call(&["run-detached", &request(words, more).to_string()]).ok();
        name.to_owned()
    }

    /// Calls a verb and waits for it.
    pub(crate) fn call(&self, words: &[&str]) -> Ran {
        Ran(self.verb(words).output().unwrap())
    }

    /// Calls a verb with input.
    pub(crate) fn call_with(&self, words: &[&str], input: &[u8]) -> Ran {
        let mut child = self.verb(words).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        Ran(output)
    }

    /// Calls a verb and does not wait.
    pub(crate) fn spawn(&self, words: &[&str]) -> Child {
        self.verb(words).spawn().unwrap()
    }

    pub(crate) fn find(&self, name: &str) -> Container {
        self.engine().find(name).unwrap()
    }

    pub(crate) fn status(&self, name: &str) -> Status {
        self.engine().state(&self.find(name)).unwrap().status
    }

    /// Makes sure that no container, name, run or cgroup is left.
    pub(crate) fn assert_empty(&self) {
        for directory in
            [self.root().join("containers"), self.root().join("container-names"), self.state().join("containers")]
        {
            let left: Vec<_> =
                std::fs::read_dir(&directory).into_iter().flatten().flatten().map(|e| e.path()).collect();
            assert!(left.is_empty(), "left behind: {left:?}");
        }
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        assert!(!mounts.contains(self.directory.path().to_str().unwrap()), "a mount is left behind");
    }

    /// Makes sure that nothing of a container's cgroups is left.
    pub(crate) fn assert_no_cgroup(id: &engine::ContainerId) {
        for top in std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
            let path = top.path().join("conductor").join(id.as_str());
            assert!(!path.exists(), "{path:?} is left behind");
        }
    }
}

/// Puts the image of every sandbox into a store.
pub(crate) fn import_image(engine: &Engine) {
    let mut tar = Vec::new();
    testkit::fixture::busybox_tar(&mut tar);
    let options = image::ImportOptions {
        names: vec![IMAGE.parse().unwrap()],
        changes: Vec::new(),
        message: None,
        platform: None,
        created: jiff::Timestamp::UNIX_EPOCH,
    };
    image::import(engine.store(), tar.as_slice(), &options, &Recorder::silent()).unwrap();
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Whatever a failed test left running ends with it.
        let engine = self.engine();
        for summary in engine.list(true).unwrap_or_default() {
            if let Ok(container) = engine.find(summary.id.as_str()) {
                let _ = engine.remove(&container, engine::RemoveOptions { force: true, volumes: true });
            }
        }
        // Only a small sandbox has a disk of its own; of any other the root is no mount.
        let _ = sys::mount::unmount(&self.root());
    }
}

/// Returns a request as JSON, checked against the type it is read into.
pub(crate) fn request(words: &[&str], more: Value) -> Value {
    let mut request = json!({ "image": IMAGE, "command": words });
    for (key, value) in more.as_object().into_iter().flatten() {
        request[key] = value.clone();
    }
    serde_json::from_value::<CreateRequest>(request.clone()).expect("a request");
    request
}

/// What came of a command.
#[derive(Debug)]
pub(crate) struct Ran(pub(crate) Output);

impl Ran {
    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    pub(crate) fn code(&self) -> i32 {
        self.0.status.code().unwrap_or(-1)
    }

    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code(), 0, "{}{}", self.out(), self.err());
        self.out()
    }

    #[track_caller]
    pub(crate) fn fails(self, code: i32, text: &str) -> Self {
        assert_eq!(self.code(), code, "{}{}", self.out(), self.err());
        assert!(self.err().contains(text), "{:?} does not say {text:?}", self.err());
        self
    }
}

/// Opens a terminal pair of the host.
pub(crate) fn terminal() -> (OwnedFd, OwnedFd) {
    let pair = sys::pty::open(Path::new("/dev/ptmx")).unwrap();
    sys::pty::set_size(&pair.master, 33, 99).unwrap();
    (pair.master, pair.slave)
}
