//! Full disks, killed writers, and two at once.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use oci::Hasher;
use store::{Store, StoreError};
use sys::mount::{self, Filesystem, MountAttrFlags};
use trace::Recorder;

use crate::fixture::{HELPER, Helper, Sandbox, add, leftovers, tar};

#[test]
fn a_full_disk_leaves_nothing_half_written() {
    // A detached tmpfs is reached through its descriptor; it is attached nowhere and needs no namespace.
    let disk = Filesystem::open("tmpfs").unwrap().option("size", "1m").unwrap();
    let disk = disk.mount(MountAttrFlags::empty()).unwrap();
    let root = format!("/proc/self/fd/{}/store", std::os::fd::AsRawFd::as_raw_fd(&disk.as_fd()));
    let store = Store::open(Path::new(&root));
    add(&store, &[&tar("small", b"1")], &["kept"]).unwrap();
    let before = leftovers(&store).len();
    let large = tar("large", &vec![7; 4 << 20]);
    let Err(StoreError::Disk { source, .. }) = add(&store, &[&large], &["lost"]) else {
        panic!("it cannot have fitted")
    };
    assert_eq!(source.errno(), sys::Errno::NOSPC);
    assert_eq!(leftovers(&store).len(), before);
    assert!(matches!(store.images().resolve("lost"), Err(StoreError::NotFound(_))));
    // A layer that fits exactly leaves no room for its index or documents, and goes all the same.
    let free = rustix::fs::fstatvfs(&disk).unwrap();
    let tight = tar("tight", &vec![7; usize::try_from((free.f_bavail - 4) * free.f_frsize).unwrap()]);
    assert!(add(&store, &[&tight], &["lost"]).is_err());
    assert_eq!(leftovers(&store).len(), before);
    add(&store, &[&tar("other", b"2")], &["fits"]).unwrap();
    assert!(store.images().resolve("kept").unwrap().has_index());
    let _ = mount::clone_tree(&disk, false);
}

#[test]
fn a_writer_killed_at_any_moment_leaves_a_whole_store() {
    if let Ok(root) = std::env::var(HELPER) {
        write_for_ever(Path::new(&root));
    }
    let sandbox = Sandbox::new();
    let root = sandbox.store.layout().root().to_str().unwrap();
    add(&sandbox.store, &[&tar("first", b"1")], &["first"]).unwrap();
    let (mut abandoned, mut finished) = (0, 0);
    // As many rounds as it takes to have met both, since machines differ in speed.
    for round in 0..400_u64 {
        if round >= 40 && abandoned > 0 && finished > 1 {
            break;
        }
        let helper = Helper::start("interruption::a_writer_killed_at_any_moment_leaves_a_whole_store", root);
        // Anything may be going on by then, from the start of the process to its third image: that is the point.
        // A machine on which nothing was finished by then gets longer and longer.
        std::thread::sleep(Duration::from_micros(2000 + round * 7919 % (40_000 * (1 + round / 40))));
        helper.kill();
        abandoned += std::fs::read_dir(sandbox.store.layout().tmp()).unwrap().count();
        check(&sandbox.store);
        finished = sandbox.store.images().list().unwrap().len();
    }
    assert!(abandoned > 0, "no round met work in flight");
    assert!(finished > 1, "no round finished an image");
}

fn write_for_ever(root: &Path) -> ! {
    let store = Store::open(root);
    for number in 0_u64.. {
        let content = vec![u8::try_from(number % 251).unwrap_or(0); 300_000];
        let tar = tar(&format!("file-{number}-{}", std::process::id()), &content);
        add(&store, &[&tar], &["moving", &format!("image:{number}")]).unwrap();
    }
    unreachable!("a test is killed long before it counts so far")
}

/// Every image that is announced is whole, and after a sweep there is nothing that belongs to none.
fn check(store: &Store) {
    store.sweep(&Recorder::silent()).unwrap();
    let images = store.images().list().unwrap();
    let mut expected = 0;
    for listed in &images {
        let image = store.images().load(&listed.id).unwrap();
        for layer in &image.layers {
            let mut hasher = Hasher::default();
            hasher.update(&std::fs::read(&layer.path).unwrap());
            assert_eq!(hasher.finish(), layer.diff_id);
        }
        assert!(image.has_index());
        store.images().document(&image.manifest).unwrap();
        expected += 5;
    }
    let repositories = std::fs::read_dir(store.layout().names()).unwrap().count();
    assert_eq!(leftovers(store).len(), expected + repositories, "{:#?}", leftovers(store));
    assert!(std::fs::read_dir(store.layout().tmp()).unwrap().next().is_none());
}

#[test]
fn writers_and_removers_at_once_do_not_meet() {
    let sandbox = Sandbox::new();
    let unused = |_: &oci::Digest| None;
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let store = &sandbox.store;
            scope.spawn(move || {
                for round in 0..15 {
                    // Two of the workers make the very same layers, the others each their own.
                    let tar = tar("file", format!("{} {round}", worker / 2 * worker).as_bytes());
                    let name = format!("eg:{worker}-{round}");
                    let image = add(store, &[&tar], &[&name]).unwrap();
                    assert!(image.has_index() && image.layers[0].path.exists());
                    assert_eq!(store.images().resolve(&name).unwrap().id, image.id);
                    store.images().remove(&name, false, &unused, &Recorder::silent()).unwrap();
                }
            });
        }
    });
    assert_eq!(leftovers(&sandbox.store), [] as [&str; 0]);
}

#[test]
fn the_space_of_a_removed_image_comes_back_without_being_waited_for() {
    let disk = Filesystem::open("tmpfs").unwrap().mount(MountAttrFlags::empty()).unwrap();
    let root = format!("/proc/self/fd/{}/store", std::os::fd::AsRawFd::as_raw_fd(&disk.as_fd()));
    let store = Store::open(Path::new(&root));
    add(&store, &[&tar("small", b"1")], &["kept"]).unwrap();
    let free = || rustix::fs::fstatvfs(&disk).unwrap().f_bfree;
    let before = free();
    add(&store, &[&tar("large", &vec![7; 20 << 20])], &["large"]).unwrap();
    store.images().remove("large", false, &|_| None, &Recorder::silent()).unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while free() < before {
        assert!(std::time::Instant::now() < deadline, "20 MiB are still taken");
        std::thread::yield_now();
    }
    assert!(rustix::process::waitpid(None, rustix::process::WaitOptions::NOHANG).is_err(), "no child is left");
}
