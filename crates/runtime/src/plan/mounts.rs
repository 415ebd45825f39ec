//! The container's file system as steps: its root, the mounts of the spec, device nodes, masked and read-only paths.

use std::fmt::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use cgroup::{CgroupPath, Hierarchies};
use oci::runtime::{LinuxDevice, LinuxDeviceType, Mount};
use sys::mount::{MountAttrFlags as Attr, Propagation};
use trace::{Explain, Step, quote};

use super::options::{MountOptions, Recursion, attribute_words};

/// Where the container's root comes from.
#[derive(Debug, Clone)]
pub enum RootSource {
    /// A directory of the host, bind-mounted with all that is mounted below it.
    Directory(PathBuf),
    /// An overlay that takes the container's changes.
    Overlay(Overlay),
}

/// The directories of an overlay (kernel documentation, filesystems/overlayfs).
#[derive(Debug, Clone)]
pub struct Overlay {
    /// The read-only layers, the topmost first.
    pub lowers: Vec<Lower>,
    /// Takes what is written.
    pub upper: PathBuf,
    /// Overlayfs's own scratch directory, on the file system of `upper`.
    pub work: PathBuf,
    /// Leave out the syncs: right for a container whose changes are thrown away with it.
    pub volatile: bool,
}

/// One read-only layer of an overlay.
#[derive(Debug, Clone)]
pub enum Lower {
    /// A directory of the host.
    Directory(PathBuf),
    /// A detached mount, such as an image's EROFS index; the words say what it is.
    Mount {
        /// The mount's descriptor.
        mount: Rc<OwnedFd>,
        /// A shell command that prepares the same in the directory `$lower`, for `explain`.
        shell: String,
    },
}

/// Mounts the container's root.
#[derive(Debug, Clone)]
pub struct RootStep {
    /// Where it comes from.
    pub source: RootSource,
}

impl Explain for RootStep {
    fn explain(&self) -> Step {
        match &self.source {
            RootSource::Directory(path) => Step::inside(
                "bind the root directory of the bundle, and what is mounted below it, as the container's root",
                format!("mount --rbind {} \"$root\"", quote(&path.to_string_lossy())),
            ),
            RootSource::Overlay(overlay) => explain_overlay(overlay),
        }
    }
}

fn explain_overlay(overlay: &Overlay) -> Step {
    let mut shell = String::new();
    let mut names = Vec::new();
    for (index, lower) in overlay.lowers.iter().enumerate() {
        match lower {
            Lower::Directory(path) => names.push(path.to_string_lossy().into_owned()),
            Lower::Mount { shell: command, .. } => {
                // Writing to a String cannot fail.
                let _ = writeln!(shell, "lower=\"$scratch/lower{index}\"; mkdir -p \"$lower\"\n{command}");
                names.push(format!("$scratch/lower{index}"));
            }
        }
    }
    let volatile = if overlay.volatile { ",volatile" } else { "" };
    let _ = write!(
        shell,
        "mount -t overlay overlay -o \"lowerdir={},upperdir={},workdir={}{volatile}\" \"$root\"",
        names.join(":"),
        overlay.upper.display(),
        overlay.work.display(),
    );
    Step::inside("mount an overlay as the container's root: the image below, the container's own changes above", shell)
}

/// Mounts something below the container's root.
#[derive(Debug, Clone)]
pub struct MountStep {
    /// Where it goes, as the container sees it.
    pub destination: PathBuf,
    /// What is mounted.
    pub source: MountSource,
    /// How.
    pub options: MountOptions,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountSource {
    /// A directory or file of the host.
    Bind(PathBuf, Recursion),
    /// A new file system of this type.
    New {
        /// The kernel's name for it.
        kind: String,
        /// What mount(8) would be given as the source.
        source: Option<String>,
    },
    /// Nothing new: the attributes of what is mounted there already change.
    Remount,
}

impl MountStep {
    /// Tells whether a new tmpfs is mounted.
    pub fn is_tmpfs(&self) -> bool {
        matches!(&self.source, MountSource::New { kind, .. } if kind == "tmpfs")
    }

    /// Tells whether a new procfs is mounted in which kernel parameters can be set.
    pub fn has_parameters(&self) -> bool {
        let is_proc = matches!(&self.source, MountSource::New { kind, .. } if kind == "proc");
        is_proc && self.options.data.is_empty() && !self.options.set.contains(Attr::MOUNT_ATTR_RDONLY)
    }

    /// Tells whether what is mounted below it shall show on the host as well.
    pub fn shares(&self) -> bool {
        self.options.propagation.iter().any(|(propagation, _)| *propagation == Propagation::Shared)
    }

