//! The container's file system.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::harness::Case;

/// Puts a tmpfs on a directory of the test's own mount namespace.
fn tmpfs_at(path: &Path) {
    let tmpfs = sys::mount::Filesystem::open("tmpfs").unwrap().mount(sys::mount::MountAttrFlags::empty()).unwrap();
    sys::mount::attach(tmpfs, sys::path::open_host(path).unwrap()).unwrap();
}

#[test]
fn the_usual_file_systems_are_where_programs_look_for_them() {
    let script = "for at in /proc /sys /dev /dev/pts /dev/shm /dev/mqueue /sys/fs/cgroup; do \
                  awk -v at=$at '$5 == at { sub(/.* - /, \"\"); print at, $1 }' /proc/self/mountinfo; done; \
                  ps >/dev/null && free >/dev/null && df >/dev/null 2>&1 && echo tools";
    let text = Case::sh(script).run().prints();
    let mut lines = text.lines();
    for expected in
        ["/proc proc", "/sys sysfs", "/dev tmpfs", "/dev/pts devpts", "/dev/shm tmpfs", "/dev/mqueue mqueue"]
    {
        assert_eq!(lines.next(), Some(expected), "{text}");
    }
    assert!(lines.next().unwrap().starts_with("/sys/fs/cgroup "), "{text}");
    assert_eq!(lines.next(), Some("tools"), "{text}");
}

