//! File systems of the harness's own, in a mount namespace that goes with it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};

use crate::context::Failure;

/// Leaves the host's mounts alone from here on.
pub(crate) fn own_mounts() -> Result<(), Failure> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(|error| Failure(format!("cannot make a mount namespace: {error}")))?;
    tool("mount", &["--make-rprivate", "/"])
}

/// Runs a tool of the host.
pub(crate) fn tool(name: &str, words: &[&str]) -> Result<(), Failure> {
    let output =
        Command::new(name).args(words).output().map_err(|error| Failure(format!("cannot run {name}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Failure(format!("{name} {} failed: {}", words.join(" "), said.trim())))
}

/// A mount that goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Mount(PathBuf);

impl Mount {
    /// Mounts `what` with these words of mount(8), on a directory that is made.
    pub(crate) fn new(words: &[&str], what: &Path, on: &Path) -> Result<Self, Failure> {
        std::fs::create_dir_all(on).map_err(|error| Failure(format!("cannot make {}: {error}", on.display())))?;
        let (what, path) = (what.to_string_lossy(), on.to_string_lossy());
        let words: Vec<&str> = words.iter().copied().chain([&*what, &*path]).collect();
        tool("mount", &words).map(|()| Self(on.to_owned()))
    }

    /// Unmounts, once those have ended that still use it.
    pub(crate) fn unmount(self) -> Result<(), Failure> {
        let path = self.0.to_string_lossy().into_owned();
        let start = Instant::now();
        loop {
            match tool("umount", &[&path]) {
                Err(_) if start.elapsed() < Duration::from_secs(5) => std::thread::sleep(Duration::from_millis(5)),
                answer => {
                    std::mem::forget(self);
                    return answer;
                }
            }
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = tool("umount", &["--lazy", &self.0.to_string_lossy()]);
    }
}

/// Makes a file of this many bytes, and a file system in it by these words.
pub(crate) fn format(file: &Path, size: u64, words: &[&str]) -> Result<(), Failure> {
    let made = std::fs::File::create(file).and_then(|file| file.set_len(size));
    made.map_err(|error| Failure(format!("cannot make {}: {error}", file.display())))?;
    let path = file.to_string_lossy();
    let (name, rest) = words.split_first().ok_or_else(|| Failure("no tool is named".into()))?;
    tool(name, &rest.iter().copied().chain([&*path]).collect::<Vec<_>>())
}
