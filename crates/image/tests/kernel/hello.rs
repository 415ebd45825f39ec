//! `conductor/hello`, the image that is carried along.

use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;

use image::{HELLO, resolve};
use trace::Recorder;

use crate::fixture::{Sandbox, view};

#[test]
fn it_is_there_without_having_been_made_and_its_program_runs() {
    let sandbox = Sandbox::new();
    let image = resolve(&sandbox.store, HELLO, &Recorder::silent()).unwrap();
    assert_eq!(image.config.config().as_ref().unwrap().cmd().as_deref().unwrap(), ["/hello"]);
    let mounted = view(&image);
    let program = format!("/proc/{}/fd/{}/hello", std::process::id(), mounted.as_fd().as_raw_fd());
    let output = Command::new(program).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.starts_with("Hello from Conductor!"), "{said}");
    assert_eq!(sandbox.in_flight(), 0);
}

#[test]
fn a_store_that_lost_it_gets_it_again() {
    let sandbox = Sandbox::new();
    let image = resolve(&sandbox.store, HELLO, &Recorder::silent()).unwrap();
    let again = || resolve(&sandbox.store, HELLO, &Recorder::silent()).unwrap();
    assert_eq!(again().id, image.id);
    // As after a power failure: the names are there, the data is not.
    for path in [&image.layers[0].path, &image.index] {
        let length = path.metadata().unwrap().len();
        std::fs::write(path, vec![0; usize::try_from(length).unwrap()]).unwrap();
        assert_eq!(again().id, image.id);
        view(&image);
    }
    assert!(std::fs::read(&image.layers[0].path).unwrap().starts_with(b"./"));
    sandbox.store.images().remove(HELLO, false, &|_| None, &Recorder::silent()).unwrap();
    assert_eq!(again().id, image.id);
}

#[test]
fn its_name_may_be_given_to_another_image() {
    let sandbox = Sandbox::new();
    let tar = vec![0; 1024];
    let options = image::ImportOptions {
        names: vec![HELLO.parse().unwrap()],
        changes: Vec::new(),
        message: None,
        platform: None,
        created: jiff::Timestamp::UNIX_EPOCH,
    };
    let own = image::import(&sandbox.store, tar.as_slice(), &options, &Recorder::silent()).unwrap();
    assert_eq!(resolve(&sandbox.store, HELLO, &Recorder::silent()).unwrap().id, own.id);
}
