//! Volumes: directories that the engine keeps beside containers.
//!
//! ```text
//! <root>/volumes/<name>/_data
//! ```
//!
//! A new volume is filled from what the image has at the place where it is mounted. That happens beside its place, in the
//! container's own directory, and the volume is there with one rename or not at all.

use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use sys::Calling;
use sys::path::Root;
use trace::{Explain, Recorder, Step, quote};

use crate::error::Doing;
use crate::layout::Layout;
use crate::{Container, ContainerName, Error, MountRequest, MountSource, ledger};

/// Makes the volumes of a container that do not exist yet.
pub(crate) fn ensure(
    layout: &Layout,
    container: &Container,
    image: BorrowedFd<'_>,
    recorder: &Recorder,
) -> Result<(), Error> {
    for (mount, name, volume, no_copy) in missing(layout, container) {
        recorder.record(&VolumeStep { name, path: &volume });
        let beside = layout.container(&container.id).join(format!("volume-{name}"));
        fill(&beside, mount, (!no_copy).then_some(image)).doing(|| format!("make volume {name}"))?;
        ledger::ensure_directory(&layout.volumes()).doing(|| "make the directory of volumes")?;
        match std::fs::rename(&beside, &volume) {
            // Another container has just made it.
            Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {
                std::fs::remove_dir_all(&beside).call(|| format!("unlinkat({beside:?})"))
            }
            renamed => renamed.call(|| format!("rename({beside:?}, {volume:?})")),
        }
        .and_then(|()| sys::file::sync_dir(&layout.volumes()))
        .doing(|| format!("make volume {name}"))?;
    }
    Ok(())
}

/// A volume that does not exist yet: where it is mounted, its name, its place, and whether it stays empty.
type Missing<'a> = (&'a MountRequest, &'a ContainerName, PathBuf, bool);

/// Returns the volumes of a container that do not exist yet.
pub(crate) fn missing<'a>(layout: &Layout, container: &'a Container) -> Vec<Missing<'a>> {
    let volume = |mount: &'a MountRequest| match &mount.source {
        MountSource::Volume { name: Some(name), no_copy } => {
            Some((mount, name, layout.volumes().join(name.as_str()), *no_copy))
        }
        _ => None,
    };
    container.request.mounts.iter().filter_map(volume).filter(|(_, _, path, _)| !path.exists()).collect()
}

fn fill(volume: &Path, mount: &MountRequest, image: Option<BorrowedFd<'_>>) -> sys::Result<()> {
    let data = volume.join("_data");
    if sys::file::exists(volume)? {
        // What an interrupted start had begun.
        std::fs::remove_dir_all(volume).call(|| format!("unlinkat({volume:?})"))?;
    }
    ledger::create_directory(volume)?;
    std::fs::create_dir(&data).call(|| format!("mkdir({data:?})"))?;
    let set_mode = |mode| {
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(mode)).call(|| format!("chmod({data:?})"))
    };
    set_mode(0o755)?;
    let Some(image) = image else { return Ok(()) };
    let root = Root::from_fd(image.try_clone_to_owned().call(|| "fcntl(F_DUPFD_CLOEXEC)")?);
    let Ok(source) = root.resolve(&mount.target) else { return Ok(()) };
    if !sys::path::is_dir(&source) {
        return Ok(());
    }
    let to = sys::path::open_host(&data)?;
    sys::copy::copy_tree(source.as_fd(), to.as_fd())?;
    let like = std::fs::File::from(source).metadata().call(|| "fstat(image)")?;
    chown(&data, Some(like.uid()), Some(like.gid())).call(|| format!("chown({data:?})"))?;
    set_mode(like.mode() & 0o7777)
}

/// Makes a volume.
pub(crate) struct VolumeStep<'a> {
    pub(crate) name: &'a ContainerName,
    pub(crate) path: &'a Path,
}

impl Explain for VolumeStep<'_> {
    fn explain(&self) -> Step {
        let path = self.path.join("_data");
        Step::host(
            format!("make volume {}, filled with what the image has at its place", self.name),
            format!("mkdir -p {}", quote(&path.to_string_lossy())),
        )
    }
}
