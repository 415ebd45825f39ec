//! Images as the kernel shows them, by whichever snapshotter, compared with what GNU tar unpacks, name by name.
//!
//! GNU tar is the judge, not `fsck.erofs`: Debian 12's erofs-utils 1.5 knows neither blocks of 512 bytes nor `--tar=i`, and
//! 1.8.6 crashes when such a file system has a checksum (it subtracts 1024 from the block size), which the kernel takes
//! well. With the checksum's feature bit cleared 1.8.6 finds no fault in the index of a Debian root.
//!
//! The mounts are never attached to a directory, so that there is nothing to clean up.

mod mounted;
mod source;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use store::Store;
use store::snapshot::SnapshotterKind;
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;
use trace::Recorder;

use mounted::{Mounted, assert_same, forget_times, list, run, unpack};

contract! {
    a_posix_archive_of_everything_looks_as_if_unpacked
    a_gnu_archive_of_everything_looks_as_if_unpacked
    older_sparse_formats_look_as_if_unpacked
    an_ustar_archive_looks_as_if_unpacked
    an_archive_of_bsdtar_looks_as_if_unpacked
    twenty_thousand_small_files_look_as_if_unpacked
    twenty_thousand_names_in_one_directory_are_all_found
    pieces_of_sparse_files_off_the_block_grid_are_read_where_they_belong
    layers_merge_as_if_unpacked_one_over_the_other
    what_an_image_says_in_overlays_words_is_shown_and_not_obeyed
    links_of_an_image_lead_nowhere_but_into_it
    a_tree_may_be_deeper_than_any_path
    a_debian_root_looks_as_if_unpacked
}

struct Bench {
    directory: TempDir,
    kind: SnapshotterKind,
}

impl Bench {
    fn new(kind: SnapshotterKind) -> Self {
        Self { directory: tempfile::tempdir().unwrap(), kind }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Puts the tars into a store as an image, and takes its view.
    fn mount(&self, tars: &[PathBuf]) -> Mounted {
        Mounted::new(&self.path("store"), tars, self.kind)
    }

    /// Compares the mounted index of a tar with the unpacked tar.
    fn assert_like_unpacked(&self, tar: &Path) {
        let mounted = self.mount(&[tar.to_owned()]);
        let unpacked = self.path("unpacked");
        unpack(tar, &unpacked);
        assert_same(&list(&mounted.root()), &list(&unpacked));
    }
}

fn nasty(kind: SnapshotterKind, options: &[&str]) {
    let bench = Bench::new(kind);
    let root = bench.path("source");
    source::make(&root);
    let tar = bench.path("layer.tar");
    source::pack(&root, &tar, options);
    bench.assert_like_unpacked(&tar);
    if options.contains(&"--xattrs") {
        let found = list(&bench.mount(&[tar]).root());
        let names = found.values().flat_map(|facts| facts.xattrs.keys());
        let names: BTreeSet<_> = names.map(|name| String::from_utf8_lossy(name)).collect();
        assert_eq!(names.len(), 8, "{names:?}");
    }
}

fn a_posix_archive_of_everything_looks_as_if_unpacked(kind: SnapshotterKind) {
    nasty(kind, &["--format=posix", "--xattrs", "--xattrs-include=*", "--sparse"]);
}

fn a_gnu_archive_of_everything_looks_as_if_unpacked(kind: SnapshotterKind) {
    nasty(kind, &["--format=gnu", "--sparse"]);
}

fn older_sparse_formats_look_as_if_unpacked(kind: SnapshotterKind) {
    nasty(kind, &["--format=posix", "--sparse", "--sparse-version=0.0", "--hole-detection=raw", "--exclude=hole-huge"]);
    nasty(kind, &["--format=posix", "--sparse", "--sparse-version=0.1", "--hole-detection=seek"]);
}

fn an_ustar_archive_looks_as_if_unpacked(kind: SnapshotterKind) {
    let bench = Bench::new(kind);
    let root = bench.path("source");
    let deep = root.join("a".repeat(70)).join("b".repeat(70));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("c".repeat(90)), b"beyond the name field").unwrap();
    let tar = bench.path("layer.tar");
    source::pack(&root, &tar, &["--format=ustar"]);
    bench.assert_like_unpacked(&tar);
    source::pack(&deep, &tar, &["--format=v7"]);
    fs::remove_dir_all(bench.path("unpacked")).unwrap();
    bench.assert_like_unpacked(&tar);
}

