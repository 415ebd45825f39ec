//! A store to work with, and a look into what was made.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use store::snapshot::{self, View};
use store::{Image, Store};
use trace::Recorder;

/// A store in a directory that goes away with it.
pub(crate) struct Sandbox {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) store: Store,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        // Below the target directory, which stands on a disk: /tmp may be a tmpfs, from which nothing can be mounted.
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let store = Store::open(&directory.path().join("store"));
        Self { directory, store }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What lies in the store's directory of work in flight.
    pub(crate) fn in_flight(&self) -> usize {
        std::fs::read_dir(self.store.layout().tmp()).map_or(0, Iterator::count)
    }
}

pub(crate) fn view(image: &Image) -> View {
    snapshot::view(image, &Recorder::silent()).unwrap()
}

pub(crate) fn read(view: &View, path: &str) -> Vec<u8> {
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    let file = rustix::fs::openat(view.as_fd(), path, flags, rustix::fs::Mode::empty()).unwrap();
    let mut content = Vec::new();
    File::from(file).read_to_end(&mut content).unwrap();
    content
}

pub(crate) fn exists(view: &View, path: &str) -> bool {
    rustix::fs::statat(view, path, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

/// Runs a command line of bash and returns what it printed.
pub(crate) fn bash(directory: &Path, line: &str) -> String {
    let output = std::process::Command::new("bash").args(["-euc", line]).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
