//! `system check` and `system df`: what the store holds, and whether it is whole.

use std::path::{Path, PathBuf};

use crate::archives::{Store, shell};
use crate::{IMAGE, busybox};

/// The one file in a directory of the store that begins as asked.
fn file(store: &Store<'_>, directory: &str, start: &str) -> PathBuf {
    let found = shell(&format!("find {:?}/{directory} -type f -name '{start}*' | head -1", store.root));
    PathBuf::from(found)
}

fn flip_a_byte(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    // Content is never changed in place: whoever has it mounted must not see that.
    let beside = path.with_extension("damaged");
    std::fs::write(&beside, bytes).unwrap();
    std::fs::rename(beside, path).unwrap();
}

#[test]
fn a_whole_store_is_whole_while_others_work_on_it() {
    let sandbox = busybox();
    let store = Store::own(&sandbox);
    let said = store.conductor(&["system", "check"]).ok();
    assert!(said.starts_with("1 images, 1 layers, ") && said.ends_with("all whole"), "{said}");
    let archive = sandbox.work().join("box.tar");
    store.conductor(&["save", "-o"]).arg(&archive).arg(IMAGE).run().success();
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (store, archive) = (&store, &archive);
            scope.spawn(move || {
                for _ in 0..5 {
                    let name = format!("box:{number}");
                    store.conductor(&["load", "-q", "-i"]).arg(archive).run().success();
                    store.conductor(&["tag", IMAGE, &name]).run().success();
                    store.conductor(&["run", "--rm", "--network", "none", &name, "true"]).run().success();
                    store.conductor(&["rmi", &name]).run().success();
                }
            });
        }
        for _ in 0..10 {
            let said = store.conductor(&["system", "check"]).ok();
            assert!(said.ends_with("all whole"), "{said}");
        }
    });
    sandbox.assert_clean();
}

#[test]
fn every_kind_of_damage_is_found_told_and_repaired() {
    let sandbox = busybox();
    let store = Store::own(&sandbox);
    let id = store.ids().remove(0);
    let hex = id.trim_start_matches("sha256:").to_owned();
    let archive = sandbox.work().join("box.tar");
    store.conductor(&["save", "-o"]).arg(&archive).arg(IMAGE).run().success();
    let damage = |what: &str, words: &[&str], image_stays: bool| {
        let before = store.left();
        let said = store.conductor(&["system", "check"]).run().code(1);
        for word in words {
            assert!(said.stdout.contains(word), "{what}: {word:?} is not in:\n{}", said.stdout);
        }
        assert!(said.stdout.contains("  would: "), "{what}: {}", said.stdout);
        assert_eq!(store.left(), before, "{what}: a check changes nothing");
        let said = store.conductor(&["system", "check", "--repair"]).ok();
        assert!(said.ends_with("repaired"), "{what}: {said}");
        assert!(store.conductor(&["system", "check"]).ok().ends_with("all whole"), "{what}");
        assert_eq!(store.ids(), if image_stays { vec![id.as_str()] } else { vec![""; 0] }, "{what}");
        if !image_stays {
            assert_eq!(store.left(), "", "{what}");
        }
        store.load(&archive);
        store.runs(IMAGE);
    };
    flip_a_byte(&file(&store, "indexes", ""));
    damage("another index", &["is not the one that its layers make"], true);
    std::fs::remove_file(file(&store, "indexes", "")).unwrap();
    damage("no index", &["the index", "is missing"], true);
    flip_a_byte(&file(&store, "layers/sha256", ""));
    damage("another layer", &["layer sha256:", " holds sha256:", "image", IMAGE, "lacks layer"], false);
    std::fs::remove_file(file(&store, "layers/sha256", "")).unwrap();
    damage("no layer", &["lacks layer"], false);
    flip_a_byte(&file(&store, "blobs/sha256", &hex));
    damage("another configuration", &["holds something else", "lacks its configuration"], false);
    std::fs::remove_file(file(&store, "images", &hex)).unwrap();
    damage("no record", &["leads to no image", "belongs to no image"], false);
    std::fs::write(file(&store, "images", &hex), "{").unwrap();
    damage("half a record", &["cannot be read"], false);
    let repository = shell(&format!("ls -d {:?}/names/*", store.root));
    std::os::unix::fs::symlink("../../images/0000", Path::new(&repository).join("lost")).unwrap();
    damage("a name that leads nowhere", &["busybox:lost", "leads to no image"], true);
    std::fs::write(store.root.join("layers/sha256/stray"), "?").unwrap();
    damage("a stray", &["layers/sha256/stray belongs to no image"], true);
    sandbox.assert_clean();
}