fn an_archive_of_bsdtar_looks_as_if_unpacked(kind: SnapshotterKind) {
    let bench = Bench::new(kind);
    let root = bench.path("source");
    source::make(&root);
    fs::remove_file(root.join("hole-huge")).unwrap();
    let tar = bench.path("layer.tar");
    run(Command::new("bsdtar").args(["--format=pax", "-cf"]).arg(&tar).arg("-C").arg(&root).arg("."));
    bench.assert_like_unpacked(&tar);
}

fn twenty_thousand_small_files_look_as_if_unpacked(kind: SnapshotterKind) {
    let bench = Bench::new(kind);
    let tar = bench.path("layer.tar");
    let mut builder = Builder::new(File::create(&tar).unwrap());
    for number in 0..20_000_u32 {
        let data = number.to_string().repeat(number as usize % 300);
        append(
            &mut builder,
            EntryType::Regular,
            &format!("./{}/{}/{number}", number % 13, number % 97),
            data.as_bytes(),
        );
    }
    builder.into_inner().unwrap();
    let unpacked = bench.path("unpacked");
    let mounted = bench.mount(std::slice::from_ref(&tar));
    unpack(&tar, &unpacked);
    let (mut found, mut expected) = (list(&mounted.root()), list(&unpacked));
    // No directory is in the archive.
    for facts in found.values_mut().chain(expected.values_mut()).filter(|facts| facts.size.is_none()) {
        facts.mtime = None;
    }
    assert!(found.len() > 20_000);
    assert_same(&found, &expected);
}

fn twenty_thousand_names_in_one_directory_are_all_found(kind: SnapshotterKind) {
    let bench = Bench::new(kind);
    let tar = bench.path("layer.tar");
    let mut builder = Builder::new(File::create(&tar).unwrap());
    append(&mut builder, EntryType::Directory, "d/", b"");
    let name = |number: u32| format!("d/{:x}{}", number.wrapping_mul(2_654_435_761), "y".repeat(number as usize % 40));
    for number in 0..20_000 {
        append(&mut builder, EntryType::Regular, &name(number), b"");
    }
    builder.into_inner().unwrap();
    let mounted = bench.mount(&[tar]);
    let root = mounted.root();
    assert_eq!(fs::read_dir(root.join("d")).unwrap().count(), 20_000);
    for number in 0..20_000 {
        assert!(fs::symlink_metadata(root.join(name(number))).is_ok(), "{}", name(number));
    }
    for absent in ["d/-", "d/zzz", "d/ffffffffy", "d/..x", "d/1"] {
        assert!(!root.join(absent).exists(), "{absent}");
    }
}

#[test]
fn a_file_beyond_four_gigabytes_is_read_to_its_end() {
    let bench = Bench::new(SnapshotterKind::Erofs);
    let tar = bench.path("layer.tar");
    let size = (5 << 30) + 7_u64;
    let mut file = File::create(&tar).unwrap();
    let mut header = header(EntryType::Regular, "big");
    header.set_size(size);
    header.set_cksum();
    file.write_all(header.as_bytes()).unwrap();
    // The tar itself has a hole here, so that the test needs no disk.
    file.write_all_at(b"THE END", 512 + size - 7).unwrap();
    file.set_len((512 + size).next_multiple_of(512) + 1024).unwrap();
    let mounted = Mounted::in_place(bench.directory.path(), &tar);
    let mut big = File::open(mounted.root().join("big")).unwrap();
    assert_eq!(big.metadata().unwrap().len(), size);
    big.seek(SeekFrom::End(-10)).unwrap();
    let mut end = Vec::new();
    big.read_to_end(&mut end).unwrap();
    assert_eq!(end, b"\0\0\0THE END");
}

