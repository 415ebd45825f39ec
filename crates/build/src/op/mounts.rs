//! What is mounted for one command. It is made in a mount namespace of our own, so that nothing of it is on the host and all
//! of it goes with us, and it is handed to the command's container as paths of that namespace.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use dockerfile::Sharing;
use engine::{MountRequest, MountSource, Propagation};
use runtime::plan::{Lower, Overlay};
use store::HeldDirectory;
use store::snapshot::{Hold, View};
use sys::Calling;
use sys::mount::{self, Filesystem, MountAttrFlags};

/// What is mounted for a command, for as long as this lives.
#[derive(Debug, Default)]
pub(crate) struct Mounted {
    pub(crate) requests: Vec<MountRequest>,
    /// Variables that hold secrets.
    pub(crate) env: Vec<String>,
    /// What must stay open: locks, and holds on directories.
    held: Vec<File>,
    directories: Vec<HeldDirectory>,
}

/// A place in our own mount namespace for what commands see.
#[derive(Debug)]
pub(crate) struct Mounting {
    /// A directory of ours, on the disk; what is mounted here nobody else sees.
    top: PathBuf,
    /// The number of the next thing.
    next: u32,
    /// What keeps directories that are mounted.
    holds: Vec<Hold>,
}

impl Mounting {
    /// Begins in a directory of our own. The caller has a mount namespace to itself.
    pub(crate) fn new(top: PathBuf) -> sys::Result<Self> {
        make_directory(&top, 0o700)?;
        Ok(Self { top, next: 0, holds: Vec::new() })
    }

    fn place(&mut self) -> sys::Result<PathBuf> {
        self.next += 1;
        let path = self.top.join(self.next.to_string());
        make_directory(&path, 0o700)?;
        Ok(path)
    }

    /// Attaches an image's tree; returns where. What is written to it is thrown away.
    pub(crate) fn image(&mut self, view: View, writable: bool) -> Result<PathBuf, MountFault> {
        let place = self.place()?;
        let (view, hold) = view.into_parts();
        self.holds.extend(hold);
        let view = match writable {
            false => view,
            true => self.writable(view)?,
        };
        mount::attach(&view, &sys::path::open_host(&place)?)?;
        Ok(place)
    }

    fn writable(&mut self, view: OwnedFd) -> Result<OwnedFd, MountFault> {
        let place = self.place()?;
        let (upper, work) = (place.join("upper"), place.join("work"));
        make_directory(&upper, 0o755)?;
        make_directory(&work, 0o700)?;
        let lowers = vec![Lower::Mount { mount: Rc::new(view), shell: String::new() }];
        Ok(runtime::overlay::mount(&Overlay { lowers, upper, work, volatile: true })?)
    }

    /// Writes a file that is on no disk; returns where.
    pub(crate) fn secret(&mut self, bytes: &[u8], owner: (u32, u32), mode: u32) -> Result<PathBuf, MountFault> {
        let place = self.place()?;
        let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        // What is in memory may still be swapped to a disk; only the kernel can keep it (Linux 6.4).
        let swapless =
            Filesystem::open("tmpfs")?.option("mode", "700")?.flag("noswap").and_then(|memory| memory.mount(flags));
        let memory = match swapless {
            Ok(memory) => memory,
            Err(_) => Filesystem::open("tmpfs")?.option("mode", "700")?.mount(flags)?,
        };
        mount::attach(&memory, &sys::path::open_host(&place)?)?;
        let path = place.join("secret");
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.call(|| format!("open({})", path.display()))?;
        sys::file::write_all(&file, bytes)?;
        chown(&path, Some(owner.0), Some(owner.1)).call(|| format!("chown({})", path.display()))?;
        set_mode(&path, mode)?;
        Ok(path)
    }
}

impl Drop for Mounting {
    fn drop(&mut self) {
        // Where something is mounted the directory could not be removed. Elsewhere nobody sees these mounts.
        for number in 1..=self.next {
            let _ = mount::unmount(&self.top.join(number.to_string()));
        }
    }
}

impl Mounted {
    /// Lets the command see a file or directory of ours.
    pub(crate) fn bind(&mut self, path: PathBuf, target: &str, read_only: bool) {
        let source = MountSource::Bind { path, propagation: Propagation::Rprivate, recursive: false };
        self.requests.push(MountRequest { source, target: target.into(), read_only });
    }

    pub(crate) fn memory(&mut self, target: &str, size: Option<u64>) {
        let mut options = vec!["exec".to_owned(), "mode=1777".to_owned()];
        options.extend(size.map(|size| format!("size={size}")));
        let source = MountSource::Tmpfs { options };
        self.requests.push(MountRequest { source, target: target.into(), read_only: false });
    }