#[test]
fn a_tmpfs_takes_its_options() {
    let case = Case::sh("stat -c %a /scratch; df -k /scratch | awk 'END { print $2 }'; grep ' /scratch ' /proc/mounts")
        .mount("/scratch", "tmpfs", Path::new("tmpfs"), &["nosuid", "noexec", "size=1024k", "mode=1750", "ro"]);
    let text = case.run().prints();
    assert!(text.starts_with("1750\n1024\n"), "{text}");
    for word in ["ro,", "nosuid", "noexec"] {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn a_tmpfs_takes_a_copy_of_what_the_image_has() {
    let case = Case::sh(
        "cat /etc/new/deep; stat -c %a /etc; readlink /etc/link; head -c4 /etc/passwd; echo; echo x > /etc/mine",
    )
    .mount("/etc", "tmpfs", Path::new("tmpfs"), &["tmpcopyup"]);
    let etc = case.rootfs().join("etc");
    fs::create_dir(etc.join("new")).unwrap();
    fs::write(etc.join("new/deep"), "deep\n").unwrap();
    std::os::unix::fs::symlink("/outside", etc.join("link")).unwrap();
    case.run().says(&["deep", "755", "/outside", "root"]);
    assert!(!etc.join("mine").exists());
}

#[test]
fn directories_and_files_are_bound() {
    let case = Case::sh("cat /in/data /one/file; echo back > /in/answer; echo x > /one/file 2>&1 || echo refused");
    let (source, file) = (case.path("source"), case.path("file"));
    fs::create_dir(&source).unwrap();
    fs::write(source.join("data"), "data\n").unwrap();
    fs::write(&file, "file\n").unwrap();
    let case = case.mount("/in", "bind", &source, &["rbind"]).mount("/one/file", "bind", &file, &["bind", "ro"]);
    let text = case.run().prints();
    assert!(text.starts_with("data\nfile\n") && text.ends_with("refused\n"), "{text}");
    assert_eq!(fs::read_to_string(source.join("answer")).unwrap(), "back\n");
    assert_eq!(fs::read_to_string(&file).unwrap(), "file\n");
}

#[test]
fn a_relative_source_lies_in_the_bundle() {
    let case = Case::sh("cat /data").mount("/data", "bind", Path::new("data"), &["bind"]);
    fs::write(case.bundle.path.join("data"), "here\n").unwrap();
    case.run().says(&["here"]);
}

#[test]
fn recursive_read_only_reaches_the_mounts_below() {
    let plain = Case::sh("for at in /in /in/sub; do touch $at/x 2>/dev/null && echo wrote || echo refused; done");
    let source = plain.path("source");
    fs::create_dir_all(source.join("sub")).unwrap();
    tmpfs_at(&source.join("sub"));
    let plain = plain.mount("/in", "bind", &source, &["rbind", "ro"]);
    assert_eq!(plain.start().unwrap().ends().prints(), "refused\nwrote\n", "ro is of one mount");
    fs::remove_file(source.join("sub/x")).unwrap();
    let recursive = Case::sh("for at in /in /in/sub; do touch $at/x 2>/dev/null && echo wrote || echo refused; done")
        .mount("/in", "bind", &source, &["rbind", "rro"]);
    recursive.run().says(&["refused", "refused"]);
}

#[test]
fn propagation_is_what_the_options_say() {
    let show = "awk '$5 == \"/in\" { for (i = 7; $i != \"-\"; i++) print $i }' /proc/self/mountinfo";
    for (option, expected) in [("rprivate", ""), ("rslave", "master:"), ("rshared", "shared:")] {
        let case = Case::sh(show);
        let source = case.path("source");
        fs::create_dir(&source).unwrap();
        tmpfs_at(&source);
        sys::mount::set_propagation(&source, sys::mount::Propagation::Shared, false).unwrap();
        let text = case.mount("/in", "bind", &source, &["rbind", option]).start().unwrap().ends().prints();
        assert!(text.trim().starts_with(expected) && text.trim().is_empty() == expected.is_empty(), "{option}: {text}");
    }
}

#[test]
fn mounts_travel_through_a_shared_bind_and_into_a_slave() {
    let case =
        Case::sh("mkdir /in/made; mount -t tmpfs tmpfs /in/made 2>&1 || exit 1; echo up; exec sleep 1000").privileged();
    let source = case.path("source");
    fs::create_dir(&source).unwrap();
    tmpfs_at(&source);
    sys::mount::set_propagation(&source, sys::mount::Propagation::Shared, false).unwrap();
    let case = case.mount("/in", "bind", &source, &["rbind", "rshared"]);
    let running = case.start().unwrap();
    assert_eq!(running.line(), "up");
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    assert!(mounts.contains("source/made"), "what the container mounts shows outside");
    running.kill();

    let slave =
        Case::sh("echo up; read x < /in/go; cat /in/late/data; ").mount("/in", "bind", &source, &["rbind", "rslave"]);
    // The second case has a mount namespace of its own again.
    sys::mount::set_propagation(&source, sys::mount::Propagation::Shared, false).unwrap();
    std::process::Command::new("mkfifo").arg(source.join("go")).status().unwrap();
    fs::create_dir(source.join("late")).unwrap();
    let running = slave.start().unwrap();
    assert_eq!(running.line(), "up");
    tmpfs_at(&source.join("late"));
    fs::write(source.join("late/data"), "late\n").unwrap();
    fs::write(source.join("go"), "\n").unwrap();
    running.ends().says(&["late"]);
}

#[test]
fn the_roots_propagation_is_set() {
    let show = "awk '$5 == \"/\" { print $7 }' /proc/self/mountinfo | cut -d: -f1";
    Case::sh(show).set("/linux/rootfsPropagation", json!("shared")).run().says(&["shared"]);
    Case::sh(show).run().says(&["-"]);
    let (_, text) = Case::sh("true").set("/linux/rootfsPropagation", json!("sideways")).fails();
    assert!(text.contains("sideways"), "{text}");
}

#[test]
fn masked_paths_show_nothing_and_read_only_paths_refuse() {
    let script = "cat /secret; ls /hidden; echo x > /dev/null && echo null; touch /fixed/x 2>/dev/null || echo refused; \
                  echo 1 > /proc/sys/kernel/panic 2>/dev/null || echo refused; ls /proc/scsi | wc -l";
    let case = Case::sh(script).privileged().edit(|spec| {
        let masked = spec["linux"]["maskedPaths"].as_array_mut().unwrap();
        masked.extend([json!("/secret"), json!("/hidden"), json!("/not/there")]);
        spec["linux"]["readonlyPaths"].as_array_mut().unwrap().extend([json!("/fixed"), json!("/nor/here")]);
    });
    fs::write(case.rootfs().join("secret"), "secret\n").unwrap();
    fs::create_dir_all(case.rootfs().join("hidden/deep")).unwrap();
    fs::create_dir(case.rootfs().join("fixed")).unwrap();
    case.run().says(&["null", "refused", "refused", "0"]);
}

#[test]
fn a_read_only_root_still_gets_its_mount_points_and_working_directory() {
    let case = Case::sh("pwd; touch /x 2>/dev/null || echo refused; touch /new/deep/x /dev/shm/x && echo writes")
        .set("/root/readonly", json!(true))
        .set("/process/cwd", json!("/work/here"))
        .mount("/new/deep", "tmpfs", Path::new("tmpfs"), &[]);
    case.run().says(&["/work/here", "refused", "writes"]);
}

#[test]
fn the_devices_and_links_are_there() {
    let script = "for n in null zero full random urandom tty; do stat -c '%n %F %t %T %a' /dev/$n; done; \
                  for l in fd stdin stdout stderr ptmx; do echo $l $(readlink /dev/$l); done; \
                  echo x > /dev/null; head -c 3 /dev/zero | wc -c; echo y > /dev/stdout";
    let text = Case::sh(script).run().prints();
    assert!(text.contains("/dev/null character special file 1 3 666"), "{text}");
    assert!(text.contains("/dev/tty character special file 5 0 666"), "{text}");
    for line in ["fd /proc/self/fd", "stdin /proc/self/fd/0", "ptmx pts/ptmx", "3", "y"] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
}

#[test]
fn devices_of_the_spec_are_made_with_owner_and_mode() {
    let devices = json!([
        { "path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 432, "uid": 5, "gid": 6 },
        { "path": "/dev/sub/fifo", "type": "p", "major": 0, "minor": 0, "fileMode": 384 },
        { "path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 438 },
    ]);
    let script =
        "stat -c '%F %t %T %a %u %g' /dev/fuse; stat -c '%F %a' /dev/sub/fifo; echo x > /dev/null && echo null";
    Case::sh(script).set("/linux/devices", devices).run().says(&[
        "character special file a e5 660 5 6",
        "fifo 600",
        "null",
    ]);
}

#[test]
fn a_mount_that_the_kernel_refuses_is_named_with_its_words() {
    let case = Case::sh("true").mount("/x", "tmpfs", Path::new("tmpfs"), &["no-such-option=1"]);
    let (_, text) = case.fails();
    assert!(text.contains("mount a new tmpfs on /x") && text.contains("no-such-option"), "{text}");
    let (_, text) = Case::sh("true").mount("/x", "bind", Path::new("/no/such/source"), &["bind"]).fails();
    assert!(text.contains("/no/such/source") && text.contains("ENOENT"), "{text}");
    let (_, text) = Case::sh("true").mount("/x", "nosuchfs", Path::new("x"), &[]).fails();
    assert!(text.contains("nosuchfs") && text.contains("ENODEV"), "{text}");
}

#[test]
fn the_host_sees_none_of_the_mounts() {
    let case = Case::sh("echo up; exec sleep 1000");
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let running = case.start().unwrap();
    assert_eq!(running.line(), "up");
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), before);
    running.kill();
}
