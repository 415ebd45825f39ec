//! Those who take archives: our index, as the kernel mounts it, and two tars.

use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use oci::Digest;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use store::Store;
use store::erofs::{Layout, Tree, write};
use store::snapshot::{SnapshotterKind, open};
use sys::mount::{Filesystem, MountAttrFlags};
use testkit::archives::{Case, Layer};
use trace::Recorder;

use super::listing::list;
use super::{Arena, Taken};
use crate::fixture::add;

/// Makes an index over the layers and has the kernel mount it.
pub(super) fn index(arena: &Arena, cases: &[Case]) -> Vec<Taken> {
    each(cases, |case| {
        let directory = tempfile::tempdir_in(arena.disk()).unwrap();
        let tars = tars(directory.path(), &case.layers);
        let mut tree = Tree::new();
        for tar in &tars {
            tree.add_layer(File::open(tar).unwrap()).map_err(|error| chain(&error))?;
        }
        let digests: Vec<_> = case.layers.iter().map(|layer| Digest::of(&layer.bytes)).collect();
        let layout = Layout::plan(&tree, &digests).map_err(|error| chain(&error))?;
        let index = directory.path().join("index.erofs");
        write(&tree, &layout, File::create(&index).unwrap()).unwrap();
        let mut context = Filesystem::open("erofs").unwrap().path_option("source", &index).unwrap();
        for tar in &tars {
            context = context.path_option("device", tar).unwrap();
        }
        let mount = context.mount(MountAttrFlags::MOUNT_ATTR_RDONLY).unwrap_or_else(|error| {
            panic!("the kernel refuses our index of {:?}: {error}", case.name);
        });
        Ok(list(Path::new(&format!("/proc/self/fd/{}", mount.as_raw_fd()))))
    })
}

/// Makes an image of the layers and has it unpacked, as for a kernel that cannot mount an index.
pub(super) fn directory(arena: &Arena, cases: &[Case]) -> Vec<Taken> {
    each(cases, |case| {
        let directory = tempfile::tempdir_in(arena.disk()).unwrap();
        let store = Store::open(&directory.path().join("store"));
        let tars: Vec<_> = case.layers.iter().map(|layer| layer.bytes.as_slice()).collect();
        let image = add(&store, &tars, &["eg"]).map_err(|error| chain(&error))?;
        let snapshotter = open(SnapshotterKind::Directory, &store, directory.path());
        let view = snapshotter.view(&image, &Recorder::silent()).map_err(|error| chain(&error))?;
        Ok(list(Path::new(&format!("/proc/self/fd/{}", view.as_fd().as_raw_fd()))))
    })
}

/// Has GNU tar unpack the layers, one over the other.
pub(super) fn gnu(arena: &Arena, cases: &[Case]) -> Vec<Taken> {
    const OPTIONS: &[&str] = &[
        "--extract",
        "--preserve-permissions",
        "--same-owner",
        "--numeric-owner",
        "--delay-directory-restore",
        "--xattrs",
        "--xattrs-include=*",
    ];
    each(cases, |case| unpack(arena, case, "tar", OPTIONS))
}

/// Has libarchive's tar do the same.
pub(super) fn libarchive(arena: &Arena, cases: &[Case]) -> Vec<Taken> {
    const OPTIONS: &[&str] = &["-x", "-p", "--same-owner", "--numeric-owner", "--xattrs", "--acls"];
    each(cases, |case| unpack(arena, case, "bsdtar", OPTIONS))
}

/// Unpacks with a program that knows nothing of whiteouts, so that they are applied in between by hand.
fn unpack(arena: &Arena, case: &Case, program: &str, options: &[&str]) -> Taken {
    let tars = tempfile::tempdir_in(arena.disk()).unwrap();
    let root = arena.directory();
    for (layer, tar) in case.layers.iter().zip(self::tars(tars.path(), &case.layers)) {
        layer.marks.iter().for_each(|mark| hide(&root, mark));
        let mut command = Command::new(program);
        command.args(options).arg("--exclude=.wh.*").arg("--file").arg(tar).arg("--directory").arg(&root);
        let done = command.env("LC_ALL", "C").stdin(Stdio::null()).output().unwrap();
        if !done.status.success() {
            return Err(first_line(&done.stderr));
        }
    }
    let listing = list(&root);
    fs::remove_dir_all(&root).unwrap();
    Ok(listing)
}

/// Applies a mark to the layers that are there, by the letter of image-spec (layer.md, "Whiteouts").
fn hide(root: &Path, mark: &[u8]) {
    let slash = mark.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    let (parent, name) = mark.split_at(slash);
    let parent = [b"./", parent].concat();
    let open = |base: &File, path: &[u8], resolve| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat2(base, path, flags, Mode::empty(), resolve).map(File::from)
    };
    let Ok(root) = rustix::fs::openat(CWD, root, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map(File::from)
    else {
        return;
    };
    let Ok(parent) = open(&root, &parent, ResolveFlags::IN_ROOT) else { return };
    let parent = PathBuf::from(format!("/proc/self/fd/{}", parent.as_raw_fd()));
    let hidden: Vec<PathBuf> = match &name[4..] {
        b".wh..opq" => fs::read_dir(&parent).unwrap().map(|entry| entry.unwrap().path()).collect(),
        b"" | b"." | b".." => return,
        name => vec![parent.join(std::ffi::OsStr::from_bytes(name))],
    };
    for path in hidden {
        match fs::symlink_metadata(&path) {
            Ok(stat) if stat.is_dir() => fs::remove_dir_all(path).unwrap(),
            Ok(_) => fs::remove_file(path).unwrap(),
            Err(_) => {}
        }
    }
}

fn tars(directory: &Path, layers: &[Layer]) -> Vec<PathBuf> {
    let write = |(number, layer): (usize, &Layer)| {
        let path = directory.join(format!("{number}.tar"));
        fs::write(&path, &layer.bytes).unwrap();
        path
    };
    layers.iter().enumerate().map(write).collect()
}

/// Goes through the cases on two threads.
pub(super) fn each(cases: &[Case], take: impl Fn(&Case) -> Taken + Sync) -> Vec<Taken> {
    let (left, right) = cases.split_at(cases.len() / 2);
    std::thread::scope(|scope| {
        let right = scope.spawn(|| right.iter().map(&take).collect::<Vec<_>>());
        let mut taken: Vec<_> = left.iter().map(&take).collect();
        taken.extend(right.join().unwrap());
        taken
    })
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

pub(super) fn first_line(said: &[u8]) -> String {
    String::from_utf8_lossy(said).lines().next().unwrap_or_default().to_owned()
}