    /// Takes the directory of a cache as its sharing says; `fill` gives a new one its first content. Returns where it is.
    pub(crate) fn cache(
        &mut self,
        directory: HeldDirectory,
        sharing: Sharing,
        (owner, mode): ((u32, u32), u32),
        fill: impl FnOnce(&Path) -> Result<(), MountFault>,
    ) -> Result<PathBuf, MountFault> {
        let path = directory.path().to_owned();
        self.directories.push(directory);
        let data = match sharing {
            Sharing::Shared => path.join("data"),
            Sharing::Locked => {
                let lock = lock_file(&path.join("lock"))?;
                sys::file::lock(&lock)?;
                self.held.push(lock);
                path.join("data")
            }
            Sharing::Private => self.private(&path)?,
        };
        // Whoever is first makes it whole, beside, and under a lock.
        let making = lock_file(&path.join("making"))?;
        sys::file::lock(&making)?;
        if !data.exists() {
            let beside = path.join("new");
            if beside.exists() {
                std::fs::remove_dir_all(&beside).call(|| format!("unlinkat({})", beside.display()))?;
            }
            make_directory(&beside, 0o755)?;
            fill(&beside)?;
            chown(&beside, Some(owner.0), Some(owner.1)).call(|| format!("chown({})", beside.display()))?;
            set_mode(&beside, mode)?;
            std::fs::rename(&beside, &data).call(|| format!("rename({})", data.display()))?;
        }
        Ok(data)
    }

    /// Finds a directory that no other build has at the moment.
    fn private(&mut self, path: &Path) -> sys::Result<PathBuf> {
        for number in 0_u32.. {
            let lock = lock_file(&path.join(format!("lock-{number}")))?;
            if sys::file::try_lock(&lock)? {
                self.held.push(lock);
                let name = if number == 0 { "data".to_owned() } else { format!("data-{number}") };
                return Ok(path.join(name));
            }
        }
        Err(sys::Error::new("flock", sys::Errno::BUSY))
    }
}

/// Why something could not be mounted for a command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum MountFault {
    #[error("cannot prepare a mount")]
    System(#[from] sys::Error),
    #[error(transparent)]
    View(#[from] store::snapshot::ViewError),
    #[error(transparent)]
    Store(#[from] store::StoreError),
}

/// Copies what is at a path of our own view into a directory.
pub(crate) fn fill(from: &Path, to: &Path) -> Result<(), MountFault> {
    let (from, to) = (sys::path::open_host(from)?, sys::path::open_host(to)?);
    Ok(sys::copy::copy_tree(from.as_fd(), to.as_fd())?)
}

fn lock_file(path: &Path) -> sys::Result<File> {
    let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(path);
    file.call(|| format!("open({})", path.display()))
}

fn make_directory(path: &Path, mode: u32) -> sys::Result<()> {
    std::fs::DirBuilder::new().mode(mode).create(path).call(|| format!("mkdir({})", path.display()))
}

fn set_mode(path: &Path, mode: u32) -> sys::Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).call(|| format!("chmod({})", path.display()))
}

impl Mounting {
    /// Stands between a command and an agent: the socket has an owner and a mode that the agent's own has not. Returns where
    /// it is; the process that serves it ends with us.
    pub(crate) fn agent(&mut self, agent: &Path, owner: (u32, u32), mode: u32) -> Result<PathBuf, MountFault> {
        let place = self.place()?;
        let directory = sys::path::open_host(&place)?;
        let listener: std::os::unix::net::UnixListener = sys::socket::listen_at(&directory, "agent")?.into();
        listener.set_nonblocking(false).call(|| "fcntl(F_SETFL)")?;
        let path = place.join("agent");
        chown(&path, Some(owner.0), Some(owner.1)).call(|| format!("chown({})", path.display()))?;
        set_mode(&path, mode)?;
        if let sys::process::Fork::Child = sys::process::clone_into(&[], None)? {
            let _ = sys::process::die_with_parent(engine::Signal::KILL.number());
            relay(&listener, agent);
            sys::process::exit(0)
        }
        Ok(path)
    }
}

/// Connects everybody who comes with the agent, for as long as the process lives.
fn relay(listener: &std::os::unix::net::UnixListener, agent: &Path) {
    for client in listener.incoming().flatten() {
        let Ok(server) = std::os::unix::net::UnixStream::connect(agent) else { continue };
        let (Ok(mut from_client), Ok(mut from_server)) = (client.try_clone(), server.try_clone()) else { continue };
        let (mut to_client, mut to_server) = (client, server);
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from_client, &mut to_server);
            let _ = to_server.shutdown(std::net::Shutdown::Write);
        });
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from_server, &mut to_client);
            let _ = to_client.shutdown(std::net::Shutdown::Write);
        });
    }
}
