//! An image's files without a container: `image diff`, `image mount` and `image unmount`.

use std::path::Path;

use testkit::{Conductor, Sandbox};

use crate::{IMAGE, busybox, sandbox};

fn lines(sandbox: &Sandbox, words: &[&str]) -> Vec<String> {
    sandbox.conductor(words).ok().lines().map(str::to_owned).collect()
}

/// Imports a tree that a script makes.
fn made(sandbox: &Sandbox, name: &str, script: &str) {
    let script = format!(
        "cd {:?}; rm -rf tree; mkdir tree; cd tree; {script}; tar --sort=name -cf ../{name}.tar .",
        sandbox.work()
    );
    Conductor::new("sh").args(["-ec", &script]).run().success();
    sandbox.conductor(["import"]).arg(sandbox.work().join(format!("{name}.tar"))).arg(name).run().success();
}

#[test]
fn what_a_commit_added_is_what_the_container_had_changed() {
    let sandbox = busybox();
    let change = "echo new > /etc/passwd; rm /etc/group; mkdir -p /n/e; ln -s x /n/link; rm -r /home; chmod 711 /root";
    sandbox.conductor(["run", "--name", "one", "--network", "none", IMAGE, "sh", "-ec", change]).run().success();
    let changed = lines(&sandbox, &["diff", "one"]);
    sandbox.conductor(["commit", "one", "changed"]).run().success();
    assert_eq!(lines(&sandbox, &["image", "diff", "changed"]), changed);
    assert_eq!(lines(&sandbox, &["image", "diff", "changed", IMAGE]), changed);
    assert_eq!(lines(&sandbox, &["image", "diff", "changed", "changed"]), [""; 0]);
    let back = lines(&sandbox, &["image", "diff", IMAGE, "changed"]);
    for line in ["C /etc/passwd", "A /etc/group", "A /home", "D /n", "C /root"] {
        assert!(back.iter().any(|found| found == line), "{line} is not in {back:?}");
    }
    assert!(!back.iter().any(|line| line.contains("/n/")), "{back:?}");
    // An image of one layer has nothing below it: all of it is new.
    let whole = lines(&sandbox, &["image", "diff", IMAGE]);
    assert!(whole.contains(&"A /bin/busybox".to_owned()) && whole.iter().all(|line| !line.starts_with('D')));
    sandbox.conductor(["rm", "one"]).run().success();
    assert!(sandbox.conductor(["image", "diff", "changed", "none"]).fails(1).contains("none"));
    sandbox.assert_clean();
}

#[test]
fn files_of_different_layers_are_compared_by_all_that_they_are() {
    let sandbox = sandbox();
    let tree = "head -c 600000 /dev/zero | tr '\\0' a > big; truncate -s 3M sparse; echo x >> sparse; \
                ln big second; ln -s big link; mkfifo pipe; mkdir dir; echo 1 > dir/file; setfattr -n user.a -v 1 dir/file; \
                find . -exec touch -hd @1000000000 {} +";
    made(&sandbox, "one", &format!("echo padding > 0; {tree}"));
    made(&sandbox, "same", tree);
    assert_eq!(lines(&sandbox, &["image", "diff", "same", "one"]), ["D /0"]);
    for (change, found) in [
        ("printf b | dd of=big bs=1 seek=599999 conv=notrunc status=none", vec!["C /big", "C /second"]),
        ("printf b | dd of=sparse bs=1 seek=1000000 conv=notrunc status=none", vec!["C /sparse"]),
        ("ln -sf bug link", vec!["C /link"]),
        ("rm pipe; echo > pipe", vec!["C /pipe"]),
        ("rm -r dir; echo > dir", vec!["C /dir"]),
        ("rm link; mkdir -p link/below", vec!["C /link", "A /link/below"]),
        ("chmod 600 dir/file", vec!["C /dir", "C /dir/file"]),
        ("chown 5 dir", vec!["C /dir"]),
        ("touch -d @1 dir/file", vec!["C /dir", "C /dir/file"]),
    ] {
        let time = if change.contains("touch") { "" } else { "; find . -exec touch -hd @1000000000 {} +" };
        made(&sandbox, "other", &format!("{tree}; {change}{time}"));
        assert_eq!(lines(&sandbox, &["image", "diff", "other", "same"]), found, "{change}");
    }
    sandbox.assert_clean();
}

#[test]
fn an_image_is_mounted_where_it_is_wanted_and_stays_meanwhile() {
    let sandbox = busybox();
    for snapshotter in ["erofs", "directory"] {
        let config = sandbox.work().join("config.json");
        std::fs::write(&config, format!("{{\"snapshotter\": \"{snapshotter}\"}}")).unwrap();
        let call = |words: &[&str]| sandbox.conductor(words).env("CONDUCTOR_CONFIG", &config);
        let place = sandbox.work().join("with space");
        std::fs::create_dir_all(&place).unwrap();
        let at = place.to_str().unwrap();
        sandbox.conductor(["tag", IMAGE, "kept"]).run().success();
        assert_eq!(call(&["image", "mount", IMAGE, at]).ok(), at);
        assert!(place.join("bin/busybox").is_file());
        let written = std::fs::write(place.join("file"), "x").unwrap_err();
        assert_eq!(written.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
        // What is root's in the image is not root's for whoever finds it here.
        let options = Conductor::new("findmnt").args(["-n", "-o", "OPTIONS", "--target"]).arg(&place).ok();
        let options: Vec<&str> = options.split(',').collect();
        assert!(["ro", "nosuid", "nodev"].iter().all(|word| options.contains(word)), "{options:?}");
        let listed = call(&["image", "mount"]).ok();
        assert!(listed.lines().nth(1).unwrap().ends_with(at), "{listed}");
        let id = sandbox.conductor(["images", "-q", IMAGE]).ok();
        let refused = call(&["rmi", "-f", &id]).fails(1);
        assert!(refused.contains(&format!("used by the mount at {at}")), "{refused}");
        call(&["image", "prune", "-a", "-f"]).run().success();
        assert!(place.join("bin/busybox").is_file());
        // By the image, and then by the directory.
        assert_eq!(call(&["image", "unmount", IMAGE]).ok(), at);
        assert!(!place.join("bin").exists());
        let again = call(&["image", "unmount", at]).fails(1);
        assert!(again.contains("no image is mounted at"), "{again}");
        assert_eq!(call(&["image", "umount", "-a"]).ok(), "");
    }
    let others = sandbox.work().join("others");
    std::fs::create_dir(&others).unwrap();
    Conductor::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&others).run().success();
    sandbox.conductor(["image", "unmount"]).arg(&others).fails(1);
    assert!(sandbox.conductor(["image", "mount", IMAGE, "/nowhere"]).fails(1).contains("/nowhere"));
    assert!(
        sandbox.conductor(["image", "mount", IMAGE, "/etc/passwd"]).fails(1).contains("/etc/passwd is no directory")
    );
    assert!(sandbox.conductor(["image", "mount", IMAGE]).fails(1).contains("DIRECTORY"));
    Conductor::new("umount").arg(Path::new(&others)).run().success();
    sandbox.assert_clean();
}
