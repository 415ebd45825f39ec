//! Mounting images, and sharing the mounts.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use store::snapshot::{self, Holder, Origin, SnapshotterKind, View, ViewError};
use store::{Image, Store};
use sys::file::cached_pages;
use sys::mount::{Filesystem, MountAttrFlags};
use trace::Recorder;

use crate::fixture::{HELPER, Helper, Sandbox, add, leftovers, stay, tar};

contract! {
    an_image_of_several_layers_is_one_mount
    a_view_leaves_nothing_on_the_host
    a_view_outlives_its_image_and_then_leaves_nothing
    a_store_below_a_very_long_path_can_be_mounted_from
    many_at_once_get_the_same_tree
    an_image_that_lacks_a_layer_is_told
}

fn open(view: impl AsFd, path: &str) -> File {
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    File::from(rustix::fs::openat(view.as_fd(), path, flags, rustix::fs::Mode::empty()).unwrap())
}

fn list(view: impl AsFd, path: &str) -> Vec<String> {
    let entries = rustix::fs::Dir::read_from(open(view, path)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.filter(|name| !matches!(name.as_str(), "." | "..")).collect();
    names.sort();
    names
}

/// Takes the view of an image of the sandbox's store.
fn view_by(kind: SnapshotterKind, store: &Store, image: &Image) -> Result<View, ViewError> {
    snapshot::open(kind, store, &store.layout().root().join("no-holders")).view(image, &Recorder::silent())
}

fn read(view: impl AsFd, path: &str) -> Vec<u8> {
    let mut content = Vec::new();
    open(view, path).read_to_end(&mut content).unwrap();
    content
}

fn view(image: &Image) -> View {
    snapshot::view(image, &Recorder::silent()).unwrap()
}

fn shared(image: &Image, state: &Path) -> View {
    snapshot::shared_view(image, state, &Recorder::silent()).unwrap()
}

fn an_image_of_several_layers_is_one_mount(kind: SnapshotterKind) {
    let sandbox = Sandbox::new();
    let layers = [tar("a", b"lower"), tar("b", &vec![b'x'; 100_000]), tar("a", b"upper"), tar(".wh.b", b"")];
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let three = add(&sandbox.store, &layers[..3], &["three"]).unwrap();
    let mounted = view_by(kind, &sandbox.store, &three).unwrap();
    assert_eq!(read(&mounted, "etc/a"), b"upper");
    assert_eq!(read(&mounted, "etc/b"), vec![b'x'; 100_000]);
    let four = view_by(kind, &sandbox.store, &add(&sandbox.store, &layers, &["four"]).unwrap()).unwrap();
    assert_eq!(list(&four, "etc"), ["a"], "the whiteout hides b and is not seen itself");
    let error = rustix::fs::mkdirat(&mounted, "new", rustix::fs::Mode::empty()).unwrap_err();
    assert_eq!(error, sys::Errno::ROFS);
}

fn a_view_leaves_nothing_on_the_host(kind: SnapshotterKind) {
    let sandbox = Sandbox::new();
    let image = add(&sandbox.store, &[&tar("a", b"1")], &["eg"]).unwrap();
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = mounts();
    let mounted = view_by(kind, &sandbox.store, &image).unwrap();
    assert_eq!(mounts(), before);
    assert_eq!(read(&mounted, "etc/a"), b"1");
    assert!(list(File::open(sandbox.store.layout().tmp()).unwrap(), ".").is_empty());
    assert!(rustix::process::waitpid(None, rustix::process::WaitOptions::NOHANG).is_err(), "no child is left");
}

fn a_view_outlives_its_image_and_then_leaves_nothing(kind: SnapshotterKind) {
    let sandbox = Sandbox::new();
    let store = &sandbox.store;
    let content = vec![b'x'; 300_000];
    let image = add(store, &[&tar("a", &content), &tar("b", b"2")], &["eg"]).unwrap();
    let mounted = view_by(kind, store, &image).unwrap();
    store.images().remove("eg", false, &|_| None, &Recorder::silent()).unwrap();
    store.sweep(&Recorder::silent()).unwrap();
    assert_eq!(read(&mounted, "etc/a"), content);
    assert!(!store.layout().tree(&image.chain).exists());
    // The image comes back while its old tree is held, and goes again.
    let again = add(store, &[&tar("a", &content), &tar("b", b"2")], &["eg"]).unwrap();
    assert_eq!(again.chain, image.chain);
    let second = view_by(kind, store, &again).unwrap();
    store.images().remove("eg", false, &|_| None, &Recorder::silent()).unwrap();
    assert_eq!((read(&mounted, "etc/b"), read(&second, "etc/b")), (b"2".to_vec(), b"2".to_vec()));
    drop((mounted, second));
    store.sweep(&Recorder::silent()).unwrap();
    assert_eq!(leftovers(store), [] as [&str; 0]);
}

fn an_image_that_lacks_a_layer_is_told(kind: SnapshotterKind) {
    let sandbox = Sandbox::new();
    let image = add(&sandbox.store, &[&tar("a", b"1")], &["eg"]).unwrap();
    std::fs::remove_file(&image.layers[0].path).unwrap();
    assert!(matches!(view_by(kind, &sandbox.store, &image), Err(ViewError::Incomplete { .. })));
}

fn a_store_below_a_very_long_path_can_be_mounted_from(kind: SnapshotterKind) {
    let sandbox = Sandbox::new();
    let deep = (0..30).fold(sandbox.directory.path().to_path_buf(), |path, _| path.join("a-rather-long-name"));
    let store = Store::open(&deep);
    let image = add(&store, &[&tar("a", b"1")], &["eg"]).unwrap();
    assert!(image.index.as_os_str().len() > 255);
    assert_eq!(read(view_by(kind, &store, &image).unwrap(), "etc/a"), b"1");
}

fn many_at_once_get_the_same_tree(kind: SnapshotterKind) {
    let sandbox = Sandbox::new();
    let image = add(&sandbox.store, &[&tar("a", &vec![b'y'; 1 << 20])], &["eg"]).unwrap();
    let views: Vec<_> = std::thread::scope(|scope| {
        let view = || view_by(kind, &sandbox.store, &image).unwrap();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(view)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(views.iter().all(|view| read(view, "etc/a").len() == 1 << 20));
    let inode = |view: &View| rustix::fs::fstat(view).unwrap().st_ino;
    assert!(views.iter().all(|view| inode(view) == inode(&views[0])), "it was unpacked once");
}

#[test]
fn loop_devices_stand_in_where_files_cannot_be_mounted_from() {
    // The kernel does not mount from files on a tmpfs.
    let disk = Filesystem::open("tmpfs").unwrap().mount(MountAttrFlags::empty()).unwrap();
    let root = PathBuf::from(format!("/proc/self/fd/{}/store", disk.as_raw_fd()));
    let content = vec![b'y'; 70_000];
    let image = add(&store::Store::open(&root), &[&tar("a", b"1"), &tar("b", &content)], &["eg"]).unwrap();
    let mounted = view(&image);
    assert_eq!(mounted.origin(), Origin::Loop);
    assert_eq!(read(&mounted, "etc/b"), content);
    let device = rustix::fs::fstat(&mounted).unwrap().st_dev;
    let name = format!("/sys/dev/block/{}:{}/loop/autoclear", rustix::fs::major(device), rustix::fs::minor(device));
    assert_eq!(std::fs::read_to_string(name).unwrap().trim(), "1");
}

#[test]
fn two_containers_of_one_image_share_its_page_cache() {
    const TEST: &str = "views::two_containers_of_one_image_share_its_page_cache";
    if let Ok(root) = std::env::var(HELPER) {
        return hold(Path::new(&root));
    }
    let sandbox = Sandbox::new();
    let content = vec![b'z'; 4 << 20];
    let image = add(&sandbox.store, &[&tar("large", &content)], &["eg"]).unwrap();
    let state = sandbox.directory.path().join("state");
    let mut holder = Helper::start(TEST, sandbox.directory.path().to_str().unwrap());
    holder.wait_ready();
    let (first, second, alone) = (shared(&image, &state), shared(&image, &state), view(&image));
    assert_eq!((first.origin(), second.origin(), alone.origin()), (Origin::Shared, Origin::Shared, Origin::Files));

    // One superblock for the first two, another for the third.
    let device = |view: &View| open(view, "etc/large").metadata().unwrap().dev();
    assert_eq!(device(&first), device(&second));
    assert_ne!(device(&first), device(&alone));

    // What is read through one is in the cache of the other, page for page.
    let pages = |view: &View| cached_pages(open(view, "etc/large")).unwrap();
    assert_eq!((pages(&first), pages(&second), pages(&alone)), (0, 0, 0));
    assert_eq!(read(&first, "etc/large"), content);
    assert_eq!((pages(&first), pages(&second), pages(&alone)), (1024, 1024, 0));

    // With the holder gone its record is of no use, and the next one mounts for itself.
    let record = state.join("mounts").join(image.chain.digest().hex()).join(holder.pid().to_string());
    assert!(record.exists());
    holder.kill();
    assert_eq!(shared(&image, &state).origin(), Origin::Files);
    assert!(!record.exists(), "who meets the record of a dead holder removes it");
    assert_eq!(read(&second, "etc/large"), content, "what was taken stays");
}

fn hold(directory: &Path) {
    let store = store::Store::open(&directory.join("store"));
    let image = store.images().resolve("eg").unwrap();
    let mounted = view(&image);
    let _holder = Holder::announce(&directory.join("state"), &image.chain, mounted.as_fd()).unwrap();
    stay();
}

#[test]
fn a_record_that_lies_is_not_believed() {
    let sandbox = Sandbox::new();
    let image = add(&sandbox.store, &[&tar("a", b"right")], &["eg"]).unwrap();
    let other = add(&sandbox.store, &[&tar("a", b"wrong")], &["other"]).unwrap();
    let state = sandbox.directory.path().join("state");
    let other = view(&other);
    let plain: OwnedFd = File::open("/etc/passwd").unwrap().into();
    for fd in [other.as_fd(), plain.as_fd()] {
        let holder = announce(&state, &image, fd);
        let taken = shared(&image, &state);
        assert_eq!(taken.origin(), Origin::Files);
        assert_eq!(read(&taken, "etc/a"), b"right");
        drop(holder);
    }
    let right = view(&image);
    let holder = announce(&state, &image, right.as_fd());
    assert_eq!(shared(&image, &state).origin(), Origin::Shared);
    drop(holder);
    assert_eq!(shared(&image, &state).origin(), Origin::Files);
    assert_eq!(std::fs::read_dir(state.join("mounts")).unwrap().count(), 0, "a holder takes its record along");
}

#[test]
fn what_dead_holders_left_is_cleared_away_and_the_living_are_not_touched() {
    let sandbox = Sandbox::new();
    let image = add(&sandbox.store, &[&tar("a", b"right")], &["eg"]).unwrap();
    let state = sandbox.directory.path().join("state");
    let mounted = view(&image);
    let holder = announce(&state, &image, mounted.as_fd());
    let own = std::process::id();
    let directory = state.join("mounts").join(image.chain.digest().hex());
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let dead = child.id();
    // Ended, and not reaped before the end of the test: a number that is still taken by nobody who lives.
    sys::signal::wait_readable(sys::process::pidfd_open(dead).unwrap(), None).unwrap();
    let whole = format!("{{\"pid\":{dead},\"identity\":1,\"fd\":7}}");
    // A record, one that was written and not yet renamed, one that was cut short; and one that is just being written.
    let gone = directory.parent().unwrap().join("00");
    std::fs::create_dir(&gone).unwrap();
    std::fs::write(directory.join(dead.to_string()), &whole).unwrap();
    std::fs::write(gone.join(format!("{dead}.new")), &whole).unwrap();
    std::fs::write(directory.join(format!("{dead}.new")), &whole[..9]).unwrap();
    std::fs::write(directory.join(format!("{own}.new")), "").unwrap();
    store::snapshot::forget_dead(&state);
    let mut left: Vec<_> = std::fs::read_dir(&directory).unwrap().flatten().map(|entry| entry.file_name()).collect();
    left.sort();
    assert_eq!(left, [own.to_string(), format!("{own}.new")].map(std::ffi::OsString::from));
    assert!(!gone.exists(), "a directory that nobody needs goes too");
    assert_eq!(shared(&image, &state).origin(), Origin::Shared);
    drop(holder);
    child.wait().unwrap();
}

fn announce(state: &Path, image: &Image, fd: BorrowedFd<'_>) -> Holder {
    Holder::announce(state, &image.chain, fd).unwrap()
}
