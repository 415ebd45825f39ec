//! Layers that come compressed: known again, kept for the next attempt, downloaded by one at a time.

use std::fs::File;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use oci::Digest;
use store::{Compressed, Documents, Durability, Form, Layer, Store, Usage};
use trace::Recorder;

use crate::fixture::{Sandbox, add, documents, leftovers, tar};

fn unused(_: &Digest) -> Option<Usage> {
    None
}

fn form(layer: &Layer, repository: &str) -> Compressed {
    let media_type = "application/vnd.oci.image.layer.v1.tar+gzip".to_owned();
    let form = Form { size: 7, media_type, made_here: false, repositories: vec![repository.to_owned()] };
    Compressed { digest: Digest::of(layer.diff_id.hex().as_bytes()), layer: layer.diff_id, form }
}

/// Brings one layer and gives up before there is an image.
fn bring(store: &Store, content: &[u8]) -> Compressed {
    let mut work = store.begin(Durability::Durable).unwrap();
    let mut writer = work.layer().unwrap();
    writer.append(&tar("a", content)).unwrap();
    let layer = work.finish(writer).unwrap();
    let compressed = form(&layer, "example.org/eg");
    work.keep(&layer, &compressed).unwrap();
    compressed
}

#[test]
fn a_layer_that_came_whole_is_there_for_the_next_attempt() {
    let sandbox = Sandbox::new();
    let brought = bring(&sandbox.store, b"1");
    let mut work = sandbox.store.begin(Durability::Durable).unwrap();
    assert_eq!(sandbox.store.compressed(&brought.digest).unwrap().as_ref(), Some(&brought));
    assert_eq!(sandbox.store.compressed_of(&brought.layer).unwrap(), std::slice::from_ref(&brought));
    let layer = work.keep_layer(&brought.layer).unwrap().unwrap();
    work.commit(&documents(&[layer]), &["eg".parse().unwrap()], &Recorder::silent()).unwrap();
    sandbox.store.images().remove("eg", false, &unused, &Recorder::silent()).unwrap();
    assert_eq!(sandbox.store.compressed(&brought.digest).unwrap(), None);
    assert_eq!(leftovers(&sandbox.store), [""; 0]);
}

#[test]
fn a_layer_of_no_image_is_kept_for_a_day_or_until_somebody_prunes() {
    let sandbox = Sandbox::new();
    let (old, fresh) = (bring(&sandbox.store, b"old"), bring(&sandbox.store, b"fresh"));
    let note = sandbox.store.layout().compressed_form(&old.layer, &old.digest);
    let two_days_ago = SystemTime::now() - Duration::from_secs(2 * 24 * 60 * 60);
    File::options().write(true).open(note).unwrap().set_modified(two_days_ago).unwrap();
    drop(sandbox.store.begin(Durability::Durable).unwrap());
    assert_eq!(sandbox.store.compressed(&old.digest).unwrap(), None);
    assert!(!sandbox.store.layout().layer(&old.layer).exists());
    assert_eq!(sandbox.store.compressed(&fresh.digest).unwrap(), Some(fresh));
    sandbox.store.images().prune(false, &unused, &Recorder::silent()).unwrap();
    assert_eq!(leftovers(&sandbox.store), [""; 0]);
}

#[test]
fn the_repositories_that_have_a_layer_are_remembered_the_last_one_first() {
    let sandbox = Sandbox::new();
    let mut brought = bring(&sandbox.store, b"1");
    brought.form.repositories = vec!["example.org/other".into()];
    sandbox.store.note_compressed(&brought).unwrap();
    let known = sandbox.store.compressed(&brought.digest).unwrap().unwrap();
    assert_eq!(known.form.repositories, ["example.org/other", "example.org/eg"]);
    // A note that a crash has left empty costs a download and nothing else.
    File::create(sandbox.store.layout().compressed_form(&brought.layer, &brought.digest)).unwrap();
    assert_eq!(sandbox.store.compressed(&brought.digest).unwrap(), None);
}

#[test]
fn who_wants_a_blob_that_somebody_downloads_waits_for_the_end_of_that() {
    let sandbox = Sandbox::new();
    sandbox.store.sweep(&Recorder::silent()).unwrap();
    let blob = Digest::of(b"blob");
    let first = sandbox.store.claim(&blob, || panic!("nobody is there")).unwrap();
    let (tell, told) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let tell = tell.clone();
            let store = &sandbox.store;
            scope.spawn(move || {
                let _claim = store.claim(&blob, || tell.send("waits").unwrap()).unwrap();
                tell.send("has it").unwrap();
            });
        }
        for _ in 0..3 {
            assert_eq!(told.recv().unwrap(), "waits");
        }
        // A claim is nothing that a sweeper takes away.
        sandbox.store.sweep(&Recorder::silent()).unwrap();
        assert!(told.try_recv().is_err());
        drop(first);
        for _ in 0..3 {
            assert_eq!(told.recv().unwrap(), "has it");
        }
    });
    assert_eq!(leftovers(&sandbox.store), [""; 0]);
}

#[test]
fn each_name_of_an_image_keeps_the_manifest_it_came_with() {
    let sandbox = Sandbox::new();
    let first = add(&sandbox.store, &[&tar("a", b"1")], &["eg:gzip"]).unwrap();
    let mut work = sandbox.store.begin(Durability::Durable).unwrap();
    let layer = work.keep_layer(&first.layers[0].diff_id).unwrap().unwrap();
    let manifest = b"{\"schemaVersion\": 2, \"layers\": \"zstd\"}".to_vec();
    let documents = Documents { manifest, listed_in: Some(Digest::of(b"index")), ..documents(&[layer]) };
    let second = work.commit(&documents, &["eg:zstd".parse().unwrap()], &Recorder::silent()).unwrap();
    assert_eq!(second.id, first.id);
    assert_ne!(second.manifest, first.manifest);
    let images = sandbox.store.images();
    let manifest = |name: &str| images.resolve(name).unwrap().manifest;
    assert_eq!((manifest("eg:gzip"), manifest("eg:zstd")), (first.manifest, second.manifest));
    assert_eq!(manifest(&format!("eg@{}", Digest::of(b"index"))), second.manifest);
    images.tag("eg:zstd", &"eg:again".parse().unwrap(), &Recorder::silent()).unwrap();
    assert_eq!(manifest("eg:again"), second.manifest);
    assert_eq!(images.document(&second.manifest).unwrap(), documents.manifest);
    images.remove(&first.id.to_string(), true, &unused, &Recorder::silent()).unwrap();
    assert_eq!(leftovers(&sandbox.store), [""; 0]);
}

#[test]
fn a_short_name_finds_what_another_engine_made_on_this_machine() {
    let sandbox = Sandbox::new();
    let made = add(&sandbox.store, &[&tar("a", b"1")], &["localhost/eg"]).unwrap();
    let images = sandbox.store.images();
    assert_eq!(images.resolve("eg").unwrap().id, made.id);
    let own = add(&sandbox.store, &[&tar("a", b"2")], &["eg"]).unwrap();
    assert_eq!(images.resolve("eg").unwrap().id, own.id);
    images.remove("eg", false, &unused, &Recorder::silent()).unwrap();
    assert_eq!(
        images.remove("eg", false, &unused, &Recorder::silent()).unwrap().untagged[0].familiar(),
        "localhost/eg:latest"
    );
    assert_eq!(leftovers(&sandbox.store), [""; 0]);
}
