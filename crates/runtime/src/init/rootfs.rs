//! The container's file system, assembled by descriptor in its own mount namespace.
//!
//! The new root is attached over `/`, where no path of ours leads: every path from the spec is resolved below the root's
//! descriptor, and `pivot_root` then makes it the root. Nothing is mounted in the host's namespace, so nothing is left
//! there whatever happens.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use sys::mount::{self, Attributes, Filesystem, MountAttrFlags as Attr};
use sys::path::{self as paths, FileType, Root};

use crate::plan::mounts::DeviceNumber;
use crate::plan::{InitStep, MountSource, MountStep, NodeStep, RootSource, RootStep};

/// Mounts that the creator made for a first process that cannot make them: the steps' numbers and the mounts.
///
/// In a user namespace of its own, the first process can neither reach every source nor mount every file system; what it
/// can do is attach a detached mount. A bind that shares its mounts with the host must come from the host's own mounts,
/// since the first process has only slaves of them.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    mounts: Vec<(usize, OwnedFd)>,
    root: Option<OwnedFd>,
}

impl Prepared {
    /// Makes the mounts of the steps that the first process cannot make itself.
    pub(crate) fn make(steps: &[InitStep], has_users: bool) -> sys::Result<Self> {
        let mut prepared = Self::default();
        for (index, step) in steps.iter().enumerate() {
            match step {
                InitStep::Root(root) if has_users => prepared.root = Some(source_of_root(&root.source)?),
                InitStep::Mount(mount) if has_users || mount.shares() => {
                    if let MountSource::Bind(path, recursion) = &mount.source {
                        let tree = mount::clone_tree_at(None, path, recursion.is_recursive())?;
                        prepared.mounts.push((index, tree));
                    }
                }
                InitStep::Node(node) if node.bind => {
                    prepared.mounts.push((index, mount::clone_tree_at(None, &node.path, false)?));
                }
                _ => {}
            }
        }
        Ok(prepared)
    }

    fn get(&self, index: usize) -> Option<BorrowedFd<'_>> {
        self.mounts.iter().find(|(step, _)| *step == index).map(|(_, mount)| mount.as_fd())
    }
}

/// The container's root while it is being assembled.
#[derive(Debug)]
pub(crate) struct RootFs {
    root: Root,
    /// An empty read-only directory that hides others; made and attached when it is first needed.
    empty: Option<OwnedFd>,
    /// The container's procfs.
    proc: Option<Root>,
}

impl RootFs {
    /// Mounts the root and attaches it where nothing of the host is covered.
    pub(crate) fn mount(step: &RootStep, prepared: &Prepared) -> sys::Result<Self> {
        let made;
        let source = match &prepared.root {
            Some(mount) => mount.as_fd(),
            None => {
                made = source_of_root(&step.source)?;
                made.as_fd()
            }
        };
        // Over `/`: the mount needs a place in this namespace to be pivoted to, and a lookup that starts at our root
        // does not see what is mounted on it.
        mount::attach(source, paths::open_host(Path::new("/"))?)?;
        // What is mounted in here must not travel to a shared tree that the root was cloned from.
        let private = Attributes { propagation: Some(mount::Propagation::Private), ..Attributes::default() };
        mount::set_attributes(source, &private, false)?;
        let root = Root::from_fd(paths::duplicate(source)?);
        Ok(Self { root, empty: None, proc: None })
    }

    /// Mounts something below the root.
    pub(crate) fn apply_mount(&mut self, index: usize, step: &MountStep, prepared: &Prepared) -> sys::Result<()> {
        if step.source == MountSource::Remount {
            let target = self.root.resolve(&step.destination)?;
            return mount::set_attributes(&target, &attributes(step, true), false);
        }
        let made;
        let source = match prepared.get(index) {
            Some(mount) => mount,
            None => {
                made = open_source(step)?;
                made.as_fd()
            }
        };
        let is_bind = matches!(step.source, MountSource::Bind(..));
        if is_bind {
            set_single(source, step)?;
        }
        set_recursive(source, step)?;
        self.take_after(step, source)?;
        let target = self.mount_point(step, source)?;
        if step.options.copy_up {
            sys::copy::copy_tree(&target, source)?;
        }
        mount::attach(source, &target)?;
        for (propagation, recursion) in &step.options.propagation {
            let change = Attributes { propagation: Some(*propagation), ..Attributes::default() };
            mount::set_attributes(source, &change, recursion.is_recursive())?;
        }
        if step.has_parameters() {
            self.proc = Some(Root::from_fd(paths::duplicate(source)?));
        }
        Ok(())
    }

