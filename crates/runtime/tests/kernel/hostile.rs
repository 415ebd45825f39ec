//! Roots that point outside. Whatever they hold, the host is not touched.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::json;

use crate::harness::Case;

const TARGETS: [&str; 4] = ["/outside", "../../../../../../../../outside", "/proc/self/root/outside", "/proc/1/root"];

/// A directory on the host that a link of the image points to, by the same path.
fn with_bait(case: &Case) -> std::path::PathBuf {
    let bait = case.path("bait");
    fs::create_dir(&bait).unwrap();
    fs::write(bait.join("file"), "host").unwrap();
    bait
}

fn assert_untouched(bait: &Path) {
    let names: Vec<_> = fs::read_dir(bait).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["file"]);
    assert_eq!(fs::read_to_string(bait.join("file")).unwrap(), "host");
}

fn replace_by_link(root: &Path, name: &str, target: impl AsRef<Path>) {
    let at = root.join(name);
    if at.symlink_metadata().is_ok() {
        fs::remove_dir(&at).unwrap();
    }
    symlink(target, at).unwrap();
}

#[test]
fn proc_and_sys_as_links_are_refused() {
    for name in ["proc", "sys"] {
        for target in TARGETS {
            let case = Case::sh("true");
            replace_by_link(&case.rootfs(), name, target);
            let (_, text) = case.fails();
            assert!(text.contains("ELOOP"), "{name} -> {target}: {text}");
        }
    }
}

#[test]
fn dev_as_a_link_stays_inside() {
    for target in TARGETS {
        let case = Case::sh("ls -d /dev/. && test -c /dev/null && echo inside");
        let bait = with_bait(&case);
        replace_by_link(&case.rootfs(), "dev", target);
        match case.start() {
            Ok(running) => drop(running.ends().prints()),
            Err(error) => println!("{target}: {error}"),
        }
        assert_untouched(&bait);
        assert!(!Path::new("/outside").exists());
    }
}

#[test]
fn links_to_a_host_directory_never_reach_it() {
    for name in ["dev", "work", "tmp", "mnt"] {
        for up in ["", "../../../../../../../.."] {
            let case = Case::sh("touch /work/x /mnt/x; true")
                .set("/process/cwd", json!("/work/sub"))
                .mount("/mnt/point", "tmpfs", Path::new("tmpfs"), &[])
                .set("/root/readonly", json!(false));
            let bait = with_bait(&case);
            replace_by_link(&case.rootfs(), name, format!("{up}{}", bait.display()));
            match case.start() {
                Ok(running) => drop(running.ends()),
                Err(error) => println!("{name}: {error}"),
            }
            assert_untouched(&bait);
        }
    }
}

#[test]
fn a_pts_link_stays_inside() {
    let case = Case::sh("true").edit(|spec| {
        // Without a tmpfs of its own, /dev is the image's.
        spec["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/dev");
    });
    let bait = with_bait(&case);
    symlink(&bait, case.rootfs().join("dev/pts")).unwrap();
    if let Ok(running) = case.start() {
        drop(running.ends());
    }
    assert_untouched(&bait);
}

#[test]
fn a_working_directory_that_is_a_magic_link_is_refused() {
    for cwd in ["/proc/self/fd/7", "/proc/self/fd/3", "/proc/1/cwd/../..", "/link"] {
        let case = Case::sh("pwd").set("/process/cwd", json!(cwd));
        symlink("/proc/self/fd/5", case.rootfs().join("link")).unwrap();
        match case.start() {
            Ok(running) => {
                let outcome = running.ends();
                assert!(outcome.stdout.starts_with('/'), "{cwd}: {outcome:?}");
                assert!(!outcome.stdout.contains("conductor-test"), "{cwd}: {outcome:?}");
            }
            Err(error) => println!("{cwd}: {error}"),
        }
    }
}

#[test]
fn a_false_null_device_hides_nothing_and_is_told() {
    let case = Case::sh("true").edit(|spec| {
        spec["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/dev");
        spec["mounts"]
            .as_array_mut()
            .unwrap()
            .retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev/"));
        spec["linux"]["maskedPaths"] = json!(["/secret"]);
    });
    fs::write(case.rootfs().join("secret"), "secret").unwrap();
    symlink("/proc/sys/kernel/core_pattern", case.rootfs().join("dev/null")).unwrap();
    let (_, text) = case.fails();
    assert!(text.contains("/dev/null") && text.contains("EEXIST"), "{text}");
    // A spec may put another device there.
    let zero = json!([{ "path": "/dev/null", "type": "c", "major": 1, "minor": 5 }]);
    let case = Case::sh("true").set("/linux/devices", zero).set("/linux/maskedPaths", json!(["/secret"]));
    fs::write(case.rootfs().join("secret"), "secret").unwrap();
    let (_, text) = case.fails();
    assert!(text.contains("hide /secret") && text.contains("not the null device"), "{text}");
}

#[test]
fn a_root_that_is_reached_by_a_link_is_fine() {
    let case = Case::sh("echo in").set("/root/path", json!("link"));
    symlink("rootfs", case.bundle.path.join("link")).unwrap();
    case.run().says(&["in"]);
    let (_, text) = Case::sh("true").set("/root/path", json!("missing")).fails();
    assert!(text.contains("missing") && text.contains("ENOENT"), "{text}");
}

#[test]
fn our_binary_cannot_be_written_from_inside() {
    // The container sees the host's processes, is root, and may trace; the runtime is held at the gate meanwhile.
    let case = Case::sh("true").without("pid").privileged().set("/process/noNewPrivileges", json!(false));
    // The test is the runtime: what is tried on it could be tried on every process that joins a container.
    // Truncating asks the mount before it asks whether the file is being executed.
    let script = format!("{{ : > /proc/{}/exe; }} 2>&1 | grep -o 'Read-only file system'", sys::process::id());
    let case = case.set("/process/args", json!(["/bin/sh", "-c", script]));
    case.run().says(&["Read-only file system"]);
}
