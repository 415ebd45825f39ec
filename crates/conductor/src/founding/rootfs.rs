//! `.containers/NAME/rootfs`: the way from the current directory into a running container's root.
//!
//! ```text
//! .containers/          in the directory where `run` was called
//! └── eg/
//!     └── rootfs        a link to <state>/containers/<id>/rootfs, which leads to /proc/<pid>/root while the container runs
//! ```
//!
//! The container carries the directory's place as a label, so that `stop` removes it wherever `stop` is called.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use engine::ContainerName;
use trace::{Recorder, Step, quote};

use crate::error::Failure;

const LABEL: &str = "conductor.rootfs";

/// The link of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RootfsLink {
    path: PathBuf,
}

impl RootfsLink {
    /// Plans the link of a container that is run from `directory`.
    pub(super) fn plan(directory: &Path, name: &ContainerName) -> Self {
        Self { path: directory.join(".containers").join(name.as_str()).join("rootfs") }
    }

    /// Finds the link that a container's labels tell of.
    pub(super) fn of(labels: &BTreeMap<String, String>) -> Option<Self> {
        labels.get(LABEL).map(|path| Self { path: path.into() })
    }

    /// Returns the label that tells of the link.
    pub(super) fn label(&self) -> (String, String) {
        (LABEL.to_owned(), self.path.to_string_lossy().into_owned())
    }

    /// Makes the link, over one that an earlier container of the name has left.
    pub(super) fn create(&self, target: &Path, recorder: &Recorder) -> Result<(), Failure> {
        let (link, parent) = (&self.path, self.parent());
        let (from, to) = (target.display().to_string(), link.display().to_string());
        let shell =
            format!("mkdir -p {}\nln -sfn {} {}", quote(&parent.display().to_string()), quote(&from), quote(&to));
        recorder.record(&Step::host(format!("let {to} lead into the container's root"), shell));
        let made = std::fs::create_dir_all(parent).and_then(|()| match std::os::unix::fs::symlink(target, link) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && link.is_symlink() => {
                std::fs::remove_file(link)?;
                std::os::unix::fs::symlink(target, link)
            }
            made => made,
        });
        made.map_err(|error| Failure::new(error).doing(format!("cannot make the link {to}")))
    }

    /// Removes the link, and the directories above it that hold nothing else; what is gone already is no failure.
    pub(super) fn remove(&self, recorder: &Recorder) {
        if !self.path.is_symlink() {
            return;
        }
        let path = self.path.display().to_string();
        let shell = format!(
            "rm {}\nrmdir -p --ignore-fail-on-non-empty {}",
            quote(&path),
            quote(&self.parent().display().to_string())
        );
        recorder.record(&Step::host(format!("remove {path}"), shell));
        let _ = std::fs::remove_file(&self.path);
        for directory in self.path.ancestors().skip(1).take(2) {
            if std::fs::remove_dir(directory).is_err() {
                return;
            }
        }
    }

    fn parent(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_made_found_again_by_its_label_and_removed_with_its_directories() {
        let dir = tempfile::tempdir().unwrap();
        let link = RootfsLink::plan(dir.path(), &"eg".parse().unwrap());
        let silent = Recorder::silent();
        link.create(Path::new("/proc/1/root"), &silent).unwrap();
        link.create(Path::new("/proc/self/root"), &silent).unwrap();
        let path = dir.path().join(".containers/eg/rootfs");
        assert_eq!(std::fs::read_link(&path).unwrap(), Path::new("/proc/self/root"));
        let labels = BTreeMap::from([link.label()]);
        RootfsLink::of(&labels).unwrap().remove(&silent);
        assert!(!dir.path().join(".containers").exists());
        link.remove(&silent);
    }

    #[test]
    fn what_somebody_else_put_there_stays() {
        let dir = tempfile::tempdir().unwrap();
        let link = RootfsLink::plan(dir.path(), &"eg".parse().unwrap());
        std::fs::create_dir_all(dir.path().join(".containers/eg/rootfs")).unwrap();
        assert!(link.create(Path::new("/proc/1/root"), &Recorder::silent()).is_err());
        link.remove(&Recorder::silent());
        assert!(dir.path().join(".containers/eg/rootfs").is_dir());
    }
}
