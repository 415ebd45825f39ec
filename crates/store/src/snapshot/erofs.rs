//! The EROFS mount of an image: from files, or over loop devices.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use sys::Errno;
use sys::loopdev::LoopDevice;
use sys::mount::{Filesystem, MountAttrFlags};
use trace::{Explain, Recorder, Step, quote};

use super::{Origin, Snapshotter, View, ViewError, holder};
use crate::Image;

/// The longest value that fsconfig(2) takes as a string, less the closing zero.
const VALUE_MAX: usize = 255;

/// Mounts indexes, and shares the mounts.
#[derive(Debug)]
pub(super) struct Erofs {
    state: PathBuf,
}

impl Erofs {
    /// Names the directory where holders announce their views.
    pub(super) fn new(state: &Path) -> Self {
        Self { state: state.to_owned() }
    }
}

impl Snapshotter for Erofs {
    fn view(&self, image: &Image, recorder: &Recorder) -> Result<View, ViewError> {
        match holder::take(&self.state, image, recorder) {
            Some(mount) => Ok(View::new(mount, Origin::Shared)),
            None => mount(image, recorder),
        }
    }
}

/// One mount: the index, and the devices that its chunks point into, in the order of the layers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ErofsMount {
    source: PathBuf,
    devices: Vec<PathBuf>,
}

impl Explain for ErofsMount {
    fn explain(&self) -> Step {
        let devices: Vec<_> = self.devices.iter().map(|path| format!(",device={}", path.display())).collect();
        let options = format!("ro{}", devices.concat());
        let shell = format!("mount -t erofs -o {} {} /mnt", quote(&options), quote(&self.source.to_string_lossy()));
        Step::host("mount the image's index over its layers, attached nowhere", shell)
    }
}

/// Mounts the image from its files, and over loop devices where the kernel cannot.
pub(super) fn mount(image: &Image, recorder: &Recorder) -> Result<View, ViewError> {
    let files = ErofsMount {
        source: image.index.clone(),
        devices: image.layers.iter().map(|layer| layer.path.clone()).collect(),
    };
    recorder.record(&files);
    let refusal = match apply(&files) {
        Ok(mount) => return Ok(View::new(mount, Origin::Files)),
        Err(error) => error,
    };
    match refusal.errno() {
        Errno::NODEV => Err(ViewError::NoErofs(refusal)),
        Errno::NOENT => Err(missing(image, &files, refusal)),
        Errno::NOTBLK => over_loop_devices(&files, recorder),
        _ => Err(ViewError::Mount { image: image.id.short(), source: refusal }),
    }
}

fn apply(plan: &ErofsMount) -> sys::Result<OwnedFd> {
    let mut held = Vec::new();
    let mut filesystem = Filesystem::open("erofs")?.path_option("source", &short(&plan.source, &mut held)?)?;
    for device in &plan.devices {
        filesystem = filesystem.path_option("device", &short(device, &mut held)?)?;
    }
    filesystem.flag("ro")?.mount(MountAttrFlags::MOUNT_ATTR_RDONLY)
}

/// A path too long for fsconfig is opened, and named by its descriptor until the mount stands.
fn short(path: &Path, held: &mut Vec<std::fs::File>) -> sys::Result<PathBuf> {
    use sys::Calling;
    if path.as_os_str().len() <= VALUE_MAX {
        return Ok(path.into());
    }
    let file = std::fs::File::open(path).call(|| format!("open({})", path.display()))?;
    let named = format!("/proc/self/fd/{}", file.as_raw_fd()).into();
    held.push(file);
    Ok(named)
}

fn missing(image: &Image, files: &ErofsMount, refusal: sys::Error) -> ViewError {
    let mut paths = std::iter::once(&files.source).chain(&files.devices);
    match paths.find(|path| !path.exists()) {
        Some(path) => ViewError::Incomplete { image: image.id.short(), path: path.clone() },
        None => ViewError::Mount { image: image.id.short(), source: refusal },
    }
}

/// The devices clear themselves once the mount is gone; until it stands our descriptors keep them.
fn over_loop_devices(files: &ErofsMount, recorder: &Recorder) -> Result<View, ViewError> {
    let attach = |path: &PathBuf| LoopDevice::attach_read_only(path).map_err(ViewError::NoFileMounts);
    let source = attach(&files.source)?;
    let devices: Vec<_> = files.devices.iter().map(attach).collect::<Result<_, _>>()?;
    let plan = ErofsMount {
        source: source.path().into(),
        devices: devices.iter().map(|device| device.path().into()).collect(),
    };
    recorder.record(&plan);
    let mount = apply(&plan).map_err(ViewError::NoFileMounts)?;
    Ok(View::new(mount, Origin::Loop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_is_the_mount_command() {
        let plan = ErofsMount { source: "/s/i.erofs".into(), devices: vec!["/s/l1".into(), "/s/l2".into()] };
        assert_eq!(plan.explain().shell, "mount -t erofs -o ro,device=/s/l1,device=/s/l2 /s/i.erofs /mnt");
    }
}
