//! Containers whose images are unpacked into directories.

use std::path::PathBuf;

use engine::Status;
use serde_json::{Value, json};
use trace::Recorder;

use crate::sandbox::{IMAGE, Ran, Sandbox, request};

fn call(sandbox: &Sandbox, words: &[&str], snapshotter: &str) -> Ran {
    Ran(sandbox.verb(words).env("SNAPSHOTTER", snapshotter).output().unwrap())
}

fn sh(sandbox: &Sandbox, script: &str, more: Value) -> Ran {
    let mut more = more;
    more["remove_on_exit"] = true.into();
    call(sandbox, &["run", &request(&["sh", "-c", script], more).to_string()], "directory")
}

fn start(sandbox: &Sandbox, name: &str, script: &str, more: Value) {
    let mut more = more;
    more["name"] = name.into();
    let request = request(&["sh", "-c", script], more).to_string();
    call(sandbox, &["run-detached", &request], "directory").ok();
}

/// The trees of the sandbox's store.
fn trees(sandbox: &Sandbox) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(sandbox.engine().store().layout().trees()).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Returns how many processes have this directory open.
fn holders(tree: &PathBuf) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path().join("fd"));
    let has = |fds: PathBuf| {
        let mut fds = std::fs::read_dir(fds).into_iter().flatten().flatten();
        fds.any(|fd| std::fs::read_link(fd.path()).is_ok_and(|target| target == *tree))
    };
    processes.filter(|fds| has(fds.clone())).count()
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    testkit::until(what, || is_so().then_some(()));
}

/// An image with a program that runs as its owner, one that may open raw sockets, a device and a sticky directory.
fn import_special(sandbox: &Sandbox) {
    let mut builder = tar::Builder::new(Vec::new());
    let mut append = |kind, path: &str, mode, uid, xattr: Option<&[u8]>, data: &[u8]| {
        if let Some(value) = xattr {
            builder.append_pax_extensions([("SCHILY.xattr.security.capability", value)]).unwrap();
        }
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(uid);
        header.set_size(data.len() as u64);
        if kind == tar::EntryType::Char {
            header.set_device_major(1).unwrap();
            header.set_device_minor(5).unwrap();
        }
        builder.append_data(&mut header, path, data).unwrap();
    };
    let busybox = std::fs::read(testkit::fixture::BUSYBOX).unwrap();
    append(tar::EntryType::Directory, "bin/", 0o755, 0, None, b"");
    append(tar::EntryType::Regular, "bin/busybox", 0o755, 0, None, &busybox);
    append(tar::EntryType::Regular, "bin/sh", 0o755, 0, None, &busybox);
    append(tar::EntryType::Regular, "bin/id", 0o4755, 1234, None, &busybox);
    // cap_net_raw=ep, version 2.
    let raw = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    append(tar::EntryType::Regular, "bin/cat", 0o755, 0, Some(raw), &busybox);
    append(tar::EntryType::Directory, "devices/", 0o1777, 7, None, b"");
    append(tar::EntryType::Char, "devices/zero", 0o666, 0, None, b"");
    let tar = builder.into_inner().unwrap();
    let options = image::ImportOptions {
        names: vec!["special".parse().unwrap()],
        changes: Vec::new(),
        message: None,
        platform: None,
        created: jiff::Timestamp::UNIX_EPOCH,
    };
    image::import(sandbox.engine().store(), tar.as_slice(), &options, &Recorder::silent()).unwrap();
}

