//! A tree of everything that is hard to keep, on a real file system, for real tars to pack.

use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt, chown, lchown, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, lsetxattr, makedev, mknodat};

use super::mounted::{name, run};

/// Makes the tree.
pub(super) fn make(root: &Path) {
    fs::create_dir_all(root.join("dir/empty")).unwrap();
    sizes(root);
    names(root);
    nodes(root);
    links(root);
    owners(root);
    holes(root);
    attributes(root);
    // Last, because all of the above changes directories.
    times(root);
}

fn sizes(root: &Path) {
    for size in [0, 1, 511, 512, 513, 4095, 4096, 4097, 100_000, 3_000_000] {
        let bytes: Vec<u8> = (0..size).map(|at: usize| (at / 512 + at).to_le_bytes()[0]).collect();
        fs::write(root.join(format!("dir/size-{size}")), bytes).unwrap();
    }
}

fn names(root: &Path) {
    fs::write(root.join(name(vec![b'n'; 255])), b"long").unwrap();
    fs::write(root.join(name(b"new\nline \\ \xff\xfe \"quote'".to_vec())), b"odd").unwrap();
    let deep = (0..12).fold(root.join("deep"), |path, level| path.join(format!("{level}").repeat(60)));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), b"deep down").unwrap();
    // Before and after the dots, and names that are each other's start.
    for name in ["!", "+", "-", ".a", "...", "0", "a", "aa", "aaa", "b"] {
        fs::create_dir_all(root.join("sorted").join(name)).unwrap();
    }
    let many = root.join("many");
    fs::create_dir(&many).unwrap();
    for number in 0..700 {
        fs::write(many.join(format!("{}{number}", "x".repeat(number % 200))), number.to_string()).unwrap();
    }
}

fn nodes(root: &Path) {
    let mode = Mode::from_raw_mode(0o640);
    for (name, kind, device) in [
        ("null", FileType::CharacterDevice, makedev(1, 3)),
        ("far", FileType::CharacterDevice, makedev(4095, 0xf_ffff)),
        ("disk", FileType::BlockDevice, makedev(259, 300)),
        ("pipe", FileType::Fifo, 0),
    ] {
        mknodat(CWD, root.join(name), kind, mode, device).unwrap();
    }
}

fn links(root: &Path) {
    fs::write(root.join("one"), b"one file, three names").unwrap();
    fs::hard_link(root.join("one"), root.join("dir/two")).unwrap();
    fs::hard_link(root.join("one"), root.join("three")).unwrap();
    for length in [1, 60, 400, 479, 480, 481, 511, 512, 513, 1000, 4000] {
        let target = format!("{:/<length$}", "/");
        symlink(target, root.join(format!("link-{length}"))).unwrap();
    }
    symlink("../nowhere/at all", root.join("dangling")).unwrap();
    fs::hard_link(root.join("dangling"), root.join("dangling too")).unwrap();
}

fn owners(root: &Path) {
    let file = root.join("owned");
    fs::write(&file, b"by many").unwrap();
    chown(&file, Some(4_000_000_000), Some(4_294_967_294)).unwrap();
    lchown(root.join("link-60"), Some(70_000), Some(1)).unwrap();
    for (name, mode) in [("suid", 0o4755), ("sgid", 0o2711), ("none", 0o000), ("all", 0o7777)] {
        fs::write(root.join(name), name).unwrap();
        fs::set_permissions(root.join(name), Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(root.join("dir/empty"), Permissions::from_mode(0o1777)).unwrap();
}

fn holes(root: &Path) {
    let file = |name: &str, size: u64, pieces: &[(u64, usize)]| {
        let file = File::create(root.join(name)).unwrap();
        for (offset, length) in pieces {
            file.write_all_at(&vec![b'd'; *length], *offset).unwrap();
        }
        file.set_len(size).unwrap();
    };
    file("hole-only", 10_000_000, &[]);
    file("hole-start", 1_000_000, &[(900_001, 99_999)]);
    file("hole-end", 5_000_000, &[(0, 10)]);
    let many: Vec<_> = (0..60).map(|at| (at * 100_000, 777)).collect();
    file("hole-many", 6_000_000, &many);
    file("hole-huge", 200 << 30, &[(100 << 30, 4096)]);
}

fn attributes(root: &Path) {
    let set = |path: &str, name: &str, value: &[u8]| {
        lsetxattr(root.join(path), name, value, XattrFlags::empty()).unwrap();
    };
    // cap_net_raw=ep, version 2.
    set("suid", "security.capability", b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    set("dir", "user.mark", b"a directory");
    set("dir/size-1", "user.empty", b"");
    set("dir/size-1", "user.binary", b"\0\x01=\n\xff");
    set("dir/size-1", "trusted.note", &[b't'; 1000]);
    for name in ["dir/size-511", "dir/size-512", "dir/size-513", "link-60", "null"] {
        set(name, "trusted.common", b"the same for several files");
    }
    let acl = |entries: &[(u16, u16, u32)]| {
        let entry = |&(tag, bits, id): &(u16, u16, u32)| {
            [&tag.to_le_bytes()[..], &bits.to_le_bytes(), &id.to_le_bytes()].concat()
        };
        [&2_u32.to_le_bytes()[..], &entries.iter().flat_map(entry).collect::<Vec<_>>()].concat()
    };
    let list = acl(&[(1, 6, u32::MAX), (2, 4, 1000), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 4, u32::MAX)]);
    set("dir/size-1", "system.posix_acl_access", &list);
    set("sorted", "system.posix_acl_default", &list);
}

fn times(root: &Path) {
    let set = |path: &str, time| {
        let file = File::open(root.join(path)).unwrap();
        file.set_times(FileTimes::new().set_modified(time)).unwrap();
    };
    set("one", UNIX_EPOCH + Duration::new(1_600_000_000, 123_456_789));
    set("all", UNIX_EPOCH - Duration::new(3, 500_000_000));
    set("owned", UNIX_EPOCH + Duration::from_secs(1 << 32));
    set("sorted", UNIX_EPOCH + Duration::new(1, 1));
    set("dir", UNIX_EPOCH);
}

/// Packs a tree with GNU tar.
pub(super) fn pack(root: &Path, tar: &Path, options: &[&str]) {
    run(Command::new("tar")
        .args(["--create", "--numeric-owner", "--file"])
        .arg(tar)
        .args(options)
        .arg("-C")
        .arg(root)
        .arg("."));
}
