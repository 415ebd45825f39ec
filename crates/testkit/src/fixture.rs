//! What tests feed the program with: root archives, bundles.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

/// The static shell and tools of Debian's package `busybox-static`.
pub const BUSYBOX: &str = "/bin/busybox";

/// A time for every entry, so that archives come out the same.
const TIME: u64 = 1_700_000_000;

/// Writes a root archive to `out`: busybox under all its names, the usual directories, users, and nothing else.
pub fn busybox_tar(mut out: impl Write) {
    let mut archive = Archive::default();
    for directory in ["bin", "dev", "etc", "home", "proc", "run", "sbin", "sys", "usr", "usr/bin", "usr/sbin", "var"] {
        archive = archive.directory(directory, 0o755);
    }
    archive = archive.directory("tmp", 0o1777).directory("root", 0o700).busybox("bin/busybox");
    for name in applets().iter().filter(|name| *name != "bin/busybox") {
        archive = archive.link(name, "/bin/busybox");
    }
    let users =
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\nalice:x:1000:1000::/home:/bin/sh\n";
    let groups = "root:x:0:\ntty:x:5:\nstaff:x:50:alice\nalice:x:1000:\nnogroup:x:65534:\n";
    let archive = archive.file("etc/passwd", 0o644, users).file("etc/group", 0o644, groups);
    out.write_all(&archive.finish()).expect("a place for the archive");
}

/// Writes a root archive to `out`: busybox, programs of the host with the libraries they load, and what describes terminals.
pub fn programs_tar(mut out: impl Write, programs: &[&str]) {
    let mut archive = Archive::default();
    for directory in ["dev", "etc", "proc", "root", "sys", "tmp", "var"] {
        archive = archive.directory(directory, 0o755);
    }
    archive = archive.busybox("bin/busybox");
    for name in applets().iter().filter(|name| *name != "bin/busybox" && !programs.contains(&&*format!("/{name}"))) {
        archive = archive.link(name, "/bin/busybox");
    }
    let mut files: Vec<PathBuf> = programs.iter().map(PathBuf::from).collect();
    files.extend(programs.iter().flat_map(|program| libraries(program)));
    files
        .extend(["screen", "tmux-256color", "xterm"].map(|name| format!("/lib/terminfo/{}/{name}", &name[..1]).into()));
    files.push("/usr/lib/locale/C.utf8/LC_CTYPE".into());
    files.sort();
    files.dedup();
    for path in files {
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        archive = archive.file(path.to_string_lossy().trim_start_matches('/'), 0o755, bytes);
    }
    let archive = archive.file("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\n");
    out.write_all(&archive.finish()).expect("a place for the archive");
}

/// Lists the libraries that a program loads, as ldd(1) tells them.
fn libraries(program: &str) -> Vec<PathBuf> {
    let out = Command::new("ldd").arg(program).output().expect("ldd of libc-bin");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

/// An archive, put together entry by entry.
pub struct Archive(tar::Builder<Vec<u8>>);

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive").finish_non_exhaustive()
    }
}

impl Default for Archive {
    fn default() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }
}

impl Archive {
    /// Adds a directory.
    pub fn directory(self, path: &str, mode: u32) -> Self {
        self.entry(path, tar::EntryType::Directory, mode, &[], None)
    }

    /// Adds a file.
    pub fn file(self, path: &str, mode: u32, bytes: impl AsRef<[u8]>) -> Self {
        self.entry(path, tar::EntryType::Regular, mode, bytes.as_ref(), None)
    }

    /// Adds a symbolic link.
    pub fn link(self, path: &str, target: &str) -> Self {
        self.entry(path, tar::EntryType::Symlink, 0o777, &[], Some(target))
    }

    /// Adds the host's busybox.
    pub fn busybox(self, path: &str) -> Self {
        let bytes = std::fs::read(BUSYBOX);
        self.file(path, 0o755, bytes.unwrap_or_else(|_| panic!("{BUSYBOX} is missing: apt-get install busybox-static")))
    }

    /// Returns its bytes.
    pub fn finish(self) -> Vec<u8> {
        self.0.into_inner().expect("the end of the archive")
    }

    fn entry(mut self, path: &str, kind: tar::EntryType, mode: u32, data: &[u8], link: Option<&str>) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(TIME);
        header.set_size(data.len() as u64);
        match link {
            Some(target) => self.0.append_link(&mut header, path, target),
            None => self.0.append_data(&mut header, path, data),
        }
        .unwrap_or_else(|error| panic!("cannot add {path} to the archive: {error}"));
        self
    }
}

/// Lists the names by which busybox can be called, with their directories.
fn applets() -> Vec<String> {
    let out = Command::new(BUSYBOX).arg("--list-full").output().expect("busybox --list-full");
    String::from_utf8_lossy(&out.stdout).lines().map(str::to_owned).collect()
}

/// An OCI bundle: a directory with a root and its `config.json`.
#[derive(Debug)]
pub struct Bundle {
    /// The directory.
    pub path: PathBuf,
    /// The specification, to be changed before [`Bundle::write`].
    pub spec: Value,
}

impl Bundle {
    /// Makes a bundle at `path` whose root holds busybox, and which runs `words`.
    pub fn busybox(path: impl Into<PathBuf>, words: &[&str]) -> Self {
        let path = path.into();
        let root = path.join("rootfs");
        std::fs::create_dir_all(&root).expect("a directory for the bundle");
        let mut archive = Vec::new();
        busybox_tar(&mut archive);
        tar::Archive::new(archive.as_slice()).unpack(&root).expect("the bundle's root");
        Self { path, spec: spec(words) }
    }

    /// Writes `config.json`.
    pub fn write(self) -> Self {
        let text = serde_json::to_vec_pretty(&self.spec).expect("a specification");
        std::fs::write(self.path.join("config.json"), text).expect("config.json");
        self
    }

    /// Returns the root's path.
    pub fn rootfs(&self) -> PathBuf {
        self.path.join("rootfs")
    }
}

/// Returns a specification that runs `words`, with what Docker's default has: eight capabilities, the usual mounts, masks and
/// namespaces, and a filter of some forty calls.
pub fn spec(words: &[&str]) -> Value {
    let mut spec: Value = serde_json::from_str(include_str!("bundle.json")).expect("bundle.json");
    spec["process"]["args"] = json!(words);
    spec
}

/// Writes a root archive of busybox to a file and returns its path.
pub fn busybox_tar_file(directory: &Path) -> PathBuf {
    let path = directory.join("busybox.tar");
    busybox_tar(std::fs::File::create(&path).expect("a file for the archive"));
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specification_names_what_it_runs() {
        let spec = spec(&["/bin/true"]);
        assert_eq!(spec["process"]["args"], json!(["/bin/true"]));
        assert_eq!(spec["linux"]["namespaces"].as_array().map(Vec::len), Some(6));
    }
}
