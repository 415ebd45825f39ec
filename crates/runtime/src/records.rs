//! What the runtime keeps of each container between its commands.
//!
//! ```text
//! <root>/<id>/
//!   state.json    the record: process, bundle, cgroup
//!   config.json   the spec as it was at `create`; later changes of the bundle's have no effect
//!   exec.fifo     the gate: there until `start` takes it away to open it
//! ```

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use cgroup::CgroupPath;
use oci::runtime::Spec;
use serde::{Deserialize, Serialize};
use sys::file::{Durability, replace};

use crate::lifecycle::LifecycleError;

/// The record of one container.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The container's ID.
    pub id: String,
    /// The bundle's directory, absolute.
    pub bundle: PathBuf,
    /// The first process; 0 until it is there.
    pub pid: u32,
    /// When the first process started, in clock ticks since boot: what tells it from a later one of the same number.
    pub start_time: u64,
    /// The container's cgroup.
    pub cgroup: String,
    /// When the container was made, as RFC 3339 seconds since the epoch.
    pub created: u64,
}

/// The directory that holds the containers of one `--root`.
#[derive(Debug, Clone)]
pub struct Records {
    root: PathBuf,
}

impl Records {
    /// Takes a directory; it is made with the first container.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Returns the directory of a container.
    pub fn dir(&self, id: &str) -> PathBuf {
        self.root.join(id)
    }

    /// Returns the path of a container's gate.
    pub fn gate(&self, id: &str) -> PathBuf {
        self.dir(id).join("exec.fifo")
    }

    /// Makes the directory of a new container; its name is taken by whoever makes it first.
    ///
    /// The descriptor that comes back holds the lock of whoever is at work in it.
    pub(crate) fn reserve(&self, id: &str) -> Result<OwnedFd, LifecycleError> {
        let mut private = fs::DirBuilder::new();
        private.mode(0o700);
        let failed = |dir: &Path| {
            let call = format!("mkdir({dir:?})");
            move |error: std::io::Error| LifecycleError::State(sys::Error::from_io(call, &error))
        };
        private.recursive(true).create(&self.root).map_err(failed(&self.root))?;
        let dir = self.dir(id);
        match private.recursive(false).create(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(LifecycleError::Exists(id.to_owned()))
            }
            done => done.map_err(failed(&dir)),
        }?;
        // Somebody may have found the new directory before it was locked, and taken it for an abandoned one.
        lock_dir(&dir)?.ok_or_else(|| LifecycleError::Exists(id.to_owned()))
    }

    /// Takes over a directory that a `create` that was killed has left without a record; `None` if it is none.
    pub(crate) fn claim_abandoned(&self, id: &str) -> Option<OwnedFd> {
        let dir = self.dir(id);
        // The lock first: whoever lets go of it has written the record before.
        let lock = lock_dir(&dir).ok().flatten()?;
        (!dir.join("state.json").exists()).then_some(lock)
    }

    /// Takes the gate of a container away for the one who opens it; `None` when it is gone.
    pub(crate) fn take_gate(&self, id: &str) -> Result<Option<PathBuf>, LifecycleError> {
        let (gate, taken) = (self.gate(id), self.dir(id).join("exec.fifo.taken"));
        match fs::rename(&gate, &taken) {
            Ok(()) => Ok(Some(taken)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(sys::Error::from_io(format!("rename({gate:?}, {taken:?})"), &error).into()),
        }
    }

    /// Keeps the spec as it is now.
    pub(crate) fn write_spec(&self, id: &str, json: &[u8]) -> Result<(), LifecycleError> {
        Ok(replace(&self.dir(id).join("config.json"), json, Durability::Cached)?)
    }

    /// Keeps the record.
    pub(crate) fn write(&self, record: &Record) -> Result<(), LifecycleError> {
        // A record is plain strings and numbers, which always serialise.
        let json = serde_json::to_vec(record).unwrap_or_default();
        Ok(replace(&self.dir(&record.id).join("state.json"), &json, Durability::Cached)?)
    }

    /// Reads the record of a container.
    pub fn read(&self, id: &str) -> Result<Record, LifecycleError> {
        let id = check_id(id)?;
        let path = self.dir(id).join("state.json");
        let json = match fs::read(&path) {
            Ok(json) => json,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(LifecycleError::Unknown(id.to_owned()));
            }
            Err(error) => return Err(sys::Error::from_io(format!("read({path:?})"), &error).into()),
        };
        serde_json::from_slice(&json).map_err(|source| LifecycleError::Garbage { path, source })
    }

    /// Reads the spec of a container as it was when it was made.
    pub fn read_spec(&self, id: &str) -> Result<Spec, LifecycleError> {
        read_spec(&self.dir(check_id(id)?).join("config.json")).map(|(spec, _)| spec)
    }

    /// Returns the IDs of all containers, in order.
    pub fn ids(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        let mut ids: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        ids.retain(|id| check_id(id).is_ok());
        ids.sort();
        ids
    }

    /// Forgets a container; it is content when nothing is there.
    pub(crate) fn remove(&self, id: &str) -> Result<(), LifecycleError> {
        let dir = self.dir(id);
        match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(sys::Error::from_io(format!("rmdir({dir:?})"), &error).into())
            }
            _ => Ok(()),
        }
    }
}

