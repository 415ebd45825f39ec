//! Finding, naming and removing.

use oci::Digest;
use store::{StoreError, Usage};
use trace::Recorder;

use crate::fixture::{Sandbox, add, leftovers, tar};

fn unused(_: &Digest) -> Option<Usage> {
    None
}

#[test]
fn an_image_is_found_by_name_by_id_and_by_the_beginning_of_its_id() {
    let sandbox = Sandbox::new();
    let image = add(&sandbox.store, &[&tar("a", b"1")], &["mydebian", "other:v1"]).unwrap();
    let hex = image.id.hex();
    let images = sandbox.store.images();
    for asked in ["mydebian", "mydebian:latest", "docker.io/library/other:v1", &hex, &hex[..12], &image.id.to_string()]
    {
        assert_eq!(images.resolve(asked).unwrap().id, image.id, "{asked}");
    }
    let at_digest = format!("mydebian@{}", image.manifest);
    assert_eq!(images.resolve(&at_digest).unwrap().id, image.id);
    for asked in ["mydebian:v2", "nothing", "ffffffffffff", "x@sha256:00", "A/../B", "", "a\nb"] {
        assert!(images.resolve(asked).is_err(), "{asked:?}");
    }
    assert_eq!(images.list().unwrap()[0].names.len(), 2);
}

#[test]
fn the_beginning_of_two_ids_is_ambiguous() {
    let sandbox = Sandbox::new();
    // Seventeen IDs share a first digit in at least one case.
    for number in 0..17 {
        add(&sandbox.store, &[&tar("a", format!("{number}").as_bytes())], &[]).unwrap();
    }
    let images = sandbox.store.images();
    let ambiguous = |digit: char| matches!(images.resolve(&digit.to_string()), Err(StoreError::Ambiguous { .. }));
    assert!("0123456789abcdef".chars().any(ambiguous));
}

#[test]
fn a_name_that_moves_leaves_its_old_image_without_one() {
    let sandbox = Sandbox::new();
    let old = add(&sandbox.store, &[&tar("a", b"old")], &["eg"]).unwrap();
    let new = add(&sandbox.store, &[&tar("a", b"new")], &["eg"]).unwrap();
    let images = sandbox.store.images();
    assert_eq!(images.resolve("eg").unwrap().id, new.id);
    assert!(images.names_of(&old.id).unwrap().is_empty());
    images.tag(&old.id.short(), &"eg:old".parse().unwrap(), &Recorder::silent()).unwrap();
    assert_eq!(images.resolve("eg:old").unwrap().id, old.id);
    assert_eq!(images.prune(false, &unused, &Recorder::silent()).unwrap().deleted, []);
}

#[test]
fn removing_the_last_name_leaves_nothing() {
    let sandbox = Sandbox::new();
    add(&sandbox.store, &[&tar("a", b"1")], &["eg", "eg:2"]).unwrap();
    let images = sandbox.store.images();
    let removed = images.remove("eg", false, &unused, &Recorder::silent()).unwrap();
    assert!(removed.deleted.is_empty());
    images.remove("eg:2", false, &unused, &Recorder::silent()).unwrap();
    assert_eq!(leftovers(&sandbox.store), [] as [&str; 0]);
    assert!(matches!(images.remove("eg", false, &unused, &Recorder::silent()), Err(StoreError::NotFound(_))));
}

#[test]
fn a_layer_that_two_images_share_stays_with_the_other() {
    let sandbox = Sandbox::new();
    let (base, top) = (tar("base", b"1"), tar("top", b"2"));
    add(&sandbox.store, &[&base], &["base"]).unwrap();
    let both = add(&sandbox.store, &[&base, &top], &["both"]).unwrap();
    let images = sandbox.store.images();
    let removed = images.remove("base", false, &unused, &Recorder::silent()).unwrap();
    assert_eq!((removed.deleted.len(), removed.freed), (1, 0));
    assert!(both.layers.iter().all(|layer| layer.path.exists()) && both.has_index());
    images.remove("both", false, &unused, &Recorder::silent()).unwrap();
    assert_eq!(leftovers(&sandbox.store), [] as [&str; 0]);
}

#[test]
fn a_kept_layer_outlives_the_image_it_came_from() {
    let sandbox = Sandbox::new();
    let image = add(&sandbox.store, &[&tar("a", b"1")], &["eg"]).unwrap();
    let mut work = sandbox.store.begin(store::Durability::Durable).unwrap();
    let layer = work.keep_layer(&image.layers[0].diff_id).unwrap().unwrap();
    sandbox.store.images().remove("eg", false, &unused, &Recorder::silent()).unwrap();
    sandbox.store.sweep(&Recorder::silent()).unwrap();
    let documents = crate::fixture::documents(&[layer]);
    let again = work.commit(&documents, &["eg".parse().unwrap()], &Recorder::silent()).unwrap();
    assert_eq!(again.id, image.id);
    assert!(again.layers[0].path.exists() && again.has_index());
}

#[test]
fn a_store_that_does_not_exist_is_an_empty_one() {
    let sandbox = Sandbox::new();
    assert!(sandbox.store.images().list().unwrap().is_empty());
    assert!(matches!(sandbox.store.images().resolve("eg"), Err(StoreError::NotFound(_))));
    assert!(!sandbox.store.layout().root().exists());
}

#[test]
fn the_next_writer_removes_what_belongs_to_no_image() {
    let sandbox = Sandbox::new();
    let image = add(&sandbox.store, &[&tar("a", b"1")], &["eg"]).unwrap();
    let before = leftovers(&sandbox.store);
    let layout = sandbox.store.layout();
    let orphan = Digest::of(b"left by a writer that was killed");
    std::fs::write(layout.layer(&orphan), "x").unwrap();
    std::fs::write(layout.blob(&orphan), "x").unwrap();
    std::fs::create_dir(layout.tmp().join("1-abandoned")).unwrap();
    drop(sandbox.store.begin(store::Durability::Durable).unwrap());
    assert_eq!(leftovers(&sandbox.store), before);
    assert_eq!(sandbox.store.images().resolve("eg").unwrap().id, image.id);
}
