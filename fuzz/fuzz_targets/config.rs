//! Configurations of images: each stands in an archive beside as many empty layers as it names, is loaded into a store,
//! and is described. What it says of layers is false more often than not; the rest is read all the same.

#![no_main]

use fuzz::{Bench, docker_archive};
use libfuzzer_sys::fuzz_target;
use oci::image::ImageConfiguration;

fuzz_target!(|bytes: &[u8]| {
    let Ok(config) = serde_json::from_slice::<ImageConfiguration>(bytes) else { return };
    let layers = config.rootfs().diff_ids().len();
    if layers > 4 {
        return;
    }
    Bench::with(|bench| bench.load(&docker_archive(bytes, layers)));
});