fn pieces_of_sparse_files_off_the_block_grid_are_read_where_they_belong(kind: SnapshotterKind) {
    let bench = Bench::new(kind);
    let tar = bench.path("layer.tar");
    let mut builder = Builder::new(File::create(&tar).unwrap());
    let sparse = |builder: &mut Builder<File>, path: &str, size: u64, pieces: &[(u64, &[u8])]| {
        let map: Vec<_> = pieces.iter().map(|(at, data)| format!("{at},{}", data.len())).collect();
        let (size, map) = (size.to_string(), map.join(","));
        let records = [("GNU.sparse.size", size.as_bytes()), ("GNU.sparse.map", map.as_bytes())];
        builder.append_pax_extensions(records).unwrap();
        append(
            builder,
            EntryType::Regular,
            path,
            &pieces.iter().flat_map(|(_, data)| *data).copied().collect::<Vec<_>>(),
        );
    };
    let small: [(u64, &[u8]); 4] = [(10, b"ten"), (600, &[7; 2000]), (4096, &[8; 1024]), (9990, b"end")];
    sparse(&mut builder, "small", 10_000, &small);
    sparse(&mut builder, "huge", 1 << 40, &[((1 << 39) + 4096, &[9; 4096]), ((1 << 40) - 5, b"at it")]);
    builder.into_inner().unwrap();
    let mounted = bench.mount(&[tar]);
    let mut expected = vec![0; 10_000];
    for (at, data) in small {
        let at = usize::try_from(at).unwrap();
        expected[at..at + data.len()].copy_from_slice(data);
    }
    assert!(fs::read(mounted.root().join("small")).unwrap() == expected);
    let huge = File::open(mounted.root().join("huge")).unwrap();
    assert_eq!(huge.metadata().unwrap().len(), 1 << 40);
    let mut bytes = vec![1; 8192];
    huge.read_exact_at(&mut bytes, (1 << 39) + 2048).unwrap();
    assert!(bytes[..2048] == [0; 2048] && bytes[2048..6144] == [9; 4096] && bytes[6144..] == [0; 2048]);
    huge.read_exact_at(&mut bytes[..10], (1 << 40) - 10).unwrap();
    assert_eq!(&bytes[..10], b"\0\0\0\0\0at it");
}

fn layers_merge_as_if_unpacked_one_over_the_other(kind: SnapshotterKind) {
    let bench = Bench::new(kind);
    let layers: [&[(EntryType, &str, &[u8])]; 4] = [
        &[
            (EntryType::Directory, "./", b""),
            (EntryType::Directory, "usr/", b""),
            (EntryType::Directory, "usr/bin/", b""),
            (EntryType::Symlink, "bin", b"usr/bin"),
            (EntryType::Regular, "usr/bin/tool", b"first"),
            (EntryType::Regular, "usr/bin/gone", b"first"),
            (EntryType::Directory, "cache/", b""),
            (EntryType::Regular, "cache/old", b"first"),
            (EntryType::Directory, "cache/sub/", b""),
            (EntryType::Regular, "cache/sub/old", b"first"),
            (EntryType::Regular, "was-file", b"first"),
            (EntryType::Directory, "was-dir/", b""),
            (EntryType::Regular, "was-dir/x", b"first"),
        ],
        &[
            // Not described here: /usr and /usr/bin keep what layer 0 says.
            (EntryType::Regular, "bin/tool", b"second, through the link"),
            (EntryType::Regular, "usr/bin/.wh.gone", b""),
            (EntryType::Link, "hard", b"usr/bin/tool"),
            (EntryType::Directory, "cache/", b""),
            (EntryType::Regular, "cache/new", b"second"),
            (EntryType::Regular, "cache/.wh..wh..opq", b""),
            (EntryType::Directory, "was-file/", b""),
            (EntryType::Regular, "was-file/y", b"second"),
            (EntryType::Regular, "was-dir", b"second"),
        ],
        &[
            (EntryType::Regular, ".wh.nothing", b""),
            (EntryType::Link, "harder", b"hard"),
            (EntryType::Regular, "usr/bin/tool", b"third: hard and harder stay"),
            (EntryType::Directory, "cache/", b""),
            (EntryType::Regular, "cache/.wh.new", b""),
        ],
        &[(EntryType::Regular, ".wh.was-file", b""), (EntryType::Regular, "was-file", b"fourth")],
    ];
    let unpacked = bench.path("unpacked");
    fs::create_dir(&unpacked).unwrap();
    let mut tars = Vec::new();
    for (number, members) in layers.iter().enumerate() {
        let tar = bench.path(&format!("{number}.tar"));
        let mut builder = Builder::new(File::create(&tar).unwrap());
        for (kind, path, data) in *members {
            append(&mut builder, *kind, path, data);
        }
        builder.into_inner().unwrap();
        hide(&unpacked, members.iter().map(|(_, path, _)| *path));
        // GNU tar does not put a file where a directory with something in it is.
        for (_, path, _) in members.iter().filter(|(kind, ..)| *kind == EntryType::Regular) {
            if unpacked.join(path).is_dir() {
                fs::remove_dir_all(unpacked.join(path)).unwrap();
            }
        }
        unpack(&tar, &unpacked);
        tars.push(tar);
    }
    let mounted = bench.mount(&tars);
    let (mut found, mut expected) = (list(&mounted.root()), list(&unpacked));
    // Unpacking into a directory changes its time, which the merged tree leaves as it is described.
    for listing in [&mut found, &mut expected] {
        forget_times(listing, &["", "usr", "usr/bin", "cache", "was-file"]);
    }
    assert_same(&found, &expected);
    assert_eq!(fs::read(mounted.root().join("harder")).unwrap(), b"second, through the link");
}

