//! Unpacking into directories: who does it, what becomes of it when it is cut short, and where it is kept.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use store::snapshot::{self, Origin, SnapshotterKind, UnpackError, View, ViewError};
use store::{Image, Store};
use sys::mount::{Filesystem, MountAttrFlags};
use trace::Recorder;

use crate::fixture::{HELPER, Helper, Sandbox, add, leftovers, tar};

fn view(store: &Store, image: &Image, kind: SnapshotterKind) -> Result<View, ViewError> {
    snapshot::open(kind, store, &store.layout().root().join("no-holders")).view(image, &Recorder::silent())
}

fn unpacked(store: &Store, image: &Image) -> Result<View, ViewError> {
    view(store, image, SnapshotterKind::Directory)
}

fn read(view: impl AsFd, path: &str) -> Vec<u8> {
    let mut content = Vec::new();
    let file = rustix::fs::openat(view.as_fd(), path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    File::from(file).read_to_end(&mut content).unwrap();
    content
}

/// A tar of many files, which takes a while to be unpacked.
fn many(count: u32, size: usize) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for number in 0..count {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(size as u64);
        builder.append_data(&mut header, format!("d{}/{number}", number % 7), vec![7; size].as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn one_store_serves_every_snapshotter_in_turn() {
    let sandbox = Sandbox::new();
    let store = &sandbox.store;
    let image = add(store, &[&tar("a", b"lower"), &tar("a", b"upper")], &["eg"]).unwrap();
    for (kind, origin) in [
        (SnapshotterKind::Erofs, Origin::Files),
        (SnapshotterKind::Directory, Origin::Directory),
        (SnapshotterKind::Auto, Origin::Files),
        (SnapshotterKind::Directory, Origin::Directory),
    ] {
        let mounted = view(store, &image, kind).unwrap();
        assert_eq!((mounted.origin(), read(&mounted, "etc/a")), (origin, b"upper".to_vec()), "{kind:?}");
    }
}

#[test]
fn an_image_is_unpacked_once_and_told_as_it_is() {
    let sandbox = Sandbox::new();
    let image = add(&sandbox.store, &[&tar("a", b"1")], &["eg"]).unwrap();
    let tree = sandbox.store.layout().tree(&image.chain);
    assert!(!tree.exists(), "not before it is used");
    let told = || {
        let path = sandbox.directory.path().join("told");
        let recorder = Recorder::writing(File::create(&path).unwrap().into(), trace::Format::Text);
        let snapshots = snapshot::open(SnapshotterKind::Directory, &sandbox.store, Path::new("/nonexistent"));
        snapshots.view(&image, &recorder).unwrap();
        std::fs::read_to_string(path).unwrap().matches("+ ").count()
    };
    assert_eq!((told(), told()), (2, 1), "unpacked and mounted; mounted");
    assert!(tree.join("etc/a").exists());
}

#[test]
fn the_process_that_unpacks_can_reach_nothing_else() {
    let sandbox = Sandbox::new();
    let image = add(&sandbox.store, &[&many(30_000, 0)], &["eg"]).unwrap();
    let seen = std::thread::scope(|scope| {
        let unpacking = scope.spawn(|| unpacked(&sandbox.store, &image).unwrap());
        let mut seen = None;
        while !unpacking.is_finished() && seen.is_none() {
            seen = children().into_iter().find_map(look);
        }
        seen
    });
    let seen = seen.expect("a process that was met at its work");
    assert_eq!(seen.status["Seccomp"], "2");
    assert_eq!(seen.status["NoNewPrivs"], "1");
    // CHOWN, DAC_OVERRIDE, FOWNER, FSETID.
    assert_eq!(
        (seen.status["CapEff"].as_str(), seen.status["CapPrm"].as_str()),
        ("000000000000001b", "000000000000001b")
    );
    assert_eq!(seen.root, ["aside", "tree"]);
    assert_eq!(seen.mounts, 1, "its root is all that is mounted");
    // The tar, its root three times in place of the standard streams and once more, the pipe, and two or three directories.
    assert!(seen.descriptors <= 10, "{}", seen.descriptors);
    for kind in ["mnt", "net", "pid", "ipc"] {
        let own = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        assert!(seen.namespaces.iter().all(|namespace| *namespace != own), "{kind}");
    }
}

#[test]
fn a_killed_worker_is_told_and_the_next_one_does_the_work() {
    let sandbox = Sandbox::new();
    let image = add(&sandbox.store, &[&many(30_000, 0)], &["eg"]).unwrap();
    let before = leftovers(&sandbox.store);
    let outcome = std::thread::scope(|scope| {
        let unpacking = scope.spawn(|| unpacked(&sandbox.store, &image).map(drop));
        while !unpacking.is_finished() {
            let at_work = children().into_iter().find(|pid| look(*pid).is_some());
            if let Some(worker) = at_work {
                sys::process::pidfd_send_signal(sys::process::pidfd_open(worker).unwrap(), 9).unwrap();
                break;
            }
        }
        unpacking.join().unwrap()
    });
    assert!(matches!(outcome, Err(ViewError::Unpack { source: UnpackError::Killed(137), .. })), "{outcome:?}");
    assert_eq!(leftovers(&sandbox.store), before);
    unpacked(&sandbox.store, &image).unwrap();
    assert_eq!(count(&sandbox.store.layout().tree(&image.chain)), 30_000);
}

/// A process at work, as its status and its root tell.
struct Seen {
    status: std::collections::HashMap<String, String>,
    root: Vec<String>,
    mounts: usize,
    descriptors: usize,
    namespaces: Vec<PathBuf>,
}

/// Looks at a process once it is under its filter.
fn look(pid: u32) -> Option<Seen> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let status = std::fs::read_to_string(process.join("status")).ok()?;
    let fields = status.lines().filter_map(|line| line.split_once(":\t"));
    let status: std::collections::HashMap<_, _> =
        fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
    if status.get("Seccomp")? != "2" {
        return None;
    }
    let names = |path: &str| -> Option<Vec<String>> {
        let entries = std::fs::read_dir(process.join(path)).ok()?;
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        Some(names)
    };
    let namespace = |kind| std::fs::read_link(process.join("ns").join(kind)).ok();
    Some(Seen {
        status,
        root: names("root").filter(|names| names.len() == 2)?,
        mounts: std::fs::read_to_string(process.join("mountinfo")).ok()?.lines().count(),
        descriptors: names("fd")?.len(),
        namespaces: ["mnt", "net", "pid", "ipc"].into_iter().map(namespace).collect::<Option<_>>()?,
    })
}

fn children() -> Vec<u32> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    children.flat_map(|list| list.split_whitespace().flat_map(str::parse).collect::<Vec<_>>()).collect()
}

#[test]
fn root_of_a_user_namespace_is_given_what_it_may_have() {
    let sandbox = Sandbox::new();
    let mut builder = tar::Builder::new(Vec::new());
    for (kind, path) in [(tar::EntryType::Char, "null"), (tar::EntryType::Regular, "file")] {
        let words =
            [("trusted.note", "host"), ("security.capability", "\u{1}\0\0\u{2}\0 \0\0\0\0\0\0\0\0\0\0\0\0\0\0")];
        let records = words.map(|(name, value)| (format!("SCHILY.xattr.{name}"), value));
        let records = records.iter().filter(|_| path == "file").map(|(name, value)| (name.as_str(), value.as_bytes()));
        builder.append_pax_extensions(records).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(0o4755);
        header.set_uid(1000);
        header.set_size(0);
        builder.append_data(&mut header, path, &b""[..]).unwrap();
    }
    let image = add(&sandbox.store, &[&builder.into_inner().unwrap()], &["eg"]).unwrap();
    in_user_namespace(|| {
        let mounted = view(&sandbox.store, &image, SnapshotterKind::Auto).unwrap();
        assert_eq!(mounted.origin(), Origin::Directory, "what it cannot mount is unpacked for it");
        let entries =
            rustix::fs::Dir::read_from(rustix::fs::openat(&mounted, ".", OFlags::RDONLY, Mode::empty()).unwrap());
        assert_eq!(entries.unwrap().count(), 3, "no device");
        let file = rustix::fs::openat(&mounted, "file", OFlags::RDONLY, Mode::empty()).unwrap();
        let stat = rustix::fs::fstat(&file).unwrap();
        assert_eq!((stat.st_uid, stat.st_mode & 0o7777), (1000, 0o4755));
        let mut value = [0; 64];
        assert_eq!(rustix::fs::fgetxattr(&file, "security.capability", &mut value), Ok(20));
        assert_eq!(rustix::fs::fgetxattr(&file, "trusted.note", &mut value), Err(sys::Errno::NODATA));
    });
}

/// Runs a closure in a process that is root of a user namespace with 65,536 IDs, which are the host's.
fn in_user_namespace(closure: impl FnOnce()) {
    use sys::namespace::NamespaceKind::{Mount, User};
    use sys::process::{ExitStatus, Fork, clone_into, exit, wait};
    let (gate, opener) = std::io::pipe().unwrap();
    match clone_into(&[User, Mount], None).unwrap() {
        Fork::Parent(child) => {
            drop(gate);
            for map in ["uid_map", "gid_map"] {
                std::fs::write(format!("/proc/{}/{map}", child.pid), "0 0 65536").unwrap();
            }
            drop(opener);
            assert_eq!(wait(&child.pidfd).unwrap(), ExitStatus::Exited(0));
        }
        Fork::Child => {
            drop(opener);
            let mut gate = gate;
            let _ = gate.read(&mut [0]);
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(closure));
            exit(i32::from(done.is_err()));
        }
    }
}