    /// Opens a kernel parameter. The host's procfs leads to it as well, but more slowly with every other network namespace
    /// in which somebody looked for it there: the kernel keeps what they found in one chain.
    pub(crate) fn open_parameter(&self, path: &Path) -> sys::Result<File> {
        match &self.proc {
            Some(proc) => proc.open_to_write(path),
            None => Root::open(Path::new("/proc"))?.open_to_write(path),
        }
    }

    /// A tmpfs without a mode of its own looks like the directory that it covers, if there is one.
    fn take_after(&self, step: &MountStep, source: BorrowedFd<'_>) -> sys::Result<()> {
        if !step.is_tmpfs() || step.options.data.iter().any(|word| word.starts_with("mode=")) {
            return Ok(());
        }
        let Some(covered) = self.existing(&step.destination)? else { return Ok(()) };
        let (uid, gid, mode) = paths::owner_and_mode(&covered)?;
        paths::set_owner_and_mode(source, OsStr::new("."), uid, gid, mode)
    }

    fn mount_point(&self, step: &MountStep, source: BorrowedFd<'_>) -> sys::Result<OwnedFd> {
        if step.refuses_links() {
            match self.root.resolve_without_links(&step.destination) {
                Err(error) if error.errno() == sys::Errno::NOENT => {}
                found => return found,
            }
        }
        if paths::is_dir(source) {
            self.root.ensure_dir(&step.destination, 0o755)
        } else {
            self.root.ensure_file(&step.destination, 0o644)
        }
    }

    /// Makes a device node, or binds the host's.
    pub(crate) fn make_node(&self, index: usize, step: &NodeStep, prepared: &Prepared) -> sys::Result<()> {
        if let Some(source) = prepared.get(index) {
            return mount::attach(source, self.root.ensure_file(&step.path, 0o644)?);
        }
        let (parent, name) = self.parent_of(&step.path)?;
        let (kind, number) = match step.device {
            DeviceNumber::Character(major, minor) => (FileType::CharacterDevice, (major, minor)),
            DeviceNumber::Block(major, minor) => (FileType::BlockDevice, (major, minor)),
            DeviceNumber::Fifo => (FileType::Fifo, (0, 0)),
        };
        match paths::make_node(&parent, name, kind, step.mode, number) {
            // The image (or a bind) may bring its own /dev with the node in it. Anything else that stands there is an error
            // (runtime-spec, config-linux.md, "Devices").
            Err(error) if error.errno() == sys::Errno::EXIST => {
                let there = paths::node_at(&parent, name)?;
                return if there == (kind, number) { Ok(()) } else { Err(error) };
            }
            done => done?,
        }
        paths::set_owner_and_mode(&parent, name, step.uid, step.gid, step.mode)
    }

    /// Makes a symbolic link unless something stands there.
    pub(crate) fn make_link(&self, path: &str, target: &str) -> sys::Result<()> {
        let (parent, name) = self.parent_of(Path::new(path))?;
        paths::ensure_link(parent, name, OsStr::new(target))
    }

