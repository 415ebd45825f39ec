//! `import`, `images`, `rmi` and `image inspect`.

use serde_json::Value;
use testkit::{Conductor, fixture};

use crate::{IMAGE, busybox, sandbox};

#[test]
fn an_imported_image_is_listed_inspected_and_removed() {
    let sandbox = busybox();
    let listed = sandbox.conductor(["images"]).ok();
    assert!(listed.lines().next().unwrap().starts_with("REPOSITORY"), "{listed}");
    assert!(listed.contains(IMAGE) && listed.contains("latest"), "{listed}");
    let document: Value = serde_json::from_str(&sandbox.conductor(["image", "inspect", IMAGE]).ok()).unwrap();
    assert_eq!(document[0]["RepoTags"][0], "busybox:latest");
    assert_eq!(document[0]["Os"], "linux");
    sandbox.conductor(["rmi", IMAGE]).run().success();
    assert_eq!(sandbox.conductor(["images", "-q"]).ok(), "");
    assert!(sandbox.conductor(["rmi", IMAGE]).fails(1).contains(IMAGE));
}

#[test]
fn removing_an_image_gives_its_space_back() {
    let sandbox = busybox();
    sandbox.conductor(["rmi", IMAGE]).run().success();
    let mut large = Vec::new();
    let mut directories = vec![sandbox.root()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).unwrap().flatten() {
            match entry.metadata().unwrap() {
                data if data.is_dir() => directories.push(entry.path()),
                data if data.len() > 10_000 => large.push(entry.path()),
                _ => {}
            }
        }
    }
    assert!(large.is_empty(), "{large:?}");
}

#[test]
fn an_image_in_use_is_not_removed() {
    let sandbox = busybox();
    sandbox.conductor(["run", "-d", "--name", "eg", IMAGE, "sleep", "1000"]).run().success();
    assert!(sandbox.conductor(["rmi", IMAGE]).fails(1).contains("eg"));
    sandbox.conductor(["exec", "eg", "cat", "/etc/passwd"]).run().success();
    sandbox.conductor(["rm", "-f", "eg"]).run().success();
    sandbox.conductor(["rmi", IMAGE]).run().success();
    sandbox.assert_clean();
}

#[test]
fn the_tree_inside_is_the_archives_entry_by_entry() {
    let sandbox = busybox();
    let script = "find / -xdev ! -path '/dev/*' ! -path '/proc/*' ! -path '/sys/*' -exec stat -c '%n %a %u:%g %F %s' {} + | sort";
    let inside = sandbox.conductor(["run", "--rm", "--network", "none", IMAGE, "sh", "-c", script]).ok();
    let tree = sandbox.work().join("tree");
    std::fs::create_dir(&tree).unwrap();
    let archive = fixture::busybox_tar_file(&sandbox.work());
    Conductor::new("tar").arg("-xpf").arg(archive).arg("-C").arg(&tree).run().success();
    for line in inside.lines().filter(|line| line.contains("/bin/") || line.contains("/etc/passwd")) {
        let mut words = line.splitn(3, ' ');
        let (path, mode) = (words.next().unwrap(), words.next().unwrap());
        let data = std::fs::symlink_metadata(tree.join(path.trim_start_matches('/'))).unwrap();
        let expected = format!("{:o}", std::os::unix::fs::PermissionsExt::mode(&data.permissions()) & 0o7777);
        assert_eq!(mode, expected, "{line}");
    }
    assert!(inside.lines().count() > 100, "{inside}");
}

#[test]
fn an_archive_that_is_none_is_refused_and_leaves_nothing() {
    let sandbox = sandbox();
    let path = sandbox.work().join("broken.tar");
    std::fs::write(&path, "this is no archive".repeat(1000)).unwrap();
    let said = sandbox.conductor(["import", path.to_str().unwrap(), "broken"]).fails(1);
    assert!(said.starts_with("error: "), "{said}");
    assert_eq!(sandbox.conductor(["images", "-q"]).ok(), "");
}

#[test]
fn an_image_can_be_imported_for_another_machine() {
    let sandbox = busybox();
    let archive = fixture::busybox_tar_file(&sandbox.work());
    let import = |platform: &str| sandbox.conductor(["import", "--platform", platform]).arg(&archive).arg("other");
    import("linux/arm64/v8").run().success();
    let document: Value = serde_json::from_str(&sandbox.conductor(["image", "inspect", "other"]).ok()).unwrap();
    let words = ["Os", "Architecture", "Variant"].map(|key| document[0][key].as_str().unwrap());
    assert_eq!(words, ["linux", "arm64", "v8"]);
    assert!(import("linux//v8").fails(1).contains("is not a platform"));
    let create = ["create", "--pull", "always", "--network", "none", "127.0.0.1:1/busybox"];
    sandbox.conductor(["tag", IMAGE, create[5]]).run().success();
    let refused = sandbox.conductor(create).fails(125);
    assert!(refused.contains("cannot pull 127.0.0.1:1/busybox:latest, as --pull always wants"), "{refused}");
}

#[test]
fn debootstrap_that_is_missing_is_named_with_its_package() {
    let sandbox = sandbox();
    // The sandbox has mounts of its own, so the host keeps its /usr/sbin.
    Conductor::new("mount").args(["-t", "tmpfs", "tmpfs", "/usr/sbin"]).run().success();
    let said = sandbox.conductor(["build", "mydebian"]).run();
    Conductor::new("umount").arg("/usr/sbin").run().success();
    assert_ne!(said.exit_code(), 0);
    assert!(said.stderr.contains("apt-get install debootstrap"), "{said:?}");
    assert_eq!(sandbox.conductor(["images", "-q"]).ok(), "");
}

#[test]
fn the_history_tells_what_made_an_image() {
    let sandbox = busybox();
    let listed = sandbox.conductor(["history", IMAGE]).ok();
    let mut lines = listed.lines();
    let header: Vec<_> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["IMAGE", "CREATED", "CREATED", "BY", "SIZE", "COMMENT"]);
    let id = sandbox.conductor(["images", "-q", IMAGE]).ok();
    let line = lines.next().unwrap();
    assert!(line.starts_with(&id) && line.contains("conductor import"), "{listed}");
    assert_eq!(lines.next(), None);
    let size = sandbox.conductor(["image", "inspect", "--format", "{{.Size}}", IMAGE]).ok();
    assert_eq!(sandbox.conductor(["history", "--human=false", "--format", "{{.Size}}", IMAGE]).ok(), size);
    assert_eq!(sandbox.conductor(["image", "history", "-q", IMAGE]).ok(), id);
    assert!(sandbox.conductor(["history", "nobody"]).fails(1).contains("no such image: nobody"));
}