/// Applies the marks of a layer by hand, before it is unpacked.
fn hide<'a>(root: &Path, paths: impl Iterator<Item = &'a str>) {
    for path in paths {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Some(hidden) = name.strip_prefix(".wh.") else { continue };
        let parent = root.join(parent);
        let hidden = match hidden {
            ".wh..opq" => fs::read_dir(&parent).unwrap().map(|entry| entry.unwrap().path()).collect(),
            hidden => vec![parent.join(hidden)],
        };
        for path in hidden {
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap_or_default() }
        }
    }
}

fn what_an_image_says_in_overlays_words_is_shown_and_not_obeyed(kind: SnapshotterKind) {
    let bench = Bench::new(kind);
    let tar = bench.path("layer.tar");
    let mut builder = Builder::new(File::create(&tar).unwrap());
    append(&mut builder, EntryType::Directory, "secret/", b"");
    append(&mut builder, EntryType::Regular, "secret/file", b"");
    let words = [("trusted.overlay.redirect", b"/secret".as_slice()), ("trusted.overlay.opaque", b"y")];
    builder
        .append_pax_extensions(
            words
                .map(|(name, value)| (format!("SCHILY.xattr.{name}"), value))
                .iter()
                .map(|(name, value)| (name.as_str(), *value)),
        )
        .unwrap();
    append(&mut builder, EntryType::Directory, "open/", b"");
    append(&mut builder, EntryType::Regular, "open/own", b"");
    builder.into_inner().unwrap();
    let mounted = bench.mount(&[tar]);
    let overlay = mounted.overlay(bench.directory.path());
    let open = mounted::list(&overlay.root());
    assert_eq!(open.keys().filter(|path| path.starts_with("open")).count(), 2, "{open:?}");
    let found = &open[Path::new("open")].xattrs;
    assert_eq!(found.len(), 2, "{found:?}");
    for (name, value) in words {
        assert_eq!(found[name.as_bytes()], value, "{name}");
    }
}

fn links_of_an_image_lead_nowhere_but_into_it(kind: SnapshotterKind) {
    let bench = Bench::new(kind);
    let outside = bench.path("outside");
    fs::create_dir(&outside).unwrap();
    let (tar, upper) = (bench.path("layer.tar"), bench.path("upper.tar"));
    let mut builder = Builder::new(File::create(&tar).unwrap());
    let out = outside.to_str().unwrap();
    append(&mut builder, EntryType::Symlink, "absolute", out.as_bytes());
    append(&mut builder, EntryType::Symlink, "climbing", b"../../../../../../../../../../tmp");
    append(&mut builder, EntryType::Symlink, "magic", b"/proc/self/root");
    for path in ["absolute/a", "climbing/b", "magic/c"] {
        append(&mut builder, EntryType::Regular, path, b"inside");
    }
    builder.into_inner().unwrap();
    let mut builder = Builder::new(File::create(&upper).unwrap());
    append(&mut builder, EntryType::Regular, "absolute/.wh.a", b"");
    append(&mut builder, EntryType::Link, "absolute/d", b"climbing/b");
    builder.into_inner().unwrap();
    let mounted = bench.mount(&[tar, upper]);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert!(!Path::new("/tmp/b").exists());
    let inside = |path: &str| fs::read(mounted.root().join(path)).unwrap();
    assert_eq!(inside(&format!(".{out}/d")), b"inside");
    assert_eq!(inside("tmp/b"), b"inside");
    assert_eq!(inside("proc/self/root/c"), b"inside");
}

