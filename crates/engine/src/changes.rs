//! What a container changed, and what becomes of it: `diff`, `commit` and `export`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::rc::Rc;

use cgroup::{Cgroup, CgroupPath, Hierarchies};
use image::{Cleaning, CommitOptions, Difference};
use runtime::plan::{Lower, Overlay};
use store::{Durability, Image};
use sys::Calling;
use sys::namespace::NamespaceKind;
use sys::process::{self, Child, ExitStatus, Fork};

use crate::error::Doing;
use crate::layout::Layout;
use crate::ledger::{self, Owner};
use crate::{Container, Engine, Error, devices, spec};

impl Engine {
    /// Lists what a container changed of its image's files, in order.
    pub fn differences(&self, container: &Container) -> Result<Vec<Difference>, Error> {
        let doing = || format!("see what container {} changed", container.name);
        let image = self.store().images().load(&container.image_id)?;
        let index = image::open_index(&image).doing(doing)?;
        match self.open_upper(container).doing(doing)? {
            Some(upper) => image::differences(upper.as_fd(), &index, &unseen(container)).doing(doing),
            None => Ok(Vec::new()),
        }
    }

    /// Makes an image of a container: its own with what it changed on top. With `pause` its processes stand still meanwhile.
    pub fn commit(&self, container: &Container, options: &CommitOptions, pause: bool) -> Result<Image, Error> {
        let doing = || format!("commit container {}", container.name);
        let image = self.store().images().load(&container.image_id)?;
        let _frozen = if pause { self.freeze(container)? } else { None };
        let upper = self.open_upper(container).doing(doing)?;
        let upper = upper.as_ref().map(AsFd::as_fd);
        image::commit(self.store(), &image, upper, &unseen(container), options, self.recorder()).doing(doing)
    }

    /// Writes all files of a container as a tar, those of its image and its own; what is mounted into it is left out.
    pub fn export(&self, container: &Container, out: &mut impl Write) -> Result<(), Error> {
        let doing = || format!("export container {}", container.name);
        let image = self.store().images().load(&container.image_id)?;
        let view = self.snapshots().view(&image, self.recorder()).doing(doing)?;
        let upper = container.upper(self.layout());
        if !sys::file::exists(&upper).doing(doing)? {
            return image::write_tree(view.as_fd(), &Cleaning::none(), out).doing(doing);
        }
        // On the same file system as the changes, as overlay wants it, and gone with its owner.
        let work = self.store().begin(Durability::Remakeable)?;
        let directories = ["upper", "work"].map(|name| work.path().join(name));
        for path in &directories {
            ledger::create_directory(path).doing(doing)?;
        }
        let [top, scratch] = directories;
        copy_attributes(&upper, &top).doing(doing)?;
        let (mount, _hold) = view.into_parts();
        let image = Lower::Mount { mount: Rc::new(mount), shell: String::new() };
        let lowers = vec![Lower::Directory(upper), image];
        let root = mount_apart(&Overlay { lowers, upper: top, work: scratch, volatile: true }).doing(doing)?;
        image::write_tree(root.as_fd(), &Cleaning::none(), out).doing(doing)
    }

    /// A container that never ran has none.
    fn open_upper(&self, container: &Container) -> sys::Result<Option<OwnedFd>> {
        let path = container.upper(self.layout());
        match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            result => Ok(Some(result.call(|| format!("open({})", path.display()))?.into())),
        }
    }

    /// Lets a running container stand still.
    fn freeze(&self, container: &Container) -> Result<Option<Frozen>, Error> {
        let doing = || format!("pause container {}", container.name);
        if !matches!(ledger::owner(self.layout(), &container.id)?, Owner::Living) {
            return Ok(None);
        }
        let path: CgroupPath = Layout::cgroup(&container.id).parse().doing(doing)?;
        let cgroup = Cgroup::open(&path, &Hierarchies::detect().doing(doing)?);
        if !cgroup.exists().doing(doing)? || cgroup.is_frozen() {
            return Ok(None);
        }
        let frozen = Frozen::prepare(cgroup).doing(doing)?;
        frozen.cgroup.freeze().doing(doing)?;
        Ok(Some(frozen))
    }
}

/// Mounts an overlay, detached, in a process with a mount namespace of its own: older kernels attach its layers meanwhile.
fn mount_apart(overlay: &Overlay) -> sys::Result<OwnedFd> {
    let (mut told, mut tell) = std::io::pipe().call(|| "pipe2(O_CLOEXEC)")?;
    let (mut end, gate) = std::io::pipe().call(|| "pipe2(O_CLOEXEC)")?;
    let child = match process::clone_into(&[NamespaceKind::Mount], None)? {
        Fork::Parent(child) => child,
        Fork::Child => {
            drop(gate);
            let private = sys::mount::set_propagation("/".as_ref(), sys::mount::Propagation::Private, true);
            let mounted = private.and_then(|()| runtime::overlay::mount(overlay));
            let number = mounted.as_ref().map_or_else(|error| -error.errno().raw_os_error(), AsRawFd::as_raw_fd);
            let _ = tell.write_all(&number.to_ne_bytes());
            let _ = end.read(&mut [0]);
            process::exit(0)
        }
    };
    drop(tell);
    let mut number = [0; 4];
    let taken = told.read_exact(&mut number).call(|| "read(pipe)").and_then(|()| match i32::from_ne_bytes(number) {
        number @ 0.. => process::pidfd_getfd(&child.pidfd, number),
        errno => Err(sys::Error::new("mount(overlay)", sys::Errno::from_raw_os_error(-errno))),
    });
    drop(gate);
    process::wait(&child.pidfd)?;
    taken
}

/// The root of an overlay is its upper directory.
fn copy_attributes(from: &Path, to: &Path) -> sys::Result<()> {
    let stat = from.metadata().call(|| format!("stat({})", from.display()))?;
    std::fs::set_permissions(to, stat.permissions()).call(|| format!("chmod({})", to.display()))?;
    chown(to, Some(stat.uid()), Some(stat.gid())).call(|| format!("chown({})", to.display()))
}

/// Where mounts and devices are: what the engine made there is no work of the container.
pub(crate) fn unseen(container: &Container) -> BTreeSet<Vec<u8>> {
    let mut places = spec::mount_places(&container.request);
    places.extend(devices::places(&container.request.devices));
    places.iter().map(|place| place.strip_prefix("/").unwrap_or(place).as_os_str().as_bytes().to_vec()).collect()
}

/// A container that stands still for as long as this lives. A process of ours wakes it, however we end.
struct Frozen {
    cgroup: Cgroup,
    gate: Option<PipeWriter>,
    waker: Child,
}

impl Frozen {
    fn prepare(cgroup: Cgroup) -> sys::Result<Self> {
        let (mut end, gate) = std::io::pipe().call(|| "pipe2(O_CLOEXEC)")?;
        match process::clone_into(&[], None)? {
            Fork::Parent(waker) => Ok(Self { cgroup, gate: Some(gate), waker }),
            Fork::Child => {
                drop(gate);
                // What ends us from the terminal must not end it.
                let _ = process::new_session();
                let _ = end.read(&mut [0]);
                process::exit(i32::from(cgroup.thaw().is_err()))
            }
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        drop(self.gate.take());
        let awake = process::wait(&self.waker.pidfd).is_ok_and(|status| status == ExitStatus::Exited(0));
        // It may have been killed, or met an error that is none any more.
        if !awake && let Err(error) = self.cgroup.thaw() {
            tracing::warn!(%error, "cannot let the container go on");
        }
    }
}
