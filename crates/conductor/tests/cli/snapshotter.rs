//! The choice between images that are mounted and images that are unpacked.

use crate::{IMAGE, busybox};
use testkit::{Conductor, Sandbox};

/// Calls the program with a snapshotter chosen in its configuration.
fn with(sandbox: &Sandbox, snapshotter: &str, words: &[&str]) -> Conductor {
    let path = sandbox.work().join(format!("{snapshotter}.json"));
    std::fs::write(&path, format!("{{\"snapshotter\": \"{snapshotter}\"}}")).unwrap();
    sandbox.conductor(words).env("CONDUCTOR_CONFIG", path)
}

fn trees(sandbox: &Sandbox) -> usize {
    std::fs::read_dir(sandbox.root().join("trees")).map_or(0, Iterator::count)
}

#[test]
fn an_image_is_unpacked_where_that_is_chosen_and_mounted_where_it_is_not() {
    let sandbox = busybox();
    let run = ["run", "--rm", "--network", "none", IMAGE, "sh", "-c"];
    let script = |script| [&run[..], &[script]].concat();
    let change = script("echo changed > /etc/passwd && cat /etc/passwd && ls -ld /tmp | cut -c1-10");
    let read = script("head -n 1 /etc/passwd");
    assert_eq!(with(&sandbox, "directory", &change).ok(), "changed\ndrwxrwxrwt");
    assert_eq!(trees(&sandbox), 1);
    for snapshotter in ["erofs", "directory", "auto"] {
        assert_eq!(with(&sandbox, snapshotter, &read).ok(), "root:x:0:0:root:/root:/bin/sh", "{snapshotter}");
    }
    let told = with(&sandbox, "directory", &[&["--explain"], &read[..]].concat()).run().success().stderr;
    assert!(told.contains("mount -o bind,ro"), "{told}");
    assert!(with(&sandbox, "folder", &["ps"]).fails(1).contains("folder.json"));
    sandbox.assert_clean();
}

#[test]
fn an_unpacked_image_goes_with_the_image() {
    let sandbox = busybox();
    with(&sandbox, "directory", &["run", "-d", "--name", "eg", "--network", "none", IMAGE, "sleep", "1000"])
        .run()
        .success();
    sandbox.conductor(["rmi", IMAGE]).fails(1);
    sandbox.conductor(["rmi", "-f", IMAGE]).run().success();
    assert_eq!(trees(&sandbox), 1, "a container runs from it");
    assert_eq!(sandbox.conductor(["exec", "eg", "cat", "/etc/group"]).ok().lines().count(), 5);
    sandbox.conductor(["rm", "-f", "eg"]).run().success();
    sandbox.conductor(["image", "prune", "-f"]).run().success();
    assert_eq!(trees(&sandbox), 0);
    sandbox.assert_clean();
}