    /// Tells whether the mount point must be a directory of the image itself and no link: what the kernel shows of itself
    /// must not be put where an image points (CVE-2019-19921).
    pub fn refuses_links(&self) -> bool {
        matches!(&self.source, MountSource::New { kind, .. } if kind == "proc" || kind == "sysfs")
    }
}

impl Explain for MountStep {
    fn explain(&self) -> Step {
        let target = format!("\"$root\"{}", quote(&self.destination.to_string_lossy()));
        let at = self.destination.display();
        let (what, mut shell) = match &self.source {
            MountSource::Bind(source, recursion) => {
                let flag = if recursion.is_recursive() { "--rbind" } else { "--bind" };
                let source = source.to_string_lossy();
                (format!("bind {source} of the host on {at}"), format!("mount {flag} {} {target}", quote(&source)))
            }
            MountSource::New { kind, source } => {
                let words = attribute_words(self.options.new_attributes());
                let words: Vec<_> = words.into_iter().chain(self.options.data.iter().map(String::as_str)).collect();
                let options = if words.is_empty() { String::new() } else { format!(" -o {}", quote(&words.join(","))) };
                let source = source.as_deref().unwrap_or(kind);
                let shell = format!("mkdir -p {target}; mount -t {} {}{options} {target}", quote(kind), quote(source));
                (format!("mount a new {kind} on {at}"), shell)
            }
            MountSource::Remount => {
                let words = attribute_words(self.options.set).join(",");
                (format!("make the mount on {at} {words}"), format!("mount -o remount,bind,{words} {target}"))
            }
        };
        if matches!(self.source, MountSource::Bind(..)) {
            append_remount(&mut shell, &self.options, &target);
        }
        for (propagation, recursion) in &self.options.propagation {
            let r = if recursion.is_recursive() { "r" } else { "" };
            let _ = write!(shell, "\nmount --make-{r}{} {target}", propagation.word());
        }
        Step::inside(what, shell)
    }
}

/// A bind mount takes its attributes in a second step; `-o remount,bind` is how mount(8) says mount_setattr.
fn append_remount(shell: &mut String, options: &MountOptions, target: &str) {
    let single = attribute_words(options.set);
    if !single.is_empty() {
        let _ = write!(shell, "\nmount -o remount,bind,{} {target}", single.join(","));
    }
    let recursive = attribute_words(options.recursive_set);
    if !recursive.is_empty() {
        let words: Vec<_> = recursive.iter().map(|word| format!("{word}=recursive")).collect();
        let _ = write!(shell, "\nmount -o remount,bind,{} {target}", words.join(","));
    }
}

/// Why a mount of the spec cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MountPlanError {
    /// A destination must be absolute.
    #[error("mount destination {0:?} is not an absolute path")]
    Relative(PathBuf),
    /// A bind mount names what it binds.
    #[error("the bind mount on {0:?} names no source")]
    NoSource(PathBuf),
    /// Neither a type nor `bind`.
    #[error("the mount on {0:?} names no file system type")]
    NoType(PathBuf),
}

/// Plans the mounts of a spec, in its order.
pub fn plan_mounts(
    mounts: &[Mount],
    bundle: &Path,
    cgroup: (&CgroupPath, &Hierarchies),
) -> Result<Vec<MountStep>, MountPlanError> {
    let mut steps = Vec::with_capacity(mounts.len());
    for mount in mounts {
        let step = plan_mount(mount, bundle)?;
        match &step.source {
            MountSource::New { kind, .. } if kind == "cgroup" || kind == "cgroup2" => {
                steps.extend(plan_cgroup_mounts(step, cgroup));
            }
            _ => steps.push(step),
        }
    }
    Ok(steps)
}

fn plan_mount(mount: &Mount, bundle: &Path) -> Result<MountStep, MountPlanError> {
    let destination = mount.destination().clone();
    if !destination.is_absolute() {
        return Err(MountPlanError::Relative(destination));
    }
    let words = mount.options().iter().flatten().map(String::as_str);
    let options = MountOptions::parse(words);
    let kind = mount.typ().as_deref().filter(|kind| !kind.is_empty() && *kind != "none");
    let source = match (options.bind, kind) {
        (Some(recursion), _) => {
            let source = mount.source().as_ref().ok_or_else(|| MountPlanError::NoSource(destination.clone()))?;
            MountSource::Bind(bundle.join(source), recursion)
        }
        (None, Some("bind")) => {
            let source = mount.source().as_ref().ok_or_else(|| MountPlanError::NoSource(destination.clone()))?;
            MountSource::Bind(bundle.join(source), Recursion::Recursive)
        }
        (None, Some(kind)) => MountSource::New {
            kind: kind.to_owned(),
            source: mount.source().as_ref().map(|source| source.to_string_lossy().into_owned()),
        },
        (None, None) => return Err(MountPlanError::NoType(destination)),
    };
    Ok(MountStep { destination, source, options })
}