/// Each member goes on where the link before it leads: 3,900 levels, of which a path of 4096 bytes tells half.
fn a_tree_may_be_deeper_than_any_path(kind: SnapshotterKind) {
    let bench = Bench::new(kind);
    let tar = bench.path("layer.tar");
    let mut builder = Builder::new(File::create(&tar).unwrap());
    let step = "d/".repeat(1300);
    let member = |builder: &mut Builder<File>, path: &str, target: Option<&str>| {
        let mut records = vec![("path", path.as_bytes())];
        records.extend(target.map(|target| ("linkpath", target.as_bytes())));
        builder.append_pax_extensions(records).unwrap();
        append(builder, if target.is_some() { EntryType::Symlink } else { EntryType::Regular }, "-", b"");
    };
    member(&mut builder, &format!("{step}file"), None);
    let mut start = String::new();
    for level in 0..2 {
        let link = format!("link-{level}");
        member(&mut builder, &link, Some(&format!("{start}{step}")));
        member(&mut builder, &format!("{link}/{step}file"), None);
        start = format!("{link}/");
    }
    builder.into_inner().unwrap();
    let mounted = bench.mount(&[tar]);
    let (mut depth, mut files) = (0, 0);
    let mut directory = mounted.open();
    while let Ok(below) = rustix::fs::openat(&directory, "d", rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()) {
        files += usize::from(rustix::fs::statat(&directory, "file", rustix::fs::AtFlags::empty()).is_ok());
        (directory, depth) = (below, depth + 1);
    }
    assert!(rustix::fs::statat(&directory, "file", rustix::fs::AtFlags::empty()).is_ok());
    assert_eq!((depth, files), (3900, 2));
    // Whoever else cleans up here would go one descriptor deeper with each level.
    drop((directory, mounted));
    Store::open(&bench.path("store")).images().prune(true, &|_| None, &Recorder::silent()).unwrap();
}

fn a_debian_root_looks_as_if_unpacked(kind: SnapshotterKind) {
    let bench = Bench::new(kind);
    let tar = debian();
    let unpacked = bench.path("unpacked");
    let mounted = bench.mount(std::slice::from_ref(&tar));
    unpack(&tar, &unpacked);
    let found = list(&mounted.root());
    assert!(found.len() > 2_000, "{}", found.len());
    assert_same(&found, &list(&unpacked));
}

/// Returns the tar of a Debian root, bootstrapped once a machine and kept beside other temporary files.
fn debian() -> PathBuf {
    let cache = std::env::temp_dir().join("conductor-cache");
    let tar = cache.join("bookworm-minbase.tar");
    if tar.exists() {
        return tar;
    }
    fs::create_dir_all(&cache).unwrap();
    let work = tempfile::tempdir_in(&cache).unwrap();
    let root = work.path().join("root");
    run(Command::new("debootstrap").args(["--variant=minbase", "bookworm"]).arg(&root));
    let made = work.path().join("tar");
    source::pack(&root, &made, &["--format=posix"]);
    fs::rename(made, &tar).unwrap();
    tar
}

fn header(kind: EntryType, path: &str) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_mode(if kind == EntryType::Directory { 0o750 } else { 0o640 });
    header.set_uid(12);
    header.set_gid(34);
    header.set_mtime(1_500_000_000);
    header
}

/// Appends a member; of a link, the data is the target.
fn append(builder: &mut Builder<File>, kind: EntryType, path: &str, data: &[u8]) {
    let mut header = header(kind, path);
    let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
    let data = if is_link {
        header.as_old_mut().linkname[..data.len()].copy_from_slice(data);
        b""
    } else {
        data
    };
    header.set_size(data.len() as u64);
    header.set_cksum();
    builder.append(&header, data).unwrap();
}