/// Locks a directory; `None` when somebody else has it, or has removed it meanwhile.
fn lock_dir(dir: &Path) -> sys::Result<Option<OwnedFd>> {
    use std::os::unix::fs::MetadataExt as _;
    let failed = |error: std::io::Error| sys::Error::from_io(format!("open({dir:?}, O_DIRECTORY)"), &error);
    let file = match fs::File::open(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    let locked = file.metadata().map_err(failed)?.ino();
    let is_ours = sys::file::try_lock(&file)? && fs::metadata(dir).is_ok_and(|now| now.ino() == locked);
    Ok(is_ours.then(|| file.into()))
}

/// Reads a spec, with the bytes it was read from.
pub(crate) fn read_spec(path: &Path) -> Result<(Spec, Vec<u8>), LifecycleError> {
    let json = fs::read(path).map_err(|error| {
        let source = sys::Error::from_io(format!("read({path:?})"), &error);
        LifecycleError::NoSpec { path: path.to_path_buf(), source }
    })?;
    let spec =
        serde_json::from_slice(&json).map_err(|source| LifecycleError::Garbage { path: path.to_path_buf(), source })?;
    Ok((spec, json))
}

/// Takes an ID that is safe as a file name: letters, digits and `_ + - .`, at most 1024 of them, as runc has it.
pub(crate) fn check_id(id: &str) -> Result<&str, LifecycleError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
    if id.is_empty() || id.len() > 1024 || id == "." || id == ".." || !id.chars().all(plain) {
        return Err(LifecycleError::BadId(id.to_owned()));
    }
    Ok(id)
}

/// Returns the cgroup of a spec; without a `cgroupsPath` it is ours by ID.
pub(crate) fn cgroup_of(spec: &Spec, id: &str) -> Result<CgroupPath, LifecycleError> {
    let named = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_ref());
    let path = named.filter(|path| !path.as_os_str().is_empty());
    let path = path.map_or_else(|| format!("conductor/{id}"), |path| path.to_string_lossy().into_owned());
    Ok(path.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_plain_file_name() {
        assert!(check_id("web_1.a+b-c").is_ok());
        for id in ["", ".", "..", "a/b", "a\nb", "ü", &"x".repeat(1025)] {
            assert!(check_id(id).is_err(), "{id:?}");
        }
    }

    #[test]
    fn an_id_is_taken_once() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::at(dir.path().join("new"));
        let lock = records.reserve("web").unwrap();
        assert!(records.claim_abandoned("web").is_none());
        drop(lock);
        assert!(records.claim_abandoned("web").is_some());
        assert!(matches!(records.reserve("web"), Err(LifecycleError::Exists(_))));
        records.remove("web").unwrap();
        records.reserve("web").unwrap();
    }
}