    fn parent_of<'p>(&self, path: &'p Path) -> sys::Result<(OwnedFd, &'p OsStr)> {
        let fault = || sys::Error::new(format!("openat2({path:?})"), sys::Errno::INVAL);
        let name = path.file_name().ok_or_else(fault)?;
        Ok((self.root.ensure_dir(path.parent().unwrap_or(Path::new("/")), 0o755)?, name))
    }

    /// Makes the root the root.
    pub(crate) fn pivot(&self) -> sys::Result<()> {
        mount::pivot_into(&self.root)
    }

    /// Makes the working directory if it is missing.
    pub(crate) fn ensure_cwd(&self, path: &Path) -> sys::Result<()> {
        match self.root.ensure_dir(path, 0o755) {
            // The chdir that follows says more about what stands there than we could.
            Err(error) if matches!(error.errno(), sys::Errno::ROFS | sys::Errno::ACCESS) => Ok(()),
            done => done.map(drop),
        }
    }

    /// Shows a terminal as /dev/console.
    pub(crate) fn show_console(&self, terminal: &OwnedFd) -> sys::Result<()> {
        let console = self.root.ensure_file(Path::new("/dev/console"), 0o600)?;
        mount::attach(mount::clone_tree(terminal, false)?, console)
    }

    /// Makes what is at a path read-only, with all mounts below. A path that is not there needs nothing.
    pub(crate) fn make_read_only(&self, path: &Path) -> sys::Result<()> {
        let Some(target) = self.existing(path)? else { return Ok(()) };
        let copy = mount::clone_tree(&target, true)?;
        let read_only = Attributes { set: Attr::MOUNT_ATTR_RDONLY, ..Attributes::default() };
        mount::set_attributes(&copy, &read_only, true)?;
        mount::attach(copy, target)
    }

    /// Hides what is at a path. A path that is not there needs nothing.
    pub(crate) fn mask(&mut self, path: &Path) -> sys::Result<()> {
        let Some(target) = self.existing(path)? else { return Ok(()) };
        if paths::is_dir(&target) {
            return self.mask_directory(&target);
        }
        mount::attach(mount::clone_tree(self.null_device()?, false)?, target)
    }

    /// One empty file system hides every masked directory: a clone is cheaper than a mount. What is cloned is attached,
    /// since detached mounts can be cloned only since Linux 6.15.
    fn mask_directory(&mut self, target: &OwnedFd) -> sys::Result<()> {
        if let Some(empty) = &self.empty {
            return mount::attach(mount::clone_tree(empty, false)?, target);
        }
        let attributes = Attr::MOUNT_ATTR_RDONLY | Attr::MOUNT_ATTR_NOSUID | Attr::MOUNT_ATTR_NODEV;
        let empty = Filesystem::open("tmpfs")?.option("mode", "755")?.option("nr_blocks", "1")?;
        let empty = empty.option("nr_inodes", "1")?.mount(attributes)?;
        mount::attach(&empty, target)?;
        self.empty = Some(empty);
        Ok(())
    }

    /// An image may have put something else there, which would then show, writable, where it was to be hidden
    /// (CVE-2025-31133).
    fn null_device(&self) -> sys::Result<OwnedFd> {
        let null = self.root.resolve(Path::new("/dev/null"))?;
        if paths::is_null_device(&null) {
            return Ok(null);
        }
        Err(sys::Error::new("fstat(\"/dev/null\"): not the null device", sys::Errno::NODEV))
    }

    fn existing(&self, path: &Path) -> sys::Result<Option<OwnedFd>> {
        match self.root.resolve(path) {
            Err(error) if matches!(error.errno(), sys::Errno::NOENT | sys::Errno::NOTDIR) => Ok(None),
            found => found.map(Some),
        }
    }

    /// Makes the root read-only: this mount alone, since what is mounted below has its own say.
    pub(crate) fn seal(&self) -> sys::Result<()> {
        let read_only = Attributes { set: Attr::MOUNT_ATTR_RDONLY, ..Attributes::default() };
        mount::set_attributes(&self.root, &read_only, false)
    }
}

fn open_source(step: &MountStep) -> sys::Result<OwnedFd> {
    match &step.source {
        MountSource::Bind(path, recursion) => mount::clone_tree_at(None, path, recursion.is_recursive()),
        MountSource::New { kind, source } => new_filesystem(kind, source.as_deref(), step),
        MountSource::Remount => Err(sys::Error::new("open_tree(remount)", sys::Errno::INVAL)),
    }
}

fn new_filesystem(kind: &str, source: Option<&str>, step: &MountStep) -> sys::Result<OwnedFd> {
    let mut filesystem = Filesystem::open_named(kind)?;
    if let Some(source) = source.filter(|source| !source.is_empty()) {
        filesystem = filesystem.option("source", source)?;
    }
    for word in &step.options.data {
        filesystem = match word.split_once('=') {
            Some((key, value)) => filesystem.option(key, value)?,
            None => filesystem.flag(word)?,
        };
    }
    filesystem.mount(step.options.new_attributes())
}

fn attributes(step: &MountStep, single: bool) -> Attributes<'static> {
    let (set, clear) = if single {
        (step.options.set, step.options.clear)
    } else {
        (step.options.recursive_set, step.options.recursive_clear)
    };
    Attributes { set, clear, ..Attributes::default() }
}

fn set_single(source: BorrowedFd<'_>, step: &MountStep) -> sys::Result<()> {
    if step.options.set.is_empty() && step.options.clear.is_empty() {
        return Ok(());
    }
    mount::set_attributes(source, &attributes(step, true), false)
}

fn set_recursive(source: BorrowedFd<'_>, step: &MountStep) -> sys::Result<()> {
    if step.options.recursive_set.is_empty() && step.options.recursive_clear.is_empty() {
        return Ok(());
    }
    mount::set_attributes(source, &attributes(step, false), true)
}

fn source_of_root(source: &RootSource) -> sys::Result<OwnedFd> {
    match source {
        RootSource::Directory(path) => mount::clone_tree_at(None, path, true),
        RootSource::Overlay(overlay) => crate::overlay::mount(overlay),
    }
}
