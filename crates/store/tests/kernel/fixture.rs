//! Images to work with, and processes to kill.

use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};

use oci::Digest;
use store::{Documents, Durability, Image, Layer, Store, StoreError};
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
}

/// A tar with one file in a directory.
pub(crate) fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut append = |path: &str, kind, mode, data: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(data.len() as u64);
        header.set_mtime(1_700_000_000);
        builder.append_data(&mut header, path, data).unwrap();
    };
    append("etc/", tar::EntryType::Directory, 0o755, b"");
    append(&format!("etc/{name}"), tar::EntryType::Regular, 0o644, content);
    builder.into_inner().unwrap()
}

/// Adds an image of the given layers, lowest first.
pub(crate) fn add(store: &Store, tars: &[&[u8]], names: &[&str]) -> Result<Image, StoreError> {
    let mut work = store.begin(Durability::Durable)?;
    let mut layers = Vec::new();
    for tar in tars {
        let mut writer = work.layer()?;
        writer.append(tar)?;
        layers.push(work.finish(writer)?);
    }
    let names: Vec<_> = names.iter().map(|name| name.parse().unwrap()).collect();
    work.commit(&documents(&layers), &names, &Recorder::silent())
}

pub(crate) fn documents(layers: &[Layer]) -> Documents {
    let diff_ids: Vec<_> = layers.iter().map(|layer| layer.diff_id).collect();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "created": "2025-01-01T00:00:00Z",
        "config": {"Cmd": ["/bin/bash"]}, "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = serde_json::to_vec(&config).unwrap();
    let manifest = format!("{{\"schemaVersion\":2,\"config\":{{\"digest\":\"{}\"}}}}", Digest::of(&config));
    Documents { config, manifest: manifest.into_bytes(), listed_in: None }
}

/// Everything below the store that is no directory, and the directories of work in flight.
pub(crate) fn leftovers(store: &Store) -> Vec<String> {
    let layout = store.layout();
    let mut found = Vec::new();
    let places = [
        layout.blobs(),
        layout.layers(),
        layout.compressed(),
        layout.indexes(),
        layout.trees(),
        layout.images(),
        layout.names(),
        layout.tmp(),
    ];
    for directory in places {
        for entry in std::fs::read_dir(directory).into_iter().flatten() {
            found.push(entry.unwrap().path().display().to_string());
        }
    }
    found
}

/// Another process that runs one test of this binary, told by the environment what to do, until its input ends.
pub(crate) struct Helper {
    process: Child,
    input: Option<ChildStdin>,
}

/// The variable that makes a test a helper.
pub(crate) const HELPER: &str = "STORE_TEST_HELPER";

impl Helper {
    pub(crate) fn start(test: &str, task: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(HELPER, task)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = process.stdin.take();
        Self { process, input }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits until the helper says that it is ready.
    pub(crate) fn wait_ready(&mut self) {
        use std::io::BufRead;
        let output = self.process.stdout.take().unwrap();
        let mut lines = std::io::BufReader::new(output).lines();
        assert!(lines.any(|line| line.unwrap().contains(READY)), "the helper ended before it was ready");
    }

    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        drop(self.input.take());
    }
}

const READY: &str = "the helper is ready";

/// Says that the helper is ready, and stays until it is told to end.
pub(crate) fn stay() {
    let mut output = std::io::stdout();
    writeln!(output, "{READY}").unwrap();
    let _ = std::io::stdin().read_line(&mut String::new());
}
