//! The cache of builds: steps known by their keys, directories that are held, and what becomes of them.

use std::fs::File;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use oci::Digest;
use oci::image::ImageConfiguration;
use store::{CacheItem, CachedStep, ChainId, Durability, Layer, Stack, Store, Usage, Work, plan_collect};
use trace::Recorder;

use crate::fixture::{Sandbox, documents, leftovers, tar};

fn silent() -> Recorder {
    Recorder::silent()
}

fn unused(_: &Digest) -> Option<Usage> {
    None
}

fn key(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

/// Makes a step of one layer, known by a name.
fn remember(work: &mut Work, name: &str) -> (CachedStep, Layer) {
    let mut writer = work.layer().unwrap();
    writer.append(&tar(name, b"made")).unwrap();
    let layer = work.finish(writer).unwrap();
    work.mountable(&Stack::of(std::slice::from_ref(&layer)).unwrap(), ImageConfiguration::default()).unwrap();
    let step = CachedStep {
        key: key(name),
        layer: layer.diff_id,
        size: layer.size,
        chain: ChainId::of([&layer.diff_id]),
        what: format!("RUN {name}"),
        created: Timestamp::now(),
        build: "1".into(),
    };
    work.remember(&step, &silent()).unwrap();
    (step, layer)
}

fn made(store: &Store, name: &str) -> CachedStep {
    let mut work = store.begin(Durability::Durable).unwrap();
    remember(&mut work, name).0
}

/// Sets back when a step was last used.
fn age(store: &Store, step: &CachedStep, seconds: u64) {
    let record = store.layout().cache().join("steps").join(step.key.hex());
    let then = SystemTime::now() - Duration::from_secs(seconds);
    File::options().append(true).open(record).unwrap().set_modified(then).unwrap();
}

fn remove(store: &Store, wanted: impl Fn(&CacheItem) -> bool) -> u64 {
    let items = store.cache().items().unwrap();
    store.cache().remove_items(&plan_collect(&items, &wanted, 0), &silent()).unwrap()
}

#[test]
fn a_step_is_found_by_its_key_until_it_is_forgotten() {
    let sandbox = Sandbox::new();
    let store = &sandbox.store;
    let step = made(store, "a");
    assert_eq!(store.cache().find(&key("a")).unwrap(), Some(step.clone()));
    assert_eq!(store.cache().find(&key("b")).unwrap(), None);
    // A sweep keeps its layer and the index over it.
    drop(store.begin(Durability::Durable).unwrap());
    store.sweep(&silent()).unwrap();
    assert!(store.layout().layer(&step.layer).is_file() && store.layout().index(&step.chain).is_file());
    assert!(remove(store, |_| true) > step.size, "the layer and its index come back");
    assert_eq!(store.cache().find(&key("a")).unwrap(), None);
    assert_eq!(leftovers(store), [""; 0]);
}

#[test]
fn a_sweep_takes_the_layer_of_a_step_whose_record_is_gone() {
    let sandbox = Sandbox::new();
    let store = &sandbox.store;
    let step = made(store, "a");
    std::fs::remove_file(store.layout().cache().join("steps").join(step.key.hex())).unwrap();
    store.sweep(&silent()).unwrap();
    assert_eq!(leftovers(store), [""; 0]);
}

#[test]
fn a_damaged_record_is_as_none() {
    let sandbox = Sandbox::new();
    let store = &sandbox.store;
    let step = made(store, "a");
    let record = store.layout().cache().join("steps").join(step.key.hex());
    for damage in ["", "{\"key\":", "[]"] {
        std::fs::write(&record, damage).unwrap();
        assert_eq!(store.cache().find(&step.key).unwrap(), None, "{damage}");
        assert_eq!(store.cache().items().unwrap(), []);
    }
    assert_eq!(made(store, "a").layer, step.layer);
    assert!(store.cache().find(&step.key).unwrap().is_some());
}

#[test]
fn a_layer_that_was_cut_short_is_not_taken() {
    let sandbox = Sandbox::new();
    let store = &sandbox.store;
    let step = made(store, "a");
    File::options().write(true).open(store.layout().layer(&step.layer)).unwrap().set_len(step.size - 1).unwrap();
    assert_eq!(store.cache().find(&step.key).unwrap(), None);
}

#[test]
fn an_image_and_a_step_share_a_layer_which_goes_with_the_last_of_them() {
    let sandbox = Sandbox::new();
    let store = &sandbox.store;
    let image = |name: &str| {
        let mut work = store.begin(Durability::Durable).unwrap();
        let (step, layer) = remember(&mut work, name);
        work.commit(&documents(&[layer]), &[name.parse().unwrap()], &silent()).unwrap();
        step
    };
    let step = image("first");
    let layer = store.layout().layer(&step.layer);
    assert!(store.cache().items().unwrap()[0].shared);
    assert_eq!(remove(store, |item| !item.shared), 0, "what an image has is not dangling");
    assert!(store.cache().find(&step.key).unwrap().is_some());
    store.images().remove("first", false, &unused, &silent()).unwrap();
    assert!(layer.is_file(), "the step has it still");
    assert!(!store.cache().items().unwrap()[0].shared);
    assert!(remove(store, |item| !item.shared) >= step.size);
    assert!(!layer.exists());
    // The other way round.
    let step = image("second");
    assert_eq!(remove(store, |_| true), 0, "it is the image's");
    assert!(store.layout().layer(&step.layer).is_file() && store.layout().index(&step.chain).is_file());
    assert_eq!(store.cache().find(&step.key).unwrap(), None);
}

#[test]
fn a_step_that_work_in_flight_has_is_in_use() {
    let sandbox = Sandbox::new();
    let store = &sandbox.store;
    let step = made(store, "a");
    let mut work = store.begin(Durability::Durable).unwrap();
    let kept = work.keep_layer(&step.layer).unwrap().unwrap();
    assert!(store.cache().items().unwrap()[0].in_use);
    assert_eq!(remove(store, |_| true), 0);
    // Even where somebody does forget it, the work has its layer.
    store.cache().remove(&[step.key], &silent()).unwrap();
    assert!(kept.path.is_file());
    drop(work);
    assert_eq!(store.cache().items().unwrap(), []);
}

#[test]
fn a_directory_in_use_is_not_removed() {
    let sandbox = Sandbox::new();
    let store = &sandbox.store;
    let held = store.cache().mount("apt", "cache mount apt").unwrap();
    std::fs::write(held.path().join("data"), vec![1; 100_000]).unwrap();
    let items = store.cache().items().unwrap();
    assert!(items[0].in_use && items[0].what == "cache mount apt" && items[0].size >= 100_000, "{items:?}");
    assert_eq!(remove(store, |_| true), 0);
    // One that was idle when it was listed, and is not when it is removed.
    let listed = [CacheItem { in_use: false, ..items[0].clone() }];
    assert_eq!(store.cache().remove_items(&[&listed[0]], &silent()).unwrap(), 0);
    assert!(held.path().join("data").is_file());
    drop(held);
    assert!(remove(store, |_| true) >= 100_000);
    assert_eq!(store.cache().items().unwrap(), []);
    assert_eq!(leftovers(store), [""; 0]);
}

#[test]
fn collecting_takes_what_was_used_least_lately_and_nothing_that_was_just_used() {
    let sandbox = Sandbox::new();
    let store = &sandbox.store;
    let steps: Vec<_> = ["a", "b", "c"].iter().map(|name| made(store, name)).collect();
    for (step, seconds) in steps.iter().zip([300, 200, 100]) {
        age(store, step, seconds);
    }
    let hour = |hours: i64| Timestamp::now() + jiff::SignedDuration::from_hours(hours);
    assert_eq!(store.cache().collect(steps[0].size * 3, hour(1), &silent()).unwrap(), 0);
    store.cache().find(&steps[0].key).unwrap().unwrap();
    assert!(store.cache().collect(steps[0].size * 2, hour(1), &silent()).unwrap() >= steps[1].size);
    let left: Vec<_> = store.cache().items().unwrap().into_iter().map(|item| item.what).collect();
    assert_eq!(left, ["RUN a", "RUN c"]);
    assert_eq!(store.cache().collect(1, hour(-1), &silent()).unwrap(), 0);
    assert!(store.cache().collect(1, hour(1), &silent()).unwrap() > 0);
    assert_eq!(leftovers(store), [""; 0]);
}

#[test]
fn two_at_once_remove_and_remember_without_harm() {
    let sandbox = Sandbox::new();
    let store = &sandbox.store;
    std::thread::scope(|scope| {
        for worker in 0..2 {
            scope.spawn(move || {
                for round in 0..20 {
                    let mut work = store.begin(Durability::Remakeable).unwrap();
                    let (step, layer) = remember(&mut work, &format!("{worker}-{}", round % 3));
                    assert!(layer.path.is_file());
                    if let Some(found) = store.cache().find(&step.key).unwrap() {
                        assert_eq!(found.layer, step.layer);
                    }
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..40 {
                let items = store.cache().items().unwrap();
                store.cache().remove_items(&items.iter().collect::<Vec<_>>(), &silent()).unwrap();
            }
        });
    });
    remove(store, |_| true);
    store.sweep(&silent()).unwrap();
    assert_eq!(leftovers(store), [""; 0]);
}
