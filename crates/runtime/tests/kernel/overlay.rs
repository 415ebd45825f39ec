//! Overlays over many layers, on kernels old and new.

use std::fs;
use std::path::PathBuf;
use std::rc::Rc;

use runtime::overlay::{Syntax, mount_with};
use runtime::plan::{Lower, Overlay, RootSource};

use crate::harness::{Case, kernel_has};

fn layers(case: &Case, count: usize) -> Vec<Lower> {
    (0..count)
        .map(|number| {
            let layer = case.path(&format!("layers/{number}-{}", "x".repeat(40)));
            fs::create_dir_all(&layer).unwrap();
            fs::write(layer.join("which"), format!("{number}\n")).unwrap();
            fs::write(layer.join(format!("only-{number}")), "").unwrap();
            Lower::Directory(layer)
        })
        .collect()
}

fn overlay(case: &Case, mut lowers: Vec<Lower>) -> Overlay {
    lowers.push(Lower::Directory(case.rootfs()));
    let [upper, work] = ["upper", "work"].map(|name| {
        let path: PathBuf = case.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    });
    Overlay { lowers, upper, work, volatile: true }
}

#[test]
fn a_root_of_five_hundred_layers_is_mounted() {
    let mut case = Case::sh("cat /which; ls / | grep -c only-; echo new > /new");
    // The kernel's own bound is 500, the image's root included.
    case.root = Some(RootSource::Overlay(overlay(&case, layers(&case, 499))));
    case.run().says(&["0", "499"]);
    assert_eq!(fs::read_to_string(case.path("upper/new")).unwrap(), "new\n");
    assert!(!case.rootfs().join("new").exists());
}

#[test]
fn layers_in_one_option_are_the_same_layers() {
    for count in [3, 120, 400] {
        let case = Case::sh("true");
        let overlay = overlay(&case, layers(&case, count));
        let mount = mount_with(&overlay, Syntax::Joined).unwrap();
        let root = sys::path::Root::from_fd(mount);
        let mut text = String::new();
        std::io::Read::read_to_string(&mut root.open_file("/which".as_ref()).unwrap(), &mut text).unwrap();
        assert_eq!(text, "0\n", "{count}");
        for number in [0, count / 2, count - 1] {
            root.resolve(format!("/only-{number}").as_ref()).unwrap();
        }
        root.ensure_file("/made".as_ref(), 0o644).unwrap();
        assert!(case.path("upper/made").exists());
        drop(root);
        case.assert_clean();
    }
}

fn tmpfs_with(name: &str) -> Lower {
    let mount = sys::mount::Filesystem::open("tmpfs").unwrap().mount(sys::mount::MountAttrFlags::empty()).unwrap();
    let root = sys::path::Root::from_fd(sys::path::duplicate(&mount).unwrap());
    drop(root.ensure_file(name.as_ref(), 0o644).unwrap());
    Lower::Mount { mount: Rc::new(mount), shell: "mount -t tmpfs tmpfs \"$lower\"".to_owned() }
}

#[test]
fn a_detached_mount_is_a_layer() {
    let above = "[ \"$(stat -c %d:%i /)\" = \"$(stat -c %d:%i /..)\" ] && echo nothing above";
    let mut case = Case::sh(&format!("ls /from-a-mount /which; {above}"));
    let lowers = [vec![tmpfs_with("/from-a-mount")], layers(&case, 1)].concat();
    case.root = Some(RootSource::Overlay(overlay(&case, lowers)));
    case.run().says(&["/from-a-mount", "/which", "nothing above"]);
}

#[test]
fn a_detached_mount_is_a_layer_in_one_option_too() {
    let case = Case::sh("true");
    let mount = mount_with(&overlay(&case, vec![tmpfs_with("/from-a-mount")]), Syntax::Joined).unwrap();
    sys::path::Root::from_fd(mount).resolve("/from-a-mount".as_ref()).unwrap();
    // Over `/` it would be detached in place of the old root, which would stay within the container's reach.
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    assert_eq!(mounts.lines().filter(|line| line.split(' ').nth(4) == Some("/")).count(), 1, "{mounts}");
    if kernel_has("a layer an option", 6, 5) {
        let case = Case::sh("true");
        mount_with(&overlay(&case, vec![tmpfs_with("/x")]), Syntax::OneByOne).unwrap();
    }
}

#[test]
fn a_root_is_refused_over_which_the_old_one_stays() {
    let refused = std::thread::spawn(|| {
        use sys::mount::{Filesystem, MountAttrFlags, Propagation, attach, pivot_into, set_propagation};
        sys::namespace::unshare(&[sys::namespace::NamespaceKind::Mount]).unwrap();
        set_propagation("/".as_ref(), Propagation::Private, true).unwrap();
        let [forgotten, root] = [(); 2].map(|()| {
            let mount = Filesystem::open("tmpfs").unwrap().mount(MountAttrFlags::empty()).unwrap();
            attach(&mount, sys::path::open_host("/".as_ref()).unwrap()).unwrap();
            mount
        });
        drop(forgotten);
        pivot_into(&root).unwrap_err()
    });
    assert_eq!(refused.join().unwrap().errno(), sys::Errno::BUSY);
}

#[test]
fn a_missing_layer_is_named() {
    let mut case = Case::sh("true");
    case.root = Some(RootSource::Overlay(overlay(&case, vec![Lower::Directory("/no/such/layer".into())])));
    let (_, text) = case.fails();
    assert!(text.contains("/no/such/layer") && text.contains("ENOENT"), "{text}");
}
