//! Mounting images, and sharing the mounts.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use store::Image;
use store::snapshot::{self, Holder, Origin, View, ViewError};
use sys::file::cached_pages;
use sys::mount::{Filesystem, MountAttrFlags};
use trace::Recorder;

use crate::fixture::{HELPER, Helper, Sandbox, add, stay, tar};

fn open(view: impl AsFd, path: &str) -> File {
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    File::from(rustix::fs::openat(view.as_fd(), path, flags, rustix::fs::Mode::empty()).unwrap())
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

#[test]
fn an_image_of_several_layers_is_one_mount() {
    let sandbox = Sandbox::new();
    let layers = [tar("a", b"lower"), tar("b", &vec![b'x'; 100_000]), tar("a", b"upper"), tar(".wh.b", b"")];
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let three = add(&sandbox.store, &layers[..3], &["three"]).unwrap();
    let mounted = view(&three);
    assert_eq!(mounted.origin(), Origin::Files);
    assert_eq!(read(&mounted, "etc/a"), b"upper");
    assert_eq!(read(&mounted, "etc/b"), vec![b'x'; 100_000]);
    let four = view(&add(&sandbox.store, &layers, &["four"]).unwrap());
    let names = rustix::fs::Dir::read_from(open(&four, "etc")).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name().to_owned()).collect();
    assert_eq!(names.len(), 3, "the whiteout hides b and is not seen itself: {names:?}");
    let error = rustix::fs::mkdirat(&mounted, "new", rustix::fs::Mode::empty()).unwrap_err();
    assert_eq!(error, sys::Errno::ROFS);
}

#[test]
fn a_view_leaves_nothing_on_the_host() {
    let sandbox = Sandbox::new();
    let image = add(&sandbox.store, &[&tar("a", b"1")], &["eg"]).unwrap();
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = mounts();
    let mounted = view(&image);
    assert_eq!(mounts(), before);
    // It outlives the image it was mounted from.
    sandbox.store.images().remove("eg", false, &|_| None, &Recorder::silent()).unwrap();
    assert_eq!(read(&mounted, "etc/a"), b"1");
    assert!(matches!(snapshot::view(&image, &Recorder::silent()), Err(ViewError::Incomplete { .. })));
}

#[test]
fn a_store_below_a_very_long_path_can_be_mounted_from() {
    let sandbox = Sandbox::new();
    let deep = (0..30).fold(sandbox.directory.path().to_path_buf(), |path, _| path.join("a-rather-long-name"));
    let image = add(&store::Store::open(&deep), &[&tar("a", b"1")], &["eg"]).unwrap();
    assert!(image.index.as_os_str().len() > 255);
    assert_eq!(read(view(&image), "etc/a"), b"1");
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
