//! Manifests and indexes as registries and archives bring them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| image::fuzzing::manifest(bytes));