/// A store on a disk of its own, so many bytes large, that is mounted nowhere.
fn small_disk(bytes: u64) -> (OwnedFd, Store) {
    let disk = Filesystem::open("tmpfs").unwrap().option("size", &bytes.to_string()).unwrap();
    let disk = disk.mount(MountAttrFlags::empty()).unwrap();
    let store = Store::open(Path::new(&format!("/proc/self/fd/{}/store", disk.as_raw_fd())));
    (disk, store)
}

#[test]
fn a_disk_that_fills_up_is_told_and_nothing_is_left() {
    let (_disk, store) = small_disk(4 << 20);
    let small = add(&store, &[&tar("small", b"1")], &["small"]).unwrap();
    let large = add(&store, &[&many(30, 80_000)], &["large"]).unwrap();
    let before = leftovers(&store).len();
    let Err(ViewError::Unpack { source: UnpackError::File { path, source }, .. }) = unpacked(&store, &large) else {
        panic!("it cannot have fitted")
    };
    assert_eq!(source.errno(), sys::Errno::NOSPC);
    assert!(path.starts_with("/d"), "{path}");
    assert_eq!(leftovers(&store).len(), before);
    assert_eq!(read(unpacked(&store, &small).unwrap(), "etc/small"), b"1");
    store.images().remove("large", false, &|_| None, &Recorder::silent()).unwrap();
}