pub(crate) fn an_unpacked_image_is_run_like_any_other() {
    let sandbox = Sandbox::new();
    import_special(&sandbox);
    let look = "busybox id -u; /bin/cat /proc/self/status | busybox grep CapEff; \
                busybox stat -c '%a %u %F' /bin/id /devices /devices/zero";
    let (raw, security) = (json!(["NET_RAW"]), json!({"no_new_privileges": false}));
    let more = json!({"image": "special", "user": "99", "cap_drop": ["ALL"], "cap_add": raw, "security": security});
    let out = sh(&sandbox, look, more).ok();
    insta::assert_snapshot!(out.replace('\t', " "), @r"
    99
    CapEff: 0000000000002000
    4755 1234 regular file
    1777 7 directory
    666 0 character special file
    ");
    let change = "echo mine > /bin/id; echo new > /devices/new; busybox cat /bin/id /devices/new; \
                  busybox rm -r /devices; busybox ls /";
    let out = sh(&sandbox, change, json!({"image": "special"})).ok();
    assert!(out.starts_with("mine\nnew\n") && !out.contains("devices"), "{out}");
    let again = "busybox ls /devices; busybox head -c 3 /devices/zero | busybox wc -c";
    let out = sh(&sandbox, again, json!({"image": "special", "privileged": true})).ok();
    assert_eq!(out, "zero\n3\n", "nothing of it has reached the image");
    assert_eq!(trees(&sandbox).len(), 1);
    sandbox.assert_empty();
}

pub(crate) fn what_a_container_runs_from_stays_whatever_is_swept() {
    let sandbox = Sandbox::new();
    start(&sandbox, "eg", "while :; do sleep 0.1; done", json!({}));
    let tree = trees(&sandbox).pop().unwrap();
    assert_eq!(holders(&tree), 1, "the monitor, and nobody else");
    // As if somebody had removed the image by hand.
    let engine = sandbox.engine();
    let image = engine.store().images().resolve(IMAGE).unwrap();
    let (record, kept) = (engine.store().layout().record(&image.id), sandbox.root().join("kept"));
    std::fs::rename(&record, &kept).unwrap();
    engine.store().sweep(&Recorder::silent()).unwrap();
    assert!(trees(&sandbox).is_empty());
    assert_eq!(sandbox.call(&["exec", "eg", "cat", "/etc/group"]).ok().lines().count(), 5);
    sandbox.call(&["rmf", "eg"]).ok();
    wait_until("the tree goes with its last user", || {
        engine.store().sweep(&Recorder::silent()).unwrap();
        std::fs::read_dir(engine.store().layout().tmp()).unwrap().next().is_none()
    });
}

pub(crate) fn a_restart_keeps_to_the_snapshotter_that_was_chosen() {
    let sandbox = Sandbox::new();
    let script = "test -e /been && while :; do sleep 0.1; done; touch /been; exit 1";
    start(&sandbox, "eg", script, json!({"restart": "on-failure"}));
    wait_until("it is started again", || {
        let state = sandbox.engine().state(&sandbox.find("eg")).unwrap();
        (state.restarts, state.status) == (1, Status::Running)
    });
    let tree = trees(&sandbox).pop().unwrap();
    wait_until("the new monitor holds the tree", || holders(&tree) == 1);
    sandbox.call(&["rmf", "eg"]).ok();
    sandbox.assert_empty();
}

pub(crate) fn a_container_moves_from_one_snapshotter_to_the_other() {
    let sandbox = Sandbox::new();
    let script = "echo $(cat /etc/count 2>/dev/null)x > /etc/count; rm -f /etc/group; ls /etc; cat /etc/count";
    call(&sandbox, &["run", &request(&["sh", "-c", script], json!({"name": "eg"})).to_string()], "erofs").ok();
    for (snapshotter, count) in [("directory", "xx"), ("auto", "xxx"), ("directory", "xxxx")] {
        call(&sandbox, &["start", "eg"], snapshotter).ok();
        sandbox.call(&["wait", "eg"]).ok();
        let log = sandbox.call(&["logs", "eg"]).ok();
        assert!(log.ends_with(&format!("passwd\nresolv.conf\n{count}\n")), "{snapshotter}: {log}");
    }
    sandbox.call(&["rmf", "eg"]).ok();
    sandbox.assert_empty();
}

pub(crate) fn an_unpacked_image_can_be_explained() {
    let sandbox = Sandbox::new();
    let request = request(&["true"], json!({})).to_string();
    let told = call(&sandbox, &["script", &request], "directory").ok();
    let tree = trees(&sandbox).pop().unwrap();
    assert!(told.contains(&format!("mount -o bind,ro {} \"$lower\"", tree.display())), "{told}");
}