#[test]
fn what_a_container_uses_is_told_and_not_taken_away_under_it() {
    let sandbox = busybox();
    let store = Store::own(&sandbox);
    store.conductor(&["run", "-d", "--name", "one", "--network", "none", IMAGE, "sleep", "1000"]).run().success();
    flip_a_byte(&file(&store, "layers/sha256", ""));
    let said = store.conductor(&["system", "check", "--repair"]).run().code(1);
    assert!(said.stdout.contains("still: ") && said.stderr.contains("while containers use it"), "{said:?}");
    assert_eq!(store.ids().len(), 1);
    assert_eq!(store.conductor(&["exec", "one", "echo", "hi"]).ok(), "hi");
    store.conductor(&["rm", "-f", "one"]).run().success();
    store.conductor(&["system", "check", "--repair"]).run().success();
    assert_eq!(store.left(), "");
    sandbox.assert_clean();
}

#[test]
fn df_counts_a_shared_layer_once() {
    let sandbox = busybox();
    let store = Store::own(&sandbox);
    store
        .conductor(&[
            "run",
            "--name",
            "one",
            "--network",
            "none",
            "-v",
            "data:/data",
            IMAGE,
            "sh",
            "-c",
            "head -c 300000 /dev/zero > /big; head -c 100000 /dev/zero > /data/file",
        ])
        .run()
        .success();
    store.conductor(&["commit", "one", "two"]).run().success();
    let rows = |options: &[&str]| {
        let words =
            [&["system", "df", "--format", "{{.Type}}|{{.TotalCount}}|{{.Active}}|{{.Reclaimable}}"], options].concat();
        store.conductor(&words).ok()
    };
    let found = rows(&[]);
    let lines: Vec<_> = found.lines().collect();
    // One of the two images is used, and has all of the base; only what the commit added would come back.
    assert!(lines[0].starts_with("Images|2|1|3"), "{found}");
    assert!(lines[1].starts_with("Containers|1|0|3"), "{found}");
    assert!(lines[2].starts_with("Local Volumes|1|1|0B (0%)"), "{found}");
    let table = store.conductor(&["system", "df"]).ok();
    assert!(table.starts_with("TYPE ") && table.contains("\nLocal Volumes   1 "), "{table}");
    let verbose = store.conductor(&["system", "df", "-v"]).ok();
    for word in ["SHARED SIZE", "CONTAINER ID", "one", "VOLUME NAME", "data"] {
        assert!(verbose.contains(word), "{word} is not in {verbose}");
    }
    store.conductor(&["rm", "one"]).run().success();
    assert!(rows(&[]).starts_with("Images|2|0|"));
    sandbox.assert_clean();
}

#[test]
fn an_image_is_kept_while_nobody_can_tell_whether_a_container_uses_it() {
    let sandbox = busybox();
    let store = Store::own(&sandbox);
    let id = store.conductor(&["create", "--network", "none", "--name", "one", IMAGE, "true"]).ok();
    // Neither root nor anybody else can read a directory as a file: the record is there, and reading it fails.
    let record = store.root.join("containers").join(id.trim()).join("container.json");
    let aside = record.with_extension("aside");
    std::fs::rename(&record, &aside).unwrap();
    std::fs::create_dir(&record).unwrap();
    for words in [
        &["container", "prune", "-f"][..],
        &["system", "prune", "-a", "-f"],
        &["image", "prune", "-a", "-f"],
        &["rmi", IMAGE],
    ] {
        let said = store.conductor(words).fails(1);
        assert!(said.contains("container.json"), "{words:?}: {said}");
    }
    assert_eq!(store.ids().len(), 1);
    std::fs::remove_dir(&record).unwrap();
    std::fs::rename(&aside, &record).unwrap();
    store.conductor(&["start", "-a", "one"]).run().success();
    store.conductor(&["system", "prune", "-a", "-f"]).run().success();
    assert_eq!(store.conductor(&["images", "-q"]).ok(), "");
}