/// On pure v2 the container's cgroup namespace makes a new cgroup2 mount show its own part. Where v1 is in use, a small
/// tmpfs holds a bind of the container's directory of each hierarchy, as systemd lays them out.
fn plan_cgroup_mounts(step: MountStep, (path, hierarchies): (&CgroupPath, &Hierarchies)) -> Vec<MountStep> {
    if hierarchies.is_pure_v2() {
        let source = MountSource::New { kind: "cgroup2".to_owned(), source: Some("cgroup".to_owned()) };
        return vec![MountStep { source, ..step }];
    }
    let read_only = step.options.set.contains(Attr::MOUNT_ATTR_RDONLY);
    let mut binds: Vec<MountStep> = hierarchies
        .mounts()
        .filter_map(|mount| {
            let name = mount.file_name()?;
            Some(MountStep {
                destination: step.destination.join(name),
                source: MountSource::Bind(path.below(mount), Recursion::Single),
                options: MountOptions { data: Vec::new(), ..step.options.clone() },
            })
        })
        .collect();
    let base = MountStep {
        destination: step.destination.clone(),
        source: MountSource::New { kind: "tmpfs".to_owned(), source: Some("cgroup".to_owned()) },
        options: MountOptions {
            set: step.options.set - Attr::MOUNT_ATTR_RDONLY,
            data: vec!["mode=755".to_owned()],
            ..step.options.clone()
        },
    };
    binds.insert(0, base);
    if read_only {
        // The tmpfs takes the mount points first and is closed afterwards.
        binds.push(MountStep {
            destination: step.destination,
            source: MountSource::Remount,
            options: MountOptions { set: Attr::MOUNT_ATTR_RDONLY, ..MountOptions::default() },
        });
    }
    binds
}

/// Makes a device node, or binds the host's where nodes cannot be made (user namespaces).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStep {
    /// Where, as the container sees it.
    pub path: PathBuf,
    /// Kind, major and minor number.
    pub device: DeviceNumber,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bind the host's node of the same path.
    pub bind: bool,
}

/// What a device node stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceNumber {
    /// A character device.
    Character(u32, u32),
    /// A block device.
    Block(u32, u32),
    /// A fifo.
    Fifo,
}

impl Explain for NodeStep {
    fn explain(&self) -> Step {
        let path = self.path.to_string_lossy();
        let target = format!("\"$root\"{}", quote(&path));
        if self.bind {
            let shell = format!("touch {target}; mount --bind {} {target}", quote(&path));
            return Step::inside(format!("bind the host's {path}"), shell);
        }
        let (letter, number) = match self.device {
            DeviceNumber::Character(major, minor) => ("c", format!(" {major} {minor}")),
            DeviceNumber::Block(major, minor) => ("b", format!(" {major} {minor}")),
            DeviceNumber::Fifo => ("p", String::new()),
        };
        let mut shell = format!("mknod -m {:04o} {target} {letter}{number}", self.mode);
        if (self.uid, self.gid) != (0, 0) {
            let _ = write!(shell, "\nchown {}:{} {target}", self.uid, self.gid);
        }
        Step::inside(format!("make the device node {path}"), shell)
    }
}

/// The nodes that every container has (runtime-spec, config-linux.md, "Default Devices").
const DEFAULT_NODES: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// The links that every container has (runtime-spec, runtime-linux.md, "Dev symbolic links").
pub(crate) const DEFAULT_LINKS: [(&str, &str); 6] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/core", "/proc/kcore"),
    ("/dev/ptmx", "pts/ptmx"),
];

/// Plans the default nodes and those of the spec, which come last and win.
pub fn plan_nodes(devices: &[LinuxDevice], bind: bool) -> Vec<NodeStep> {
    let named = |path: &Path| devices.iter().any(|device| device.path() == path);
    let defaults = DEFAULT_NODES.iter().filter(|(path, ..)| !named(Path::new(path)));
    let defaults = defaults.map(|(path, major, minor)| NodeStep {
        path: PathBuf::from(path),
        device: DeviceNumber::Character(*major, *minor),
        mode: 0o666,
        uid: 0,
        gid: 0,
        bind,
    });
    defaults.chain(devices.iter().map(|device| plan_node(device, bind))).collect()
}

fn plan_node(device: &LinuxDevice, bind: bool) -> NodeStep {
    // The kernel's device numbers are 12 and 20 bits; what does not fit names no device and fails at mknod.
    let number = |value: i64| u32::try_from(value).unwrap_or(u32::MAX);
    let (major, minor) = (number(device.major()), number(device.minor()));
    NodeStep {
        path: device.path().clone(),
        device: match device.typ() {
            LinuxDeviceType::B => DeviceNumber::Block(major, minor),
            LinuxDeviceType::P => DeviceNumber::Fifo,
            _ => DeviceNumber::Character(major, minor),
        },
        mode: device.file_mode().unwrap_or(0o666) & 0o7777,
        uid: device.uid().unwrap_or(0),
        gid: device.gid().unwrap_or(0),
        bind,
    }
}
