//! Whole archives of images, of Docker's form and of the OCI's, compressed or not.

#![no_main]

use fuzz::{Bench, mended};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((how, archive)) = bytes.split_first() else { return };
    let archive = mended(archive, *how);
    Bench::with(|bench| bench.load(&archive));
});