#[test]
fn an_unpacking_killed_at_any_moment_leaves_a_whole_store() {
    const TEST: &str = "directories::an_unpacking_killed_at_any_moment_leaves_a_whole_store";
    if let Ok(root) = std::env::var(HELPER) {
        unpack_for_ever(Path::new(&root));
    }
    // On a disk in memory, so that the moments are not all spent in waiting for the disk.
    let (disk, store) = small_disk(64 << 20);
    let image = add(&store, &[&many(300, 1000)], &["eg"]).unwrap();
    let own = std::process::id();
    let root = format!("/proc/{own}/fd/{}/store", disk.as_raw_fd());
    let (mut half, mut whole) = (0, 0);
    // As many rounds as it takes to have met both, since machines differ in speed.
    for round in 0..400_u64 {
        if round >= 40 && half > 0 && whole > 0 {
            break;
        }
        let helper = Helper::start(TEST, &root);
        std::thread::sleep(Duration::from_micros(2000 + round * 7919 % 40_000));
        helper.kill();
        half += std::fs::read_dir(store.layout().tmp()).unwrap().count();
        if std::fs::read_dir(store.layout().trees()).into_iter().flatten().next().is_some() {
            whole += 1;
            assert_eq!(count(&store.layout().tree(&image.chain)), 300, "what has its name is whole");
        }
        settle(&store);
    }
    assert!(half > 0 && whole > 0, "{half} rounds met half of a tree, {whole} a whole one");
    let mounted = unpacked(&store, &image).unwrap();
    assert_eq!(read(&mounted, "d3/10"), vec![7; 1000]);
}

/// Sweeps until the worker of a killed process has ended, which is a moment later.
fn settle(store: &Store) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let swept = store.sweep(&Recorder::silent());
        if swept.is_ok() && std::fs::read_dir(store.layout().tmp()).unwrap().next().is_none() {
            return;
        }
        assert!(Instant::now() < deadline, "something stays: {swept:?}, {:?}", leftovers(store));
    }
}

fn count(tree: &Path) -> usize {
    let directories = std::fs::read_dir(tree).unwrap().flatten();
    directories.map(|directory| std::fs::read_dir(directory.path()).unwrap().count()).sum()
}

/// Unpacks the image, and takes the tree away again.
fn unpack_for_ever(root: &Path) -> ! {
    let store = Store::open(root);
    let image = store.images().resolve("eg").unwrap();
    loop {
        unpacked(&store, &image).unwrap();
        // As if the image had gone and come back.
        let tree = store.layout().tree(&image.chain);
        std::fs::rename(&tree, store.layout().tmp().join("as-if-retired")).unwrap();
        store.sweep(&Recorder::silent()).unwrap();
    }
}

#[test]
fn a_tree_of_no_image_is_garbage_unless_it_is_held() {
    let sandbox = Sandbox::new();
    let store = &sandbox.store;
    let image = add(store, &[&tar("a", b"1")], &["eg"]).unwrap();
    let mounted = unpacked(store, &image).unwrap();
    let (trees, strange) = (store.layout().trees(), store.layout().trees().join("00"));
    std::fs::create_dir_all(strange.join("etc")).unwrap();
    // As a writer killed between the record and the content leaves it.
    std::fs::remove_file(store.layout().record(&image.id)).unwrap();
    store.sweep(&Recorder::silent()).unwrap();
    assert_eq!(std::fs::read_dir(&trees).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(store.layout().tmp()).unwrap().count(), 1, "the one that is held waits");
    assert_eq!(read(&mounted, "etc/a"), b"1");
    let (mount, hold) = mounted.into_parts();
    drop(mount);
    store.sweep(&Recorder::silent()).unwrap();
    assert_eq!(std::fs::read_dir(store.layout().tmp()).unwrap().count(), 1, "the hold alone is what counts");
    drop(hold);
    store.sweep(&Recorder::silent()).unwrap();
    assert_eq!(std::fs::read_dir(store.layout().tmp()).unwrap().count(), 0);
}
