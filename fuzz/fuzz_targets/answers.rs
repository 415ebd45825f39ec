//! What registries and token servers answer, whatever they are asked.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| registry::fuzzing::answers(bytes));
